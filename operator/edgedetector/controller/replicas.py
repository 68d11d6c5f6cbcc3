"""Who decides the number of replicas, read from the live Deployment: no memory of earlier passes is needed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgedetector.cluster import diff

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]


def ours(children: Iterable[Object], deployment: str, manager: str) -> int | None:
    """Return the replicas that the Deployment asks for while that is our business, else None.

    An autoscaler writes through the subresource `scale`, which takes the field from us. Only 0 is ours whoever wrote
    it, since no autoscaler leaves it again; a Deployment that does not exist has 0.
    """
    live = next((o for o in children if o["kind"] == "Deployment" and o["metadata"]["name"] == deployment), None)
    if live is None:
        return 0
    count: int = live["spec"].get("replicas", 1)
    return count if count == 0 or diff.owns(live, manager, "spec", "replicas") else None
