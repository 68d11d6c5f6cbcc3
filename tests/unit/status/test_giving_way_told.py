"""What the degradation ladder takes is told, and is nobody's fault."""

from __future__ import annotations

import dataclasses

from tests.unit.status.breaks import accepted_state, judged
from tests.unit.status.views import (
    healthy,
)

from edgedetector.api import conditions as c
from edgedetector.status import compose


def gives_way(sentence: str, *, state: str = "Live") -> dict[str, c.Condition]:
    base = healthy()
    cameras = tuple(
        dataclasses.replace(camera, degraded=sentence, state=state, detecting=state == "Live")
        for camera in base.cameras
    )
    return judged(dataclasses.replace(base, cameras=cameras))


def test_what_cameras_give_up_is_told_in_a_sentence_and_holds_up_nothing() -> None:
    found = gives_way("at most 3 frames/s because the host CPU was 96 % busy")
    assert found[c.DEGRADED].is_true
    assert found[c.DEGRADED].message.endswith(": at most 3 frames/s because the host CPU was 96 % busy")
    assert found[c.READY].is_true


def test_a_camera_that_the_ladder_suspended_is_no_fault_of_anybody_but_all_of_them_are_no_service() -> None:
    why = "suspended because 40 % of the frames were skipped"
    every = gives_way(why, state="Suspended")
    assert (every[c.READY].status, every[c.READY].reason) == ("False", c.REASON_GIVING_WAY)
    assert not every[c.STALLED].is_true
    base = healthy()
    assert len(base.cameras) == 2
    one = dataclasses.replace(base.cameras[0], degraded=why, state="Suspended", detecting=False)
    found = judged(dataclasses.replace(base, cameras=(one, *base.cameras[1:])))
    assert found[c.READY].is_true
    assert found[c.READY].message == "1 camera is live and detecting; 1 camera is suspended under overload"


def test_each_step_of_the_ladder_is_an_event_and_its_end_too() -> None:
    one = gives_way("at most 3 frames/s because the host CPU was 96 % busy")
    two = gives_way("at most 1 frames/s because the host CPU was 96 % busy")
    none = judged(healthy())
    assert [kind for kind, _ in steps(none, none)] == []
    assert steps(none, one) == [(one[c.DEGRADED], True)]
    assert steps(one, one) == []
    assert steps(one, two) == [(two[c.DEGRADED], True)]
    assert steps(two, none) == [(none[c.DEGRADED], False)]


def steps(before: dict[str, c.Condition], now: dict[str, c.Condition]) -> list[tuple[c.Condition, bool]]:
    standing = compose.timed(before.values(), (), 1, "2026-01-01T00:00:00Z")
    return [(condition, warning) for condition, warning in compose.told(now.values(), standing)]


def test_what_nobody_says_is_not_taken_for_well() -> None:
    former = accepted_state(healthy(), transport=None)
    assert judged(former)[c.SHARED_MEMORY_READY].status == "Unknown"
    silent = judged(dataclasses.replace(healthy(), snapshot=dataclasses.replace(healthy().snapshot, states={})))
    assert silent[c.SHARED_MEMORY_READY].status == silent[c.DEGRADED].status == "Unknown"
    told = steps(gives_way("at most 3 frames/s because x"), silent)
    assert [condition.type for condition, _ in told if condition.type == c.DEGRADED] == []
