"""Whether frames reach Triton through shared memory."""

from __future__ import annotations

from tests.unit.status.breaks import accepted_state, judged, with_shared_memory
from tests.unit.status.views import (
    healthy,
)

from edgedetector.api import conditions as c
from edgedetector.status import compose


def test_memory_that_is_just_enough_is_enough() -> None:
    assert judged(with_shared_memory(healthy(), "8Ki"))[c.SHARED_MEMORY_READY].is_true


def test_a_suspended_detector_needs_no_shared_memory() -> None:
    found = judged(with_shared_memory(healthy(suspend=True), "1Ki"))
    assert found[c.SHARED_MEMORY_READY].reason == c.REASON_SUSPENDED


def test_frames_that_go_in_messages_are_worth_an_event_once() -> None:
    before = [{"type": x.type, "status": x.status, "reason": x.reason} for x in compose.judge(healthy())]
    now = compose.judge(accepted_state(healthy(), transport="no room"))
    told = [(condition.type, warning) for condition, warning in compose.told(now, before)]
    assert told == [(c.SHARED_MEMORY_READY, True)]
    after = [{"type": x.type, "status": x.status, "reason": x.reason} for x in now]
    assert compose.told(now, after) == ()
