"""What planning needs to know besides the resources themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KIND_SERVICE_MONITOR = "ServiceMonitor"
KIND_PROMETHEUS_RULE = "PrometheusRule"


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's own installation; constant while it runs."""

    operator_namespace: str
    detector_image: str
    image_replacements: Mapping[str, str] = field(default_factory=dict)
    """Exact image -> image, for mirrors, air-gapped sites and the emulator."""
    monitoring_labels: Mapping[str, str] = field(default_factory=dict)
    """Added to the exporters' ServiceMonitors, which no EdgeDetector's `monitoring.labels` reach."""

    def image(self, image: str) -> str:
        """Return the image to run where a profile names `image`."""
        return self.image_replacements.get(image, image)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was observed of the cluster; changes while the operator runs."""

    optional_kinds: frozenset[str] = frozenset()
    """Of {ServiceMonitor, PrometheusRule}: those that this API server serves."""
    unschedulable_replicas: int = 0
    replicas: int | None = 0
    """Inference pods that the live Deployment asks for, 0 if there is none; None if that is an autoscaler's doing."""
    replicas_before_suspension: int = 0
    """Inference pods to come back with once the detector is not suspended any more; 0 if that is not known."""
