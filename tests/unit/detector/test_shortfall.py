"""What the ladder takes is what is due at the target and not at the lower rate, on virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.pacing import Pacer
from edgedetector.detector.shortfall import Shortfall

RATES = st.floats(0.5, 30.0)


def counted(target: float, ceiling: float, arrivals: list[float]) -> tuple[int, int]:
    """How many frames are left out and how many are taken."""
    shortfall, pacer, left, taken = Shortfall.of(target), Pacer(1.0 / ceiling), 0, 0
    for now in arrivals:
        wanted = pacer.admits(now)
        pacer = pacer.seen(now)
        shortfall, short = shortfall.arrived(now, let=wanted)
        if wanted:
            pacer, shortfall, taken = pacer.admitted(now), shortfall.taken(), taken + 1
        left += short
    return left, taken


@given(camera=RATES, target=RATES, share=st.floats(0.05, 1.0))
def test_what_is_taken_and_what_is_left_out_is_what_the_camera_sends_of_its_target(
    camera: float, target: float, share: float
) -> None:
    left, taken = counted(target, share * target, [number / camera for number in range(300)])
    expected = 300 * min(1.0, target / camera)
    assert abs(left + taken - expected) <= 0.02 * expected + 2


@given(camera=RATES, target=RATES)
def test_at_the_target_nothing_is_left_out(camera: float, target: float) -> None:
    assert counted(target, target, [number / camera for number in range(300)])[0] == 0


@given(camera=st.floats(1.0, 10.0), jitters=st.lists(st.floats(-0.3, 0.3), min_size=300, max_size=300))
def test_a_camera_that_sends_less_than_it_may_leaves_nothing_out(camera: float, jitters: list[float]) -> None:
    arrivals = [(number + jitter) / camera for number, jitter in enumerate(jitters)]
    assert counted(30.0, 20.0, arrivals)[0] == 0


def test_frames_that_may_be_taken_and_are_not_there_are_not_left_out() -> None:
    """What is damaged, say: the next packet may be taken as well."""
    shortfall = Shortfall.of(1.0)
    for now in range(10):
        shortfall, short = shortfall.arrived(float(now), let=True)
        assert not short


def test_a_pause_of_the_camera_is_no_shortfall() -> None:
    left, taken = counted(1.0, 0.5, [*range(10), *range(1000, 1010)])
    assert (left, taken) == (9, 10), "the last one may yet be taken"
