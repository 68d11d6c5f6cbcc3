"""From a Deployment and its pods to a verdict. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions
from edgedetector.status.view import PATIENCE, Running, Verdict, blocked, fine, older_than, progressing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgedetector.observe.snapshot import PodView, Problem, Workload

# Of many alike things a message names the first few: it stays one line with 1,000 cameras too.
NAMED: Final = 3


def judge(workload: Workload | None, pods: Sequence[PodView], running: Running) -> Verdict:
    """Judge whether all pods that are wanted are up, and if not, what holds the first that is held."""
    if workload is None:
        return progressing(conditions.REASON_PROGRESSING, "being created")
    if workload.rolled_out:
        return fine(conditions.REASON_AS_EXPECTED, f"{count(workload.desired, 'pod')} up")
    if workload.failure:
        return blocked(conditions.REASON_UNAVAILABLE, workload.failure)
    for pod in pods:
        if pod.problem is not None and pod.unschedulable_since:
            return _unschedulable(pod, pod.problem, running)
        if pod.problem is not None and not pod.ready:
            return blocked(pod.problem.reason, pod.problem.message, profile=running.profile)
    return progressing(conditions.REASON_ROLLING_OUT, "pods are starting")


def _unschedulable(pod: PodView, problem: Problem, running: Running) -> Verdict:
    if problem.reason != conditions.REASON_UNSCHEDULABLE:
        return blocked(problem.reason, problem.message)
    lacks = running.resource if running.resource in problem.lacking else ""
    holders = running.snapshot.holders.get(lacks, ())
    if holders and not _leaving(pod.component, running):
        detectors = "EdgeDetector " if len(holders) == 1 else "EdgeDetectors "
        text = f"{lacks} is taken by {detectors}{listed(holders)}"
        return blocked(conditions.REASON_ACCELERATOR_TAKEN, text)
    if not out_of_patience(pod, running):
        return progressing(conditions.REASON_UNSCHEDULABLE, f"waiting for a node: {problem.message}")
    wants = running.needs.get(pod.component, ())
    if lacks:
        text = f"no node offers a free {lacks}" + (f" (wanted: {', '.join(wants)})" if len(wants) > 1 else "")
        return blocked(conditions.REASON_ACCELERATOR_MISSING, f"{text}: {problem.message}")
    needs = f" that offers {', '.join(wants)}" if wants else ""
    return blocked(conditions.REASON_UNSCHEDULABLE, f"no node has room for a pod{needs}: {problem.message}")


def _leaving(component: str, running: Running) -> bool:
    """Tell whether a pod of our own is on its way out: what it holds is free in a moment."""
    return any(pod.component == component and pod.leaving for pod in running.snapshot.pods)


def out_of_patience(pod: PodView, running: Running) -> bool:
    """Tell whether a pod has waited for a node for longer than a pod that is replaced takes to go."""
    return older_than(pod.unschedulable_since, PATIENCE, running.now)


def held_by(pods: Sequence[PodView], reasons: frozenset[str]) -> Problem | None:
    """Return the first problem of these reasons that holds a pod."""
    return next((pod.problem for pod in pods if pod.problem and not pod.ready and pod.problem.reason in reasons), None)


def count(number: int, noun: str, *, verb: bool = True) -> str:
    """Return e.g. "1 pod is" or "2 pods are"."""
    noun, is_or_are = (noun, " is") if number == 1 else (f"{noun}s", " are")
    return f"{number} {noun}{is_or_are if verb else ''}"


def listed(items: Sequence[str]) -> str:
    """Return the first few of the items in one line."""
    return ", ".join(items[:NAMED]) + (f" and {len(items) - NAMED} more" if len(items) > NAMED else "")
