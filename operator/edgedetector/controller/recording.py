"""The live object of a record: what of it stays in memory, and on which condition it is written. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgedetector.api import names
from edgedetector.cluster import converge
from edgedetector.cluster.ownership import may_take

if TYPE_CHECKING:
    from edgedetector.cluster.client import Object


def light(obj: Object | None) -> Object | None:
    """Return the object without the search's memory, whose text is as large as all the rest of a detector."""
    if obj is None:
        return None
    data = {name: text for name, text in (obj.get("data") or {}).items() if name != names.FILE_STATE}
    return {**obj, "data": data}


def condition(live: Object | None, body: Object) -> dict[str, str]:
    """Return what the object must be for the write to be meant for it."""
    if live is None:
        return dict(converge.NEW)
    metadata, owners = live["metadata"], body["metadata"]["ownerReferences"]
    if not may_take(live, body, owners[0]["uid"], names.FIELD_MANAGER):
        return dict(converge.NEW)  # an object of somebody else: refused
    return {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}


def version(obj: Object | None) -> Any:
    """Return what is another one with every write and every object."""
    return obj and (obj["metadata"].get("uid"), converge.version(obj))
