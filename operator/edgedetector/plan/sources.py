"""Where models come from: volumes of the inference pods and where they are mounted."""

from __future__ import annotations

from typing import Any

from edgedetector.api import names
from edgedetector.api.edgedetector import ConfigMapSource, EdgeDetector, ModelSpec
from edgedetector.plan.common import present, volume_name


def volumes(detector: EdgeDetector) -> list[dict[str, Any]]:
    """Return a volume for each ConfigMap use and one for each claim: a claim twice in a pod is one volume."""
    found: dict[str, dict[str, Any]] = {}
    for model in detector.spec.models:
        source = model.source
        if source.config_map:
            found[_volume(model)] = {"configMap": _config_map_volume(source.config_map)}
        elif source.persistent_volume_claim:
            claim = source.persistent_volume_claim
            reference = {"claimName": claim.claim_name, **present(readOnly=claim.read_only or None)}
            found[_volume(model)] = {"persistentVolumeClaim": reference}
    return [{"name": name, **volume} for name, volume in found.items()]


def _config_map_volume(source: ConfigMapSource) -> dict[str, Any]:
    # Not optional: a missing ConfigMap holds the pod, and the kubelet says so in its own words.
    return present(name=source.name, items=[{"key": item.key, "path": item.path} for item in source.items])


def mounts(detector: EdgeDetector) -> list[dict[str, Any]]:
    """Return the mounts of all sources, also for the running detector: a new model file needs no new pod then."""
    return [
        present(
            name=_volume(model),
            mountPath=f"{names.DIR_SOURCES}/{model.name}",
            subPath=model.source.persistent_volume_claim.path if model.source.persistent_volume_claim else "",
            readOnly=True,
        )
        for model in detector.spec.models
        if not model.source.http
    ]


def _volume(model: ModelSpec) -> str:
    claim = model.source.persistent_volume_claim
    if claim:
        return volume_name("claim", f"{claim.claim_name}/{claim.read_only}")
    return volume_name("source", model.name)
