"""Reasons that only an API server's own judgement brings about, each from its cause to what the detector says of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bench.reconcile import rig
from tests import apiserver as bare

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.cluster import kinds

Object = dict[str, Any]

DAMAGED = "damaged"


@pytest.fixture(scope="module")
def server() -> Iterator[bare.Server]:
    """A server of its own with an operator, since one of the tests spoils a definition. Module: it takes a while."""
    with bare.start() as running:
        rig.install(running)
        with rig.operator(running):
            rig.await_profiles(running)
            yield running


def judged(server: bare.Server, obj: Object) -> dict[str, Object]:
    found = (server.get(server.path(obj)) or {}).get("status", {}).get("conditions", ())
    return {entry["type"]: entry for entry in found}


def until(server: bare.Server, obj: Object, condition: str, reason: str) -> dict[str, Object]:
    """Wait until a condition has a reason, and return all conditions."""

    def told() -> bool:
        return judged(server, obj).get(condition, {}).get("reason") == reason

    try:
        bare.until(f"{condition} is {reason}", told)
    except TimeoutError:
        pytest.fail(f"{condition} is not {reason}: {judged(server, obj)}")
    return judged(server, obj)


def test_a_quota_that_refuses_a_child_is_apply_failed_until_it_is_raised(server: bare.Server) -> None:
    obj = rig.detector(0)
    place = obj["metadata"]["namespace"]
    # Its status, which a controller would write, is what counts.
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "services", "namespace": place},
        "spec": {"hard": {"count/services": "0"}},
    }
    server.apply(quota)
    counted = {"status": {name: {"count/services": "0"} for name in ("hard", "used")}}
    server.request("PATCH", f"{server.path(quota)}/status", counted, "application/merge-patch+json")
    server.apply(obj)
    found = until(server, obj, c.READY, c.REASON_APPLY_FAILED)
    assert found[c.STALLED]["status"] == c.TRUE
    assert "exceeded quota: services" in found[c.READY]["message"]
    server.delete(quota)
    assert until(server, obj, c.STALLED, c.REASON_AS_EXPECTED)[c.STALLED]["status"] == c.FALSE


def test_a_profile_from_before_a_rule_is_an_invalid_profile_until_it_is_mended(server: bare.Server) -> None:
    """The definition of an older release let it pass."""
    shipped = server.get(kinds.ACCELERATOR_PROFILE.path(name=rig.PROFILE))
    profile = {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorProfile",
        "metadata": {"name": DAMAGED},
        "spec": shipped["spec"],
    }
    wrong = {**profile, "spec": {**profile["spec"], "triton": {**profile["spec"]["triton"], "instanceKind": "KIND_X"}}}
    crd = server.get(kinds.CRD.path(name=f"{kinds.ACCELERATOR_PROFILE.plural}.{names.GROUP}"))
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    lax = [{**version, "schema": {"openAPIV3Schema": schema}} for version in crd["spec"]["versions"]]
    server.request("PATCH", server.path(crd), {"spec": {"versions": lax}}, "application/merge-patch+json")

    def passes() -> bool:
        try:
            server.apply(wrong)
        except bare.RefusedError:
            return False
        return True

    bare.until("the older definition lets it pass", passes)
    obj = rig.detector(1)
    obj["spec"]["acceleratorProfile"] = DAMAGED
    server.apply(obj)
    found = until(server, obj, c.READY, c.REASON_INVALID_PROFILE)
    assert found[c.STALLED]["status"] == c.TRUE
    assert f"AcceleratorProfile {DAMAGED}: spec.triton.instanceKind" in found[c.READY]["message"]
    server.apply(profile)
    assert until(server, obj, c.STALLED, c.REASON_AS_EXPECTED)[c.STALLED]["status"] == c.FALSE


def test_an_autoscaler_that_cannot_scale_is_told(server: bare.Server) -> None:
    """What the controllers of Deployments and autoscalers would write is written by hand."""
    obj = rig.detector(2)
    place, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    server.apply(obj)
    workload = kinds.DEPLOYMENT.path(place, names.triton(name))
    scaler = kinds.of("autoscaling/v2", "HorizontalPodAutoscaler").path(place, names.triton(name))
    bare.until("the children are there", lambda: server.get(workload) and server.get(scaler))

    def write(path: str, status: Object) -> None:
        server.request("PATCH", f"{path}/status", {"status": status}, "application/merge-patch+json")

    write(workload, {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1})
    words = "the HPA controller was unable to get the target's current scale"
    able = {"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": words}
    write(scaler, {"desiredReplicas": 0, "conditions": [able | {"lastTransitionTime": "2026-11-22T12:00:00Z"}]})
    found = until(server, obj, c.SCALING_READY, c.REASON_SCALING_FAILED)
    assert words in found[c.SCALING_READY]["message"]
    assert found[c.STALLED]["status"] == c.FALSE, "it does not hold up Ready"
    mended = able | {"status": "True", "reason": "SucceededGetScale", "message": "the target's scale is known"}
    active = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": "it counts"}
    since = {"lastTransitionTime": "2026-11-22T12:01:00Z"}
    write(scaler, {"desiredReplicas": 1, "conditions": [mended | since, active | since]})
    until(server, obj, c.SCALING_READY, c.REASON_SCALING_ACTIVE)
