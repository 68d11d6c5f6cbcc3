"""How many inference pods: asked for by us, or within which bounds an autoscaler decides.

A replica for which no node has room helps nobody and would wait for ever: the autoscaler's maximum is lowered to what
fits, and raised again after a while to see whether more fits now. Maximum and time stand on the autoscaler itself, so
that a restarted operator goes on where the last one was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector, ScalingFigure, ScalingMetric, ScalingSpec
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.plan.common import detector_metadata
from edgedetector.plan.figures import LABEL_EDGEDETECTOR
from edgedetector.plan.settings import Cap, Facts

CAP_LASTS: Final = timedelta(minutes=10)
"""After which a lowered maximum is raised again. One try costs a minute of a waiting pod."""
TARGETS: Final[dict[ScalingFigure, str]] = {"Demand": "800m", "QueueTime": "10m", "AcceleratorUtilization": "800m"}
"""What a replica is to have of a figure where nothing is said: four fifths of its capacity, 10 ms, four fifths of the
time. The share is that of `tuning.headroom.accelerator`, the time a fifth of the latency that is the default."""
TUNING_LASTS: Final = timedelta(minutes=30)
"""After which replicas may be added though tuning has not converged: three times what it is to take."""

_NOTE: Final = re.compile(r"([1-9][0-9]{0,4}) since ([0-9T:-]{19}Z)")  # of ours; anybody may have written anything
_API_NAMES: Final[dict[ScalingFigure, str]] = {
    "Demand": "demand_ratio",
    "QueueTime": "queue_time_seconds",
    "AcceleratorUtilization": "accelerator_utilization_ratio",
}
_MILLICORES_OF_PERCENT: Final = 10  # of one core


def autoscaled(detector: EdgeDetector) -> bool:
    """Whether an autoscaler decides the number of replicas."""
    return detector.spec.scaling.max_replicas > detector.spec.scaling.min_replicas


def replicas(detector: EdgeDetector, facts: Facts) -> int | None:
    """Return the number of replicas to ask for, None to leave it to the autoscaler.

    A number of ours that is no longer applied is dropped, which makes it 1 for a moment. So it stays as it is until
    the autoscaler has written one. No autoscaler touches a Deployment with 0 replicas: that one gets as many as ran
    before the suspension, or the minimum.
    """
    scaling = detector.spec.scaling
    if detector.suspend:
        return 0
    if not autoscaled(detector):
        return scaling.min_replicas
    if facts.replicas is None:
        return None
    return min(max(facts.replicas or facts.replicas_before_suspension, scaling.min_replicas), scaling.max_replicas)


def followed(detector: EdgeDetector, profile: AcceleratorProfile) -> tuple[ScalingMetric, ...]:
    """Return the figures that the autoscaler is to read: those wanted that somebody can tell."""
    return tuple(metric for metric in detector.spec.scaling.metrics if told(profile, metric.name))


def told(profile: AcceleratorProfile, name: ScalingFigure) -> bool:
    """Tell whether a figure can be known: what the accelerator does, if the profile's exporter says so."""
    exporter = profile.spec.exporter
    mappings = exporter.metrics if exporter is not None else ()
    return name != "AcceleratorUtilization" or any(mapping.name == "utilization" for mapping in mappings)


def api_name(name: ScalingFigure) -> str:
    """Return what an adapter calls a figure, by pod as by detector."""
    return f"edgedetector_{_API_NAMES[name]}"


def target(scaling: ScalingSpec, name: ScalingFigure) -> str:
    """Return what a replica is to have of a figure, as a quantity; the default for one that is not followed."""
    stated = next((metric.target.average_value for metric in scaling.metrics if metric.name == name), None)
    return stated or TARGETS[name]


def autoscaler(detector: EdgeDetector, profile: AcceleratorProfile, facts: Facts) -> dict[str, Any] | None:
    """Return HorizontalPodAutoscaler NAME-triton, absent where minimum and maximum are equal.

    It stays while the detector is suspended: an autoscaler leaves a Deployment with 0 replicas alone.
    """
    if not autoscaled(detector):
        return None
    scaling = detector.spec.scaling
    metadata = detector_metadata(detector, names.triton(detector.name), names.COMPONENT_TRITON)
    if facts.cap is not None:
        metadata["annotations"] = {names.ANNOTATION_CAPPED: note(facts.cap)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": names.triton(detector.name)},
            "minReplicas": minimum(scaling, facts),
            "maxReplicas": maximum(scaling, facts),
            "metrics": [
                *(_metric(detector, name) for name in (names.CONTAINER_TRITON, names.CONTAINER_DETECTOR)),
                *(_read(detector, metric) for metric in followed(detector, profile)),
            ],
        },
    }


def maximum(scaling: ScalingSpec, facts: Facts) -> int:
    """Return the replicas up to which the autoscaler may go."""
    bounds = [scaling.max_replicas, facts.cap.maximum if facts.cap is not None else None, facts.held]
    return max(scaling.min_replicas, min(bound for bound in bounds if bound is not None))


def minimum(scaling: ScalingSpec, facts: Facts) -> int:
    """Return the replicas that the autoscaler leaves at least."""
    return max(scaling.min_replicas, min(facts.least or 0, maximum(scaling, facts)))


def least(asked: int, *, degraded: bool) -> int | None:
    """Return where the minimum is while cameras give way, None while they do not.

    The autoscaler reads what is left after degradation, and would take a replica away because cameras have given way
    for the lack of one. What is offered is more than all of them serve.

    Parameters
    ----------
    asked
        Replicas that the Deployment asks for now.
    """
    return asked if degraded else None


def held(scaling: ScalingSpec, asked: int, *, since: datetime | None, converged: bool, now: datetime) -> int | None:
    """Return where the maximum stays until tuning has converged, None once it need not.

    What a better configuration gives costs nothing, a replica costs an accelerator, and tuning under a number of
    replicas that moves compares nothing. Replicas that are there stay. A detector that does not converge is held for
    `TUNING_LASTS` and no longer, whatever became of the clock meanwhile.

    Parameters
    ----------
    asked
        Replicas that the Deployment asks for now.
    since
        When tuning began; None: it has not yet.
    """
    over = since is not None and abs(now - since) >= TUNING_LASTS
    stays = max(scaling.min_replicas, asked)
    return None if converged or over or stays >= scaling.max_replicas else stays


def cap(scaling: ScalingSpec, live: Cap | None, *, placed: int, waiting: int, now: datetime) -> Cap | None:
    """Return the lowered maximum that is in force, None if the specification's is.

    Parameters
    ----------
    live
        The one that was in force until now.
    placed
        Replicas that have a node.
    waiting
        Replicas that have waited for a node for longer than the replacement of a pod takes.
    """
    if waiting:
        fits = max(placed, scaling.min_replicas)
        found = live if live is not None and live.maximum <= fits else Cap(fits, now)
    elif live is not None and timedelta(0) <= now - live.since < CAP_LASTS:
        found = live
    else:
        return None
    maximum = max(found.maximum, scaling.min_replicas)
    return Cap(maximum, found.since) if maximum < scaling.max_replicas else None


def live_cap(autoscaler: Mapping[str, Any] | None) -> Cap | None:
    """Return the lowered maximum that is noted on a live autoscaler; what cannot be read is none."""
    metadata = (autoscaler or {}).get("metadata") or {}
    match = _NOTE.fullmatch((metadata.get("annotations") or {}).get(names.ANNOTATION_CAPPED, ""))
    if match is None:
        return None
    try:
        return Cap(int(match[1]), datetime.fromisoformat(match[2]))
    except ValueError:
        return None


def note(cap: Cap) -> str:
    """Return how a lowered maximum is noted; whole seconds."""
    return f"{cap.maximum} since {cap.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _metric(detector: EdgeDetector, container: str) -> dict[str, Any]:
    """Return the CPU that a container may use.

    Triton's is counted in shares of its request. The detector's too, if somebody has stated its request: the default
    is a floor for one camera and no measure of what many need, so then it is counted in shares of one core.
    """
    percent = detector.spec.scaling.target_cpu_utilization
    target: dict[str, Any] = {"type": "Utilization", "averageUtilization": percent}
    if container == names.CONTAINER_DETECTOR and "cpu" not in detector.spec.resources.detector.requests:
        target = {"type": "AverageValue", "averageValue": f"{percent * _MILLICORES_OF_PERCENT}m"}
    resource = {"name": "cpu", "container": container, "target": target}
    return {"type": "ContainerResource", "containerResource": resource}


def _read(detector: EdgeDetector, metric: ScalingMetric) -> dict[str, Any]:
    """Return how the autoscaler reads a figure of ours: by pod, or the sum that stands under the detector's name."""
    named: dict[str, Any] = {"name": api_name(metric.name)}
    if metric.type == "External":
        named["selector"] = {"matchLabels": {LABEL_EDGEDETECTOR: detector.name}}
    value = target(detector.spec.scaling, metric.name)
    source = {"metric": named, "target": {"type": "AverageValue", "averageValue": value}}
    return {"type": metric.type, metric.type.lower(): source}
