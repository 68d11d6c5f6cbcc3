"""Objects followed through made-up scenes, by the real library."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.detector.detection import Detection
from edgedetector.detector.presence import Sighting, expire, observe
from edgedetector.detector.tracking import Tracker, Tracking, Update
from edgedetector.detector.zones import Zone

WIDTH, HEIGHT = 640, 480
LEFT = Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), "watch")


def thing(x: float, y: float = 200.0, label: str = "person", score: float = 0.9) -> Detection:
    """An object of 60 x 120 pixels at a place of its upper left corner."""
    return Detection(label, score, (x, y, x + 60, y + 120))


def run(
    frames: Sequence[Sequence[Detection] | None], *, rate: float = 5.0, config: Tracking | None = None, zones=()
) -> list[Update]:
    """Feed a scene; None is a frame that never came."""
    tracker = Tracker(config or Tracking(), zones)
    return [
        tracker.update(frame, WIDTH, HEIGHT, 100.0 + index / rate)
        for index, frame in enumerate(frames)
        if frame is not None
    ]


def ids(updates: Sequence[Update]) -> set[int]:
    return {one.id for update in updates for one in update.tracked}


def story(updates: Sequence[Update]) -> list[tuple[str, int, str]]:
    return [(event.kind, event.id, event.zone) for update in updates for event in update.events]


# Speed in pixels a second: a tenth of a picture to a third, at which boxes of 60 pixels still touch at the given rate.
@pytest.mark.parametrize(("rate", "speed"), [(15, 200), (5, 0), (5, 50), (5, 200), (2, 60), (1, 30)])
def test_a_walker_keeps_its_id(rate: float, speed: float) -> None:
    updates = run([[thing(10 + speed * index / rate)] for index in range(20)], rate=rate)
    assert ids(updates) == {1}


@pytest.mark.parametrize("missed", [1, 3, 6])
@pytest.mark.parametrize("absent", [[], None], ids=["unseen in it", "frame never came"])
def test_a_walker_keeps_its_id_over_frames_it_is_missed_in(missed: int, absent) -> None:
    walk: list = [[thing(10 + 10 * index)] for index in range(40)]
    walk[15 : 15 + missed] = [absent] * missed
    updates = run(walk)
    assert ids(updates) == {1}
    assert story(updates) == [("enter", 1, "")]


@pytest.mark.parametrize("rate", [0.05, 0.2, 1.0])
def test_a_low_frame_rate_alone_loses_nobody(rate: float) -> None:
    still = [[thing(10)], [thing(10)], [], [thing(12)], [], [], [thing(11)]]
    assert ids(run(still, rate=rate)) == {1}


def test_two_who_pass_each_other_keep_their_ids() -> None:
    frames = [[thing(40 + 12 * n, 100), thing(500 - 12 * n, 180)] for n in range(35)]
    updates = run(frames)
    assert {tuple(one.id for one in update.tracked) for update in updates} == {(1, 2)}


def test_a_crowd_keeps_its_ids_though_every_tenth_is_missed() -> None:
    random = np.random.default_rng(11)
    places = [(70.0 * (n % 8), 130.0 * (n // 8)) for n in range(24)]
    tracker, seen = Tracker(Tracking()), {n: set[int]() for n in range(24)}
    for frame in range(40):
        shown = [n for n in range(24) if random.random() > 0.1]
        moved = [thing(places[n][0] + frame, places[n][1] + random.normal(), score=0.5 + n / 60) for n in shown]
        update = tracker.update(moved, WIDTH, HEIGHT, frame / 5)
        for n, one in zip(shown, update.tracked, strict=True):
            seen[n].add(one.id)
    assert [len(found) for found in seen.values()] == [1] * 24
    assert len(set.union(*seen.values())) == 24


def test_classes_at_one_place_are_followed_apart_and_whoever_stays_in_its_class() -> None:
    frames = [[thing(100), thing(100, label="dog")], [thing(100, label="dog"), thing(100)]] * 4
    updates = run(frames)
    assert {(one.id, one.detection.label) for update in updates for one in update.tracked} == {
        (1, "person"),
        (2, "dog"),
    }


def test_who_comes_and_goes_is_told_once_each() -> None:
    updates = run([[]] * 2 + [[thing(100)]] * 10 + [[]] * 20)
    events = [event for update in updates for event in update.events]
    assert [(event.kind, event.id, event.label, event.zone) for event in events] == [
        ("enter", 1, "person", ""),
        ("leave", 1, "person", ""),
    ]
    # The second sighting, and the first frame more than two seconds after the last.
    assert [event.at for event in events] == pytest.approx([100.6, 104.4], abs=0.21)
    assert events[1].detection.box == (100, 200, 160, 320)


def test_a_single_sighting_is_told_to_nobody() -> None:
    assert story(run([[], [thing(100)], *[[]] * 20])) == []


def test_zones_are_entered_and_left_and_the_picture_last() -> None:
    walk = [[thing(550 - 20 * n)] for n in range(28)]
    updates = run([*walk, *[[]] * 20], zones=(LEFT,))
    assert story(updates) == [("enter", 1, ""), ("enter", 1, "left"), ("leave", 1, "left"), ("leave", 1, "")]
    assert updates[5].tracked[0].zones == ()
    assert updates[27].tracked[0].zones == ("left",)


def test_who_sways_on_a_border_does_not_come_and_go() -> None:
    sway = [[thing(290 + (4 if n % 2 else -4))] for n in range(40)]
    assert len([event for event in story(run(sway, zones=(LEFT,))) if event[2] == "left"]) <= 1


def test_equal_scenes_give_equal_ids_and_events() -> None:
    random = np.random.default_rng(5)
    frames = [
        [
            thing(float(x), float(y), label)
            for x, y, label in zip(*random.integers(0, 400, (2, 6)), "ababab", strict=True)
        ]
        for _ in range(30)
    ]
    assert run(frames, zones=(LEFT,)) == run(frames, zones=(LEFT,))


def test_whoever_is_there_stays_while_nothing_moves() -> None:
    tracker = Tracker(Tracking())
    tracker.update([thing(100)], WIDTH, HEIGHT, 0.0)
    tracker.update([thing(100)], WIDTH, HEIGHT, 0.2)
    for tenths in range(4, 3000, 2):
        assert tracker.rest(tenths / 10) == ()
    update = tracker.update([thing(101)], WIDTH, HEIGHT, 300.2)
    assert ([one.id for one in update.tracked], update.events) == ([1], ())


def test_after_a_minute_without_frames_all_have_left() -> None:
    tracker = Tracker(Tracking(), (LEFT,))
    for n in range(4):
        tracker.update([thing(100)], WIDTH, HEIGHT, n / 5)
    assert tracker.expire(59.0) == ()
    left = tracker.expire(61.0)
    assert [(event.kind, event.id, event.zone, event.at) for event in left] == [
        ("leave", 1, "left", 61.0),
        ("leave", 1, "", 61.0),
    ]
    assert tracker.expire(62.0) == ()
    assert [one.id for one in tracker.update([thing(100)], WIDTH, HEIGHT, 63.0).tracked] == [2]


def test_a_clock_that_goes_back_loses_nobody() -> None:
    tracker = Tracker(Tracking())
    seen = [tracker.update([thing(100)], WIDTH, HEIGHT, now) for now in (1000.0, 1000.2, 3.0, 3.2, 1000.4)]
    assert ids(seen) == {1}


def test_memory_stays_bounded_and_nobody_is_forgotten_without_a_leave() -> None:
    """New objects at a new place of a huge picture in every frame, of ever new classes too."""
    config = Tracking(lost=5.0, limit=5, confirm=1)
    tracker, places = Tracker(config), itertools.count()
    entered, left, most = set[int](), set[int](), 0
    for frame in range(400):
        crowd = [thing(200.0 * next(places), label=f"class{frame // 40}") for _ in range(12)]
        update = tracker.update(crowd, WIDTH, HEIGHT, frame / 5)
        assert len(update.tracked) <= 5
        for event in update.events:
            (entered if event.kind == "enter" else left).add(event.id)
        most = max(most, len(tracker.present), len(tracker._ids))
        assert left <= entered
        assert entered - left == set(tracker.present)
    # Two classes at a time, each up to four times its limit and one frame more.
    assert most <= 2 * (4 * 5 + 5)
    assert len(entered) > 1000
    assert len(tracker._engines) <= 2


BOX = st.tuples(st.integers(0, 500), st.integers(0, 300), st.sampled_from("ab"))


@settings(deadline=None, max_examples=60)
@given(frames=st.lists(st.tuples(st.lists(BOX, max_size=6), st.floats(0.0, 3.0)), max_size=30))
def test_whatever_is_seen_events_alternate_and_ids_are_unique(frames) -> None:
    tracker, now, inside = Tracker(Tracking(), (LEFT,)), 0.0, set[tuple[int, str]]()
    for boxes, gap in frames:
        now += gap
        found = [thing(float(x), float(y), label) for x, y, label in boxes]
        update = tracker.update(found, WIDTH, HEIGHT, now)
        for event in update.events:
            key = (event.id, event.zone)
            assert (key in inside) == (event.kind == "leave")
            inside ^= {key}
        assert [one.detection for one in update.tracked] == found
        assert len({one.id for one in update.tracked}) == len(found)
        told = {(one.id, zone) for one in tracker.present.values() if one.entered for zone in ("", *one.zones)}
        assert inside == told


@settings(deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from([(), ("a",), ("b",), ("a", "b")]), st.booleans()), max_size=20),
    confirm=st.integers(1, 4),
)
def test_presence_alone_believes_a_border_after_so_many_sightings(steps, confirm: int) -> None:
    present, told, streak = {}, {"": False, "a": False, "b": False}, {"a": 0, "b": 0}
    for index, (zones, gone) in enumerate(steps):
        present, events = observe(present, [Sighting(7, thing(0), (WIDTH, HEIGHT), zones)], float(index), confirm)
        for event in events:
            assert told[event.zone] == (event.kind == "leave")
            told[event.zone] = not told[event.zone]
        for zone in "ab":
            # Told and seen may differ, but not for as many sightings on end as it takes.
            streak[zone] = streak[zone] + 1 if told[zone] != (zone in zones) else 0
            assert streak[zone] < confirm or not told[""]
        if gone:
            present, left = expire(present, [7, 8], float(index))
            assert [(event.kind, event.zone) for event in left] == [
                ("leave", zone) for zone in ("a", "b", "") if told[zone]
            ]
            told, streak = dict.fromkeys(told, False), {"a": 0, "b": 0}
            assert not present


def test_times_tell_how_long_somebody_was_there() -> None:
    last = run([[thing(100)]] * 11)[-1].tracked[0]
    assert math.isclose(last.seen - last.since, 2.0, abs_tol=1e-6)
    assert last.sightings == 11


@pytest.mark.parametrize("size", [(320, 240), (1920, 1440), (704, 288)], ids=["smaller", "larger", "other pixels"])
def test_a_walker_keeps_its_id_while_the_camera_goes_to_another_resolution_and_back(size: tuple[int, int]) -> None:
    tracker = Tracker(Tracking())
    seen = []
    for index in range(30):
        width, height = size if 10 <= index < 20 else (WIDTH, HEIGHT)
        x1, y1, x2, y2 = thing(10 + 15 * index).box
        box = (x1 * width / WIDTH, y1 * height / HEIGHT, x2 * width / WIDTH, y2 * height / HEIGHT)
        seen.append(tracker.update([Detection("person", 0.9, box)], width, height, 100.0 + index / 5))
    assert [[one.id for one in update.tracked] for update in seen] == [[1]] * 30
    assert story(seen) == [("enter", 1, "")]
    assert seen[15].tracked[0].detection.box[2] <= size[0], "told in pixels of the frame that it was seen in"
    assert [seen[index].tracked[0].frame for index in (5, 15, 25)] == [(WIDTH, HEIGHT), size, (WIDTH, HEIGHT)]
