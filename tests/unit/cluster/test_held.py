"""Which template a workload gets, on a Deployment as a real API server (1.35) returned it."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from edgedetector.api import names
from edgedetector.cluster import diff, held

Object = dict[str, Any]

RECORDED = json.loads((Path(__file__).parent / "data" / "deployment.json").read_text())
OLD = held.Origin("operator:1", profile="p/1", settled=True)
NEW = dataclasses.replace(OLD, release="operator:2")


def desired(image: str = "") -> Object:
    """The recorded Deployment as it was desired; an image makes it what another release or other inputs render."""
    found: Object = copy.deepcopy(RECORDED["desired"])
    if image:
        found["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return found


def live(origin: held.Origin | None = OLD, *, like: Object | None = None) -> Object:
    """The recorded Deployment as it came back, with the annotation of `origin`; `like`: with that one's template."""
    found: Object = copy.deepcopy(RECORDED["live"])
    # Two replicas run: what stands in the recording is the test's business, not ours.
    found["spec"]["replicas"] = 2
    done = like or (held.workload(desired(), None, origin, names.FIELD_MANAGER) if origin else None)
    if done is not None:
        text = done["metadata"]["annotations"][held.ANNOTATION]
        found["metadata"].setdefault("annotations", {})[held.ANNOTATION] = text
    return found


def decide(wanted: Object, before: Object | None, origin: held.Origin) -> Object:
    return held.workload(wanted, before, origin, names.FIELD_MANAGER)


def image_of(obj: Object) -> str:
    image: str = obj["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def differs(wanted: Object, before: Object) -> str:
    return diff.difference_at(wanted["spec"]["template"], before, names.FIELD_MANAGER, "spec", "template")


def test_what_we_applied_can_be_read_from_the_live_object_and_applying_it_changes_nothing() -> None:
    found = held.applied(live(), names.FIELD_MANAGER, "spec", "template")
    assert diff.difference_at(found, live(), names.FIELD_MANAGER, "spec", "template") == ""
    wanted, seen = desired()["spec"]["template"]["spec"], found["spec"]
    assert [c["name"] for c in seen["containers"]] == [c["name"] for c in wanted["containers"]]
    assert set(seen) == set(wanted)


@pytest.mark.parametrize("recorded", [OLD, None], ids=["by an older release", "by one that kept no record"])
def test_another_release_leaves_the_template_alone(recorded: held.Origin | None) -> None:
    before = live(recorded)
    after = decide(desired("other:2"), before, NEW)
    assert differs(after, before) == ""
    assert image_of(after) == image_of(before)
    assert held.record(after) == dataclasses.replace(
        held.record(decide(desired("other:2"), None, NEW)) or pytest.fail("no record"),
        held=(held.record(after) or pytest.fail("no record")).held,
    )


def test_what_is_held_is_held_in_later_passes_and_by_later_releases() -> None:
    before = live(like=decide(desired("other:2"), live(), NEW))
    again = decide(desired("other:2"), before, NEW)
    assert (differs(again, before), held.record(again)) == ("", held.record(before))
    third = dataclasses.replace(NEW, release="operator:3")
    assert image_of(decide(desired("other:3"), before, third)) == image_of(before)


def test_inputs_that_change_end_it() -> None:
    before = live(like=decide(desired("other:2"), live(), NEW))
    after = decide(desired("other:2b"), before, NEW)
    assert image_of(after) == "other:2b"
    assert (held.record(after) or pytest.fail("no record")).held == ""


def test_inputs_that_change_within_a_release_are_applied() -> None:
    assert image_of(decide(desired("chosen"), live(), OLD)) == "chosen"


@pytest.mark.parametrize(
    "origin",
    [
        dataclasses.replace(NEW, settled=False),
        dataclasses.replace(NEW, profile="p/2"),
        dataclasses.replace(NEW, immediate=True),
    ],
    ids=["another specification meanwhile", "another profile meanwhile", "the installation says so"],
)
def test_another_release_renders_anew_where_it_has_a_reason(origin: held.Origin) -> None:
    assert image_of(decide(desired("other:2"), live(), origin)) == "other:2"


def test_a_workload_without_pods_is_rendered_anew() -> None:
    before = live()
    before["spec"]["replicas"] = 0
    assert image_of(decide(desired("other:2"), before, NEW)) == "other:2"


def test_a_release_that_renders_the_same_holds_nothing() -> None:
    assert (held.record(decide(desired(), live(), NEW)) or pytest.fail("no record")).held == ""


def edit_by_hand(obj: Object, image: str) -> None:
    """What `kubectl set image` does: another manager has the field."""
    obj["spec"]["template"]["spec"]["containers"][0]["image"] = image
    name = obj["spec"]["template"]["spec"]["containers"][0]["name"]
    ours = diff.owned_at(obj, names.FIELD_MANAGER, "spec", "template", "spec", "containers") or pytest.fail("not ours")
    item = next(key for key in ours if key.startswith("k:") and json.loads(key[2:])["name"] == name)
    del ours[item]["f:image"]
    tree = {"f:spec": {"f:template": {"f:spec": {"f:containers": {item: {"f:image": {}}}}}}}
    obj["metadata"]["managedFields"].append({"manager": "kubectl-set", "operation": "Update", "fieldsV1": tree})


@pytest.mark.parametrize("first", [False, True], ids=["while it was held", "while no operator looked"])
def test_a_template_that_was_changed_by_hand_is_rendered_anew(*, first: bool) -> None:
    before = live() if first else live(like=decide(desired("other:2"), live(), NEW))
    edit_by_hand(before, "by-hand")
    assert image_of(decide(desired("other:2"), before, NEW)) == "other:2"


def test_a_restart_that_somebody_asked_for_ends_nothing() -> None:
    before = live()
    before["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "2026-01-01"}
    tree = {"f:spec": {"f:template": {"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/restartedAt": {}}}}}}
    before["metadata"]["managedFields"].append({"manager": "kubectl", "operation": "Update", "fieldsV1": tree})
    assert image_of(decide(desired("other:2"), before, NEW)) == image_of(before)


def test_an_annotation_that_makes_no_sense_is_none() -> None:
    before = live()
    before["metadata"]["annotations"][held.ANNOTATION] = '{"who": 1}'
    assert held.record(before) is None
    assert image_of(decide(desired("other:2"), before, NEW)) == image_of(before)


def test_only_workloads_are_touched_and_what_is_newly_held_is_named() -> None:
    service = {"kind": "Service", "metadata": {"name": "yard"}}
    found, newly = held.keep([service, desired("other:2")], [live()], NEW, names.FIELD_MANAGER)
    assert found[0] is service
    assert newly == (f"Deployment/{desired()['metadata']['name']}",)
    before = live(like=found[1])
    assert held.keep([desired("other:2")], [before], NEW, names.FIELD_MANAGER)[1] == ()
