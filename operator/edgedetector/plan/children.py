"""All children of a resource, in the order in which they are applied."""

from __future__ import annotations

from typing import Any, Final

from edgedetector.api.dataplane import Probe, ServingConfig
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.plan.settings import Facts, Settings

CHILD_KINDS: Final[tuple[tuple[str, str], ...]] = (
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
)
PROFILE_CHILD_KINDS: Final[tuple[tuple[str, str], ...]] = (
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "DaemonSet"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
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

    Raises
    ------
    InvalidSpecError
        If the detector asks for what cannot be planned with this profile.
    """
    raise NotImplementedError


def profile_children(profile: AcceleratorProfile, settings: Settings, facts: Facts) -> tuple[dict[str, Any], ...]:
    """Return the exporter's objects, in the operator's namespace and owned by the profile."""
    raise NotImplementedError
