"""`difference` against what a real API server (1.35) made of applied objects, and against generated ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.api import names
from edgedetector.cluster import diff

# Each file: an object as it was applied, and as the API server then returned it, defaults and managedFields included.
RECORDED = sorted((Path(__file__).parent / "data").glob("*.json"))

Path_ = tuple[Any, ...]


def recorded(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    document = json.loads(path.read_text())
    return document["desired"], document["live"]


def leaves(value: Any, path: Path_ = ()) -> list[Path_]:
    """Paths of all scalars."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))]
    return [path]


def put(obj: Any, path: Path_, value: Any) -> None:
    for step in path[:-1]:
        obj = obj[step]
    obj[path[-1]] = value


IDENTITY = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_what_the_server_made_of_an_applied_object_is_no_difference(path: Path) -> None:
    desired, live = recorded(path)
    assert diff.difference(desired, live, names.FIELD_MANAGER) == ""


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_other_wanted_value_is_a_difference(path: Path) -> None:
    desired, live = recorded(path)
    unseen = []
    for leaf in leaves(desired):
        if leaf in IDENTITY:
            continue
        changed = copy.deepcopy(desired)
        put(changed, leaf, "something else")
        if not diff.difference(changed, live, names.FIELD_MANAGER):
            unseen.append(leaf)
    assert len(leaves(desired)) > 10
    assert unseen == []


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_field_no_longer_wanted_is_a_difference(path: Path) -> None:
    desired, live = recorded(path)
    fewer = copy.deepcopy(desired)
    del fewer["metadata"]["labels"][names.LABEL_INSTANCE]
    assert diff.difference(fewer, live, names.FIELD_MANAGER) == f"metadata.labels.{names.LABEL_INSTANCE}"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_an_object_that_we_never_applied_differs(path: Path) -> None:
    desired, live = recorded(path)
    assert diff.difference(desired, live, "somebody") == "metadata.managedFields"


def test_a_container_no_longer_wanted_is_a_difference() -> None:
    desired, live = recorded(RECORDED[1])
    desired["spec"]["template"]["spec"]["containers"].pop()
    assert diff.difference(desired, live, names.FIELD_MANAGER).startswith("spec.template.spec.containers")


def test_a_field_that_somebody_took_from_us_is_a_difference_even_at_the_wanted_value() -> None:
    """An update takes the field from its manager; we would no longer be able to remove it."""
    desired, live = recorded(RECORDED[1])
    ours = next(e for e in live["metadata"]["managedFields"] if e["manager"] == names.FIELD_MANAGER)
    del ours["fieldsV1"]["f:spec"]["f:strategy"]["f:type"]
    assert diff.difference(desired, live, names.FIELD_MANAGER) == "spec.strategy.type"


@pytest.mark.parametrize(
    ("path", "live", "desired", "same"),
    [
        ("spec.resources.requests.memory", "1Gi", "1024Mi", True),
        ("spec.resources.requests.cpu", "500m", "0.5", True),
        ("spec.resources.requests.cpu", "2", 2, True),
        ("spec.resources.limits.memory", "1Gi", "1G", False),
        ("spec.volumes[shm].emptyDir.sizeLimit", "1Gi", "1024Mi", True),
        ("metadata.labels.size", "1Gi", "1024Mi", False),
        ("data.value", "1", "1000m", False),
        ("spec.replicas", 1, True, False),
        ("spec.replicas", 1, 1, True),
    ],
)
def test_quantities_are_compared_by_value_where_the_server_prints_quantities(
    path: str, live: Any, desired: Any, *, same: bool
) -> None:
    assert diff.contains(live, desired, path) is same


scalars = st.one_of(st.booleans(), st.integers(), st.text(max_size=5))
keys = st.text("abcdef", min_size=1, max_size=3)
trees = st.recursive(scalars, lambda inner: st.dictionaries(keys, inner, min_size=1, max_size=4), max_leaves=12)
objects = st.dictionaries(keys, trees, min_size=1, max_size=4)


def fields(value: Any) -> dict[str, Any]:
    """The tree that the API server records for an applied map."""
    if not isinstance(value, dict):
        return {}
    return {f"f:{key}": fields(item) for key, item in value.items()}


def served(spec: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """A live object: `spec` applied by us, `extra` defaulted or set by others."""
    return {
        "metadata": {
            "managedFields": [{"manager": "us", "operation": "Apply", "fieldsV1": {"f:spec": fields(spec)}}],
        },
        "spec": {**{f"x{key}": value for key, value in extra.items()}, **spec},
    }


def wanted(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": spec}


@settings(deadline=None)
@given(objects, objects)
def test_what_others_add_is_none_of_our_business(spec: dict[str, Any], extra: dict[str, Any]) -> None:
    assert diff.difference(wanted(spec), served(spec, extra), "us") == ""


@settings(deadline=None)
@given(objects, objects)
def test_two_different_specifications_differ_in_both_directions(old: dict[str, Any], new: dict[str, Any]) -> None:
    differs = json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True)
    assert bool(diff.difference(wanted(new), served(old, {}), "us")) is differs
    assert bool(diff.difference(wanted(old), served(new, {}), "us")) is differs
