"""Which pods have to be told that a ConfigMap of theirs changed. Pure.

The kubelet looks at ConfigMap volumes every 60 to 80 seconds, but at once when the pod itself changes. So each pod
carries a digest of the ConfigMaps that it mounts, and a new digest is the nudge. It is no cause of a roll, since it
stands on the pod and not in the template.

A pod that a roll is about to replace is not told: it would take a configuration that is meant for its successor.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgedetector.observe.snapshot import Workload

Object = dict[str, Any]

_WORKLOADS: Final = {names.COMPONENT_TRITON: names.triton, names.COMPONENT_MEDIA: names.media}


def stale_pods(
    pods: Iterable[Object], desired: Iterable[Object], workloads: Iterable[Workload]
) -> Iterator[tuple[Object, str]]:
    """Yield the pods whose annotation differs from the digest of the ConfigMaps that they mount, with the digest.

    Only pods of Deployments of which every pod is of the present generation: during a roll the labels alone do not
    tell who stays. The roll's end is an event, and the kubelet itself looks within 80 seconds should there be none.
    """
    steady = {workload.name for workload in workloads if workload.uniform}
    maps = {obj["metadata"]["name"]: obj.get("data") or {} for obj in desired if obj["kind"] == "ConfigMap"}
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp") or _workload(pod) not in steady:
            continue
        mounted = sorted(_mounted(pod) & maps.keys())
        if not mounted:
            continue
        digest = _digest([[name, maps[name]] for name in mounted])
        if (pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_REFRESH) != digest:
            yield pod, digest


def _workload(pod: Object) -> str:
    """Return the name of the Deployment to which the pod belongs by its labels."""
    labels = pod["metadata"].get("labels") or {}
    of = _WORKLOADS.get(labels.get(names.LABEL_COMPONENT, ""))
    return of(labels.get(names.LABEL_DETECTOR, "")) if of else ""


def _mounted(pod: Object) -> set[str]:
    found: set[str] = set()
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        found.update(source["configMap"]["name"] for source in sources if "name" in (source.get("configMap") or {}))
    return found


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
