"""Which events wake whom."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgedetector.api import names
from edgedetector.controller import keys
from edgedetector.controller.watch import Known, News, fingerprint, intent, keys_of


def scaler() -> dict[str, Any]:
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": "yard-triton",
            "namespace": "site",
            "uid": "1",
            "resourceVersion": "7",
            "labels": {names.LABEL_DETECTOR: "yard"},
            "managedFields": [{"time": "2026-01-01T00:00:00Z"}],
        },
        "spec": {"maxReplicas": 2},
        "status": {
            "currentMetrics": [{"containerResource": {"current": {"averageUtilization": 31}}}],
            "conditions": [{"type": "ScalingActive", "status": "True"}],
        },
    }


def test_a_figure_that_an_autoscaler_does_not_get_any_more_is_news_and_what_it_is_is_none() -> None:
    got, moved, blank = scaler(), scaler(), scaler()
    got["status"]["currentMetrics"] = [{"type": "External", "external": {"current": {"averageValue": "1"}}}]
    moved["status"]["currentMetrics"] = [{"type": "External", "external": {"current": {"averageValue": "2"}}}]
    blank["status"]["currentMetrics"] = [{"type": ""}]
    assert fingerprint(got) == fingerprint(moved) != fingerprint(blank)


def profile() -> dict[str, Any]:
    metadata = {"name": "cpu", "uid": "2", "generation": 1}
    return {"kind": "AcceleratorProfile", "metadata": metadata, "spec": {"media": {}}, "status": {"exporters": {}}}


def event(obj: dict[str, Any], kind: str | None = "MODIFIED") -> dict[str, Any]:
    return {"type": kind, "object": obj}


def changed(obj: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    other = copy.deepcopy(obj)
    at: Any = other
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return other


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (scaler(), scaler()),
        (scaler(), changed(scaler(), "metadata", "resourceVersion", to="8")),
        (scaler(), changed(scaler(), "metadata", "managedFields", to=[])),
        (scaler(), changed(scaler(), "status", "currentMetrics", to=[])),
        (profile(), changed(profile(), "status", to={"exporters": {"ready": 1}})),
    ],
    ids=["the same again", "a version", "bookkeeping", "a load figure", "our own status"],
)
def test_an_event_without_news_wakes_nobody(before: dict[str, Any], after: dict[str, Any]) -> None:
    news = News()
    assert news.is_new(event(before, None))
    assert not news.is_new(event(after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (scaler(), changed(scaler(), "spec", "maxReplicas", to=3)),
        (scaler(), changed(scaler(), "status", "conditions", 0, "status", to="False")),
        (scaler(), changed(scaler(), "metadata", "labels", to={})),
        (profile(), changed(profile(), "spec", "media", to={"image": "other"})),
        (profile(), changed(profile(), "metadata", "deletionTimestamp", to="2026-01-01T00:00:00Z")),
        (profile(), changed(profile(), "status", to={})),
    ],
    ids=["specification", "condition", "labels", "another image", "deletion", "a status that somebody removed"],
)
def test_what_matters_is_news(before: dict[str, Any], after: dict[str, Any]) -> None:
    news = News()
    news.is_new(event(before))
    assert news.is_new(event(after))


def test_a_deletion_is_always_news_and_leaves_no_memory() -> None:
    news = News()
    news.is_new(event(scaler()))
    assert news.is_new(event(scaler(), "DELETED"))
    assert len(news) == 0


def test_a_child_leads_to_its_parent_by_label() -> None:
    assert keys_of(scaler()) == (keys.detector("site", "yard"),)
    exporter = {"metadata": {"namespace": "system", "labels": {names.LABEL_PROFILE: "cpu"}}}
    assert keys_of(exporter) == (keys.profile("cpu"),)
    assert keys_of({"metadata": {"name": "stranger"}}) == ()


def test_a_child_whose_label_somebody_took_away_leads_to_its_parent_by_its_owner() -> None:
    owners = [
        {"apiVersion": names.API_VERSION, "kind": kind, "name": "yard"}
        for kind in ("EdgeDetector", "AcceleratorProfile")
    ]
    stranger = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "other"}
    child = {"metadata": {"namespace": "site", "ownerReferences": [stranger, *owners]}}
    assert keys_of(child) == (keys.detector("site", "yard"), keys.profile("yard"))
    labelled = {"metadata": {**scaler()["metadata"], "ownerReferences": owners[:1]}}
    assert keys_of(labelled) == (keys.detector("site", "yard"),)


def test_only_detectors_of_the_named_namespaces_are_served() -> None:
    """The operator watches its own namespace too, for its exporters."""
    here, there = keys.detector("site-a", "yard"), keys.detector("edgedetector-system", "yard")
    assert [keys.is_served(key, ("site-a",)) for key in (here, there)] == [True, False]
    assert [keys.is_served(key, ()) for key in (here, there)] == [True, True]
    assert keys.is_served(keys.profile("cpu"), ("site-a",))


def children() -> tuple[Known, list[keys.Key]]:
    woken: list[keys.Key] = []
    return Known(woken.append, lambda obj: str(obj["metadata"]["resourceVersion"])), woken


def child(name: str = "yard", version: int = 1, uid: str = "1") -> dict[str, Any]:
    labels = {names.LABEL_DETECTOR: name}
    return {"metadata": {"uid": uid, "namespace": "site", "resourceVersion": version, "labels": labels}}


YARD, DOCK = keys.detector("site", "yard"), keys.detector("site", "dock")


def test_a_child_wakes_its_parent_when_it_changes_and_only_then() -> None:
    known, woken = children()
    known.saw(child())
    known.saw(child())
    assert woken == [YARD]
    known.saw(child(version=2))
    assert woken == [YARD, YARD]


def test_a_child_that_is_given_to_another_parent_wakes_both() -> None:
    known, woken = children()
    known.saw(child("yard"))
    known.saw(child("dock", version=2))
    assert woken[1:] == [YARD, DOCK]


def test_a_deleted_child_wakes_its_parent_and_is_forgotten() -> None:
    known, woken = children()
    known.saw(child())
    known.gone(child())
    assert woken == [YARD, YARD]
    assert len(known) == 0


def test_a_child_that_vanished_while_nobody_watched_wakes_its_parent() -> None:
    known, woken = children()
    known.saw(child("yard", uid="1"))
    known.saw(child("dock", uid="2"))
    woken.clear()
    known.begin()
    known.saw(child("dock", uid="2"))
    known.end()
    assert woken == [YARD]
    assert len(known) == 1


def test_a_list_that_was_broken_off_takes_nothing_for_gone() -> None:
    known, woken = children()
    known.saw(child("yard", uid="1"))
    known.begin()
    known.begin()
    known.saw(child("yard", uid="1"))
    known.end()
    assert woken == [YARD]


def written(generation: int = 1, **managers: str) -> dict[str, Any]:
    entries = [
        {"manager": name, "operation": "Update", "subresource": subresource, "time": "2026-01-01T00:00:00Z"}
        for name, subresource in managers.items()
    ]
    return {"metadata": {"name": "yard", "namespace": "site", "generation": generation, "managedFields": entries}}


def test_a_detector_wakes_nobody_when_its_own_status_is_written_again() -> None:
    before, after = written(edgedetector="status"), written(edgedetector="status")
    after["metadata"]["managedFields"][0]["time"] = "2026-02-02T00:00:00Z"
    after["metadata"]["resourceVersion"] = "8"
    assert intent(before) == intent(after)


@pytest.mark.parametrize(
    "after",
    [
        written(2, edgedetector="status"),
        written(kubectl="status"),
        written(edgedetector="status", kubectl="status"),
        {"metadata": {**written(edgedetector="status")["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ],
    ids=["specification", "a status that somebody took away", "a status that somebody changed", "deletion"],
)
def test_a_detector_that_somebody_changed_is_looked_at(after: dict[str, Any]) -> None:
    assert intent(written(edgedetector="status")) != intent(after)
