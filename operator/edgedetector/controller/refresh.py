"""Which pods have to be told that a ConfigMap of theirs changed. Pure.

The kubelet looks at ConfigMap volumes every 60 to 80 seconds, but at once when the pod itself changes. So each pod
carries a digest of the ConfigMaps that it mounts, and a new digest is the nudge. It is no cause of a roll, since it
stands on the pod and not in the template.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from edgedetector.api import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Object = dict[str, Any]


def stale_pods(pods: Iterable[Object], desired: Iterable[Object]) -> Iterator[tuple[Object, str]]:
    """Yield the pods whose annotation differs from the digest of the ConfigMaps that they mount, with the digest."""
    maps = {obj["metadata"]["name"]: obj.get("data") or {} for obj in desired if obj["kind"] == "ConfigMap"}
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp"):
            continue
        mounted = sorted(_mounted(pod) & maps.keys())
        if not mounted:
            continue
        digest = _digest([[name, maps[name]] for name in mounted])
        if (pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_REFRESH) != digest:
            yield pod, digest


def _mounted(pod: Object) -> set[str]:
    found: set[str] = set()
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        found.update(source["configMap"]["name"] for source in sources if "name" in (source.get("configMap") or {}))
    return found


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
