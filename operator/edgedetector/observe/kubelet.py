"""Pods, workloads and autoscalers as the cluster reports them, read into small values.

The kubelet and the scheduler already say what is missing: a Secret, an image, a device, a node. Reading their words
from the pod needs no permission on Secrets or nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from edgedetector.api import conditions, names
from edgedetector.observe import words
from edgedetector.observe.snapshot import PodView, Problem, Scaler, ScalerCondition, Workload
from edgedetector.plan import scaling

Object = dict[str, Any]

# A container that keeps ending is "running" for a moment after each restart; from this count on that is no progress.
LOOPING_RESTARTS: Final = 2

# A volume takes a moment; the kubelet complains for the first time after some seconds.
SETTING_UP: Final = timedelta(seconds=5)

_MOUNT: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
_SANDBOX: Final = "FailedCreatePodSandBox"
_PULL: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG: Final = frozenset({"CreateContainerConfigError"})
_CREATE: Final = frozenset({"CreateContainerError", "RunContainerError"})
_BACK_OFF_PULLING: Final = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull: )?')
_NAMED_BY_ID: Final = re.compile(r' "[0-9a-f]{64}"')  # of a sandbox that is made anew every time
_ENDED_PHASES: Final = frozenset({"Succeeded", "Failed"})


def pod(obj: Object) -> PodView:
    """Read a pod."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    found = {condition["type"]: condition for condition in status.get("conditions") or ()}
    scheduled, ready = found.get("PodScheduled", {}), found.get("Ready", {})
    unschedulable = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    labels = metadata.get("labels") or {}
    statuses = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        component=labels.get(names.LABEL_COMPONENT, ""),
        node=spec.get("nodeName", ""),
        ip=status.get("podIP", ""),
        ready=ready.get("status") == "True",
        ready_since=ready.get("lastTransitionTime", "") if ready.get("status") == "True" else "",
        leaving=bool(metadata.get("deletionTimestamp")),
        unschedulable_since=scheduled.get("lastTransitionTime", "") if unschedulable else "",
        problem=words.of_scheduler(scheduled.get("message", "")) if unschedulable else _problem(obj),
        running=frozenset(item["name"] for item in statuses if "running" in (item.get("state") or {})),
    )


def _problem(obj: Object) -> Problem | None:
    """Return what holds the first container that is held: init containers run first, so they are asked first."""
    status = obj.get("status") or {}
    if status.get("phase") == "Failed":
        text = status.get("message") or status.get("reason") or "the pod failed"
        return Problem(conditions.REASON_UNAVAILABLE, words.line(text))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        if problem := _held(container):
            return problem
    return None


def _held(container: Object) -> Problem | None:
    name, state = container["name"], container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL:
        detail = words.line(_BACK_OFF_PULLING.sub("", message))
        text = f'container {name}: cannot pull image "{container.get("image", "")}"' + (f": {detail}" if detail else "")
        return Problem(conditions.REASON_IMAGE_PULL_FAILED, text)
    if reason in _CONFIG:
        return _of(name, words.of_objects(message, conditions.REASON_CONFIG_MISSING))
    if reason in _CREATE:
        return _of(name, words.of_program(message, conditions.REASON_UNAVAILABLE))
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    if ended.get("exitCode", 0) == 0 or container.get("ready"):
        return None
    # What a pod says of a model's files is true while it tries again, too.
    said = words.of_last_words(ended.get("message", ""))
    again = container.get("restartCount", 0) >= LOOPING_RESTARTS
    if said or again or reason == "CrashLoopBackOff" or "terminated" in state:
        return said or _of(name, _ended(name, ended))
    return None


def _of(container: str, problem: Problem) -> Problem:
    return Problem(problem.reason, f"container {container}: {problem.message}")


def _ended(name: str, ended: Object) -> Problem:
    """Say how a container ended: its own last words if it left any, else the exit code."""
    cause = f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}"
    if ended.get("reason") == "OOMKilled":
        return Problem(conditions.REASON_OUT_OF_MEMORY, "ended by the kernel for want of memory")
    if ended.get("exitCode") == words.BUS_ERROR:
        return Problem(conditions.REASON_SHARED_MEMORY_TOO_SMALL, f"no room in /dev/shm ({cause})")
    repository = name == names.CONTAINER_MODEL_REPOSITORY
    usual = conditions.REASON_MODEL_SOURCE_MISSING if repository else conditions.REASON_CRASH_LOOPING
    return words.of_program(ended.get("message", "") or cause, usual)


def is_held_before_start(obj: Object, now: datetime) -> bool:
    """Tell whether a pod has a node, and for a while nothing of it has been started: its volumes are not there."""
    status = obj.get("status") or {}
    if not (obj.get("spec") or {}).get("nodeName") or obj["metadata"].get("deletionTimestamp"):
        return False
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodReadyToStartContainers" and condition["status"] == "False":
            return now - datetime.fromisoformat(condition["lastTransitionTime"]) > SETTING_UP
    return False


def start_problem(events: Iterable[Object]) -> Problem | None:
    """Return what the kubelet last said of what it cannot mount or set up: it says so in Events alone."""
    said = [event for event in events if event.get("reason") in {*_MOUNT, _SANDBOX}]
    if not said:
        return None
    last = max(said, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    if last["reason"] == _SANDBOX:
        return Problem(conditions.REASON_UNAVAILABLE, words.line(_NAMED_BY_ID.sub("", last.get("message", ""))))
    return words.of_objects(last.get("message", ""), conditions.REASON_VOLUME_MISSING)


def holder(obj: Object) -> tuple[str, frozenset[str]]:
    """Return namespace/name of the EdgeDetector whose pod this is, and which accelerators the pod holds."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    ended = (obj.get("status") or {}).get("phase") in _ENDED_PHASES
    # A pod that leaves gives its device back: whoever waits for that need not call anybody.
    if not spec.get("nodeName") or ended or metadata.get("deletionTimestamp"):
        return "", frozenset()
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    holding = (*sidecars, *(spec.get("containers") or ()))
    wanted = [(container.get("resources") or {}).get("limits") or {} for container in holding]
    detector = (metadata.get("labels") or {}).get(names.LABEL_DETECTOR, "")
    devices = frozenset(name for limits in wanted for name in limits if "/" in name)  # cpu and memory have none
    return (f"{metadata['namespace']}/{detector}", devices) if detector else ("", frozenset())


def workload(obj: Object) -> Workload:
    """Read a Deployment."""
    status = obj.get("status") or {}
    conditions_ = {item["type"]: item for item in status.get("conditions") or ()}
    failed = conditions_.get("ReplicaFailure", {})
    failure = words.line(failed.get("message", "")) if failed.get("status") == "True" else ""
    return Workload(
        name=obj["metadata"]["name"],
        current=status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 1),
        desired=obj["spec"].get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        total=status.get("replicas", 0),
        failure=failure,
    )


def daemon(obj: Object) -> Workload:
    """Read a DaemonSet."""
    status = obj.get("status") or {}
    return Workload(
        name=obj["metadata"]["name"],
        current=status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 1),
        desired=status.get("desiredNumberScheduled", 0),
        updated=status.get("updatedNumberScheduled", 0),
        available=status.get("numberAvailable", 0),
    )


def scaler(obj: Object) -> Scaler:
    """Read a HorizontalPodAutoscaler."""
    found = (obj.get("status") or {}).get("conditions") or ()
    told = {item["type"]: _scaler_condition(item) for item in found}
    return Scaler(told, (obj.get("spec") or {}).get("maxReplicas"), scaling.live_cap(obj), _unread(obj))


def _unread(obj: Object) -> tuple[str, ...]:
    """Return what an autoscaler did not get: it notes a blank in place of each, and says nothing while others suffice.

    The two lists differ in length while it has not looked since its metrics changed.
    """
    asked, got = (obj.get("spec") or {}).get("metrics") or (), (obj.get("status") or {}).get("currentMetrics") or ()
    if len(asked) != len(got):
        return ()
    missing = [metric for metric, found in zip(asked, got, strict=True) if found.get("type") == ""]
    sources = [metric.get(kind) for metric in missing for kind in ("external", "pods") if metric.get(kind)]
    return tuple(source["metric"]["name"] for source in sources)


def _scaler_condition(item: Object) -> ScalerCondition:
    text = words.line(item.get("message", ""))
    return ScalerCondition(item["status"], item.get("reason", ""), text, item.get("lastTransitionTime", ""))
