"""Pods as a real kubelet and scheduler (1.35) report them, cut to what is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.observe import kubelet
from edgedetector.observe.snapshot import Problem

BACK_OFF = (
    'Back-off pulling image "edgedetector/none:1": ErrImagePull: failed to pull and unpack image'
    ' "docker.io/edgedetector/none:1": no such host'
)
PULL = 'failed to pull and unpack image "docker.io/edgedetector/none:1": no such host'


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "uid": "1", "labels": {names.LABEL_COMPONENT: "triton"}},
        "spec": {"nodeName": "node"},
        "status": {
            "phase": "Pending",
            "podIP": "10.244.0.6",
            "initContainerStatuses": list(init),
            "containerStatuses": list(containers),
            **status,
        },
    }


def waiting(reason: str, message: str = "", **container: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "triton", "image": "edgedetector/none:1", "state": state, "restartCount": 0, **container}


def ended(code: int, message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": "Error", "message": message}}


def killed(code: int, reason: str) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


RUNNING = {"name": "triton", "ready": False, "state": {"running": {"startedAt": "2026-11-22T15:00:00Z"}}}


@pytest.mark.parametrize(
    ("obj", "reason", "message"),
    [
        (
            pod(waiting("ErrImagePull", PULL)),
            c.REASON_IMAGE_PULL_FAILED,
            f'container triton: cannot pull image "edgedetector/none:1": {PULL}',
        ),
        (
            pod(waiting("ImagePullBackOff", BACK_OFF)),
            c.REASON_IMAGE_PULL_FAILED,
            f'container triton: cannot pull image "edgedetector/none:1": {PULL}',
        ),
        (
            pod(waiting("CreateContainerConfigError", 'configmap "model" not found')),
            c.REASON_CONFIG_MISSING,
            "container triton: ConfigMap model does not exist",
        ),
        (
            pod(waiting("CrashLoopBackOff", "back-off 40s restarting", restartCount=3, lastState=ended(134))),
            c.REASON_CRASH_LOOPING,
            "container triton: Error, exit code 134",
        ),
        (
            pod({**RUNNING, "restartCount": 3, "lastState": ended(1, "no\nlibrary")}),
            c.REASON_CRASH_LOOPING,
            "container triton: no library",
        ),
        (
            pod(
                waiting("PodInitializing"),
                init=(
                    waiting(
                        "CrashLoopBackOff",
                        name=names.CONTAINER_MODEL_REPOSITORY,
                        lastState=ended(2, "model people: model.py is missing"),
                    ),
                ),
            ),
            c.REASON_MODEL_SOURCE_MISSING,
            "container model-repository: model people: model.py is missing",
        ),
        (
            pod(
                waiting("PodInitializing"),
                init=(
                    {
                        "name": names.CONTAINER_MODEL_REPOSITORY,
                        "ready": False,
                        "restartCount": 1,
                        "state": {"running": {}},
                        "lastState": ended(1, '{"reason": "ModelTooLarge", "message": "model people: 600 MB"}'),
                    },
                ),
            ),
            c.REASON_MODEL_TOO_LARGE,
            "model people: 600 MB",
        ),
        (
            pod(waiting("CrashLoopBackOff", restartCount=3, lastState=killed(137, "OOMKilled"))),
            c.REASON_OUT_OF_MEMORY,
            "container triton: ended by the kernel for want of memory",
        ),
        (
            pod(waiting("CrashLoopBackOff", restartCount=3, lastState=killed(135, "Error"))),
            c.REASON_SHARED_MEMORY_TOO_SMALL,
            "container triton: no room in /dev/shm (Error, exit code 135)",
        ),
        (
            pod(waiting("CreateContainerConfigError", "couldn't find key url in Secret site/gate")),
            c.REASON_SECRET_MISSING,
            "container triton: Secret gate has no key url",
        ),
        (
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            c.REASON_UNAVAILABLE,
            "The node was low on resource: memory.",
        ),
    ],
    ids=[
        "pull",
        "pull back-off",
        "missing ConfigMap",
        "crash",
        "running between two crashes",
        "model source",
        "a model's file while it is tried again",
        "out of memory",
        "bus error",
        "missing key",
        "evicted",
    ],
)
def test_why_a_pod_does_not_run(obj: dict[str, Any], reason: str, message: str) -> None:
    assert kubelet.pod(obj).problem == Problem(reason, message)


@pytest.mark.parametrize(
    "obj",
    [
        pod(waiting("ContainerCreating")),
        pod(waiting("PodInitializing")),
        pod({**RUNNING, "restartCount": 0}),
        pod({**RUNNING, "restartCount": 1, "lastState": ended(1)}),
        pod({**RUNNING, "restartCount": 9, "lastState": ended(0)}),
        pod({**RUNNING, "ready": True, "restartCount": 9, "lastState": ended(1)}),
        pod(),
    ],
    ids=["creating", "initializing", "starting", "restarted once", "ended well", "recovered", "nothing known"],
)
def test_a_pod_on_its_way_has_no_problem(obj: dict[str, Any]) -> None:
    assert kubelet.pod(obj).problem is None


def test_the_words_of_the_scheduler_without_its_excuses() -> None:
    words = (
        "0/1 nodes are available: 1 Insufficient denglin.com/gpu. no new claims to deallocate, preemption: 0/1 nodes"
        " are available: 1 Preemption is not helpful for scheduling."
    )
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    found = kubelet.pod(pod(conditions=[{**scheduled, "lastTransitionTime": "2026-11-22T15:00:00Z"}]))
    assert found.unschedulable_since == "2026-11-22T15:00:00Z"
    said = "0/1 nodes are available: 1 Insufficient denglin.com/gpu"
    assert found.problem == Problem(c.REASON_UNSCHEDULABLE, said, ("denglin.com/gpu",))


def test_times_in_words_do_not_make_an_old_problem_new() -> None:
    first, second = (
        kubelet.pod(pod(waiting("CreateContainerError", f"failed at 2026-11-22T15:0{minute}:00.123Z: no device")))
        for minute in (1, 2)
    )
    assert first.problem == second.problem


NOW = datetime(2026, 11, 22, 15, 1, tzinfo=UTC)


def starting(status: str = "False", since: str = "2026-11-22T15:00:00Z", **metadata: Any) -> dict[str, Any]:
    ready = {"type": "PodReadyToStartContainers", "status": status, "lastTransitionTime": since}
    obj = pod(waiting("ContainerCreating"), conditions=[ready])
    return obj | {"metadata": obj["metadata"] | metadata}


@pytest.mark.parametrize(
    ("obj", "held"),
    [
        (starting(), True),
        (starting(since="2026-11-22T15:00:58Z"), False),
        (starting("True"), False),
        (starting(deletionTimestamp="2026-11-22T15:00:00Z"), False),
        (starting() | {"spec": {}}, False),
        (pod(), False),
    ],
    ids=["for a minute", "for a moment", "started", "leaving", "no node", "nothing known"],
)
def test_a_pod_of_which_nothing_starts(obj: dict[str, Any], held: bool) -> None:  # noqa: FBT001
    assert kubelet.is_held_before_start(obj, NOW) is held


def test_the_last_word_about_a_volume_counts() -> None:
    def said(reason: str, message: str, minute: int) -> dict[str, Any]:
        return {"reason": reason, "message": message, "lastTimestamp": f"2026-11-22T15:0{minute}:00Z"}

    missing = 'MountVolume.SetUp failed for volume "m" : path "/data" does not exist'
    events = [said("FailedMount", missing, 2), said("FailedMount", "earlier", 1), said("Unhealthy", "later", 3)]
    assert kubelet.start_problem(events) == Problem(c.REASON_VOLUME_MISSING, missing)
    assert kubelet.start_problem(events[2:]) is None


def test_a_sandbox_that_cannot_be_made_is_the_same_problem_every_time() -> None:
    said = [
        {
            "reason": "FailedCreatePodSandBox",
            "message": f'Failed to create pod sandbox: no runtime for "denglin" is configured, sandbox "{digit * 64}"',
            "lastTimestamp": f"2026-11-22T15:0{digit}:00Z",
        }
        for digit in "12"
    ]
    first, second = kubelet.start_problem(said[:1]), kubelet.start_problem(said)
    assert first == second
    assert first is not None
    assert first.reason == c.REASON_UNAVAILABLE
    assert 'no runtime for "denglin" is configured' in first.message


def holding(**metadata: Any) -> dict[str, Any]:
    labels = {names.LABEL_DETECTOR: "yard", names.LABEL_COMPONENT: "triton"}
    return {
        "metadata": {"name": "p", "namespace": "site", "uid": "1", "labels": labels, **metadata},
        "spec": {
            "nodeName": "node",
            "containers": [
                {"name": "detector"},
                {"name": "triton", "resources": {"limits": {"a.b/gpu": "1", "cpu": "2"}}},
            ],
        },
        "status": {"phase": "Running"},
    }


@pytest.mark.parametrize(
    ("obj", "name"),
    [
        (holding(), "site/yard"),
        (holding(labels={}), ""),
        (holding(deletionTimestamp="2026-11-22T15:00:00Z"), ""),
        (holding() | {"status": {"phase": "Succeeded"}}, ""),
        (holding() | {"spec": {"containers": holding()["spec"]["containers"]}}, ""),
    ],
    ids=["holds it", "nobody's", "leaves", "has ended", "waits itself"],
)
def test_who_holds_an_accelerator(obj: dict[str, Any], name: str) -> None:
    assert kubelet.holder(obj) == (name, {"a.b/gpu"} if name else frozenset())


def test_what_an_autoscaler_reports() -> None:
    active = {"type": "ScalingActive", "status": "False", "reason": "FailedGetMetric", "lastTransitionTime": "T"}
    found = kubelet.scaler({"spec": {"maxReplicas": 2}, "status": {"conditions": [active]}})
    assert (found.maximum, found.conditions["ScalingActive"].since) == (2, "T")


def test_what_an_autoscaler_asked_for_and_did_not_get() -> None:
    """Kubernetes' autoscaler leaves a blank in place of a figure that it did not get."""
    asked = [
        {"type": "ContainerResource", "containerResource": {"name": "cpu"}},
        {"type": "External", "external": {"metric": {"name": "demand"}}},
        {"type": "Pods", "pods": {"metric": {"name": "wait"}}},
    ]
    got: list[dict[str, Any]] = [{"type": "ContainerResource"}, {"type": ""}, {"type": "Pods"}]

    def unread(current: list[dict[str, Any]]) -> tuple[str, ...]:
        return kubelet.scaler({"spec": {"metrics": asked}, "status": {"currentMetrics": current}}).unread

    assert unread(got) == ("demand",)
    assert unread([{"type": "ContainerResource"}, {"type": ""}, {"type": ""}]) == ("demand", "wait")
    assert unread([{"type": ""}, {"type": "External"}, {"type": "Pods"}]) == (), "the condition tells of the CPU"
    assert unread(got[:1]) == (), "it has not looked since"
    assert unread([]) == ()


def deployment(generation: int = 2, **status: Any) -> dict[str, Any]:
    metadata = {"name": "yard-triton", "generation": generation}
    return {"metadata": metadata, "spec": {"replicas": 1}, "status": {"observedGeneration": 2, **status}}


@pytest.mark.parametrize(
    ("obj", "rolled_out"),
    [
        (deployment(updatedReplicas=1, availableReplicas=1, replicas=1), True),
        (deployment(updatedReplicas=1, availableReplicas=1, replicas=2), False),
        (deployment(updatedReplicas=0, availableReplicas=1, replicas=1), False),
        (deployment(updatedReplicas=1, replicas=1), False),
        (deployment(generation=3, updatedReplicas=1, availableReplicas=1, replicas=1), False),
        (deployment(), False),
    ],
    ids=["done", "an old pod left", "not updated", "not available", "not yet seen", "new"],
)
def test_when_a_deployment_is_rolled_out(obj: dict[str, Any], rolled_out: bool) -> None:  # noqa: FBT001
    assert kubelet.workload(obj).rolled_out is rolled_out


def test_why_no_pod_can_be_made_at_all() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota'}
    assert kubelet.workload(deployment(conditions=[failure])).failure == 'pods "x" is forbidden: exceeded quota'
