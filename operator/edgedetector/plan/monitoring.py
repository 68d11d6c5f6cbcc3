"""What Prometheus is told: ServiceMonitor and PrometheusRule of a detector."""

from __future__ import annotations

from typing import Any

from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.quantities import format_duration
from edgedetector.plan import alerts, demand, objectives
from edgedetector.plan.common import COMPONENT_MONITORING, detector_metadata
from edgedetector.plan.exporter import LABEL_NODE
from edgedetector.plan.figures import LABEL_EDGEDETECTOR
from edgedetector.plan.settings import Settings


def service_monitor(detector: EdgeDetector, settings: Settings) -> dict[str, Any] | None:
    """Return ServiceMonitor NAME for Triton, detector and media server; absent if monitoring is off."""
    monitoring = detector.spec.monitoring
    if not monitoring.enabled:
        return None
    components = [names.COMPONENT_TRITON, names.COMPONENT_MEDIA]
    interval = format_duration(monitoring.scrape_interval)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": _metadata(detector, settings),
        "spec": {
            "selector": {
                "matchLabels": {names.LABEL_DETECTOR: detector.name},
                "matchExpressions": [{"key": names.LABEL_COMPONENT, "operator": "In", "values": components}],
            },
            "endpoints": [
                {
                    "port": port,
                    "path": "/metrics",
                    "interval": interval,
                    "relabelings": [
                        {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": LABEL_NODE},
                        {"targetLabel": LABEL_EDGEDETECTOR, "replacement": detector.name},
                    ],
                }
                for port in ("metrics", "detector", "api")
            ],
        },
    }


def prometheus_rule(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> dict[str, Any] | None:
    """Return PrometheusRule NAME; absent if monitoring is off, or while the detector is suspended on purpose."""
    if not detector.spec.monitoring.enabled or detector.suspend:
        return None
    rules = [alert.manifest(detector, settings.runbooks) for alert in alerts.alerts(detector, profile)]
    group = {"name": f"edgedetector.{detector.namespace}.{detector.name}", "rules": rules}
    groups = (group, objectives.group(detector, settings.runbooks), demand.group(detector, profile))
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": _metadata(detector, settings),
        "spec": {"groups": [found for found in groups if found is not None]},
    }


def _metadata(detector: EdgeDetector, settings: Settings) -> dict[str, Any]:
    metadata = detector_metadata(detector, detector.name, COMPONENT_MONITORING)
    # Ours last: a label of the user must not hide a child from pruning.
    metadata["labels"] = {**settings.monitoring_labels, **detector.spec.monitoring.labels, **metadata["labels"]}
    return metadata
