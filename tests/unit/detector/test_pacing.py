"""Which frames are inferred, on virtual time."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.pacing import Pacer

RATES = st.floats(0.5, 30.0)


def admitted(pacer: Pacer, arrivals: list[float]) -> list[float]:
    times = []
    for now in arrivals:
        wanted = pacer.admits(now)
        pacer = pacer.seen(now)
        if wanted:
            pacer = pacer.admitted(now)
            times.append(now)
    return times


@given(
    camera=st.floats(1.0, 30.0),
    target=RATES,
    jitters=st.lists(st.floats(-0.3, 0.3), min_size=300, max_size=300),
)
def test_a_jittery_camera_is_inferred_at_the_target_rate_or_its_own(
    camera: float, target: float, jitters: list[float]
) -> None:
    gap = 1.0 / camera
    arrivals = [(number + jitter) * gap for number, jitter in enumerate(jitters)]
    count = len(admitted(Pacer(1.0 / target), arrivals))
    expected = 300 * min(1.0, target / camera)
    assert 0.95 * expected - 2 <= count <= 1.01 * expected + 2


@given(target=RATES, gaps=st.lists(st.floats(0.001, 20.0), min_size=1, max_size=200))
def test_the_rate_is_never_exceeded_by_more_than_two_frames_over_any_stretch(target: float, gaps: list[float]) -> None:
    arrivals, now = [], 100.0
    for gap in gaps:
        now += gap
        arrivals.append(now)
    times = admitted(Pacer(1.0 / target), arrivals)
    for first in range(len(times)):
        for last in range(first + 1, len(times)):
            assert last - first <= (times[last] - times[first]) * target + 2.0


def test_a_camera_at_twice_the_target_gives_every_second_frame() -> None:
    arrivals = [number / 10 for number in range(20)]
    assert admitted(Pacer(0.2), arrivals) == arrivals[::2]


def test_a_frame_slightly_early_is_taken_rather_than_the_next_one() -> None:
    arrivals = [number / 10 for number in range(10)]
    arrivals[6] -= 0.004
    assert arrivals[6] in admitted(Pacer(0.2), arrivals)


def test_a_pause_is_followed_by_no_burst() -> None:
    arrivals = [0.0, 0.1, 0.2, 60.0, 60.1, 60.2, 60.3, 60.4]
    assert admitted(Pacer(0.2), arrivals) == [0.0, 0.2, 60.0, 60.2, 60.4]


def test_another_rate_takes_effect_at_once() -> None:
    pacer = Pacer(10.0).seen(0.0).admitted(0.0)
    assert not pacer.admits(1.0)
    assert pacer.at(5.0).admits(1.0)


@given(before=RATES, after=RATES, late=st.floats(0.0, 1.0, exclude_max=True))
def test_a_lower_rate_begins_later_by_a_share_of_its_interval_and_a_higher_one_at_once(
    before: float, after: float, late: float
) -> None:
    pacer = Pacer(1.0 / before).admitted(7.0).at(after, late=late)
    assert pacer.due is not None
    assert math.isclose(pacer.due, 7.0 + (1.0 + (late if after < before else 0.0)) / after)


@given(st.lists(st.tuples(RATES, st.floats(0.0, 1.0, exclude_max=True), st.booleans()), min_size=2, max_size=40))
def test_only_the_last_of_several_changes_says_when_the_next_frame_comes(
    changes: list[tuple[float, float, bool]],
) -> None:
    """Shifts do not add up, and a higher rate begins at once, whatever the rates before and frames between were."""
    rate, last = 5.0, 7.0
    pacer = Pacer(1.0 / rate).admitted(last)
    for after, late, frame in changes:
        pacer, shift = pacer.at(after, late=late), late if 1.0 / after > 1.0 / rate else 0.0
        assert pacer.due is not None
        assert math.isclose(pacer.due, last + (1.0 + shift) / after)
        rate = after
        if frame:
            last = pacer.due
            pacer = pacer.admitted(last)


@given(st.lists(st.tuples(RATES, st.floats(0.0, 1.0, exclude_max=True)), min_size=1, max_size=40))
def test_changes_of_the_rate_never_make_it_higher_than_the_highest_asked_for(
    changes: list[tuple[float, float]],
) -> None:
    rates = [rate for rate, _ in changes]
    pacer, now, count = Pacer(1.0 / rates[0]), 0.0, 0
    for rate, late in changes:
        pacer = pacer.at(rate, late=late)
        for _ in range(3):
            now += 0.02
            wanted = pacer.admits(now)
            pacer = pacer.seen(now)
            if wanted:
                pacer = pacer.admitted(now)
                count += 1
    assert count <= now * max(rates) + 2.0
