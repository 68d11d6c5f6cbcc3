"""A healthy detector's view with one thing wrong in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.unit.status.views import (
    LONG_AGO,
    camera,
    pod,
    profile,
    said,
    seen,
    state,
    workload,
)

from edgedetector.api import conditions as c
from edgedetector.api.dataplane import ModelState
from edgedetector.api.edgedetector import ScalingFigure, ScalingMetric
from edgedetector.api.quantities import Quantity
from edgedetector.observe.snapshot import Problem, Scaler, ScalerCondition
from edgedetector.status import compose
from edgedetector.status.view import View
from edgedetector.tuning.ledger import Capacity, Ledger


def judged(view: View) -> dict[str, c.Condition]:
    return {condition.type: condition for condition in compose.judge(view)}


def with_workload(view: View, component: str, **changes: Any) -> View:
    name = f"yard-{component}"
    return seen(view, workloads={**view.snapshot.workloads, name: workload(component, **changes)})


def held(view: View, component: str, reason: str, words: str, *, lacking: tuple[str, ...] = (), **changes: Any) -> View:
    """A pod of the component is held, so its Deployment is not available."""
    view = with_workload(view, component, available=0)
    stuck = pod(component, ready=False, problem=Problem(reason, words, lacking), **changes)
    others = tuple(other for other in view.snapshot.pods if other.component != component)
    return seen(view, pods=(*others, stuck))


def accepted_state(view: View, **changes: Any) -> View:
    return said(view, state(view.accepted.id, **changes))


def with_camera(view: View, **changes: Any) -> View:
    return said(view, state(view.accepted.id, camera("gate"), camera("dock", **changes)))


def with_scaler(view: View, maximum: int | None = None, **found: ScalerCondition) -> View:
    return seen(view, scaler=Scaler(found, maximum))


def unread(view: View, *figures: str, since: str = LONG_AGO) -> View:
    """The autoscaler goes by the CPU alone and does not get the rest."""
    return seen(
        view, scaler=Scaler({"ScalingActive": ScalerCondition("True", "ValidMetricFound", "", since)}, unread=figures)
    )


def missed(view: View, seconds: int) -> View:
    """A figure that the autoscaler had has been missing for so long."""
    return dataclasses.replace(view, missed=view.now - timedelta(seconds=seconds))


def measured(view: View, *, at: str = LONG_AGO, pods: int = 1, first: float = 40.0) -> View:
    """What one replica serves is known, and was at first; with 0 pods it is of a release that did not say."""
    capacity = Capacity(40.0, 40.0, at=datetime.fromisoformat(at).timestamp(), pods=pods)
    return dataclasses.replace(view, ledger=Ledger("", 0.0, capacity=capacity, baseline=first))


def following(view: View, *names_: ScalingFigure) -> View:
    """The autoscaler is to follow figures of ours."""
    spec = view.detector.spec
    scaling = dataclasses.replace(spec.scaling, metrics=tuple(map(ScalingMetric, names_)))
    detector = dataclasses.replace(view.detector, spec=dataclasses.replace(spec, scaling=scaling))
    return dataclasses.replace(view, detector=detector)


def on_accelerator(view: View) -> View:
    return dataclasses.replace(view, profile=profile("denglin-ks20"))


def with_shared_memory(view: View, size: str) -> View:
    server = dataclasses.replace(view.profile.spec.triton, shared_memory=Quantity(size))
    spec = dataclasses.replace(view.profile.spec, triton=server)
    return dataclasses.replace(view, profile=dataclasses.replace(view.profile, spec=spec))


def leaving_pod(view: View) -> View:
    return seen(view, pods=(*view.snapshot.pods, pod("triton", "yard-triton-0", leaving=True)))


def failed(message: str, reason: str = "") -> ModelState:
    return ModelState("people", "Failed", message, reason=reason)


DEMAND, WAIT = "edgedetector_demand_ratio", "edgedetector_queue_time_seconds"


GPU = ("denglin.com/gpu",)


NO = "False"


WAITING, BLOCKED = "waiting", "blocked"


Break = Callable[[View], View]
