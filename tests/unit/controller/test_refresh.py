"""Which pods are nudged so that the kubelet refreshes their ConfigMaps."""

from __future__ import annotations

from typing import Any

from edgedetector.api import names
from edgedetector.controller.refresh import stale_pods


def config(name: str, text: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": {"config.json": text}}


def pod(*mounts: str, digest: str = "", **metadata: Any) -> dict[str, Any]:
    annotations = {names.ANNOTATION_REFRESH: digest} if digest else {}
    volumes = [{"name": mount, "configMap": {"name": mount}} for mount in mounts]
    return {"metadata": {"name": "p", "annotations": annotations, **metadata}, "spec": {"volumes": volumes}}


def digest_of(subject: dict[str, Any], *desired: dict[str, Any]) -> str:
    return next(iter(stale_pods([subject], desired)))[1]


def test_a_pod_is_nudged_once_for_a_content() -> None:
    digest = digest_of(pod("a"), config("a", "1"))
    assert list(stale_pods([pod("a", digest=digest)], [config("a", "1")])) == []


def test_a_change_of_a_mounted_map_nudges_again() -> None:
    before = pod("a", "b", digest=digest_of(pod("a", "b"), config("a", "1"), config("b", "1")))
    assert [p for p, _ in stale_pods([before], [config("a", "1"), config("b", "2")])] == [before]


def test_a_change_of_a_map_that_is_not_mounted_does_not() -> None:
    before = pod("a", digest=digest_of(pod("a"), config("a", "1"), config("b", "1")))
    assert list(stale_pods([before], [config("a", "1"), config("b", "2")])) == []


def test_maps_of_the_user_and_pods_that_leave_are_none_of_our_business() -> None:
    leaving = pod("a", deletionTimestamp="2026-01-01T00:00:00Z")
    assert list(stale_pods([pod("users-model"), leaving], [config("a", "1")])) == []
