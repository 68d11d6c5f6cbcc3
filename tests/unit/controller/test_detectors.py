"""Whole passes over a detector that a user spoilt: what is told, and what runs on."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import random
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.status.views import camera, healthy, resource, state

from edgedetector import plan, profiles
from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.api.dataplane import DetectorState
from edgedetector.api.errors import RetryError
from edgedetector.cluster import kinds
from edgedetector.cluster.errors import ConflictError, NotFoundError, RejectedError, UnavailableError
from edgedetector.controller import detectors, keys, patience, shell, tuning
from edgedetector.controller.loop import AwaitsError
from edgedetector.controller.metrics import Metrics
from edgedetector.controller.options import Options
from edgedetector.controller.profiles import ProfileReconciler, ShippedReconciler, Uses
from edgedetector.observe import scrape
from edgedetector.tuning.tuner import step

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = keys.detector("site", "yard")


class Cluster:
    """The part of an API server that a pass talks to: objects by kind and name in one namespace."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
        self._versions = itertools.count(100)

    async def get(self, kind: kinds.Kind, _namespace: str, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get((kind.kind, name)))

    async def list(
        self, kind: kinds.Kind, _namespace: str = "", selector: str = "", fields: str = ""
    ) -> tuple[dict[str, Any], ...]:
        label, _, value = selector.partition("=")
        found = [obj for (name, _), obj in self.objects.items() if name == kind.kind]
        if selector:
            found = [obj for obj in found if (obj["metadata"].get("labels") or {}).get(label) == value]
        if fields:
            found = [obj for obj in found if f"metadata.name={obj['metadata']['name']}" == fields]
        return tuple(copy.deepcopy(found))

    async def list_known(self, kind: kinds.Kind, namespace: str, selector: str) -> tuple[dict[str, Any], ...]:
        return await self.list(kind, namespace, selector)

    async def each(
        self, kind: kinds.Kind, namespace: str = "", selector: str = ""
    ) -> AsyncGenerator[dict[str, Any], None]:
        for obj in await self.list(kind, namespace, selector):
            yield obj

    async def apply(self, body: dict[str, Any], manager: str, only: Mapping[str, str] | None = None) -> dict[str, Any]:
        before = self.objects.get((body["kind"], body["metadata"]["name"]), {}).get("metadata")
        for name in ("uid", "resourceVersion"):
            if name in (only or {}) and before is not None and before.get(name) != (only or {})[name]:
                raise ConflictError("there is another one of this name")
        version = str(next(self._versions))
        entry = {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {}}}
        uid = before["uid"] if before is not None else version
        metadata = {**body["metadata"], "uid": uid, "resourceVersion": version, "managedFields": [entry]}
        self.objects[body["kind"], body["metadata"]["name"]] = live = {**body, "metadata": metadata}
        return live

    async def replace_status(self, obj: dict[str, Any], status: dict[str, Any], _manager: str) -> dict[str, Any]:
        live = self.objects[obj["kind"], obj["metadata"]["name"]]
        live["status"] = status
        return copy.deepcopy(live)

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        return body


class Nothing:
    """No optional kinds."""

    forgotten = 0

    async def served(self) -> frozenset[str]:
        return frozenset()

    def forget(self) -> None:
        self.forgotten += 1


def reconciler(cluster: Cluster, answer: DetectorState | None = None) -> detectors.DetectorReconciler:
    async def ask(_target: scrape.Target) -> DetectorState | None:
        return answer

    working = shell.Shell(
        client=cluster,  # type: ignore[arg-type]
        discovery=Nothing(),  # type: ignore[arg-type]
        settings=plan.Settings("system", "detector:1"),
        options=Options("system", "detector:1"),
        metrics=Metrics(),
        rng=random.Random(1),
        now=lambda: NOW,
    )
    scraper: scrape.Scraper[keys.Key] = scrape.Scraper(ask, lambda _key: None, lambda: 0.0)
    return detectors.DetectorReconciler(working, scraper, lambda _key, _profile: None, untouched(working))


def untouched(working: shell.Shell) -> tuning.Tuner:
    """A tuner that nobody runs."""

    async def ask(_target: scrape.Target) -> None:
        return None

    return tuning.Tuner(working, ask, step, lambda _key: None, clock=lambda: 0.0)


def profile() -> dict[str, Any]:
    found = copy.deepcopy(next(obj for obj in profiles.load() if obj["metadata"]["name"] == "cpu"))
    found["metadata"].update(uid="p", generation=1)
    return found


def pod() -> dict[str, Any]:
    labels = {names.LABEL_DETECTOR: "yard", names.LABEL_COMPONENT: names.COMPONENT_TRITON}
    status = {
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": name, "state": {"running": {}}} for name in ("triton", "detector")],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "yard-triton-1", "namespace": "site", "uid": "pod", "labels": labels},
        "spec": {"nodeName": "node"},
        "status": status,
    }


def conditions_of(cluster: Cluster) -> dict[str, dict[str, Any]]:
    return {entry["type"]: entry for entry in cluster.objects["EdgeDetector", "yard"]["status"]["conditions"]}


async def test_a_name_that_is_taken_stops_one_child_and_is_looked_at_again_soon() -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "yard-serving", "namespace": "site", "uid": "u"},
        "data": {"mine": "1"},
    }
    cluster = Cluster(resource(), profile(), copy.deepcopy(theirs))
    again = await reconciler(cluster).reconcile(KEY)
    assert cluster.objects["ConfigMap", "yard-serving"] == theirs
    assert ("Deployment", "yard-triton") in cluster.objects
    found = conditions_of(cluster)
    assert (found[c.READY]["reason"], found[c.STALLED]["status"]) == (c.REASON_NAME_TAKEN, "True")
    assert "ConfigMap yard-serving" in found[c.READY]["message"]
    assert again is not None
    assert again <= 30, "nobody tells when the object of somebody else is gone"
    del cluster.objects["ConfigMap", "yard-serving"]
    await reconciler(cluster).reconcile(KEY)
    assert ("ConfigMap", "yard-serving") in cluster.objects
    assert conditions_of(cluster)[c.STALLED]["status"] == "False"


async def test_a_moments_trouble_with_the_api_server_is_not_told_and_a_lasting_one_is() -> None:
    cluster = Cluster(resource(), profile(), pod())
    working = reconciler(cluster, state(healthy().accepted.id))
    await working.reconcile(KEY)
    before = cluster.objects["EdgeDetector", "yard"]["status"]
    del cluster.objects["Service", "yard-media"]
    good, cluster.apply = cluster.apply, refuse  # type: ignore[method-assign]
    for _ in range(detectors.LASTING - 1):
        with pytest.raises(UnavailableError):
            await working.reconcile(KEY)
        assert cluster.objects["EdgeDetector", "yard"]["status"] == before
    with pytest.raises(UnavailableError):
        await working.reconcile(KEY)
    assert conditions_of(cluster)[c.READY]["reason"] == c.REASON_RETRYING
    cluster.apply = good  # type: ignore[method-assign]
    await working.reconcile(KEY)
    assert conditions_of(cluster)[c.READY]["reason"] != c.REASON_RETRYING
    assert not working.failures


async def refuse(*_: Any, **__: Any) -> dict[str, Any]:
    raise UnavailableError("HTTP 500")


async def test_a_spoilt_specification_is_told_while_the_cameras_are_still_watched() -> None:
    cluster = Cluster(resource(), profile(), pod())
    good = state(healthy().accepted.id)
    await reconciler(cluster, good).reconcile(KEY)
    cluster.objects["EdgeDetector", "yard"]["spec"]["cameras"][0]["models"] = ["nobody"]
    dark = camera("dock", state="Unauthorized", message="401", detecting=False)
    await reconciler(cluster, dataclasses.replace(good, cameras=(camera("gate"), dark))).reconcile(KEY)
    found = cluster.objects["EdgeDetector", "yard"]["status"]
    assert [entry["state"] for entry in found["cameras"]] == ["Live", "Unauthorized"]
    assert conditions_of(cluster)[c.READY]["reason"] == c.REASON_INVALID_SPEC
    assert conditions_of(cluster)[c.STREAMS_READY]["reason"] == c.REASON_CAMERA_UNAUTHORIZED


async def test_a_camera_that_is_being_reconnected_is_looked_at_again_though_the_specification_is_spoilt() -> None:
    cluster = Cluster(resource(), profile(), pod())
    good = state(healthy().accepted.id)
    await reconciler(cluster, good).reconcile(KEY)
    cluster.objects["EdgeDetector", "yard"]["spec"]["acceleratorProfile"] = "nobody"
    lost = camera("dock", state="Failing", detecting=False, since="2026-11-22T11:59:58Z")
    again = await reconciler(cluster, dataclasses.replace(good, cameras=(camera("gate"), lost))).reconcile(KEY)
    assert again == patience.FIRST


@pytest.mark.parametrize("deed", ["apply", "list_known"])
async def test_a_kind_that_goes_in_the_middle_of_a_pass_is_asked_about_anew(deed: str) -> None:
    async def gone(kind: object, *_: Any, **__: Any) -> tuple[()]:
        if kind == kinds.POD:
            return ()
        raise NotFoundError("create not allowed while custom resource definition is terminating")

    cluster = Cluster(resource(), profile())
    working = reconciler(cluster)
    setattr(cluster, deed, gone)
    with pytest.raises(RetryError):
        await working.reconcile(KEY)
    assert working.shell.discovery.forgotten  # type: ignore[attr-defined]
    assert conditions_of(cluster)[c.READY]["reason"] == c.REASON_PENDING, "a moment's trouble is not told"


async def test_an_error_of_the_user_ends_a_row_of_failures() -> None:
    cluster = Cluster(resource(), profile())
    working = reconciler(cluster)
    good, cluster.apply = cluster.apply, refuse  # type: ignore[method-assign]
    for _ in range(detectors.LASTING - 1):
        with pytest.raises(UnavailableError):
            await working.reconcile(KEY)
    spec = cluster.objects["EdgeDetector", "yard"]["spec"]
    spec["acceleratorProfile"] = "nobody"
    await working.reconcile(KEY)
    spec["acceleratorProfile"] = "cpu"
    with pytest.raises(UnavailableError):
        await working.reconcile(KEY)
    assert conditions_of(cluster)[c.READY]["reason"] == c.REASON_PROFILE_NOT_FOUND
    cluster.apply = good  # type: ignore[method-assign]


async def test_a_detector_waits_for_the_shipped_profiles_and_says_so_once_they_fail_for_long() -> None:
    cluster = Cluster(resource(), profile())
    working = reconciler(cluster)
    working.shell.profiles_applied = False
    for _ in range(2 * detectors.LASTING):  # an event may come at any time: that is no failure
        with pytest.raises(AwaitsError) as waiting:
            await working.reconcile(KEY)
        assert waiting.value.key == keys.SHIPPED
        assert conditions_of(cluster)[c.READY]["reason"] == c.REASON_PENDING, "no conditions would read as done"
    working.shell.profiles_error = RejectedError("PATCH cpu: unknown field")
    for _ in range(detectors.LASTING):
        with pytest.raises(AwaitsError):
            await working.reconcile(KEY)
    found = conditions_of(cluster)
    assert (found[c.READY]["reason"], found[c.RECONCILING]["status"]) == (c.REASON_RETRYING, "True")
    assert "PATCH cpu: unknown field" in found[c.READY]["message"]
    assert ("Deployment", "yard-triton") not in cluster.objects, "nothing is planned with a profile of another release"


async def test_a_detector_does_not_wait_for_what_came_while_it_wrote() -> None:
    """Nothing more would end the waiting."""
    cluster = Cluster(resource(), profile())
    working = reconciler(cluster)
    working.shell.profiles_applied, working.shell.profiles_error = False, UnavailableError("HTTP 500")
    working.failures[KEY] = detectors.LASTING
    write = cluster.replace_status

    async def slowly(*args: Any) -> dict[str, Any]:
        if args[1]["conditions"][0]["reason"] == c.REASON_RETRYING:
            working.shell.profiles_applied = True
        return await write(*args)

    cluster.replace_status = slowly  # type: ignore[method-assign]
    await working.reconcile(KEY)
    assert ("Deployment", "yard-triton") in cluster.objects


async def test_shipped_profiles_that_cannot_be_applied_are_known_by_their_error_until_they_are() -> None:
    cluster = Cluster()
    working = reconciler(cluster).shell
    working.profiles_applied, working.files = False, {"cpu": profile()}
    good, cluster.apply = cluster.apply, refuse  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        await ShippedReconciler(working).reconcile(keys.SHIPPED)
    assert (working.profiles_applied, str(working.profiles_error)) == (False, "HTTP 500")
    cluster.apply = good  # type: ignore[method-assign]
    await ShippedReconciler(working).reconcile(keys.SHIPPED)
    assert (working.profiles_applied, working.profiles_error) == (True, None)


async def test_a_profile_waits_for_the_shipped_ones_too() -> None:
    working = reconciler(Cluster(profile())).shell
    working.profiles_applied = False
    with pytest.raises(AwaitsError):
        await ProfileReconciler(working, Uses(lambda _key: None)).reconcile(keys.profile("cpu"))


async def test_a_profile_whose_optional_kind_goes_is_tried_again_without() -> None:
    async def gone(*_: Any, **__: Any) -> dict[str, Any]:
        raise NotFoundError("the server could not find the requested resource")

    cluster = Cluster(profile())
    working = reconciler(cluster).shell
    cluster.list_known = gone  # type: ignore[method-assign]
    with pytest.raises(RetryError):
        await ProfileReconciler(working, Uses(lambda _key: None)).reconcile(keys.profile("cpu"))
    assert working.discovery.forgotten  # type: ignore[attr-defined]
