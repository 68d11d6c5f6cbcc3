"""ED03xx: what keeps pods from running."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from edgedetector.api import conditions as c
from edgedetector.cli.codes.accelerators import no_node, no_resource, tainted
from edgedetector.cli.codes.base import Case, Check, Code, Fields, Severity
from edgedetector.cli.codes.reasons import on, told

RESTARTS: Final = 5
"""Restarts of a container that runs from which on it is no accident."""


def missing(kind: str, reason: str) -> Check:
    """Return the check for objects that are named and not there; of keys and the like the pod's words tell."""

    def check(case: Case) -> Iterator[Fields]:
        gone = sorted(name for (one, name), there in case.subject.existing.items() if one == kind and not there)
        for name in gone:
            yield {"said": f"{kind} {name} does not exist", "missing": name}
        if not gone:
            for found in told(case, reason):
                yield {**found, "missing": "NAME"}

    return check


def no_room(case: Case) -> Iterator[Fields]:
    """Yield why no node takes a pod, unless that is what no node is at all, which has codes of its own."""
    if not any(chain(no_resource(case), no_node(case), tainted(case))):
        yield from told(case, c.REASON_UNSCHEDULABLE)


def pods_refused(case: Case) -> Iterator[Fields]:
    """Yield why no pod can be made at all."""
    for obj in case.subject.children:
        for one in (obj.get("status") or {}).get("conditions") or ():
            if obj["kind"] == "Deployment" and one["type"] == "ReplicaFailure" and one["status"] == c.TRUE:
                where = f"Deployment {case.subject.namespace}/{obj['metadata']['name']}"
                yield {"object": where, "said": one.get("message", "no reason is told")}


def not_set_up(case: Case) -> Iterator[Fields]:
    """Yield what keeps a pod from its start; that no pod can be made at all is ED0310."""
    if not any(pods_refused(case)):
        yield from told(case, c.REASON_UNAVAILABLE)


def restarts(case: Case) -> Iterator[Fields]:
    """Yield containers that run and have ended often."""
    for pod in case.subject.pods:
        for one in (pod.get("status") or {}).get("containerStatuses") or ():
            if one.get("restartCount", 0) >= RESTARTS and "running" in (one.get("state") or {}):
                last = (one.get("lastState") or {}).get("terminated") or {}
                yield {
                    "object": f"Pod {case.subject.namespace}/{pod['metadata']['name']}",
                    "pod": pod["metadata"]["name"],
                    "container": one["name"],
                    "count": one["restartCount"],
                    "last": f"{last.get('reason', 'unknown')}, exit code {last.get('exitCode', '?')}",
                }


CODES: Final = (
    Code(
        "ED0301",
        "An image cannot be pulled",
        Severity.ERROR,
        "{said}",
        "correct the image in AcceleratorProfile {profile}, bring it to the node, or name its registry's Secret in"
        " spec.imagePullSecrets",
        on(c.REASON_IMAGE_PULL_FAILED),
    ),
    Code(
        "ED0302",
        "A pod finds no node",
        Severity.ERROR,
        "{said}",
        "free or add a node that the words describe, or correct spec.nodeSelector and the requests in spec.resources",
        no_room,
    ),
    Code(
        "ED0303",
        "A container keeps ending",
        Severity.ERROR,
        "{said}",
        "kubectl -n {namespace} logs {pod} --all-containers --previous",
        on(c.REASON_CRASH_LOOPING),
    ),
    Code(
        "ED0304",
        "A container has too little memory",
        Severity.ERROR,
        "{said}",
        "raise its memory limit in spec.resources, or that of AcceleratorProfile {profile}",
        on(c.REASON_OUT_OF_MEMORY),
    ),
    Code(
        "ED0305",
        "A ConfigMap is missing",
        Severity.ERROR,
        "{said}",
        "kubectl -n {namespace} create configmap {missing} --from-file=FILE, or correct its name in spec.models",
        missing("ConfigMap", c.REASON_CONFIG_MISSING),
    ),
    Code(
        "ED0306",
        "A PersistentVolumeClaim is missing",
        Severity.ERROR,
        "{said}",
        "create PersistentVolumeClaim {missing} in namespace {namespace}, or correct claimName in the specification",
        missing("PersistentVolumeClaim", c.REASON_VOLUME_CLAIM_MISSING),
    ),
    Code(
        "ED0307",
        "A claim has no volume",
        Severity.ERROR,
        "{said}",
        "kubectl -n {namespace} describe pvc: create a PersistentVolume that fits it, or correct its storage class",
        on(c.REASON_VOLUME_CLAIM_UNBOUND),
    ),
    Code(
        "ED0308",
        "A volume cannot be mounted",
        Severity.ERROR,
        "{said}",
        "mend the volume that the words name, or correct the claim in spec.models",
        on(c.REASON_VOLUME_MISSING),
    ),
    Code(
        "ED0309",
        "A Secret is missing",
        Severity.ERROR,
        "{said}",
        "create it in namespace {namespace} with the keys that the specification names, e.g. kubectl -n {namespace}"
        " create secret generic {missing} --from-literal=username=... --from-literal=password=...",
        missing("Secret", c.REASON_SECRET_MISSING),
    ),
    Code(
        "ED0310",
        "No pod can be made",
        Severity.ERROR,
        "{said}",
        "kubectl -n {namespace} describe replicasets: raise the quota, or allow the pod what Pod Security refuses",
        pods_refused,
    ),
    Code(
        "ED0311",
        "A container has ended often",
        Severity.WARNING,
        "container {container} runs, and was restarted {count} times; last: {last}",
        "kubectl -n {namespace} logs {pod} -c {container} --previous",
        restarts,
    ),
    Code(
        "ED0312",
        "A pod cannot be set up",
        Severity.ERROR,
        "{said}",
        "kubectl -n {namespace} describe pod {pod}, and mend what it names",
        not_set_up,
    ),
)
