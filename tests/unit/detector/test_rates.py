"""A camera's rate, on virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.dataplane import FrameRate
from edgedetector.detector.rates import HOLD_OFF, AdaptiveRate, Room

BOUNDS = FrameRate(1.0, 5.0, 15.0)


def after(
    rate: AdaptiveRate,
    begin: float,
    seconds: float,
    *,
    active: bool,
    room: Room = Room.ROOM,
    ceiling: float | None = None,
) -> AdaptiveRate:
    for tenth in range(round(seconds * 10)):
        rate = rate.advance(begin + tenth / 10, active=active, room=room, ceiling=ceiling)
    return rate


def test_activity_takes_a_camera_to_its_maximum_within_five_seconds() -> None:
    assert after(AdaptiveRate.of(BOUNDS), 100.0, 5.0, active=True).rate == 15.0


def test_one_odd_frame_is_no_activity() -> None:
    rate = AdaptiveRate.of(BOUNDS)
    for second in range(60):
        rate = rate.advance(100.0 + second, active=second % 2 == 0)
        rate = rate.advance(100.1 + second, active=False)
    assert rate.rate == 5.0


def test_rest_brings_it_back_to_the_target_but_not_at_once() -> None:
    busy = after(AdaptiveRate.of(BOUNDS), 100.0, 5.0, active=True)
    assert after(busy, 105.0, 4.9, active=False).rate == 15.0
    assert after(busy, 105.0, 10.0, active=False).rate == 5.0


def test_under_pressure_what_is_above_the_target_goes_at_once_and_stays_away() -> None:
    busy = after(AdaptiveRate.of(BOUNDS), 100.0, 5.0, active=True)
    pressed = busy.advance(105.0, active=True, room=Room.OVER)
    assert pressed.rate == 5.0
    assert after(pressed, 105.1, HOLD_OFF - 1.0, active=True).rate == 5.0
    assert after(pressed, 105.1, HOLD_OFF + 5.0, active=True).rate == 15.0


def test_without_room_it_stays_where_it_is() -> None:
    busy = after(AdaptiveRate.of(BOUNDS), 100.0, 1.0, active=True)
    assert 5.0 < busy.rate < 15.0
    assert after(busy, 101.0, 60.0, active=True, room=Room.HOLD).rate == busy.rate


def test_the_ladder_overrides_activity_and_gives_back_at_once() -> None:
    rate = after(AdaptiveRate.of(BOUNDS), 100.0, 5.0, active=True)
    lowered = rate.advance(105.0, active=True, ceiling=1.8)
    assert lowered.rate == 1.8
    assert lowered.advance(105.1, active=False, ceiling=5.0).rate == 5.0


def test_other_bounds_keep_the_rate_unless_the_target_changes() -> None:
    busy = after(AdaptiveRate.of(BOUNDS), 100.0, 5.0, active=True)
    assert busy.configured(FrameRate(1.0, 5.0, 12.0)).rate == 12.0
    assert busy.configured(FrameRate(1.0, 4.0, 15.0)).rate == 4.0


@given(
    bounds=st.tuples(st.floats(0.1, 120), st.floats(0.1, 120), st.floats(0.1, 120)).map(sorted),
    steps=st.lists(
        st.tuples(
            st.floats(0.0, 10.0), st.booleans(), st.sampled_from(Room), st.one_of(st.none(), st.floats(0.0, 200.0))
        ),
        max_size=60,
    ),
)
def test_the_rate_is_always_within_its_bounds_and_the_ceiling(
    bounds: list[float], steps: list[tuple[float, bool, Room, float | None]]
) -> None:
    rate, now = AdaptiveRate.of(FrameRate(*bounds)), 0.0
    for pause, active, room, ceiling in steps:
        now += pause
        rate = rate.advance(now, active=active, room=room, ceiling=ceiling)
        assert bounds[0] <= rate.rate <= bounds[2]
        if ceiling is not None and ceiling < bounds[1]:
            assert rate.rate == max(bounds[0], ceiling)
        if room is Room.OVER:
            assert rate.rate <= bounds[1]
