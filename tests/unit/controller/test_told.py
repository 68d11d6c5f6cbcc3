"""Whole passes over a detector that waits for others: whose fault it is, and who has what it needs."""

from __future__ import annotations

import copy
from typing import Any

from tests.unit.controller.test_detectors import KEY, Cluster, conditions_of, pod, profile, reconciler
from tests.unit.status.views import healthy, resource, state

from edgedetector.api import conditions as c
from edgedetector.api import names

GPU = "example.com/gpu"


def with_device() -> dict[str, Any]:
    found = profile()
    found["spec"]["resource"] = {"name": GPU, "count": 1}
    return found


def waiting() -> dict[str, Any]:
    found = pod()
    found["spec"] = {}
    words = f"0/1 nodes are available: 1 Insufficient {GPU}. preemption: none"
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    found["status"] = {"conditions": [{**scheduled, "lastTransitionTime": "2026-11-22T11:59:58Z"}]}
    return found


def holding(namespace: str, detector: str, **metadata: Any) -> dict[str, Any]:
    found = pod()
    labels = {names.LABEL_DETECTOR: detector, names.LABEL_COMPONENT: "triton", names.LABEL_MANAGED_BY: names.MANAGED_BY}
    found["metadata"] = {"name": f"{detector}-1", "namespace": namespace, "uid": detector, "labels": labels, **metadata}
    found["spec"]["containers"] = [{"name": "triton", "resources": {"limits": {GPU: "1"}}}]
    return found


async def test_who_holds_the_accelerator_is_named_and_asked_about_again() -> None:
    cluster = Cluster(resource(), with_device(), waiting(), holding("site-b", "dock"))
    again = await reconciler(cluster).reconcile(KEY)
    ready = conditions_of(cluster)[c.READY]
    assert ready["reason"] == c.REASON_ACCELERATOR_TAKEN
    assert "EdgeDetector site-b/dock" in ready["message"]
    assert again is not None
    assert again <= 30, "no event of ours tells when another detector takes over"
    del cluster.objects["Pod", "dock-1"]
    await reconciler(cluster).reconcile(KEY)
    assert conditions_of(cluster)[c.READY]["reason"] == c.REASON_UNSCHEDULABLE


async def test_a_holder_that_leaves_is_none() -> None:
    gone = holding("site-b", "dock", deletionTimestamp="2026-11-22T12:00:00Z")
    cluster = Cluster(resource(), with_device(), waiting(), gone)
    await reconciler(cluster).reconcile(KEY)
    assert conditions_of(cluster)[c.RECONCILING]["status"] == "True"


async def test_a_wrong_profile_is_the_profiles_fault_and_what_runs_is_judged() -> None:
    cluster = Cluster(resource(), profile(), pod())
    good = state(healthy().accepted.id)
    await reconciler(cluster, good).reconcile(KEY)
    spoilt = copy.deepcopy(profile())
    spoilt["spec"]["triton"]["instanceKind"] = "KIND_TOASTER"
    cluster.objects["AcceleratorProfile", "cpu"] = spoilt
    await reconciler(cluster, good).reconcile(KEY)
    found = conditions_of(cluster)
    assert (found[c.READY]["reason"], found[c.STALLED]["status"]) == (c.REASON_INVALID_PROFILE, "True")
    assert found[c.READY]["message"].startswith("AcceleratorProfile cpu: spec.triton.instanceKind")
    assert found[c.MODEL_READY]["status"] == found[c.STREAMS_READY]["status"] == "True"
