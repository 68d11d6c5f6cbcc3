"""What a run leaves behind, in words that are the same in every run. Pure.

What differs between two good runs is left out: times, versions, UIDs, random names, addresses that the API server
draws. Of UIDs only that they are the right ones: an owner's is replaced by the owner's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Object = dict[str, Any]
World = dict[str, Any]

OURS = re.compile(r"edgedetector")

_OBSERVED = frozenset({"EdgeDetector", "AcceleratorProfile", "Deployment", "DaemonSet", "PodDisruptionBudget"})
_VOLATILE = frozenset({"resourceVersion", "uid", "creationTimestamp", "deletionTimestamp", "selfLink"})
_DRAWN = frozenset({"clusterIP", "clusterIPs"})
_TIMES = re.compile(r"(Time|time|since)\Z")
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = re.compile(r"-[a-z0-9]{5}\Z")


def world(objects: Iterable[Object]) -> World:
    """Return what there is, by "Kind namespace/name"; pods, whose names are random, by their ReplicaSet."""
    found = list(objects)
    names = {obj["metadata"]["uid"]: place(obj) for obj in found}
    result: World = {}
    for obj in sorted(found, key=place):
        key = place(obj)
        if obj["kind"] == "Pod":
            key = _HASH.sub("-*", key)
            while key in result:
                key += "+"
        result[key] = plain(obj, names)
    return result


def unfinished(objects: Iterable[Object]) -> list[str]:
    """Return what its controller, the operator or another one, has yet to act upon."""
    found = list(objects)
    pods = [pod["metadata"].get("labels") or {} for pod in found if pod["kind"] == "Pod"]
    waiting = []
    for obj in found:
        status, spec = obj.get("status") or {}, obj.get("spec") or {}
        if obj["kind"] in _OBSERVED:
            pending = any(entry.get("reason") == "Pending" for entry in status.get("conditions") or ())
            late = pending or status.get("observedGeneration") != obj["metadata"]["generation"]
        elif obj["kind"] == "ReplicaSet":
            wanted = spec["selector"]["matchLabels"].items()
            late = sum(wanted <= labels.items() for labels in pods) != spec["replicas"] != status.get("replicas")
        else:
            continue
        if late:
            waiting.append(place(obj))
    return waiting


def place(obj: Object) -> str:
    """Return kind, namespace and name."""
    metadata = obj["metadata"]
    return f"{obj['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


def plain(obj: Object, names: Mapping[str, str]) -> Object:
    """Return the object without what differs between good runs."""
    text = json.dumps(_without_times(obj))
    for uid in sorted(set(_UID.findall(text))):
        text = text.replace(uid, names.get(uid, "somebody who is not there"))
    result: Object = json.loads(text)
    metadata = result["metadata"]
    metadata["managedFields"] = sorted(
        ([e["manager"], e["operation"], e.get("subresource", ""), e["fieldsV1"]] for e in _ours(metadata)), key=str
    )
    for name in _VOLATILE:
        metadata.pop(name, None)
    if obj["kind"] == "Pod":
        for name in ("name", "generateName"):
            metadata.pop(name, None)
    if obj["kind"] == "Service" and result["spec"].get("clusterIP") != "None":
        for name in _DRAWN:
            result["spec"].pop(name, None)
    return result


def _ours(metadata: Object) -> list[Object]:
    return [entry for entry in metadata.get("managedFields") or () if OURS.match(entry["manager"])]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if not _TIMES.search(key)}
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    return value


def differences(want: Any, have: Any, path: str = "") -> Iterator[str]:
    """Yield where two worlds differ, and how."""
    if isinstance(want, dict) and isinstance(have, dict):
        for key in sorted({*want, *have}, key=str):
            here = f"{path} > {key}" if path else str(key)
            if key not in have:
                yield f"{here}: is missing"
            elif key not in want:
                yield f"{here}: is there without need: {_short(have[key])}"
            else:
                yield from differences(want[key], have[key], here)
    elif isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        for number, (one, other) in enumerate(zip(want, have, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif want != have:
        yield f"{path}: {_short(have)} instead of {_short(want)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def born_twice(uids: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the objects that have had more than one UID: somebody deleted and made them again."""
    return sorted(key for key, found in uids.items() if len(set(found)) > 1)
