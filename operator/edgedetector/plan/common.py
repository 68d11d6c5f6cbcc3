"""What all objects share: names, labels, owners, and the security context of pods."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.edgedetector import KIND as DETECTOR_KIND
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.pods import EnvironmentVariable, Resources
from edgedetector.api.profile import KIND as PROFILE_KIND
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.quantities import Quantity, format_bytes, parse_quantity

COMPONENT_REPLICAS: Final = "replicas"
COMPONENT_SERVING: Final = "serving"
COMPONENT_TUNING: Final = "tuning"
COMPONENT_DETECTOR: Final = "detector"
COMPONENT_MONITORING: Final = "monitoring"

MAX_CONFIG_MAP: Final = 1024 * 1024
"""Bytes of keys and values that the API server stores in a ConfigMap."""

RESTRICTED: Final[Mapping[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""Security context of a container under Pod Security `restricted`; the pod's says the rest."""


def detector_metadata(detector: EdgeDetector, name: str, component: str) -> dict[str, Any]:
    """Return the metadata of a child of `detector`.

    Labels and annotations of the parent stay with the parent: a deployment tool that tracks its objects by label
    would take the children for its own.
    """
    return {
        "name": name,
        "namespace": detector.namespace,
        "labels": detector_labels(detector, component),
        "ownerReferences": _owner(DETECTOR_KIND, detector.name, detector.uid),
    }


def profile_metadata(profile: AcceleratorProfile, namespace: str) -> dict[str, Any]:
    """Return the metadata of a child of `profile`; a profile read from a file (without UID) owns nothing."""
    metadata: dict[str, Any] = {
        "name": names.exporter(profile.name),
        "namespace": namespace,
        "labels": {**profile_selector(profile), **_common_labels(profile.name)},
    }
    if profile.uid:
        metadata["ownerReferences"] = _owner(PROFILE_KIND, profile.name, profile.uid)
    return metadata


def detector_labels(detector: EdgeDetector, component: str) -> dict[str, str]:
    """Return the labels of a child, which pods carry too."""
    return {**detector_selector(detector, component), **_common_labels(detector.name)}


def detector_selector(detector: EdgeDetector, component: str) -> dict[str, str]:
    """Return the labels that select the pods of a component; immutable in Deployments."""
    return {names.LABEL_DETECTOR: detector.name, names.LABEL_COMPONENT: component}


def profile_selector(profile: AcceleratorProfile) -> dict[str, str]:
    """Return the labels that select a profile's exporter."""
    return {names.LABEL_PROFILE: profile.name, names.LABEL_COMPONENT: names.COMPONENT_EXPORTER}


def pod_security_context(groups: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return the security context of our pods: one user for all containers, since they share files of mode 0600."""
    context: dict[str, Any] = {
        "runAsNonRoot": True,
        "runAsUser": names.USER,
        "runAsGroup": names.USER,
        "fsGroup": names.USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if groups:
        context["supplementalGroups"] = list(groups)
    return context


def resources(asked: Resources, *defaults: Resources) -> dict[str, Any]:
    """Return a container's resources; of `defaults` the earlier ones win."""
    for fallback in defaults:
        asked = asked.over(fallback)
    found = {"requests": dict(sorted(asked.requests.items())), "limits": dict(sorted(asked.limits.items()))}
    return {kind: {name: str(value) for name, value in values.items()} for kind, values in found.items() if values}


def counting_shared_memory(asked: dict[str, Any], size: Quantity) -> dict[str, Any]:
    """Return a container's resources with /dev/shm counted in.

    Pages of a memory volume count against the limit of the container that touches them first. So what somebody states
    is taken as what the process may use, and the volume comes on top; a limit without it would end the container as
    soon as frames are large or many. Where request and limit were equal they stay so, and the pod `Guaranteed`.
    """
    limit = asked.get("limits", {}).get("memory")
    if limit is None:
        return asked
    total = format_bytes(parse_quantity(limit) + parse_quantity(size))
    found = {**asked, "limits": {**asked["limits"], "memory": total}}
    request = asked.get("requests", {}).get("memory")
    if request is not None and parse_quantity(request) == parse_quantity(limit):
        found["requests"] = {**asked["requests"], "memory": total}
    return found


def config_map(metadata: dict[str, Any], data: dict[str, str], field: str, remedy: str) -> dict[str, Any]:
    """Return a ConfigMap.

    Raises
    ------
    InvalidSpecError
        If what `field` of the specification makes of it is more than the API server stores.
    """
    size = sum(len(key) + len(value.encode()) for key, value in data.items())
    if size > MAX_CONFIG_MAP:
        raise InvalidSpecError(field, "is more than fits into a ConfigMap (1 MiB)", remedy)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def requests(cpu: str, memory: str) -> Resources:
    """Return the default requests of a container."""
    return Resources(requests={"cpu": Quantity(cpu), "memory": Quantity(memory)})


def environment(variables: tuple[EnvironmentVariable, ...]) -> list[dict[str, Any]]:
    """Return plain environment variables."""
    return [{"name": variable.name, "value": variable.value} for variable in variables]


def merged_environment(*lists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return environment variables, each name once, since the API server takes none twice; later lists win."""
    return list({variable["name"]: variable for some in lists for variable in some}.values())


def field_environment(**paths: str) -> list[dict[str, Any]]:
    """Return environment variables filled from the pod's own fields."""
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in paths.items()]


def memory_volume(name: str, size: str) -> dict[str, Any]:
    """Return a volume that never reaches a disk."""
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


def volume_name(prefix: str, name: str) -> str:
    """Return a volume's name for an object or model whose own name is no DNS label or too long for one."""
    return f"{prefix}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def present(**fields: Any) -> dict[str, Any]:
    """Return the fields that hold something: an empty one would be dropped by the API server and differ for ever."""
    return {name: value for name, value in fields.items() if value not in (None, "", (), [], {})}


def _common_labels(instance: str) -> dict[str, str]:
    return {
        names.LABEL_NAME: "edgedetector",
        names.LABEL_INSTANCE: instance,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }


def _owner(kind: str, name: str, uid: str) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "name": name,
            "uid": uid,
            "controller": True,
            # True would need permission to update the owner's finalizers and hold up foreground deletion.
            "blockOwnerDeletion": False,
        }
    ]
