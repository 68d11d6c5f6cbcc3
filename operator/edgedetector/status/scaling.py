"""Whether the autoscaler can do its work. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import conditions, names
from edgedetector.plan.scaling import api_name, told
from edgedetector.status import workloads
from edgedetector.status.view import Verdict, View, blocked, fine, older_than, progressing, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgedetector.observe.snapshot import Scaler, ScalerCondition

# metrics-server looks every 15 s and needs two looks at a new pod, the autoscaler looks every 15 s: until then no
# figure is no fault.
FIRST_FIGURES: Final = timedelta(seconds=60)
# Four looks of the autoscaler, of which one may well get nothing.
MISSED_LOOKS: Final = timedelta(seconds=60)
# Reasons of Kubernetes' autoscaler for a figure that an adapter is to serve.
_OF_ADAPTERS: Final = frozenset({"FailedGetExternalMetric", "FailedGetPodsMetric", "FailedGetObjectMetric"})
_DEMAND: Final = api_name("Demand")


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
    if lacks(scaler) and not _missed_of_late(view):
        absent = _without_figures(active) if active.status == conditions.FALSE else _without_some(view, scaler)
        return _early(view, scaler) or absent
    return _untold(view) or fine(conditions.REASON_SCALING_ACTIVE, _reads(view))


def lacks(scaler: Scaler | None) -> bool:
    """Tell whether the autoscaler got not all figures when it last looked."""
    active = scaler.conditions.get("ScalingActive") if scaler else None
    return scaler is not None and active is not None and (active.status == conditions.FALSE or bool(scaler.unread))


def was_well(obj: Mapping[str, Any]) -> bool:
    """Tell whether the status of an object of the API server says that the autoscaler has what it goes by."""
    found = (obj.get("status") or {}).get("conditions") or ()
    well = (conditions.SCALING_READY, conditions.TRUE, conditions.REASON_SCALING_ACTIVE)
    return any((entry["type"], entry["status"], entry["reason"]) == well for entry in found)


def _missed_of_late(view: View) -> bool:
    return view.missed is not None and view.now - view.missed < MISSED_LOOKS


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


def _early(view: View, scaler: Scaler) -> Verdict | None:
    """Return the verdict that what is missing cannot be there yet, if so."""
    if _unmeasured(view) and _missing(scaler) == (_DEMAND,):
        text = (
            "the autoscaler waits for the capacity of a replica, without which there is no Demand: tuning measures it"
        )
        return progressing(conditions.REASON_PROGRESSING, text)
    last = due(view)
    if last and not older_than(*last, view.now):
        return progressing(conditions.REASON_PROGRESSING, "the autoscaler waits for the first figures of the replicas")
    return None


def _without_figures(active: ScalerCondition) -> Verdict:
    reason = conditions.REASON_METRICS_UNAVAILABLE
    if active.reason in _OF_ADAPTERS:
        reason = conditions.REASON_CUSTOM_METRICS_UNAVAILABLE
    return blocked(reason, active.message or active.reason)


def _without_some(view: View, scaler: Scaler) -> Verdict:
    missing = ", ".join(name for name in scaler.unread if name != _DEMAND or not _unmeasured(view))
    text = f"the autoscaler goes by the figures that it has, and does not get {missing}"
    return blocked(conditions.REASON_CUSTOM_METRICS_UNAVAILABLE, text)


def _missing(scaler: Scaler) -> tuple[str, ...]:
    """Return the figures of adapters that the autoscaler lacks, if it lacks no others.

    It names the first that it lacks, and where it could not decide it may not say which others.
    """
    active = scaler.conditions["ScalingActive"]
    if active.status != conditions.FALSE:
        return scaler.unread
    if active.reason not in _OF_ADAPTERS:
        return ()
    return scaler.unread or ((_DEMAND,) if _DEMAND in active.message else ())


def _unmeasured(view: View) -> bool:
    """Tell whether nobody knows yet what a replica serves."""
    return view.ledger is None or view.ledger.capacity is None or view.ledger.capacity.of_one is None


def due(view: View) -> tuple[str, timedelta] | None:
    """Return since when the autoscaler can have the figures that it lacks, and for how long that is no fault."""
    scaler = view.snapshot.scaler
    if scaler is None or not lacks(scaler):
        return None
    if view.missed is not None and _missed_of_late(view):
        return view.missed.isoformat(), MISSED_LOOKS
    active = scaler.conditions["ScalingActive"]
    # A new replica has none at first, also where the condition is older than it.
    times = [active.since, *(pod.ready_since for pod in view.snapshot.of(names.COMPONENT_TRITON))]
    if _DEMAND in _missing(scaler):
        times.append(_first_told(view))
    last = max(times)
    return (last, FIRST_FIGURES) if last else None


def _first_told(view: View) -> str:
    """Return when the first capacity was told, empty if none was or if others followed: then there was a Demand."""
    if view.ledger is None or view.ledger.capacity is None or view.ledger.gain != 1.0:
        return ""
    return datetime.fromtimestamp(view.ledger.capacity.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
