"""An upgrade of the operator replaces no pod: workloads keep the pods they have until their own inputs change. Pure.

Another release of the operator renders another pod template for the same EdgeDetector: another detector image, a
probe more, a limit. Applied at once, it would replace the pods of all detectors in one moment, for the sake of those
who changed nothing. So a workload is *held*: its template stays as it is, until what it is rendered from changes,
until it runs no pods, or until the installation says `Immediate`.

What is remembered stands in an annotation of the workload: by which release it was rendered, a digest of what that
release wants it to be, and of the template that is held instead. So within a release a change of inputs shows as
another digest, whatever the inputs are. Across releases it cannot show, and two facts stand in for it: the generation
of the EdgeDetector that was applied last, and the version of the profile.

A template of which a field was changed by hand is not held but rendered anew: the change has replaced the pods anyway.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import names
from edgedetector.cluster import diff

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgedetector.cluster.client import Object

ANNOTATION: Final = f"{names.GROUP}/rendered"
KINDS: Final = frozenset({"Deployment", "DaemonSet"})

_PATH: Final = ("spec", "template")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the desired templates of this pass come from."""

    release: str
    """Name of the operator's release: its image."""
    profile: str
    """Version of the profile, "" for one that is a part of the release itself."""
    settled: bool
    """Whether the present specification was applied before this pass."""
    immediate: bool = False
    """Whether another release replaces pods at once."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the annotation says."""

    release: str
    wanted: str
    """Digest of the template that the release renders."""
    profile: str = ""
    held: str = ""
    """Digest of the template that is there instead; empty: the wanted one is."""

    @property
    def text(self) -> str:
        """The annotation's value."""
        return json.dumps({key: value for key, value in dataclasses.asdict(self).items() if value}, sort_keys=True)


def keep(
    desired: Iterable[Object], live: Iterable[Object], origin: Origin, manager: str
) -> tuple[tuple[Object, ...], tuple[str, ...]]:
    """Return the desired objects with the templates that are to be applied, and the names of what is held newly."""
    present = {(obj["kind"], obj["metadata"]["name"]): obj for obj in live}
    found, held = [], []
    for obj in desired:
        if obj["kind"] not in KINDS:
            found.append(obj)
            continue
        name = obj["metadata"]["name"]
        before = present.get((obj["kind"], name))
        found.append(workload(obj, before, origin, manager))
        now, was = record(found[-1]), record(before)
        if now and now.held and not (was and was.held == now.held):
            held.append(f"{obj['kind']}/{name}")
    return tuple(found), tuple(held)


def workload(desired: Object, live: Object | None, origin: Origin, manager: str) -> Object:
    """Return the desired workload, with the live template where that is held."""
    template = _at(desired, *_PATH)
    fresh = Record(origin.release, _digest(template), origin.profile)
    if live is None or origin.immediate or live["spec"].get("replicas") == 0:
        return _recorded(desired, template, fresh)
    running = applied(live, manager, *_PATH)
    before = record(live)
    intact = running is not None and not (before and before.held and before.held != _digest(running))
    if before is not None and before.release == origin.release:
        holds = intact and bool(before.held) and before.wanted == fresh.wanted
    else:
        same_inputs = origin.settled and (before is None or before.profile == origin.profile)
        differs = bool(diff.difference_at(template, live, manager, *_PATH))
        holds = intact and same_inputs and differs and not _touched(live, manager)
    if not holds:
        return _recorded(desired, template, fresh)
    return _recorded(desired, running, dataclasses.replace(fresh, held=_digest(running)))


def settled(detector: Object) -> bool:
    """Tell whether the present specification of an EdgeDetector was applied before, by whichever release.

    Releases that did not say so yet said at least which specification they had looked at.
    """
    status = detector.get("status") or {}
    return bool(status.get("appliedGeneration", status.get("observedGeneration")) == detector["metadata"]["generation"])


def record(obj: Object | None) -> Record | None:
    """Return what the annotation of a workload says; None if it says nothing that can be understood."""
    text = ((obj or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION, "")
    try:
        return Record(**json.loads(text))
    except (ValueError, TypeError):
        return None


def applied(live: Object, manager: str, *path: str) -> Any:
    """Return the part of the object under `path` that `manager` applied, with its live values; None if it owns none.

    Apply it again and nothing changes; a field that somebody else has changed since is not in it.
    """
    owned: dict[str, Any] | None = diff.owned_at(live, manager, *path)
    return None if owned is None else _extract(_at(live, *path), owned)


def _extract(live: Any, owned: dict[str, Any]) -> Any:
    children = {key: tree for key, tree in owned.items() if key != "."}
    if not children:
        return live
    if isinstance(live, dict):
        return {name: _extract(value, children[f"f:{name}"]) for name, value in live.items() if f"f:{name}" in children}
    # In the order of the live list: it counts for containers.
    selected = [(key, json.loads(key[2:]), tree) for key, tree in children.items()]
    found = []
    for item in live:
        for key, selector, tree in selected:
            if key.startswith("v:") and item == selector:
                found.append(item)
            elif key.startswith("k:") and isinstance(item, dict) and selector.items() <= item.items():
                found.append({**selector, **_extract(item, tree)})
    return found


def _touched(live: Object, manager: str) -> bool:
    """Tell whether somebody else has set a field of the template, other than what `kubectl rollout restart` sets."""
    for other in diff.other_managers(live, manager):
        tree = diff.descend(other, *_PATH) or {}
        spec = {key: below for key, below in tree.items() if key not in {".", "f:metadata"}}
        if spec:
            return True
    return False


def _recorded(desired: Object, template: Any, remembered: Record) -> Object:
    metadata = desired["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION: remembered.text}
    return {
        **desired,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**desired["spec"], "template": template},
    }


def _at(obj: Object, *path: str) -> Any:
    found: Any = obj
    for name in path:
        found = found[name]
    return found


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
