"""What the comparison of two runs sees and what it overlooks."""

from __future__ import annotations

import copy
from typing import Any

from tests.faults import world


def objects(salt: str) -> list[dict[str, Any]]:
    """A Deployment and its pod as two runs would show them."""
    deployment, pod = (f"{kind * 8}-0000-4000-8000-{salt * 12}" for kind in "de")
    entry = {
        "manager": "edgedetector",
        "operation": "Apply",
        "time": f"t{salt}",
        "fieldsV1": {"f:spec": {}, deployment: {}},
    }
    meta = {"namespace": "site", "resourceVersion": salt, "creationTimestamp": f"t{salt}", "managedFields": [entry]}
    owner = {"kind": "Deployment", "name": "yard", "uid": deployment}
    return [
        {
            "kind": "Deployment",
            "metadata": {**meta, "name": "yard", "uid": deployment, "generation": 2},
            "spec": {"a": 1},
        },
        {
            "kind": "Pod",
            "metadata": {**meta, "name": f"yard-1-{salt * 5}", "uid": pod, "ownerReferences": [owner]},
            "spec": {},
        },
    ]


def test_two_good_runs_are_equal() -> None:
    assert world.world(objects("a")) == world.world(objects("b"))


def test_a_generation_too_many_a_field_of_ours_and_a_dead_owner_are_seen() -> None:
    want = world.world(objects("a"))
    for spoil in (_generation, _ownership, _owner):
        found = objects("b")
        spoil(found)
        assert list(world.differences(want, world.world(found))), spoil


def _generation(found: list[dict[str, Any]]) -> None:
    found[0]["metadata"]["generation"] = 3


def _ownership(found: list[dict[str, Any]]) -> None:
    found[0]["metadata"]["managedFields"][0]["fieldsV1"] = {}


def _owner(found: list[dict[str, Any]]) -> None:
    found[1]["metadata"]["ownerReferences"][0]["uid"] = "00000000-0000-4000-8000-000000000000"


def test_a_missing_object_and_one_too_many_are_told() -> None:
    want = world.world(objects("a"))
    less = copy.deepcopy(want)
    del less["Deployment site/yard"]
    assert list(world.differences(want, less)) == ["Deployment site/yard: is missing"]
    assert "is there without need" in next(iter(world.differences(less, want)))


def test_an_object_with_two_uids_was_born_twice() -> None:
    assert world.born_twice({"a": ["1", "1"], "b": ["1", "2"]}) == ["b"]
