"""Whole passes against somebody who wants something else of a child and never gives in."""

from __future__ import annotations

import collections
from typing import Any

import pytest
from tests.unit.controller.test_detectors import KEY, Cluster, profile, reconciler
from tests.unit.status.views import resource

from edgedetector.controller import keys
from edgedetector.controller.drifts import FREE, Drifts

PROFILE = keys.profile("cpu")


class Contested(Cluster):
    """A server on which somebody else takes every child back at once; notes what the operator does."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        super().__init__(*objects)
        self.applied: collections.Counter[str] = collections.Counter()
        self.told: list[dict[str, Any]] = []

    async def apply(self, body: dict[str, Any], manager: str, only: Any = None) -> dict[str, Any]:
        self.applied[f"{body['kind']}/{body['metadata']['name']}"] += 1
        live = await super().apply(body, manager, only)
        live["metadata"]["managedFields"][0]["fieldsV1"] = {}
        return live

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.told.append(body)
        return body


async def test_a_child_that_somebody_else_keeps_changing_is_left_alone_for_longer_and_longer() -> None:
    cluster, now, woken = Contested(resource(), profile()), [0.0], list[float]()
    working = reconciler(cluster)
    working.shell.drifts = Drifts(lambda: now[0], lambda _key, seconds: woken.append(seconds))
    for _ in range(4 * FREE):
        await working.reconcile(KEY)
    # The Deployment is wanted otherwise once it is there: the number of its replicas is then an autoscaler's.
    assert set(cluster.applied.values()) == {FREE, FREE + 1}
    assert cluster.applied["ConfigMap/yard-serving"] == FREE
    assert max(woken) <= 5.0, "the detector is looked at again when its child may be put right"
    said = [event["note"].partition(":")[0] for event in cluster.told if event["reason"] == "Contested"]
    assert sorted(said) == sorted(set(said)), "each child is told once"
    assert set(said) == set(cluster.applied)
    now[0] += 5.0
    await working.reconcile(KEY)
    assert cluster.applied["ConfigMap/yard-serving"] == FREE + 1


async def test_a_changed_specification_is_applied_in_the_middle_of_a_fight() -> None:
    cluster = Contested(resource(), profile())
    working = reconciler(cluster)
    working.shell.drifts = Drifts(lambda: 0.0, lambda _key, _seconds: None)
    for _ in range(2 * FREE):
        await working.reconcile(KEY)
    changed = cluster.objects["EdgeDetector", "yard"]
    changed["spec"]["serving"] = {"preferredBatchSizes": [3]}
    changed["metadata"]["generation"] += 1
    await working.reconcile(KEY)
    assert cluster.applied["ConfigMap/yard-serving"] == FREE + 1


def child(owner: str, namespace: str) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": owner, "name": "owner", "uid": "u", "controller": True}
    metadata = {"name": "exporter", "namespace": namespace, "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@pytest.mark.parametrize(
    ("key", "owner", "place"),
    [(KEY, "EdgeDetector", "site"), (PROFILE, "Deployment", "site"), (PROFILE, "AcceleratorProfile", "default")],
)
async def test_a_fight_is_told_where_the_owner_is(key: keys.Key, owner: str, place: str) -> None:
    """An operator that serves some namespaces has no rights in `default`."""
    cluster = Contested()
    working = reconciler(cluster).shell
    working.drifts = Drifts(lambda: 0.0, lambda _key, _seconds: None)
    for _ in range(FREE + 1):
        await working.converge(key, [child(owner, "site")], (), "u")
        cluster.objects.clear()
    (event,) = cluster.told
    assert (event["reason"], event["metadata"]["namespace"]) == ("Contested", place)
    assert event["regarding"].get("namespace", "default") == place
