"""A test of a profile as its Job and its pod show it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import names
from edgedetector.api.verification import MAX_REQUEST, Report
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.observe import kubelet, words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgedetector.api.verification import Finding
    from edgedetector.observe.snapshot import Problem

Object = dict[str, Any]

WAITING: Final = "Waiting"
RUNNING: Final = "Running"
COMPLETE: Final = "Complete"
FAILED: Final = "Failed"
MAX_DRIVER: Final = 256
"""Characters of a driver's version, which no vendor's comes near."""


@dataclass(frozen=True, slots=True)
class Run:
    """One test."""

    request: str
    """Value of the annotation that asked for it."""
    profile: str
    """Name of the AcceleratorProfile that it tests."""
    detector: str
    """namespace/name of the EdgeDetector whose it is."""
    state: str
    """Waiting (no container of it has begun), Running, Complete or Failed."""
    message: str = ""
    """Why it waits or has failed, in the words of whoever knows."""
    problem: Problem | None = None
    """What its pod waits for."""
    report: Report | None = None
    """What it found; of a complete one alone."""
    ended: str = ""
    """RFC 3339; of one that is over."""

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in {COMPLETE, FAILED}


def run(job: Object, pods: Iterable[Object]) -> Run:
    """Return how the test of a Job stands; of `pods` those count that are the Job's."""
    metadata = job["metadata"]
    request = (metadata.get("annotations") or {}).get(names.ANNOTATION_VERIFY, "")[:MAX_REQUEST]
    labels = metadata.get("labels") or {}
    detector = f"{metadata['namespace']}/{labels.get(names.LABEL_DETECTOR, '')}"
    blank = Run(request, labels.get(names.LABEL_PROFILE, ""), detector, WAITING)
    own = [pod for pod in pods if _is_of(pod, metadata["uid"])]
    pod = max(own, key=lambda one: one["metadata"].get("creationTimestamp", ""), default=None)
    if pod is not None and (ended := _ended(pod)) is not None:
        return _judged(blank, pod, ended)
    over = _over(job)
    if pod is not None and (pod.get("status") or {}).get("phase") == "Failed":
        status = pod["status"]
        told = status.get("message") or status.get("reason") or "its pod failed"
        held = kubelet.pod({**pod, "status": {**status, "phase": ""}}).problem
        since = next((entry.get("lastTransitionTime", "") for entry in status.get("conditions") or ()), "")
        message = words.line(told) + (f": {held.message}" if held else "")
        return replace(blank, state=FAILED, message=message, ended=over[1] or since)
    if over[0]:
        return replace(blank, state=FAILED, message=over[0], ended=over[1])
    if pod is None:
        return replace(blank, message="its pod is not there yet")
    view = kubelet.pod(pod)
    begun = names.CONTAINER_DETECTOR in view.running
    problem = view.problem
    state, message = RUNNING if begun else WAITING, problem.message if problem else ""
    return replace(blank, state=state, message=message, problem=problem)


def _is_of(pod: Object, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in pod["metadata"].get("ownerReferences") or ())


def _ended(pod: Object) -> Object | None:
    """Return how the container of the test ended, None while it has not."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == names.CONTAINER_DETECTOR:
            found: Object | None = (status.get("state") or {}).get("terminated")
            return found
    return None


def _judged(blank: Run, pod: Object, ended: Object) -> Run:
    at = ended.get("finishedAt") or pod["metadata"].get("creationTimestamp", "")
    try:
        report = from_json(Report, ended.get("message", ""))
    except InvalidDocumentError:
        cause = words.line(ended.get("message") or f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}")
        return replace(blank, state=FAILED, message=f"it left no report: {cause}", ended=at)
    if report.failure:
        return replace(blank, state=FAILED, message=words.line(report.failure), ended=at)
    return replace(blank, state=COMPLETE, report=bounded(report), ended=at)


def bounded(report: Report) -> Report:
    """Return a report as the profile's definition takes it, whatever a pod has left: the API server would refuse it."""
    return replace(
        report,
        driver=report.driver[:MAX_DRIVER],
        triton=report.triton[:64],
        model=report.model[:253],
        basis=report.basis[:64],
        capabilities=_findings(report.capabilities, 32),
        metrics=_findings(report.metrics, 16),
    )


def _findings(found: Iterable[Finding], most: int) -> tuple[Finding, ...]:
    named = {one.name[:63]: one for one in found if one.name}
    return tuple(replace(one, name=name, evidence=one.evidence[:1024]) for name, one in list(named.items())[:most])


def _over(job: Object) -> tuple[str, str]:
    """Return why there is nothing to learn from a Job that is over, and since when; empty texts while it is not."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
            told = condition.get("message") or condition.get("reason") or condition["type"]
            return f"its pod is gone: {words.line(told)}", condition.get("lastTransitionTime", "")
    return "", ""
