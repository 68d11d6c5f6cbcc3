"""Events of the API server become keys in the queue.

Kopf watches what there are few of: AcceleratorProfiles and the definitions of kinds. Only `on.event` is used: it makes
Kopf neither write annotations nor set finalizers. What there are thousands of, EdgeDetectors and their children, is
followed by `cluster.watch` in a fraction of the memory. What an event says is not believed beyond which key to look at,
and whether anything that matters has changed since the last one.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import kopf

from edgedetector.api import names
from edgedetector.cluster import kinds
from edgedetector.cluster.watch import Watch
from edgedetector.controller import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from random import Random

    from edgedetector.cluster.client import Client
    from edgedetector.controller.keys import Key

Json = dict[str, Any]

OURS: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"

# Fields of an autoscaler's status that move with the load, hence every few seconds.
_FIGURES: Final = frozenset({"currentMetrics", "lastScaleTime"})

# Annotations by which a user asks for something.
_ASKING: Final = (names.ANNOTATION_VERIFY, names.ANNOTATION_TUNING, names.ANNOTATION_RETUNE)


def operator_settings(settings: kopf.OperatorSettings) -> None:
    """Configure Kopf for watching only."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.connect_timeout = 30
    settings.networking.request_timeout = 60
    settings.watching.connect_timeout = 30
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.process.ultimate_exiting_timeout = None  # else the end of Kopf may be that of the process
    # What Kopf would need to find out which handlers of a change have run: copies of every object at every event.
    settings.persistence.diffbase_storage = _NoDiff()
    settings.persistence.progress_storage = _NoProgress()


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
    if obj.get("kind") == "AcceleratorProfile":
        body["status"] = bool(obj.get("status"))  # what stands in it is our own writing
    elif obj.get("kind") == "HorizontalPodAutoscaler":
        known: Json = obj.get("status") or {}
        status = {key: value for key, value in known.items() if key not in _FIGURES}
        # Which figures it does not get, not what the others are.
        got = enumerate(known.get("currentMetrics") or ())
        body["status"] = status | {"unread": [number for number, metric in got if metric.get("type") == ""]}
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


class Known:
    """What is known of the objects of one kind (a `cluster.watch.Listener`): wakes those whom a difference concerns.

    Parameters
    ----------
    wake
        Called with each key that a change concerns, those of before the change included.
    digest
        What tells one state of an object from another. Its version does, unless some of its changes do not matter.
    concerns
        The keys that an object concerns.
    """

    def __init__(
        self,
        wake: Callable[[Key], None],
        digest: Callable[[Json], str | bytes],
        concerns: Callable[[Json], tuple[Key, ...]] = keys_of,
    ) -> None:
        self._wake = wake
        self._digest = digest
        self._concerns = concerns
        self._known: dict[str, tuple[str | bytes, tuple[Key, ...]]] = {}
        self._listed: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def begin(self) -> None:
        """Begin a list."""
        self._listed = set()

    def saw(self, obj: Json) -> None:
        """Take note of an object as it is now."""
        uid, digest, concerned = obj["metadata"]["uid"], self._digest(obj), self._concerns(obj)
        before, formerly = self._known.get(uid, ("", ()))
        self._listed.add(uid)
        if before != digest:
            self._known[uid] = digest, concerned
            self._tell((*formerly, *concerned))

    def end(self) -> None:
        """End the list: what was not in it has gone while nobody watched."""
        for uid in self._known.keys() - self._listed:
            self._tell(self._known.pop(uid)[1])
        self._listed = set()

    def gone(self, obj: Json) -> None:
        """Take note that an object was deleted, or lost the labels."""
        _, formerly = self._known.pop(obj["metadata"]["uid"], ("", ()))
        self._tell((*formerly, *self._concerns(obj)))

    def _tell(self, concerned: Iterable[Key]) -> None:
        for key in dict.fromkeys(concerned):
            self._wake(key)


def follow(
    client: Client, child_kinds: Iterable[kinds.Kind], places: Iterable[str], wake: Callable[[Key], None], rng: Random
) -> Iterator[Watch]:
    """Yield what is to be run to follow EdgeDetectors, and children of these kinds, in these places ("" means all)."""
    places = tuple(places)
    for place in places:
        yield Watch(client, kinds.EDGEDETECTOR, place, "", Known(wake, intent, _itself), rng)
    for kind in child_kinds:
        # An autoscaler's version changes with the load; anything else is written when there is news.
        whole = kind.kind == "HorizontalPodAutoscaler"
        for place in places:
            listener = Known(wake, _scaler if whole else _version)
            yield Watch(client, kind, place, OURS, listener, rng, whole=whole)


def _itself(obj: Json) -> tuple[Key, ...]:
    return (keys.detector(obj["metadata"]["namespace"], obj["metadata"]["name"]),)


def intent(obj: Json) -> str:
    """Return what changes when a user writes, and not when the operator writes a status over its own."""
    metadata = obj["metadata"]
    writers = sorted(
        (entry.get("manager", ""), entry.get("operation", ""))
        for entry in metadata.get("managedFields") or ()
        if entry.get("subresource") == "status"
    )
    annotations = metadata.get("annotations") or {}  # no generation tells of them
    asked = [annotations.get(name) for name in _ASKING]
    return json.dumps([metadata.get("generation"), metadata.get("deletionTimestamp"), writers, asked])


def _version(obj: Json) -> str:
    version: str = obj["metadata"]["resourceVersion"]
    return version


def _scaler(obj: Json) -> bytes:
    return fingerprint({"kind": "HorizontalPodAutoscaler", **obj})


class _NoDiff(kopf.DiffBaseStorage):
    """Finds no object ever changed."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        pass


class _NoProgress(kopf.ProgressStorage):
    """Knows of no handler that has begun."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def register(registry: kopf.OperatorRegistry, wake: Callable[[Key], None], wake_all: Callable[[], None]) -> None:
    """Register a handler for each kind that Kopf watches: key into the queue, no more.

    `wake_all` is called when optional kinds are defined or removed.
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

    listen(kinds.ACCELERATOR_PROFILE, lambda obj: wake(keys.profile(obj["metadata"]["name"])))
    listen(kinds.CRD, lambda _: wake_all(), when=_defines_monitoring)


def _defines_monitoring(body: Mapping[str, Any], **_: Any) -> bool:
    group: str = (body.get("spec") or {}).get("group", "")
    return group == kinds.MONITORING_API.partition("/")[0]
