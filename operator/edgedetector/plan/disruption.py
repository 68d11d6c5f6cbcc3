"""Which pods a drain of nodes may take away at once.

The media server has none: it is one pod, of which a budget either allows the only one or blocks the drain for ever.
"""

from __future__ import annotations

from typing import Any

from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.plan.common import detector_metadata, detector_selector


def budget(detector: EdgeDetector) -> dict[str, Any]:
    """Return PodDisruptionBudget NAME-triton: one replica at a time; one that does not serve holds nothing up."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": detector_metadata(detector, names.triton(detector.name), names.COMPONENT_TRITON),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": detector_selector(detector, names.COMPONENT_TRITON)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
