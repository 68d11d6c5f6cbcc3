"""Whether the autoscaler can do its work, and what is no fault of its own."""

from __future__ import annotations

import pytest
from tests.unit.status.breaks import (
    DEMAND,
    GPU,
    NO,
    Break,
    following,
    held,
    judged,
    measured,
    missed,
    on_accelerator,
    unread,
    with_scaler,
    with_workload,
)
from tests.unit.status.views import (
    JUST_NOW,
    LONG_AGO,
    healthy,
    pod,
    seen,
)

from edgedetector.api import conditions as c
from edgedetector.observe.snapshot import Problem, ScalerCondition
from edgedetector.status import scaling


def test_what_the_autoscaler_goes_by_is_told() -> None:
    view = with_scaler(healthy(), ScalingActive=ScalerCondition("True", "ValidMetricFound", ""))
    found = judged(following(view, "Demand"))[c.SCALING_READY]
    assert found.is_true
    assert found.message == "the autoscaler reads the CPU use of the replicas, Demand"


@pytest.mark.parametrize(
    "broken",
    [
        lambda v: unread(measured(v), DEMAND),
        lambda v: with_scaler(v, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no metrics.k8s.io", JUST_NOW)),
    ],
    ids=["one of several figures", "the only one"],
)
def test_a_look_of_the_autoscaler_that_got_nothing_is_no_missing_figure(broken: Break) -> None:
    view = missed(broken(healthy()), 15)
    assert judged(view)[c.SCALING_READY].is_true
    assert scaling.due(view) == ("2026-11-22T11:59:45+00:00", scaling.MISSED_LOOKS)


def test_while_no_replica_runs_the_autoscaler_is_not_blamed() -> None:
    view = held(healthy(), "triton", c.REASON_IMAGE_PULL_FAILED, "x")
    view = with_scaler(view, ScalingActive=ScalerCondition(NO, "FailedGetMetric", "no pods", LONG_AGO))
    assert judged(view)[c.SCALING_READY].reason == c.REASON_PROGRESSING


def test_a_second_replica_whose_device_somebody_else_has_takes_nothing_from_readiness() -> None:
    problem = Problem(c.REASON_UNSCHEDULABLE, "0/1 nodes", GPU)
    waiting = pod("triton", "yard-triton-2", ready=False, unschedulable_since=LONG_AGO, problem=problem)
    view = with_workload(on_accelerator(healthy()), "triton", desired=2, updated=2, total=2)
    view = seen(view, pods=(*view.snapshot.pods, waiting), holders={GPU[0]: ("site/dock",)})
    assert judged(view)[c.READY].is_true
