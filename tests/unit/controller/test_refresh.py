"""Which pods are nudged so that the kubelet refreshes their ConfigMaps."""

from __future__ import annotations

from typing import Any

import pytest

from edgedetector.api import names
from edgedetector.controller.refresh import stale_pods
from edgedetector.observe.snapshot import Workload

AT_REST = Workload("yard-triton", current=True, desired=1, updated=1, available=1, total=1)


def config(name: str, text: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": {"config.json": text}}


def pod(*mounts: str, digest: str = "", component: str = "triton", **metadata: Any) -> dict[str, Any]:
    annotations = {names.ANNOTATION_REFRESH: digest} if digest else {}
    labels = {names.LABEL_DETECTOR: "yard", names.LABEL_COMPONENT: component}
    volumes = [{"name": mount, "configMap": {"name": mount}} for mount in mounts]
    return {
        "metadata": {"name": "p", "labels": labels, "annotations": annotations, **metadata},
        "spec": {"volumes": volumes},
    }


def stale(pods: list[dict[str, Any]], *desired: dict[str, Any], workload: Workload = AT_REST) -> list[dict[str, Any]]:
    return [found for found, _ in stale_pods(pods, desired, [workload])]


def digest_of(subject: dict[str, Any], *desired: dict[str, Any]) -> str:
    return next(iter(stale_pods([subject], desired, [AT_REST])))[1]


def test_a_pod_is_nudged_once_for_a_content() -> None:
    digest = digest_of(pod("a"), config("a", "1"))
    assert stale([pod("a", digest=digest)], config("a", "1")) == []


def test_a_change_of_a_mounted_map_nudges_again() -> None:
    before = pod("a", "b", digest=digest_of(pod("a", "b"), config("a", "1"), config("b", "1")))
    assert stale([before], config("a", "1"), config("b", "2")) == [before]


def test_a_change_of_a_map_that_is_not_mounted_does_not() -> None:
    before = pod("a", digest=digest_of(pod("a"), config("a", "1"), config("b", "1")))
    assert stale([before], config("a", "1"), config("b", "2")) == []


def test_maps_of_the_user_and_pods_that_leave_are_none_of_our_business() -> None:
    leaving = pod("a", deletionTimestamp="2026-01-01T00:00:00Z")
    assert stale([pod("users-model"), leaving], config("a", "1")) == []


@pytest.mark.parametrize(
    ("workload", "nudged"),
    [
        (Workload("yard-triton", current=False, desired=1, updated=1, available=1, total=1), 0),
        (Workload("yard-triton", current=True, desired=1, updated=0, available=1, total=1), 0),
        (Workload("yard-triton", current=True, desired=2, updated=1, available=2, total=2), 0),
        (Workload("yard-triton", current=True, desired=2, updated=1, available=0, total=1), 1),
        (Workload("yard-triton", current=True, desired=1, updated=1, available=0, total=1), 1),
        (Workload("yard-media", current=True, desired=1, updated=1, available=1, total=1), 0),
    ],
    ids=[
        "a template not looked at yet",
        "an old pod before a roll",
        "one old and one new",
        "a replica more",
        "one that crashes",
        "another Deployment",
    ],
)
def test_pods_that_a_roll_is_about_to_replace_are_left_alone(workload: Workload, nudged: int) -> None:
    assert len(stale([pod("a")], config("a", "1"), workload=workload)) == nudged


def test_the_media_pod_goes_by_its_own_deployment() -> None:
    media = pod("a", component="media")
    assert stale([media], config("a", "1")) == []
    steady = Workload("yard-media", current=True, desired=1, updated=1, available=1, total=1)
    assert stale([media], config("a", "1"), workload=steady) == [media]
