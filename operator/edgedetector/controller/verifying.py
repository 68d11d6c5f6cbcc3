"""Which test of a profile is to be there for a detector, by what it asks and what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedetector import plan
from edgedetector.api import names
from edgedetector.api.verification import MAX_REQUEST
from edgedetector.cluster import converge, held, kinds
from edgedetector.observe import verification

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgedetector.api.edgedetector import EdgeDetector
    from edgedetector.api.profile import AcceleratorProfile
    from edgedetector.cluster.client import Client, Object
    from edgedetector.observe.verification import Run


def request(obj: Object) -> str:
    """Return what an EdgeDetector asks with; empty if it does not."""
    found: str = (obj["metadata"].get("annotations") or {}).get(names.ANNOTATION_VERIFY, "")
    return found[:MAX_REQUEST]


def run(job: Object | None, pods: Iterable[Object], profile: str) -> Run | None:
    """Return how the detector's test of this profile stands."""
    found = verification.run(job, pods) if job is not None else None
    return found if found is not None and found.profile == profile else None


def live(children: Iterable[Object], detector: str) -> Object | None:
    """Return the detector's Job, whatever it was asked with."""
    name = names.verification(detector)
    return next((obj for obj in children if obj["kind"] == kinds.JOB.kind and obj["metadata"]["name"] == name), None)


def desired(
    detector: EdgeDetector,
    profile: AcceleratorProfile,
    settings: plan.Settings,
    *,
    asked: str,
    before: Object | None,
    manager: str,
) -> tuple[Object, ...]:
    """Return what is to be there of a test; nothing where none is to be.

    A Job that is there stays as it was made, since its template cannot be changed: by another release or model. One of
    another profile, or that was asked for by another text, goes first; that is an event, and the next pass makes the
    new one.
    """
    if not asked:
        return ()
    made = plan.verification_children(detector, profile, settings, asked)
    if before is None:
        return made
    metadata = before["metadata"]
    text = (metadata.get("annotations") or {}).get(names.ANNOTATION_VERIFY)
    tested = (metadata.get("labels") or {}).get(names.LABEL_PROFILE)
    if converge.leaving(before) or text != asked or tested != profile.name:
        return ()
    own = held.applied(before, manager)
    if own is None:  # somebody else's: taking its name is told as such
        return made
    head = {"apiVersion": before["apiVersion"], "kind": before["kind"]}
    place = {"name": metadata["name"], "namespace": metadata["namespace"]}
    return (*made[:-1], {**own, **head, "metadata": {**own.get("metadata", {}), **place}})


async def runs(client: Client, profile: str) -> tuple[Run, ...]:
    """Return all tests of a profile, of whatever detector; of those that are over, the ones that somebody asks for.

    Whoever may make Jobs can make one that looks like a test. What is to count for everybody who uses the profile is at
    least asked for by somebody who may write EdgeDetectors.
    """
    selector = f"{names.LABEL_PROFILE}={profile},{names.LABEL_COMPONENT}={names.COMPONENT_VERIFICATION}"
    jobs = await client.list_known(kinds.JOB, "", selector)
    if not jobs:
        return ()
    pods = await client.list_known(kinds.POD, "", selector)
    found = [verification.run(job, pods) for job in jobs]
    return tuple([one for one in found if not one.over or await _asks(client, one)])


async def _asks(client: Client, run: Run) -> bool:
    """Tell whether the EdgeDetector of a test uses its profile and asks for it."""
    namespace, _, name = run.detector.partition("/")
    obj = await client.get(kinds.EDGEDETECTOR, namespace, name) if name else None
    return obj is not None and request(obj) == run.request and obj["spec"].get("acceleratorProfile") == run.profile
