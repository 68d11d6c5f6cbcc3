"""Results are placed in the video, whatever holds up either."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.cli.viewing.timeline import CLOCK_RATE, Frames, Placement

INTERVAL = 0.1


def play(
    seed: int, count: int, *, began: float = 0.0, held: float = 0.0, pts_from: float = 0.0, speed: float = 1.0
) -> list[tuple[float, float]]:
    """Return, for each result, the true time in the video and that in which it was placed.

    Frame k leaves the camera at k intervals, stretched by `speed`. The detector decodes it with the next one, 5 ms
    later, and its result takes 30 ms. Every tenth frame and result is held up by up to `held` seconds, and what is
    behind it waits.
    """
    chance = random.Random(seed)
    placement = Placement(Frames())
    happened: list[tuple[float, int, bool]] = []
    frame = result = 0.0
    for number in range(count):
        late = chance.random() * held if number % 10 == 0 else 0.0
        frame = max(frame, began + number * INTERVAL * speed + late)
        happened.append((frame, number, True))
        late = chance.random() * held if number % 10 == 5 else 0.0
        result = max(result, began + (number + 1) * INTERVAL * speed + 0.035 + late)
        happened.append((result, number, False))
    found = []
    for moment, number, is_frame in sorted(happened):
        if is_frame:
            placement.frames.add(moment, number * INTERVAL)
            continue
        at = placement.place(moment, 0.03, round((pts_from + number * INTERVAL) * CLOCK_RATE))
        if at is not None:
            found.append((number * INTERVAL, at))
    return found


@given(st.integers(), st.floats(0, 0.2), st.floats(0, 1e5), st.floats(1, 3))
def test_a_result_is_placed_at_its_own_frame(seed: int, held: float, pts_from: float, speed: float) -> None:
    placed = play(seed, 80, held=held, pts_from=pts_from, speed=speed)

    assert len(placed) >= 79
    assert all(abs(at - true) <= INTERVAL / 2 + 1e-3 for true, at in placed[30:])


def test_a_detector_that_opened_the_stream_anew_is_followed() -> None:
    placement = Placement(Frames())
    for number in range(100):
        placement.frames.add(number * INTERVAL, number * INTERVAL)
    before = [placement.place(number * INTERVAL, 0.0, round(number * INTERVAL * CLOCK_RATE)) for number in range(40)]

    after = [
        placement.place(number * INTERVAL, 0.0, round((number - 50) * INTERVAL * CLOCK_RATE))
        for number in range(50, 60)
    ]

    assert before[-1] == pytest.approx(3.8)
    assert after[-1] == pytest.approx(5.8)


@pytest.mark.parametrize("hours", [-11, 11])
def test_the_first_results_of_a_stream_that_was_opened_anew_are_not_placed_hours_away(hours: int) -> None:
    placement = Placement(Frames())
    for number in range(30):
        placement.frames.add(number * INTERVAL, number * INTERVAL)

    found = [
        placement.place(number * INTERVAL, 0.0, round((number * INTERVAL + apart) * CLOCK_RATE))
        for number, apart in [*((number, 0) for number in range(10)), *((n, hours * 3600) for n in range(10, 20))]
    ]

    assert found[10:12] == [None, None], "not known yet"
    assert [found[9], *found[12:]] == pytest.approx([(n - 1) * INTERVAL for n in (9, *range(12, 20))])


def test_a_frame_without_ticks_goes_by_its_arrival() -> None:
    placement = Placement(Frames())
    for number in range(20):
        placement.frames.add(number * INTERVAL, 7 + number * INTERVAL)

    assert placement.place(1.02, 0.02, None) == pytest.approx(7.9)


def test_nothing_is_placed_in_a_video_that_has_not_begun() -> None:
    assert Placement(Frames()).place(1.0, 0.1, 0) is None
