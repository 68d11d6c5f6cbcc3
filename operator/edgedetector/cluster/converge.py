"""Make the live children equal the desired ones, with no write where nothing differs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgedetector.cluster import diff, kinds
from edgedetector.cluster.errors import ConflictError
from edgedetector.cluster.ownership import may_take, owned_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgedetector.cluster.client import Client, Object


# No object has this version: with it an apply makes an object, or is refused because there is one of this name.
NEW: Final = {"resourceVersion": "1"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one pass did to the children. It counts as true if anything was written."""

    applied: tuple[str, ...] = ()
    """One entry an apply that was sent: "Kind/name: first differing field"."""
    unchanged: tuple[str, ...] = ()
    """Those of `applied` that the API server found to change nothing."""
    pruned: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    """Names that somebody else's object has: "Kind name". Nothing was done to it."""
    held: tuple[str, ...] = ()
    """Children that differ and were left so, in the words of `applied`."""
    children: tuple[Object, ...] = ()
    """All children as they are now, by what was listed and by the answers to the writes."""

    def __bool__(self) -> bool:
        return len(self.applied) > len(self.unchanged) or bool(self.pruned)


@dataclass(frozen=True, slots=True)
class _Placed:
    """What became of one wanted child."""

    live: Object | None
    field: str = ""
    """The first field that differed, "new" where there was no object, empty if nothing did."""
    unchanged: bool = False
    taken: bool = False
    held: bool = False


def key_of(obj: Object) -> tuple[str, str, str, str]:
    """Identity of an object across lists: apiVersion, kind, namespace, name."""
    metadata = obj["metadata"]
    return obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"]


async def gather(
    client: Client, child_kinds: Iterable[tuple[str, str]], namespace: str, selector: str, served: frozenset[str]
) -> tuple[Object, ...]:
    """List the children of every kind that the API server serves, all kinds at once, as new as they are known to be."""
    wanted = [kinds.of(*kind) for kind in child_kinds if kind[1] not in kinds.OPTIONAL or kind[1] in served]
    found = await asyncio.gather(*(client.list_known(kind, namespace, selector) for kind in wanted))
    return tuple(obj for objects in found for obj in objects)


async def converge(
    client: Client,
    desired: Iterable[Object],
    live: Iterable[Object],
    owner_uid: str,
    manager: str,
    *,
    held: Callable[[Object], bool] = lambda _child: False,
) -> Outcome:
    """Apply what differs; then, and only if every child is in place, delete the owner's children that are not wanted.

    A failure in between leaves an unwanted child too much, never a wanted one too few. An object of somebody else
    that has the name of a child is left alone, and the other children are applied. `live` may be out of date: what is
    written has the condition that the object is still the one that was judged, or that there is none. A child that is
    `held` is left as it is for now.
    """
    present = {key_of(obj): obj for obj in live}
    wanted = {key_of(obj): obj for obj in desired}
    placed = {
        key: await _place(client, obj, present.get(key), owner_uid, manager, held=held) for key, obj in wanted.items()
    }
    differing = {f"{key[1]}/{key[3]}: {child.field}": child for key, child in placed.items() if child.field}
    applied = {entry: child for entry, child in differing.items() if not child.held}
    taken = tuple(f"{key[1]} {key[3]}" for key, child in placed.items() if child.taken)
    unwanted = {key: obj for key, obj in present.items() if key not in wanted and not taken}
    pruned = {key: obj for key, obj in unwanted.items() if owned_by(obj, owner_uid) and not leaving(obj)}
    for obj in pruned.values():
        await client.delete(obj)
    now = present | {key: child.live for key, child in placed.items() if child.live and not child.taken}
    return Outcome(
        applied=tuple(applied),
        unchanged=tuple(entry for entry, child in applied.items() if child.unchanged),
        pruned=tuple(f"{key[1]}/{key[3]}" for key in pruned),
        taken=taken,
        held=tuple(entry for entry, child in differing.items() if child.held),
        children=tuple(obj for key, obj in now.items() if key not in pruned),
    )


async def _place(
    client: Client,
    obj: Object,
    before: Object | None,
    owner_uid: str,
    manager: str,
    *,
    held: Callable[[Object], bool],
) -> _Placed:
    """Make one child what it should be, unless an object of somebody else has its name."""
    if before is None:
        if held(obj):
            return _Placed(None, "new", held=True)
        try:
            return _Placed(await client.apply(obj, manager, only=NEW), "new")
        except ConflictError:
            before = await _unlabelled(client, obj)
            if before is None:
                raise  # it went in this moment: the next pass makes it
    if not may_take(before, obj, owner_uid, manager):
        return _Placed(before, taken=True)
    field = diff.difference(obj, before, manager)
    if not field:
        return _Placed(before)
    if held(obj):
        return _Placed(before, field, held=True)
    after = await client.apply(obj, manager, only={"uid": before["metadata"]["uid"]})
    return _Placed(after, field, unchanged=version(after) == version(before))


async def _unlabelled(client: Client, obj: Object) -> Object | None:
    """Return the live object of this name that the children's label did not find.

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
