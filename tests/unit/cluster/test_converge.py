"""What is applied, what is left alone, and what is deleted when."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
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
        self._versions = itertools.count(2)  # no object has version 1

    async def apply(self, body: dict[str, Any], manager: str, only: Mapping[str, str] | None = None) -> dict[str, Any]:
        if body["metadata"]["name"] == self.refuse:
            raise errors.RejectedError("refused")
        before = self.objects.get(converge.key_of(body))
        if only is not None and (only != {"resourceVersion": "1"} if before is None else not judged(before, only)):
            raise errors.ConflictError("the object has been modified")
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


def judged(live: dict[str, Any], only: Mapping[str, str]) -> bool:
    return all(live["metadata"][field] == value for field, value in only.items())


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
    assert not await run(store, child("a", x="1"), child("b", x="1"))
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


async def test_the_outcome_has_the_children_as_they_are_now() -> None:
    store = Store()
    await run(store, child("old"), child("kept"), child("changed", x="1"))
    outcome = await run(store, child("kept"), child("changed", x="2"), child("new"))
    assert sorted(obj["metadata"]["name"] for obj in outcome.children) == ["changed", "kept", "new"]
    assert set(map(converge.version, outcome.children)) == set(map(converge.version, store.objects.values()))


async def test_a_child_that_was_replaced_since_the_look_is_not_applied_over() -> None:
    store = Store()
    await run(store, child("a", x="1"))
    seen = tuple(store.objects.values())
    store.objects.clear()
    await store.apply(made_by_a_user(name="a"), "kubectl")
    with pytest.raises(errors.ConflictError):
        await converge.converge(store, [child("a", x="2")], seen, OWNER, "me")  # type: ignore[arg-type]
    assert store.objects["v1", "ConfigMap", "n", "a"]["data"] == {"theirs": "1"}


async def test_a_child_that_the_look_missed_is_found_and_not_written_again() -> None:
    store = Store()
    await run(store, child("a", x="1"))
    outcome = await converge.converge(store, [child("a", x="1")], (), OWNER, "me")  # type: ignore[arg-type]
    assert not outcome
    assert store.writes == ["apply a"]


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
    assert not outcome
    assert [key[3] for key in store.objects] == ["stranger"]


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
