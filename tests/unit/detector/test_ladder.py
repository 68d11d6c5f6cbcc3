"""The ladder on virtual time: order, words, dwell, and what it never does."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.detector.ladder import Change, Ladder, Settings
from edgedetector.detector.pressure import Pressure, Signal
from edgedetector.detector.rates import Room
from edgedetector.detector.rungs import Level, Options, Step, ladder

BUSY = Pressure(host_cpu=0.96)
LATE = Pressure(frame_age=4.0, skipped=0.7)
FREE = Pressure(host_cpu=0.2, accelerator=0.2, frame_age=0.3, skipped=0.0)
GATE = Options("gate", 10, 1.0, 5.0)
YARD = Options("yard", 0, 1.0, 5.0, smaller=True)
HALL = Options("hall", 0, 2.0, 5.0)


class Box:
    """A ladder, a clock, and what was told."""

    def __init__(self, *cameras: Options, **how: object) -> None:
        self.now = 1000.0
        self.told: list[tuple[float, Change]] = []
        self.ladder, _ = Ladder().configured(Settings(**how), cameras)

    def feel(self, pressure: Pressure, seconds: float) -> list[str]:
        before = len(self.told)
        for _ in range(round(seconds)):
            self.now += 1.0
            self.ladder, changes = self.ladder.advance(pressure, self.now)
            self.told += [(self.now, change) for change in changes]
        return [change.sentence for _, change in self.told[before:]]

    def level(self, camera: str) -> Level:
        return next(s.level for s in self.ladder.standings() if s.camera == camera)


def test_a_step_down_is_told_in_a_plain_sentence_with_its_reason() -> None:
    box = Box(replace(GATE, priority=0))
    assert box.feel(BUSY, 4) == ["lowered gate from 5 to 3 frames/s because the host CPU was 96 % busy"]
    (standing,) = box.ladder.standings()
    assert (standing.signal, standing.because, standing.rungs) == (Signal.HOST_CPU, "the host CPU was 96 % busy", 1)


def test_a_step_back_is_told_too() -> None:
    box = Box(replace(GATE, priority=0))
    box.feel(BUSY, 4)
    assert box.feel(FREE, 31) == ["raised gate from 3 to 5 frames/s because there was room for 30 s"]
    assert box.ladder.standings()[0].rungs == 0


def test_everything_is_given_up_in_order_the_lowest_priority_first() -> None:
    box = Box(GATE, YARD, HALL, protected_priority=10)
    box.feel(LATE, 200)
    assert _in_order(box)
    assert len(box.ladder.taken) == 12  # All but suspending the gate, whose priority is protected.
    assert box.level("gate") == Level(1.0, keyframes_only=True)
    assert box.level("yard").suspended
    assert box.level("hall").suspended


def _in_order(box: Box) -> bool:
    """Whether the rungs came in the order of the ladder: what is told depends on how many each move took."""
    rungs = ladder(box.ladder.cameras, box.ladder.settings.steps, box.ladder.settings.protected_priority)
    return box.ladder.taken == rungs[: len(box.ladder.taken)] and list(rungs) == sorted(rungs)


def test_the_ladders_order_is_step_by_step_and_the_top_cameras_come_last() -> None:
    steps = tuple(Step)
    rungs = ladder([GATE, YARD, replace(HALL, priority=5)], steps, 100)
    assert [(rung.priority, steps[rung.place], rung.index) for rung in rungs] == [
        (0, Step.REDUCE_FRAME_RATE, 1),
        (0, Step.REDUCE_FRAME_RATE, 2),
        (0, Step.REDUCE_FRAME_RATE, 3),
        (0, Step.REDUCE_FRAME_RATE, 4),
        (5, Step.REDUCE_FRAME_RATE, 1),
        (5, Step.REDUCE_FRAME_RATE, 2),
        (0, Step.USE_SUBSTREAM, 1),
        (0, Step.KEYFRAMES_ONLY, 1),
        (5, Step.KEYFRAMES_ONLY, 1),
        (0, Step.PAUSE_CAMERAS, 1),
        (5, Step.PAUSE_CAMERAS, 1),
        (10, Step.REDUCE_FRAME_RATE, 1),
        (10, Step.REDUCE_FRAME_RATE, 2),
        (10, Step.REDUCE_FRAME_RATE, 3),
        (10, Step.REDUCE_FRAME_RATE, 4),
        (10, Step.KEYFRAMES_ONLY, 1),
        (10, Step.PAUSE_CAMERAS, 1),
    ]


def test_it_comes_back_in_reverse_one_move_at_a_time_within_the_stated_time() -> None:
    box = Box(GATE, YARD, HALL)
    box.feel(LATE, 200)
    moves = box.ladder.moves
    depths = []
    for _ in range(30 * (len(moves) + 11)):
        box.feel(FREE, 1)
        depths.append(len(box.ladder.moves))
    assert sorted(set(depths), reverse=True) == list(range(len(moves), -1, -1))
    assert depths == sorted(depths, reverse=True)
    assert {standing.level.rate for standing in box.ladder.standings()} == {5.0}
    # Undisturbed it takes the plain dwell each, and some seconds at first until the smoothed signals have fallen.
    assert depths.index(0) <= 31 * len(moves) + 10


def test_no_camera_is_suspended_for_a_ceiling_alone() -> None:
    box = Box(GATE, YARD, HALL)
    box.feel(BUSY, 600)
    assert not any(standing.level.suspended for standing in box.ladder.standings())
    assert box.level("yard").keyframes_only
    assert box.level("gate") == Level(5.0)
    box.feel(Pressure(temperature=99.0), 60)
    assert box.level("yard").suspended


def test_protected_cameras_are_never_suspended() -> None:
    box = Box(replace(GATE, priority=100), replace(YARD, priority=100))
    box.feel(LATE, 600)
    assert not any(standing.level.suspended for standing in box.ladder.standings())
    assert box.level("gate").keyframes_only


def test_a_short_peak_moves_nothing() -> None:
    box = Box(GATE, YARD)
    for _ in range(50):
        assert box.feel(BUSY, 2) == []
        assert box.feel(FREE, 4) == []


def test_only_the_steps_that_are_allowed_are_taken() -> None:
    box = Box(GATE, YARD, steps=(Step.PAUSE_CAMERAS,))
    box.feel(LATE, 10)
    assert box.level("yard") == Level(5.0, suspended=True)
    off = Box(GATE, YARD, enabled=False)
    assert off.feel(LATE, 100) == []
    assert off.ladder.room is Room.OVER


def test_switched_off_while_it_holds_everything_comes_back_and_is_told() -> None:
    box = Box(replace(GATE, priority=0))
    box.feel(BUSY, 4)
    after, changes = box.ladder.configured(Settings(enabled=False), box.ladder.cameras)
    assert not after.moving
    assert [change.sentence.split(" because")[0] for change in changes] == ["raised gate from 3 to 5 frames/s"]


def test_a_new_camera_gives_up_what_its_equals_do_and_a_removed_one_nothing() -> None:
    box = Box(GATE, YARD)
    box.feel(BUSY, 4)
    grown, _ = box.ladder.configured(box.ladder.settings, [GATE, YARD, HALL])
    levels = {standing.camera: standing.level.rate for standing in grown.standings()}
    assert levels == {"gate": 5.0, "yard": 3.0, "hall": 3.0}
    shrunk, _ = grown.configured(grown.settings, [GATE])
    assert [standing.level for standing in shrunk.standings()] == [Level(5.0)]


def waits(free: list[Pressure]) -> list[int]:
    """Return the seconds until a move back, none of which holds, with what is measured before each."""
    box = Box(replace(GATE, priority=0), replace(YARD, priority=0))
    box.feel(BUSY, 4)
    found = []
    for pressure in free:
        begin, depth = box.now, len(box.ladder.taken)
        while len(box.ladder.taken) == depth:
            box.feel(pressure, 1)
        found.append(round(box.now - begin))
        box.feel(BUSY, 4)
    return found


def test_an_attempt_that_does_not_hold_doubles_the_dwell_up_to_a_bound() -> None:
    assert waits([FREE] * 8) == [31, 61, 121, 241, 481, 961, 961, 961]


def test_where_less_presses_than_before_the_failed_attempt_the_bound_is_lower() -> None:
    calmer = [replace(FREE, accelerator=0.2 * 0.8**each) for each in range(8)]
    assert waits(calmer) == [31, 61, 121, 241, 241, 241, 241, 241]


def long_failing() -> Box:
    """Return a box of which six attempts to give back did not hold."""
    box = Box(replace(GATE, priority=0))
    box.feel(BUSY, 4)
    for _ in range(6):
        while box.ladder.moves:
            box.feel(FREE, 1)
        box.feel(BUSY, 4)
    return box


def test_what_presses_as_much_later_on_shortens_the_wait_once_it_presses_less() -> None:
    box = long_failing()
    assert box.feel(FREE, 400) == []
    told = box.feel(replace(FREE, accelerator=0.1), 30)
    assert [sentence.split(" because")[0] for sentence in told] == ["raised gate from 3 to 5 frames/s"]


def test_within_other_limits_what_did_not_hold_says_nothing() -> None:
    box = long_failing()
    assert box.feel(FREE, 400) == []
    box.ladder, _ = box.ladder.configured(replace(box.ladder.settings, react_after=1.0), box.ladder.cameras)
    assert [sentence.split(" because")[0] for sentence in box.feel(FREE, 30)] == ["raised gate from 3 to 5 frames/s"]
    off, _ = box.ladder.configured(replace(box.ladder.settings, enabled=False), box.ladder.cameras)
    assert off.dwell == off.settings.recover_after


def test_of_a_failed_attempt_half_is_tried_next_until_the_rung_that_is_just_enough() -> None:
    """Six of the ladder's rungs are given up where two are enough: nobody stays suspended."""
    box = Box(
        replace(GATE, priority=100), YARD, steps=(Step.REDUCE_FRAME_RATE, Step.KEYFRAMES_ONLY, Step.PAUSE_CAMERAS)
    )
    box.feel(replace(LATE, skipped=0.25), 4)
    depths = [len(box.ladder.taken)]
    for _ in range(1800):
        box.feel(LATE if len(box.ladder.taken) < 2 else FREE, 1)
        if (depth := len(box.ladder.taken)) != depths[-1]:
            depths.append(depth)
    assert depths[:9] == [6, 0, 6, 3, 0, 3, 2, 0, 2]
    assert set(depths[9:]) <= {1, 2}
    assert box.level("yard").rate == pytest.approx(1.8)
    assert not box.level("yard").suspended


@given(
    enough=st.integers(0, 12),
    settings_=st.sampled_from([(1.0, 10.0), (3.0, 30.0)]),
    skipped=st.floats(0.06, 0.9),
    noise=st.floats(0.0, 0.05),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_under_a_steady_overload_it_comes_to_rest_on_the_rung_that_is_just_enough(
    *, enough: int, settings_: tuple[float, float], skipped: float, noise: float, seed: int
) -> None:
    """Whatever it gave up at first; then it tries one rung, and no more than four times an hour of dwells of 30 s."""
    source, (react, recover) = random.Random(seed), settings_
    box = Box(replace(GATE, priority=100), YARD, HALL, react_after=react, recover_after=recover)
    over = Pressure(frame_age=2.0, skipped=skipped, accelerator=0.7, host_cpu=0.3)

    def felt() -> Pressure:
        there = FREE if len(box.ladder.taken) >= enough else over
        return replace(there, accelerator=(there.accelerator or 0.0) * (1 + noise * source.uniform(-1, 1)))

    for _ in range(round(150 * recover)):
        box.feel(felt(), 1)
    depths, backs = set(), 0
    for _ in range(round(120 * recover)):
        depth = len(box.ladder.taken)
        box.feel(felt(), 1)
        depths.add(len(box.ladder.taken))
        backs += len(box.ladder.taken) < depth
    assert depths <= {enough - 1, enough}
    assert backs <= 4


@given(seed=st.integers(0, 2**32), load=st.floats(0.4, 4.0), noise=st.floats(0.0, 0.5), deaf=st.booleans())
@settings(max_examples=8, deadline=None)
def test_a_noisy_steady_load_does_not_make_it_flap(*, seed: int, load: float, noise: float, deaf: bool) -> None:
    """A box whose CPU goes with the work that is left, measured with noise, for an hour."""
    source = random.Random(seed)
    box = Box(*(Options(f"c{n}", n % 3, 1.0, 5.0) for n in range(12)))
    moves, left = None, 1.0
    for _ in range(3600):
        if moves is not box.ladder.moves:
            moves = box.ladder.moves
            levels = [standing.level for standing in box.ladder.standings()]
            left = sum(0.5 if each.keyframes_only else each.rate for each in levels if not each.suspended) / 60.0
        felt = load * left * (1.0 + noise * source.uniform(-1.0, 1.0))
        box.feel(Pressure(host_cpu=None if deaf else min(1.0, felt), skipped=max(0.0, 1.0 - 1.0 / max(felt, 0.01))), 1)
    backs = [at for at, change in box.told if not change.down]
    attempts = len(set(backs))
    # A failed one is followed by at least half the longest dwell, but for the first three that get it there.
    assert attempts <= 3 + len(box.ladder.moves) + 12 + 3600 / (4 * 30)
    for camera in ("c0", "c1", "c2"):
        ups = [at for at, change in box.told if camera in change.cameras and not change.down]
        assert len(set(ups)) <= 3 + 12 + 3600 / (4 * 30)


@given(
    seed=st.integers(0, 2**32),
    changes=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 3), st.integers(0, 120)), max_size=12),
)
@settings(max_examples=15, deadline=None)
def test_taken_rungs_are_always_the_lower_part_of_the_ladder(seed: int, changes: list[tuple[int, int, int]]) -> None:
    source = random.Random(seed)
    box = Box(GATE, YARD, HALL)
    for count, priorities, seconds in changes:
        cameras = [Options(f"c{n}", source.randint(0, priorities), 1.0, 5.0) for n in range(count)]
        box.ladder, _ = box.ladder.configured(box.ladder.settings, cameras)
        box.feel(source.choice([LATE, BUSY, FREE, Pressure()]), seconds)
        assert _in_order(box)
        by_priority: dict[int, set[Level]] = {}
        for camera, standing in zip(cameras, box.ladder.standings(), strict=True):
            by_priority.setdefault(camera.priority, set()).add(standing.level)
        assert all(len(levels) == 1 for levels in by_priority.values())
