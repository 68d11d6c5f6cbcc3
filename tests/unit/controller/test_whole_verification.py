"""Whole passes over a detector and its profile, from asking for a test to a driver that changes."""

from __future__ import annotations

import copy
from typing import Any

from tests.unit.controller import test_detectors as passes
from tests.unit.controller.test_verifying import owned
from tests.unit.status.views import resource, state

from edgedetector import profiles
from edgedetector.api import names
from edgedetector.api.dataplane import DetectorState
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.verification import Finding, Report
from edgedetector.api.wire import to_json
from edgedetector.controller import detectors, keys
from edgedetector.controller.profiles import ProfileReconciler, Uses

PROFILE = keys.profile("denglin-ks20")
RESOURCE = "denglin.com/gpu"


class Cluster(passes.Cluster):
    """Knows selectors of several labels, deletes, and records which fields were applied."""

    writes = 0

    async def list(self, kind: Any, _namespace: str = "", selector: str = "", fields: str = "") -> tuple[Any, ...]:
        found = await super().list(kind, fields=fields)
        wanted = [part.split("=") for part in selector.split(",") if part]
        labels = [(obj["metadata"].get("labels") or {}, obj) for obj in found]
        return tuple(obj for has, obj in labels if all(has.get(name) == value for name, value in wanted))

    async def apply(self, body: dict[str, Any], manager: str, only: Any = None) -> dict[str, Any]:
        self.writes += 1
        live = await super().apply(body, manager, only)
        bare = {key: value for key, value in body["metadata"].items() if key not in {"name", "namespace"}}
        rest = {key: value for key, value in body.items() if key not in {"apiVersion", "kind", "metadata"}}
        live["metadata"]["managedFields"][0]["fieldsV1"] = owned({"metadata": bare, **rest})
        return live

    async def delete(self, obj: dict[str, Any]) -> None:
        del self.objects[obj["kind"], obj["metadata"]["name"]]


class Site:
    """An EdgeDetector on the KS20's profile, and both reconcilers."""

    def __init__(self) -> None:
        shipped = copy.deepcopy(next(obj for obj in profiles.load() if obj["metadata"]["name"] == PROFILE.name))
        shipped["metadata"].update(uid="p", generation=1)
        obj = resource()
        obj["spec"]["acceleratorProfile"] = PROFILE.name
        self.cluster = Cluster(obj, shipped, passes.pod())
        self.woken: list[keys.Key] = []
        self.uses = Uses(self.woken.append)
        self.answer: DetectorState = state("yard-triton-1", driver="1.0")
        self.begin()

    def begin(self) -> None:
        """Start the operator, which knows nothing."""
        self.uses = Uses(self.woken.append)
        made = passes.reconciler(self.cluster, self.answer)
        self.detectors = detectors.DetectorReconciler(
            made.shell, made.scraper, self.uses, made.tuner, self.uses.drivers_of
        )
        self.profiles = ProfileReconciler(made.shell, self.uses)

    async def look(self) -> None:
        """Do passes until nobody wakes anybody any more."""
        await self.detectors.reconcile(passes.KEY)
        await self.profiles.reconcile(PROFILE)
        for _ in range(20):
            if not self.woken:
                break
            key = self.woken.pop(0)
            await (self.profiles if key == PROFILE else self.detectors).reconcile(key)
        self.woken.clear()

    def ask(self, text: str) -> None:
        self.cluster.objects["EdgeDetector", "yard"]["metadata"]["annotations"] = {names.ANNOTATION_VERIFY: text}

    @property
    def job(self) -> dict[str, Any] | None:
        return self.cluster.objects.get(("Job", "yard-verify"))

    @property
    def told(self) -> dict[str, Any]:
        return dict(self.cluster.objects["EdgeDetector", "yard"]["status"].get("verification", {}))

    @property
    def verified(self) -> tuple[str, str]:
        listed = self.cluster.objects["AcceleratorProfile", PROFILE.name]["status"]["conditions"]
        return next((one["status"], one["reason"]) for one in listed if one["type"] == "Verified")

    def can(self, capability: str) -> bool:
        return AcceleratorProfile.parse(self.cluster.objects["AcceleratorProfile", PROFILE.name]).spec.can(capability)

    def pod_of_job(self, **status: Any) -> None:
        assert self.job is not None
        metadata = {
            "name": "yard-verify-1",
            "namespace": "site",
            "uid": "t",
            "labels": self.job["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": [{"uid": self.job["metadata"]["uid"]}],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}
        self.cluster.objects["Pod", "yard-verify-1"] = pod

    def end(self) -> None:
        spec = AcceleratorProfile.parse(self.cluster.objects["AcceleratorProfile", PROFILE.name]).spec
        found = (Finding("instanceChangeInPlace", supported=True, verified=True, evidence="in place"),)
        report = Report("x", spec.basis, "1.0", "2.51.0", "people", found)
        ended = {"exitCode": 0, "message": to_json(report), "finishedAt": "2026-11-22T12:00:00Z"}
        containers = [{"name": names.CONTAINER_DETECTOR, "state": {"terminated": ended}}]
        self.pod_of_job(phase="Succeeded", containerStatuses=containers)


async def test_from_asking_to_a_changed_driver_with_a_restart_of_the_operator_at_each_step() -> None:
    site = Site()
    await site.look()
    assert site.verified == ("False", "NeverVerified")
    assert (site.job, site.told) == (None, {})

    site.ask("first")
    await site.look()
    assert site.job is not None
    assert ("NetworkPolicy", "yard-verify") in site.cluster.objects
    assert site.told["state"] == "Waiting"

    words = f"0/1 nodes are available: 1 Insufficient {RESOURCE}."
    since = {"lastTransitionTime": "2026-11-22T11:59:50Z"}
    lacking = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    site.pod_of_job(phase="Pending", conditions=[lacking | since])
    site.begin()
    await site.look()
    assert "this EdgeDetector's own pod holds; set spec.suspend to true" in site.told["message"]

    writes = site.cluster.writes
    await site.look()
    assert site.cluster.writes == writes, "at rest nothing is written"

    site.end()
    site.begin()
    await site.look()
    assert (site.told["state"], site.told["observed"]) == ("Complete", "first")
    assert site.verified == ("True", "Verified")
    assert site.can("instanceChangeInPlace")
    await site.look()
    assert site.job is None
    assert ("NetworkPolicy", "yard-verify") not in site.cluster.objects

    site.begin()
    await site.look()
    assert site.job is None, "it was answered"

    site.answer = state("yard-triton-1", driver="2.0")
    site.begin()
    await site.look()
    assert site.verified == ("False", "DriverChanged")
    assert not site.can("instanceChangeInPlace")

    site.ask("second")
    await site.look()
    assert site.job is not None
    assert site.job["metadata"]["annotations"][names.ANNOTATION_VERIFY] == "second"


async def test_who_stops_asking_has_no_test_any_more() -> None:
    site = Site()
    site.ask("first")
    await site.look()
    assert site.job is not None
    site.ask("")
    await site.look()
    assert (site.job, site.told) == (None, {})
