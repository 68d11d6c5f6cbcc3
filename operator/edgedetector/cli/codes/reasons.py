"""What is the matter by the operator's own reasons: as conditions tell them, and as pods show them.

A pod's own words go before the condition that sums them up, so that one cause is one finding and names its pod.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import Template
from typing import Final

from edgedetector.api import conditions as c
from edgedetector.cli.codes.base import Case, Check, Fields
from edgedetector.cli.snapshot import Object, age
from edgedetector.observe import kubelet
from edgedetector.observe.snapshot import Problem
from edgedetector.status.remedies import REMEDIES

PATIENCE: Final = 60.0
"""Seconds that a pod may wait for a node: as long as the operator allows it."""
_SUMS_UP: Final = frozenset({c.READY, c.RECONCILING, c.STALLED})


def on(*reasons: str) -> Check:
    """Return the check that finds each of these reasons, with `reason` and `said`."""

    def check(case: Case) -> Iterator[Fields]:
        yield from told(case, *reasons)

    return check


def told(case: Case, *reasons: str) -> Iterator[Fields]:
    """Yield where and how these reasons are told: of pods, else of conditions."""
    pods = [found for found in of_pods(case) if found["reason"] in reasons]
    yield from pods
    if not pods:
        yield from of_conditions(case, *reasons)


def of_pods(case: Case) -> Iterator[Fields]:
    """Yield what holds each pod, in the words of kubelet and scheduler."""
    for pod in case.subject.pods:
        view = kubelet.pod(dict(pod))
        problem = view.problem
        if problem is None and kubelet.is_held_before_start(dict(pod), case.snapshot.now):
            problem = kubelet.start_problem(map(dict, _events(case, view.name)))
        waited = age(case.snapshot, view.unschedulable_since) if view.unschedulable_since else PATIENCE
        if problem is None or view.leaving or (waited is not None and waited < PATIENCE):
            continue
        reason = _of_scheduler(case, problem) if view.unschedulable_since else problem.reason
        if reason:
            where = f"Pod {case.subject.namespace}/{view.name}"
            yield {"object": where, "pod": view.name, "reason": reason, "said": problem.message}


def _of_scheduler(case: Case, problem: Problem) -> str:
    """Return why no node takes a pod; empty where a condition tells it, or it is a replica that nobody needs."""
    serves = case.subject.condition(c.SERVER_READY)
    if serves.get("status") == c.TRUE or (problem.lacking and serves.get("reason") == c.REASON_ACCELERATOR_TAKEN):
        return ""
    return c.REASON_ACCELERATOR_MISSING if problem.lacking else problem.reason


def _events(case: Case, pod: str) -> Iterator[Object]:
    return (event for event in case.subject.events if (event.get("involvedObject") or {}).get("name") == pod)


def of_conditions(case: Case, *reasons: str) -> Iterator[Fields]:
    """Yield the conditions with these reasons; those that sum up only where no part tells it."""
    found = [
        one
        for one in case.subject.status.get("conditions") or ()
        if one.get("reason") in reasons and not (one["type"] == c.STALLED and one["status"] != c.TRUE)
    ]
    parts = [one for one in found if one["type"] not in _SUMS_UP] or found[:1]
    for one in parts:
        reason, said = one["reason"], bare(one["reason"], one.get("message", ""), case.profile)
        yield {"condition": one["type"], "reason": reason, "said": said, "pod": ""}


def bare(reason: str, message: str, profile: str) -> str:
    """Return a condition's message without what helps, which a code says itself."""
    remedy = Template(REMEDIES.get(reason, "")).safe_substitute(profile=profile)
    return message.removesuffix(f"; {remedy}") if remedy else message
