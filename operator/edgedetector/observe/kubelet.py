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
from edgedetector.observe.snapshot import PodView, Problem, Scaler, ScalerCondition, Workload

Object = dict[str, Any]

# A condition's message is read by people: the beginning of a long text carries the cause.
MAX_WORDS: Final = 400

# A container that keeps ending is "running" for a moment after each restart; from this count on that is no progress.
LOOPING_RESTARTS: Final = 2

# A volume takes a moment; the kubelet complains for the first time after some seconds.
SETTING_UP: Final = timedelta(seconds=5)

_MOUNT: Final = frozenset({"FailedMount", "FailedAttachVolume"})
_PULL: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG: Final = frozenset({"CreateContainerConfigError"})
_CREATE: Final = frozenset({"CreateContainerError", "RunContainerError"})
_BACK_OFF_PULLING: Final = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull: )?')
_PREEMPTION: Final = re.compile(r" (?:no new claims to deallocate|preemption: )")  # how it is not to be helped
_TIMES: Final = re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z?\b")


def pod(obj: Object) -> PodView:
    """Read a pod."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    found = {condition["type"]: condition for condition in status.get("conditions") or ()}
    scheduled = found.get("PodScheduled", {})
    unschedulable = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    labels = metadata.get("labels") or {}
    statuses = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        component=labels.get(names.LABEL_COMPONENT, ""),
        node=spec.get("nodeName", ""),
        ip=status.get("podIP", ""),
        ready=found.get("Ready", {}).get("status") == "True",
        leaving=bool(metadata.get("deletionTimestamp")),
        unschedulable_since=scheduled.get("lastTransitionTime", "") if unschedulable else "",
        problem=_unschedulable(scheduled) if unschedulable else _problem(obj),
        running=frozenset(item["name"] for item in statuses if "running" in (item.get("state") or {})),
    )


def _unschedulable(scheduled: Object) -> Problem:
    words = _words(scheduled.get("message") or "no node fits")
    return Problem(conditions.REASON_UNSCHEDULABLE, _PREEMPTION.split(words)[0].rstrip(". "))


def _problem(obj: Object) -> Problem | None:
    """Return what holds the first container that is held: init containers run first, so they are asked first."""
    status = obj.get("status") or {}
    if status.get("phase") == "Failed":
        text = status.get("message") or status.get("reason") or "the pod failed"
        return Problem(conditions.REASON_UNAVAILABLE, _words(text))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        if problem := _held(container):
            return problem
    return None


def _held(container: Object) -> Problem | None:
    name, state = container["name"], container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL:
        detail = _words(_BACK_OFF_PULLING.sub("", message))
        text = f'container {name}: cannot pull image "{container.get("image", "")}"' + (f": {detail}" if detail else "")
        return Problem(conditions.REASON_IMAGE_PULL_FAILED, text)
    if reason in _CONFIG:
        return Problem(conditions.REASON_CONFIG_MISSING, f"container {name}: {_words(message)}")
    if reason in _CREATE:
        return Problem(conditions.REASON_UNAVAILABLE, f"container {name}: {_words(message)}")
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    failed = ended.get("exitCode", 0) != 0
    if (
        failed
        and not container.get("ready")
        and (
            reason == "CrashLoopBackOff"
            or container.get("restartCount", 0) >= LOOPING_RESTARTS
            or "terminated" in state
        )
    ):
        return _ended(name, ended)
    return None


def _ended(name: str, ended: Object) -> Problem:
    """Say how a container ended: its own last words if it left any, else the exit code."""
    reason = conditions.REASON_CRASH_LOOPING
    if name == names.CONTAINER_MODEL_REPOSITORY:
        reason = conditions.REASON_MODEL_SOURCE_MISSING
    last_words = _words(ended.get("message", ""))
    cause = f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}"
    return Problem(reason, f"container {name}: {last_words or cause}")


def _words(text: str) -> str:
    """Return one line without times, which would make the same problem look new every time."""
    line = _TIMES.sub("", " ".join(text.split()))
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 3] + "..."


def is_held_before_start(obj: Object, now: datetime) -> bool:
    """Tell whether a pod has a node, and for a while nothing of it has been started: its volumes are not there."""
    status = obj.get("status") or {}
    if not (obj.get("spec") or {}).get("nodeName") or obj["metadata"].get("deletionTimestamp"):
        return False
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodReadyToStartContainers" and condition["status"] == "False":
            return now - datetime.fromisoformat(condition["lastTransitionTime"]) > SETTING_UP
    return False


def mount_problem(events: Iterable[Object]) -> Problem | None:
    """Return what the kubelet last said of volumes that it cannot mount: it says so in Events alone."""
    said = [event for event in events if event.get("reason") in _MOUNT]
    if not said:
        return None
    last = max(said, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return Problem(conditions.REASON_VOLUME_MISSING, _words(last.get("message", "")))


def workload(obj: Object) -> Workload:
    """Read a Deployment."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    failure = ""
    for condition in status.get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            failure = _words(condition.get("message", ""))
    return Workload(
        name=obj["metadata"]["name"],
        current=status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 1),
        desired=spec.get("replicas", 1),
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
    return Scaler(
        {
            item["type"]: ScalerCondition(item["status"], item.get("reason", ""), _words(item.get("message", "")))
            for item in found
        }
    )
