"""Resources that the tests of the plan start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from edgedetector import profiles
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.plan import Facts, Settings, detector_children, serving_config

DATA = Path(__file__).parent / "data"
REPOSITORY = Path(__file__).parents[3]
SETTINGS = Settings(operator_namespace="edgedetector-system", detector_image="edgedetector/detector:test")
FACTS = Facts(optional_kinds=frozenset({"ServiceMonitor", "PrometheusRule"}))
PROFILES = {obj["metadata"]["name"]: AcceleratorProfile.parse(obj) for obj in profiles.load()}


def detector(name: str, spec: dict[str, Any]) -> EdgeDetector:
    """Return an EdgeDetector as the API server would hand it out; its labels and annotations must stay with it."""
    metadata = {
        "name": name,
        "namespace": "site-a",
        "uid": "00000000-0000-4000-8000-000000000001",
        "generation": 7,
        "labels": {"app.kubernetes.io/instance": "argo-app", "team": "yard"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    return EdgeDetector.parse({"metadata": metadata, "spec": spec})


def load(path: Path) -> EdgeDetector:
    """Return the EdgeDetector of a scenario or sample."""
    obj = yaml.safe_load(path.read_text())
    return detector(obj.get("metadata", {}).get("name", "yard"), obj["spec"])


def children(wanted: EdgeDetector, settings: Settings = SETTINGS, facts: Facts = FACTS) -> list[dict[str, Any]]:
    """Return the children with the serving configuration of the specification."""
    profile = PROFILES[wanted.spec.accelerator_profile]
    return list(detector_children(wanted, profile, settings, facts, serving_config(wanted, profile)))


def child(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return the one child of this kind and name."""
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def minimal(**changes: Any) -> dict[str, Any]:
    """Return the smallest valid specification, with changes at its top level."""
    model = {
        "name": "people",
        "source": {"configMap": {"name": "people-model"}},
        "inputs": [{"name": "image", "dims": [3, 64, 64], "dataType": "UINT8"}],
        "outputs": [{"name": "boxes", "dims": [-1, 4], "dataType": "FP32"}],
    }
    return {"acceleratorProfile": "cpu", "models": [model], **changes}
