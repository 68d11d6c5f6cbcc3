"""Who decides the number of replicas, read from the live Deployment: no memory of earlier passes is needed. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import names
from edgedetector.cluster import diff

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]

_COUNT: Final = re.compile(r"[1-9][0-9]{0,4}")  # of ours; anybody may have written anything there


def ours(children: Iterable[Object], deployment: str, manager: str) -> int | None:
    """Return the replicas that the Deployment asks for while that is our business, else None.

    An autoscaler writes through the subresource `scale`, which takes the field from us. Only 0 is ours whoever wrote
    it, since no autoscaler leaves it again; a Deployment that does not exist has 0.
    """
    live = _find(children, deployment)
    if live is None:
        return 0
    count: int = live["spec"].get("replicas", 1)
    return count if count == 0 or diff.owns(live, manager, "spec", "replicas") else None


def before_suspension(children: Iterable[Object], deployment: str) -> int:
    """Return how many replicas a suspended Deployment is to come back with, 0 if nothing tells.

    What is noted on it counts before what it asks for: who scales a suspended one by hand has not resumed it.
    """
    live = _find(children, deployment)
    if live is None:
        return 0
    noted = (live["metadata"].get("annotations") or {}).get(names.ANNOTATION_REPLICAS, "")
    if _COUNT.fullmatch(noted):
        return int(noted)
    count: int = live["spec"].get("replicas", 1)
    return count


def _find(children: Iterable[Object], deployment: str) -> Object | None:
    return next((o for o in children if o["kind"] == "Deployment" and o["metadata"]["name"] == deployment), None)
