"""Events of the API server become keys in the queue; Kopf does the watching.

Only `on.event` is used: it makes Kopf neither write annotations nor set finalizers. What an event says is not believed
beyond which key to look at, and whether anything that matters has changed since the last one.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import kopf

from edgedetector.api import names
from edgedetector.cluster import kinds
from edgedetector.controller import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgedetector.controller.keys import Key

Json = dict[str, Any]

OURS: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"

# Fields of an autoscaler's status that move with the load, hence every few seconds.
_FIGURES: Final = frozenset({"currentMetrics", "lastScaleTime"})


def operator_settings(
    settings: kopf.OperatorSettings, child_kinds: Iterable[kinds.Kind], *, namespaced: bool = False
) -> None:
    """Configure Kopf for watching only; `namespaced`: without a look at anything that belongs to no namespace."""
    settings.scanning.disabled = namespaced
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.connect_timeout = 30
    settings.networking.request_timeout = 60
    settings.watching.connect_timeout = 30
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.process.ultimate_exiting_timeout = 10
    for kind in child_kinds:
        settings.watching.label_selectors[kind.group, kind.plural] = OURS


def keys_of(obj: Mapping[str, Any]) -> tuple[Key, ...]:
    """Return the keys that a child or a pod concerns: by its labels, and by its owners should a label be gone."""
    metadata = obj.get("metadata") or {}
    namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
    found = []
    if names.LABEL_DETECTOR in labels:
        found.append(keys.detector(namespace, labels[names.LABEL_DETECTOR]))
    if names.LABEL_PROFILE in labels:
        found.append(keys.profile(labels[names.LABEL_PROFILE]))
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("apiVersion") == names.API_VERSION and owner.get("kind") == kinds.EDGEDETECTOR.kind:
            found.append(keys.detector(namespace, owner["name"]))
        elif owner.get("apiVersion") == names.API_VERSION and owner.get("kind") == kinds.ACCELERATOR_PROFILE.kind:
            found.append(keys.profile(owner["name"]))
    return tuple(dict.fromkeys(found))


def fingerprint(obj: Mapping[str, Any]) -> bytes:
    """Return a digest of what a pass could see differently: without versions, times, bookkeeping and load figures."""
    metadata = {k: v for k, v in obj.get("metadata", {}).items() if k not in {"resourceVersion", "managedFields"}}
    body: Json = {**obj, "metadata": metadata}
    if obj.get("kind") in {"EdgeDetector", "AcceleratorProfile"}:
        body["status"] = bool(obj.get("status"))  # what stands in it is our own writing
    elif obj.get("kind") == "HorizontalPodAutoscaler":
        status = {key: value for key, value in (obj.get("status") or {}).items() if key not in _FIGURES}
        body["status"] = status
    return hashlib.blake2b(json.dumps(body, sort_keys=True, default=str).encode(), digest_size=8).digest()


class News:
    """Remembers a digest an object, so that an event without news wakes nobody."""

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def is_new(self, event: Mapping[str, Any]) -> bool:
        """Tell whether a watch event says anything that the last one about the object did not."""
        obj = event["object"]
        uid = obj.get("metadata", {}).get("uid", "")
        if event.get("type") == "DELETED":
            self._seen.pop(uid, None)
            return True
        digest = fingerprint(obj)
        if self._seen.get(uid) == digest:
            return False
        self._seen[uid] = digest
        return True


def register(
    registry: kopf.OperatorRegistry,
    child_kinds: Iterable[kinds.Kind],
    wake: Callable[[Key], None],
    wake_all: Callable[[], None] | None,
) -> None:
    """Register a handler for each kind: key into the queue, no more.

    `wake_all` is called when optional kinds are defined or removed. None: the operator has no rights on what belongs to
    no namespace, so neither definitions nor profiles are watched.
    """
    news = News()

    def listen(kind: kinds.Kind, tell: Callable[[Json], None], **filters: Any) -> None:
        async def handler(event: Any, **_: Any) -> None:
            if news.is_new(event):
                tell(event["object"])

        kopf.on.event(
            group=kind.group,
            version=kind.api_version.rpartition("/")[2],
            plural=kind.plural,
            registry=registry,
            id=f"{kind.plural}.{kind.group}",
            **filters,
        )(handler)

    def tell_keys(obj: Json) -> None:
        for key in keys_of(obj):
            wake(key)

    listen(kinds.EDGEDETECTOR, lambda obj: wake(keys.detector(obj["metadata"]["namespace"], obj["metadata"]["name"])))
    for kind in child_kinds:
        listen(kind, tell_keys)
    if wake_all is not None:
        listen(kinds.ACCELERATOR_PROFILE, lambda obj: wake(keys.profile(obj["metadata"]["name"])))
        listen(kinds.CRD, lambda _: wake_all(), when=_defines_monitoring)


def _defines_monitoring(body: Mapping[str, Any], **_: Any) -> bool:
    group: str = (body.get("spec") or {}).get("group", "")
    return group == kinds.MONITORING_API.partition("/")[0]
