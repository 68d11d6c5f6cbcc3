"""Whether the autoscaler can do its work. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions, names
from edgedetector.plan.scaling import told
from edgedetector.status import workloads
from edgedetector.status.view import Verdict, View, blocked, fine, older_than, progressing, unknown

if TYPE_CHECKING:
    from edgedetector.observe.snapshot import Scaler, ScalerCondition

# metrics-server looks every 15 s and needs two looks at a new pod, the autoscaler looks every 15 s: until then no
# figure is no fault.
FIRST_FIGURES: Final = timedelta(seconds=60)
# Reasons of Kubernetes' autoscaler for a figure that an adapter is to serve.
_OF_ADAPTERS: Final = frozenset({"FailedGetExternalMetric", "FailedGetPodsMetric", "FailedGetObjectMetric"})


def scaling_ready(view: View) -> Verdict:
    """Judge whether the autoscaler can read its metric and move."""
    scaling = view.detector.spec.scaling
    if view.detector.suspend or scaling.min_replicas == scaling.max_replicas:
        return fine(conditions.REASON_DISABLED, "the number of replicas is fixed")
    workload = view.snapshot.workloads.get(names.triton(view.detector.name))
    if workload is None or not workload.available:
        return progressing(conditions.REASON_PROGRESSING, "the autoscaler waits for a replica that runs")
    if view.snapshot.scaler is None:
        return progressing(conditions.REASON_PROGRESSING, "the autoscaler is being created")
    return _capped(view, view.snapshot.scaler) or _able(view, view.snapshot.scaler)


def _capped(view: View, scaler: Scaler) -> Verdict | None:
    """Return the verdict that there is no room for as many replicas as the specification allows, if so."""
    waiting = [pod for pod in view.snapshot.of(names.COMPONENT_TRITON) if pod.problem and pod.unschedulable_since]
    held = next((pod.problem for pod in waiting if workloads.out_of_patience(pod, view.running)), None)
    if held is not None:
        return blocked(conditions.REASON_REPLICAS_CAPPED, f"no room for another replica: {held.message}")
    wanted = view.detector.spec.scaling.max_replicas
    room = min(wanted, view.held or wanted)
    if scaler.maximum is not None and scaler.maximum < room:
        text = f"held at {scaler.maximum} of {wanted} replicas, since no node had room for more"
        return blocked(conditions.REASON_REPLICAS_CAPPED, text)
    return None


def _able(view: View, scaler: Scaler) -> Verdict:
    able, active = scaler.conditions.get("AbleToScale"), scaler.conditions.get("ScalingActive")
    if able is not None and able.status == conditions.FALSE:
        return blocked(conditions.REASON_SCALING_FAILED, able.message or able.reason)
    if active is None:
        return unknown("the autoscaler has not looked at the replicas yet")
    if active.status == conditions.FALSE:
        return _without_figures(view, active)
    if scaler.unread:
        missing = ", ".join(scaler.unread)
        text = f"the autoscaler goes by the figures that it has, and does not get {missing}"
        return blocked(conditions.REASON_CUSTOM_METRICS_UNAVAILABLE, text)
    return _untold(view) or fine(conditions.REASON_SCALING_ACTIVE, _reads(view))


def _untold(view: View) -> Verdict | None:
    """Return the verdict that a figure is wanted that no exporter tells, if so."""
    wanted = view.detector.spec.scaling.metrics
    name = next((metric.name for metric in wanted if not told(view.profile, metric.name)), None)
    if name is None:
        return None
    text = f"no exporter of AcceleratorProfile {view.profile.name} tells the figure {name}, which is left out"
    return blocked(conditions.REASON_FIGURE_UNKNOWN, text, profile=view.profile.name)


def _reads(view: View) -> str:
    """Return what the autoscaler goes by, and what holds it."""
    figures = "".join(f", {metric.name}" for metric in view.detector.spec.scaling.metrics)
    text = f"the autoscaler reads the CPU use of the replicas{figures}"
    return text if view.held is None else f"{text}; it may go above {view.held} once tuning has converged"


def _without_figures(view: View, active: ScalerCondition) -> Verdict:
    last = due(view)
    if last and not older_than(*last, view.now):
        return progressing(conditions.REASON_PROGRESSING, "the autoscaler waits for the first figures of the replicas")
    reason = conditions.REASON_METRICS_UNAVAILABLE
    if active.reason in _OF_ADAPTERS:
        reason = conditions.REASON_CUSTOM_METRICS_UNAVAILABLE
    return blocked(reason, active.message or active.reason)


def due(view: View) -> tuple[str, timedelta] | None:
    """Return since when the autoscaler has no figures, and for how long that is no fault."""
    active = view.snapshot.scaler.conditions.get("ScalingActive") if view.snapshot.scaler else None
    if active is None or active.status != conditions.FALSE:
        return None
    # A new replica has none at first, also where the condition is older than it.
    ready = [pod.ready_since for pod in view.snapshot.of(names.COMPONENT_TRITON)]
    last = max((active.since, *ready))
    return (last, FIRST_FIGURES) if last else None
