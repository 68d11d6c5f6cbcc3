"""All children of a resource, in the order in which they are applied."""

from __future__ import annotations

from typing import Any, Final

from edgedetector.api.dataplane import Probe, ServingConfig
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.plan import disruption, exporter, figures, media, monitoring, network, scaling, triton
from edgedetector.plan.dataplane import detector_map
from edgedetector.plan.serving import serving_map
from edgedetector.plan.settings import KIND_PROMETHEUS_RULE, KIND_SERVICE_MONITOR, Facts, Settings

CHILD_KINDS: Final[tuple[tuple[str, str], ...]] = (
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("batch/v1", "Job"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
)
PROFILE_CHILD_KINDS: Final[tuple[tuple[str, str], ...]] = (
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "DaemonSet"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
)


def detector_children(
    detector: EdgeDetector,
    profile: AcceleratorProfile,
    settings: Settings,
    facts: Facts,
    accepted: ServingConfig,
    *,
    probe: Probe | None = None,
) -> tuple[dict[str, Any], ...]:
    """Return the objects that an EdgeDetector needs, in its namespace and owned by it.

    `accepted` is the serving configuration in force, which tuning may have changed; `probe` the one on trial.

    Raises
    ------
    InvalidSpecError
        If the detector asks for what cannot be planned with this profile.
    """
    found = (
        # Walls before whoever is to be behind them, configuration before the pods that read it.
        network.triton_policy(detector, profile, settings),
        network.media_policy(detector, settings),
        serving_map(detector, accepted, probe),
        detector_map(detector, profile, settings),
        media.media_map(detector, profile),
        triton.service(detector),
        triton.replicas_service(detector),
        media.service(detector),
        media.deployment(detector, profile, settings),
        triton.deployment(detector, profile, settings, facts),
        scaling.autoscaler(detector, profile, facts),
        disruption.budget(detector),
        _optional(facts, KIND_SERVICE_MONITOR, monitoring.service_monitor(detector, settings)),
        _optional(facts, KIND_PROMETHEUS_RULE, monitoring.prometheus_rule(detector, profile, settings)),
    )
    return tuple(child for child in found if child is not None)


def profile_children(profile: AcceleratorProfile, settings: Settings, facts: Facts) -> tuple[dict[str, Any], ...]:
    """Return the exporter's objects, in the operator's namespace and owned by the profile.

    Of an exporter that somebody else runs only the rules that record its figures; none if the profile has no exporter.
    """
    spec = profile.spec.exporter
    if spec is None:
        return ()
    rule = _optional(facts, KIND_PROMETHEUS_RULE, figures.prometheus_rule(profile, spec, settings))
    if spec.existing is not None or not spec.image:
        return (rule,) if rule is not None else ()
    found = (
        network.exporter_policy(profile, spec, settings),
        exporter.file_map(profile, spec, settings),
        exporter.service(profile, spec, settings),
        exporter.daemon_set(profile, spec, settings),
        _optional(facts, KIND_SERVICE_MONITOR, exporter.service_monitor(profile, spec, settings)),
        rule,
    )
    return tuple(child for child in found if child is not None)


def _optional(facts: Facts, kind: str, child: dict[str, Any] | None) -> dict[str, Any] | None:
    return child if kind in facts.optional_kinds else None
