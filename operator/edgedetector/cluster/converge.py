"""Make the live children equal the desired ones, with no write where nothing differs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgedetector.cluster import diff, kinds
from edgedetector.cluster.ownership import may_take, owned_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgedetector.cluster.client import Client, Object


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one pass did to the children."""

    applied: tuple[str, ...] = ()
    """One entry an apply that was sent: "Kind/name: first differing field"."""
    unchanged: tuple[str, ...] = ()
    """Those of `applied` that the API server found to change nothing."""
    pruned: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    """Names that somebody else's object has: "Kind name". Nothing was done to it."""


def key_of(obj: Object) -> tuple[str, str, str, str]:
    """Identity of an object across lists: apiVersion, kind, namespace, name."""
    metadata = obj["metadata"]
    return obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"]


async def gather(
    client: Client, child_kinds: Iterable[tuple[str, str]], namespace: str, selector: str, served: frozenset[str]
) -> tuple[Object, ...]:
    """List the children of every kind that the API server serves, all kinds at once."""
    wanted = [kinds.of(*kind) for kind in child_kinds if kind[1] not in kinds.OPTIONAL or kind[1] in served]
    found = await asyncio.gather(*(client.list(kind, namespace, selector) for kind in wanted))
    return tuple(obj for objects in found for obj in objects)


async def converge(
    client: Client, desired: Iterable[Object], live: Iterable[Object], owner_uid: str, manager: str
) -> Outcome:
    """Apply what differs; then, and only if every child is in place, delete the owner's children that are not wanted.

    A failure in between leaves an unwanted child too much, never a wanted one too few. An object of somebody else
    that has the name of a child is left alone, and the other children are applied.
    """
    present = {key_of(obj): obj for obj in live}
    wanted = {key_of(obj): obj for obj in desired}
    applied: list[str] = []
    unchanged: list[str] = []
    taken: list[str] = []
    for key, obj in wanted.items():
        before = present.get(key) or await _unlabelled(client, obj)
        if before is not None and not may_take(before, obj, owner_uid, manager):
            taken.append(f"{key[1]} {key[3]}")
            continue
        field = "new" if before is None else diff.difference(obj, before, manager)
        if not field:
            continue
        after = await client.apply(obj, manager)
        entry = f"{key[1]}/{key[3]}: {field}"
        applied.append(entry)
        if before is not None and version(after) == version(before):
            unchanged.append(entry)
    unwanted = (obj for key, obj in present.items() if key not in wanted and not taken)
    pruned = [obj for obj in unwanted if owned_by(obj, owner_uid) and not leaving(obj)]
    for obj in pruned:
        await client.delete(obj)
    gone = tuple(f"{obj['kind']}/{obj['metadata']['name']}" for obj in pruned)
    return Outcome(tuple(applied), tuple(unchanged), gone, tuple(taken))


async def _unlabelled(client: Client, obj: Object) -> Object | None:
    """Return the live object of this name that the children's label does not find.

    Asked by a list of one, since the operator needs the verb list anyway and get for nothing else.
    """
    kind, metadata = kinds.of(obj["apiVersion"], obj["kind"]), obj["metadata"]
    found = await client.list(kind, metadata.get("namespace", ""), fields=f"metadata.name={metadata['name']}")
    return found[0] if found else None


def version(obj: Object) -> Any:
    """Return the resourceVersion, which changes with every write and only then."""
    return obj["metadata"].get("resourceVersion")


def leaving(obj: Object) -> bool:
    """Tell whether somebody has already deleted the object."""
    return bool(obj["metadata"].get("deletionTimestamp"))
