"""What is applied, what is left alone, and what is deleted when."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from edgedetector import plan
from edgedetector.api import names
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
        ours = {f"f:{key}": {} for key in body["metadata"] if key not in {"name", "namespace"}}
        fields = {"f:data": {f"f:{key}": {} for key in body["data"]}, "f:metadata": ours}
        entry = {"manager": manager, "operation": "Apply", "fieldsV1": fields}
        version = str(next(self._versions))
        metadata = {**body["metadata"], "uid": version, "resourceVersion": version, "managedFields": [entry]}
        self.objects[converge.key_of(body)] = live = {**body, "metadata": metadata}
        self.writes.append(f"apply {body['metadata']['name']}")
        return live

    async def list(self, kind: kinds.Kind, namespace: str = "", *, fields: str) -> tuple[dict[str, Any], ...]:
        name = fields.removeprefix("metadata.name=")
        found = self.objects.get((kind.api_version, kind.kind, namespace, name))
        return (found,) if found else ()

    async def delete(self, obj: dict[str, Any]) -> None:
        del self.objects[converge.key_of(obj)]
        self.writes.append(f"delete {obj['metadata']['name']}")


def child(name: str, owner: str = OWNER, **data: str) -> dict[str, Any]:
    reference = {"apiVersion": names.API_VERSION, "kind": "EdgeDetector", "name": "yard", "uid": owner}
    labels = {names.LABEL_DETECTOR: "yard"}
    metadata = {"name": name, "namespace": "n", "labels": labels, "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def run(store: Store, *desired: dict[str, Any]) -> converge.Outcome:
    """A pass, which sees by their label what carries it."""
    live = tuple(obj for obj in store.objects.values() if obj["metadata"].get("labels"))
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


def made_by_a_user(**metadata: Any) -> dict[str, Any]:
    found = child("serving", theirs="1")
    found["metadata"] = {"name": "serving", "namespace": "n", **metadata}
    return found


OURS = {names.LABEL_DETECTOR: "yard"}
LIVE_OWNER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs", "uid": "4"}


@pytest.mark.parametrize(
    "metadata",
    [{}, {"labels": OURS}, {"ownerReferences": [LIVE_OWNER]}, {"labels": OURS, "ownerReferences": [LIVE_OWNER]}],
    ids=["bare", "with our label", "with an owner", "with our label and an owner"],
)
async def test_an_object_of_somebody_else_is_neither_changed_nor_deleted_and_the_rest_is_applied(
    metadata: dict[str, Any],
) -> None:
    store = Store()
    await store.apply(made_by_a_user(**metadata), "kubectl")
    outcome = await run(store, child("serving", ours="1"), child("other", x="1"))
    assert outcome.taken == ("ConfigMap serving",)
    assert outcome.applied == ("ConfigMap/other: new",)
    assert store.objects["v1", "ConfigMap", "n", "serving"]["data"] == {"theirs": "1"}
    await run(store)
    assert [key[3] for key in store.objects] == ["serving"]


async def test_nothing_is_deleted_while_a_name_is_taken() -> None:
    store = Store()
    await store.apply(made_by_a_user(), "kubectl")
    await run(store, child("old"))
    assert (await run(store, child("serving"))).pruned == ()


async def test_a_child_that_lost_its_label_is_still_ours() -> None:
    store = Store()
    await run(store, child("a", x="1"))
    del store.objects["v1", "ConfigMap", "n", "a"]["metadata"]["labels"]
    assert (await run(store, child("a", x="1"))).taken == ()


@pytest.mark.parametrize("how", ["of an owner that was made anew", "without an owner"])
async def test_a_child_that_outlived_its_owner_is_taken_up(how: str) -> None:
    store = Store()
    await store.apply(child("a", owner="dead", x="1"), "me")
    if how == "without an owner":
        del store.objects["v1", "ConfigMap", "n", "a"]["metadata"]["ownerReferences"]
    assert len((await run(store, child("a", x="2"))).applied) == 1
    assert store.objects["v1", "ConfigMap", "n", "a"]["metadata"]["ownerReferences"][0]["uid"] == OWNER


async def test_a_child_of_another_detector_is_not() -> None:
    store = Store()
    other = child("a", owner="alive", x="1")
    other["metadata"]["ownerReferences"][0]["name"] = "dock"
    await store.apply(other, "me")
    assert (await run(store, child("a", x="2"))).taken == ("ConfigMap a",)


async def test_what_is_on_its_way_out_is_not_deleted_again() -> None:
    store = Store()
    await run(store, child("old"))
    next(iter(store.objects.values()))["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (await run(store)).pruned == ()


def test_every_kind_that_is_planned_can_be_reached() -> None:
    for api_version, kind in (*plan.CHILD_KINDS, *plan.PROFILE_CHILD_KINDS):
        assert kinds.of(api_version, kind).path("n", "x").endswith("/x")
