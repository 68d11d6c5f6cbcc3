"""States of a camera, on virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgedetector.detector.lifecycle import BACKOFF_MAX, SILENCE, STABLE, STALL, Lifecycle, Remark, State


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
        before, self.known = self.known, self.known.frame(self.now)
        assert self.known.state is (State.SUSPENDED if before.state is State.SUSPENDED else State.LIVE)

    @rule(unauthorized=st.booleans())
    def the_stream_fails(self, *, unauthorized: bool) -> None:
        before, self.known = self.known, self.known.failed(self.now, "X", "x", unauthorized=unauthorized)
        if before.state is State.SUSPENDED:
            assert self.known == before
        else:
            assert self.known.state is (State.UNAUTHORIZED if unauthorized else State.FAILING)

    @rule()
    def it_is_suspended(self) -> None:
        self.known = self.known.suspended(self.now, "too much to do")
        assert self.known.observed(self.now + 100.0) == self.known

    @rule()
    def it_is_resumed(self) -> None:
        before, self.known = self.known, self.known.resumed(self.now)
        if before.state is State.SUSPENDED:
            assert (self.known.state, self.known.since) == (State.CONNECTING, self.now)
        else:
            assert self.known == before

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
    lasting = known.frame(9.0).frame(9.0 + STABLE)
    assert lasting.failed(20.0, "X", "x").backoff(0.0) == 0.5


def test_a_camera_that_breaks_off_after_each_frame_is_opened_ever_less_often() -> None:
    known, now, opened = Lifecycle(), 0.0, 0
    while now < 600.0:
        opened += 1
        known = known.frame(now).failed(now + 0.1, "StreamEnded", "x")
        now += 0.1 + known.backoff(0.0)
    assert opened < 50


def test_frames_before_a_failure_do_not_count_for_those_after() -> None:
    known = Lifecycle().failed(0.0, "X", "x").frame(1.0).failed(2.0, "X", "x").frame(2.0 + STABLE)
    assert known.failures == 2
    assert known.frame(2.0 + 2 * STABLE).failures == 0


def test_a_camera_is_live_while_its_packets_are_left_undecoded_by_choice() -> None:
    live = Lifecycle().frame(10.0)
    assert live.observed(19.0, spared=18.0).state is State.LIVE
    assert live.observed(19.0, spared=14.0).state is State.STALLED
    assert live.observed(19.0).state is State.STALLED


def test_a_frozen_camera_is_stalled_with_that_reason_until_its_picture_changes() -> None:
    frozen = Lifecycle().frame(1.0).frame(70.0, Remark(State.STALLED, "Frozen", "the same picture"))
    assert (frozen.state, frozen.reason, frozen.since) == (State.STALLED, "Frozen", 70.0)
    assert frozen.frame(71.0, Remark(State.STALLED, "Frozen", "the same picture")).since == 70.0
    assert frozen.frame(72.0).state is State.LIVE


def test_a_frame_on_its_way_does_not_resume_a_suspended_camera() -> None:
    suspended = Lifecycle().frame(1.0).suspended(2.0, "the box is too busy")
    assert suspended.frame(2.1) == suspended
    assert suspended.failed(2.2, "StreamEnded", "x") == suspended
    assert (suspended.reason, suspended.message) == ("Suspended", "the box is too busy")
