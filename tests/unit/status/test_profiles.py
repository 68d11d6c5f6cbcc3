"""What a profile says of itself: usable, its exporter on its way, or somebody has to act."""

from __future__ import annotations

import pytest
from tests.unit.status.views import pod, workload

from edgedetector.api import conditions as c
from edgedetector.api.errors import InvalidSpecError
from edgedetector.observe.snapshot import PodView, Problem, Workload
from edgedetector.status import profiles

UP = workload("exporter")
STARTING = workload("exporter", available=0)
NOT_PULLED = pod("exporter", ready=False, problem=Problem(c.REASON_IMAGE_PULL_FAILED, 'cannot pull image "x:1"'))


def judged(exporter: Workload | None, *pods: PodView, in_use: bool = True) -> dict[str, c.Condition]:
    return {condition.type: condition for condition in profiles.judge("cpu", exporter, pods, in_use=in_use)}


@pytest.mark.parametrize(
    ("exporter", "in_use", "words"),
    [
        (None, False, "no EdgeDetector uses it"),
        (None, True, "no exporter to run"),
        (workload("exporter", desired=0), True, "no node carries the labels"),
        (UP, True, "runs on every node"),
    ],
)
def test_a_profile_that_can_be_used(exporter: Workload | None, in_use: bool, words: str) -> None:  # noqa: FBT001
    found = judged(exporter, in_use=in_use)
    assert [found[name].status for name in (c.READY, c.RECONCILING, c.STALLED)] == ["True", "False", "False"]
    assert words in found[c.READY].message


def test_an_exporter_on_its_way() -> None:
    found = judged(STARTING, pod("exporter", ready=False))
    assert [found[name].status for name in (c.READY, c.RECONCILING, c.STALLED)] == ["False", "True", "False"]


def test_an_exporter_that_is_held() -> None:
    found = judged(STARTING, pod("exporter", "other"), NOT_PULLED)
    assert [found[name].status for name in (c.READY, c.RECONCILING, c.STALLED)] == ["False", "False", "True"]
    assert found[c.READY].reason == c.REASON_IMAGE_PULL_FAILED
    assert found[c.READY].message.startswith('the exporter: cannot pull image "x:1"; correct the image in')


def test_a_profile_that_cannot_be_read_names_its_field() -> None:
    error = InvalidSpecError("spec.triton.instanceKind", "is unknown", "known are KIND_CPU")
    found = {condition.type: condition for condition in profiles.judge_error(error)}
    assert found[c.STALLED].is_true
    assert found[c.READY].message == "spec.triton.instanceKind: is unknown; known are KIND_CPU"
