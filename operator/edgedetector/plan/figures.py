"""Figures of accelerators in Prometheus: what a vendor's exporter calls them, and what we do.

Rules record the vendor's figures under names and units of our own, so that one dashboard serves every accelerator.
"""

from __future__ import annotations

from typing import Any, Final

from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile, ExporterSpec, Figure, MetricMapping
from edgedetector.plan.common import profile_metadata
from edgedetector.plan.exporter import LABEL_ACCELERATOR_PROFILE, LABEL_NODE
from edgedetector.plan.settings import Settings

LABEL_EDGEDETECTOR: Final = "edgedetector"

RECORDED: Final[dict[Figure, str]] = {
    "utilization": "node:accelerator_utilization:ratio",
    "memoryUsed": "node:accelerator_memory_used:bytes",
    "memoryFree": "node:accelerator_memory_free:bytes",
    "memoryTotal": "node:accelerator_memory_total:bytes",
    "temperature": "node:accelerator_temperature:celsius",
    "power": "node:accelerator_power:watts",
    "pcieWidth": "node:accelerator_pcie_width:lanes",
}
"""Our figures, named level:metric:operations. Of several devices in a node each is the largest one."""


def selector(detector: EdgeDetector) -> str:
    """Return the labels that every series of a detector has."""
    return f'namespace="{detector.namespace}",{LABEL_EDGEDETECTOR}="{detector.name}"'


def nodes(detector: EdgeDetector) -> str:
    """Return the expression whose series are the nodes on which a detector runs."""
    return f'count by ({LABEL_NODE}) (up{{{selector(detector)},endpoint="detector"}})'


def here(detector: EdgeDetector, expression: str) -> str:
    """Return what an expression says of the nodes on which a detector runs."""
    return f"({expression} and on ({LABEL_NODE}) {nodes(detector)})"


def series(profile: AcceleratorProfile, exporter: ExporterSpec, mapping: MetricMapping) -> str:
    """Return the expression with the series of a vendor's metric, each with the node as a label."""
    if exporter.existing is None:
        return f'{mapping.metric}{{{LABEL_ACCELERATOR_PROFILE}="{profile.name}"}}'
    # Somebody else's scrape, which knows nothing of our labels; the vendor's own label has the node.
    theirs = f'{mapping.metric}{{namespace="{exporter.existing.namespace}"}}'
    return f'label_replace({theirs}, "{LABEL_NODE}", "$1", "Hostname", "(.+)")'


def figure(profile: AcceleratorProfile, exporter: ExporterSpec, mapping: MetricMapping) -> str:
    """Return the expression with a node's figure in our unit."""
    return f"max by ({LABEL_NODE}) ({series(profile, exporter, mapping)}) * {mapping.factor:g}"


def prometheus_rule(profile: AcceleratorProfile, exporter: ExporterSpec, settings: Settings) -> dict[str, Any] | None:
    """Return the rules that record the figures of a profile's exporter; absent where it tells none."""
    if not exporter.metrics:
        return None
    metadata = profile_metadata(profile, settings.operator_namespace)
    metadata["labels"] = {**settings.monitoring_labels, **metadata["labels"]}
    rules = [
        {
            "record": RECORDED[mapping.name],
            "expr": figure(profile, exporter, mapping),
            "labels": {LABEL_ACCELERATOR_PROFILE: profile.name},
        }
        for mapping in exporter.metrics
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": {"groups": [{"name": f"edgedetector.profile.{profile.name}", "rules": rules}]},
    }
