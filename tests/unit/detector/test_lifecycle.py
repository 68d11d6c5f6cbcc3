"""States of a camera, on virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgedetector.detector.lifecycle import BACKOFF_MAX, SILENCE, STALL, Lifecycle, State


class AnyHistory(RuleBasedStateMachine):
    """Frames, failures and time in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.known = Lifecycle(since=self.now)

    @rule(seconds=st.floats(0.0, 60.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_frame_comes(self) -> None:
        self.known = self.known.frame(self.now)
        assert self.known.state is State.LIVE

    @rule(unauthorized=st.booleans())
    def the_stream_fails(self, *, unauthorized: bool) -> None:
        self.known = self.known.failed(self.now, "X", "x", unauthorized=unauthorized)
        assert self.known.state is (State.UNAUTHORIZED if unauthorized else State.FAILING)

    @invariant()
    def live_means_a_frame_within_the_last_five_seconds(self) -> None:
        seen = self.known.observed(self.now)
        if seen.state is State.LIVE:
            assert seen.last_frame is not None
            assert self.now - seen.last_frame < STALL

    @invariant()
    def to_look_twice_changes_nothing(self) -> None:
        seen = self.known.observed(self.now)
        assert seen.observed(self.now) == seen

    @invariant()
    def the_state_began_in_the_past(self) -> None:
        assert self.known.observed(self.now).since <= self.now


TestAnyHistory = AnyHistory.TestCase


def test_attempts_to_reopen_do_not_change_state_or_since() -> None:
    first = Lifecycle().failed(10.0, "NotFound", "gone")
    again = first.failed(40.0, "NotFound", "gone").observed(45.0)
    assert (again.state, again.since, again.message) == (State.FAILING, 10.0, "gone")


def test_a_silent_camera_stalls_after_five_seconds_and_lives_again_with_a_frame() -> None:
    live = Lifecycle().frame(10.0)
    assert live.observed(14.9).state is State.LIVE
    stalled = live.observed(15.0)
    assert (stalled.state, stalled.since) == (State.STALLED, 15.0)
    assert stalled.frame(16.0).state is State.LIVE


def test_a_stream_that_opens_without_frames_does_not_stay_connecting() -> None:
    assert Lifecycle(since=0.0).observed(SILENCE).state is State.STALLED


@given(failures=st.integers(1, 1000), jitter=st.floats(0.0, 0.999))
def test_the_backoff_is_jittered_and_bounded(failures: int, jitter: float) -> None:
    seconds = Lifecycle(failures=failures).backoff(jitter)
    assert 0.5 <= seconds <= BACKOFF_MAX


def test_the_backoff_grows_until_a_frame_comes() -> None:
    known, waits = Lifecycle(), []
    for attempt in range(8):
        known = known.failed(float(attempt), "X", "x")
        waits.append(known.backoff(0.999999))
    assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30], rel=1e-3)
    assert known.frame(9.0).failed(10.0, "X", "x").backoff(0.0) == 0.5
