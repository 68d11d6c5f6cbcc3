"""What is applied, what is left alone, and what is deleted when."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from edgedetector import plan
from edgedetector.cluster import converge, errors, kinds

OWNER = "uid-of-the-owner"


class Store:
    """The part of an API server that `converge` talks to: apply by one manager, delete, and a fault to order."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, ...], dict[str, Any]] = {}
        self.writes: list[str] = []
        self.refuse = ""
        self._versions = itertools.count(1)

    async def apply(self, body: dict[str, Any], manager: str) -> dict[str, Any]:
        if body["metadata"]["name"] == self.refuse:
            raise errors.RejectedError("refused")
        fields = {"f:data": {f"f:{key}": {} for key in body["data"]}, "f:metadata": {"f:ownerReferences": {}}}
        entry = {"manager": manager, "operation": "Apply", "fieldsV1": fields}
        version = str(next(self._versions))
        metadata = {**body["metadata"], "uid": version, "resourceVersion": version, "managedFields": [entry]}
        self.objects[converge.key_of(body)] = live = {**body, "metadata": metadata}
        self.writes.append(f"apply {body['metadata']['name']}")
        return live

    async def delete(self, obj: dict[str, Any]) -> None:
        del self.objects[converge.key_of(obj)]
        self.writes.append(f"delete {obj['metadata']['name']}")


def child(name: str, owner: str = OWNER, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "ownerReferences": [{"uid": owner}]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def run(store: Store, *desired: dict[str, Any]) -> converge.Outcome:
    live = tuple(store.objects.values())
    return await converge.converge(store, desired, live, OWNER, "me")  # type: ignore[arg-type]


async def test_a_second_pass_writes_nothing() -> None:
    store = Store()
    await run(store, child("a", x="1"), child("b", x="1"))
    assert await run(store, child("a", x="1"), child("b", x="1")) == converge.Outcome()
    assert store.writes == ["apply a", "apply b"]


async def test_only_what_differs_is_applied() -> None:
    store = Store()
    await run(store, child("a", x="1"), child("b", x="1"))
    outcome = await run(store, child("a", x="1"), child("b", x="2"))
    assert outcome.applied == ("ConfigMap/b: data.x",)


async def test_what_is_no_longer_wanted_goes_after_everything_else_is_in_place() -> None:
    store = Store()
    await run(store, child("old"))
    await run(store, child("new"))
    assert store.writes == ["apply old", "apply new", "delete old"]


async def test_nothing_is_deleted_while_an_apply_fails() -> None:
    store = Store()
    await run(store, child("old"))
    store.refuse = "new"
    with pytest.raises(errors.RejectedError):
        await run(store, child("new"))
    assert [key[3] for key in store.objects] == ["old"]


async def test_what_only_carries_the_label_is_left_alone() -> None:
    store = Store()
    await store.apply(child("stranger", owner="somebody"), "somebody")
    outcome = await run(store)
    assert outcome == converge.Outcome()


async def test_what_is_on_its_way_out_is_not_deleted_again() -> None:
    store = Store()
    await run(store, child("old"))
    next(iter(store.objects.values()))["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (await run(store)).pruned == ()


def test_every_kind_that_is_planned_can_be_reached() -> None:
    for api_version, kind in (*plan.CHILD_KINDS, *plan.PROFILE_CHILD_KINDS):
        assert kinds.of(api_version, kind).path("n", "x").endswith("/x")
