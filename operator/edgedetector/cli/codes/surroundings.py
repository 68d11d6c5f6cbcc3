"""ED08xx and ED09xx: autoscaling, nodes and clocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgedetector.api import conditions as c
from edgedetector.cli.codes.base import Case, Code, Fields, Scope, Severity
from edgedetector.cli.codes.reasons import on
from edgedetector.cli.snapshot import Object, age

AHEAD: Final = 5.0
"""Seconds that a node's clock may be ahead of the API server's, whose own answer has whole seconds."""
BEHIND: Final = 60.0
"""Seconds: a kubelet renews its lease every ten, and a node that does not for forty is not ready."""
OURS: Final = 60.0
_PRESSURE: Final = ("MemoryPressure", "DiskPressure", "PIDPressure")


def _used(case: Case) -> Iterator[Object]:
    """Yield the nodes on which pods of EdgeDetectors run."""
    pods = [pod for subject in case.snapshot.subjects for pod in subject.pods]
    used = {(pod.get("spec") or {}).get("nodeName") for pod in pods}
    yield from (node for node in case.snapshot.cluster.nodes or () if node["metadata"]["name"] in used)


def pressure(case: Case) -> Iterator[Fields]:
    """Yield nodes that are short of something, and evict pods for it."""
    for node in _used(case):
        for one in (node.get("status") or {}).get("conditions") or ():
            if one["type"] in _PRESSURE and one["status"] == c.TRUE:
                name = node["metadata"]["name"]
                yield {"object": f"Node {name}", "node": name, "kind": one["type"], "said": one.get("message", "")}


def not_ready(case: Case) -> Iterator[Fields]:
    """Yield nodes of ours that are not ready."""
    for node in _used(case):
        found = next(
            (one for one in (node.get("status") or {}).get("conditions") or () if one["type"] == "Ready"), None
        )
        if found is not None and found["status"] != c.TRUE:
            name = node["metadata"]["name"]
            yield {"object": f"Node {name}", "node": name, "said": found.get("message") or found.get("reason", "")}


def unschedulable(case: Case) -> Iterator[Fields]:
    """Yield nodes of ours that take no new pods."""
    for node in _used(case):
        if (node.get("spec") or {}).get("unschedulable"):
            yield {"object": f"Node {node['metadata']['name']}", "node": node["metadata"]["name"]}


def skewed(case: Case) -> Iterator[Fields]:
    """Yield nodes whose clock is wrong, by the leases that their kubelets renew."""
    leases = case.snapshot.cluster.leases or {}
    for node in _used(case):
        name, ready = node["metadata"]["name"], not list(_unready(node))
        passed = age(case.snapshot, leases.get(name, ""))
        if passed is not None and ready and (passed < -AHEAD or passed > BEHIND):
            where = "ahead" if passed < 0 else "behind"
            yield {"object": f"Node {name}", "node": name, "seconds": f"{abs(passed):.0f}", "where": where}


def _unready(node: Object) -> Iterator[Object]:
    for one in (node.get("status") or {}).get("conditions") or ():
        if one["type"] == "Ready" and one["status"] != c.TRUE:
            yield one


def own_clock(case: Case) -> Iterator[Fields]:
    """Yield that the clock of whoever looks is wrong: ages that he sees are, too."""
    server = case.snapshot.cluster.server_time
    if server is not None and abs((case.snapshot.at - server).total_seconds()) > OURS:
        yield {"object": "this machine", "seconds": f"{abs((case.snapshot.at - server).total_seconds()):.0f}"}


CODES: Final = (
    Code(
        "ED0801",
        "The autoscaler has no figures",
        Severity.WARNING,
        "{said}",
        "install or mend metrics-server (kubectl top pods says the same); until then the replicas stay as they are",
        on(c.REASON_METRICS_UNAVAILABLE),
    ),
    Code(
        "ED0802",
        "The autoscaler cannot scale",
        Severity.WARNING,
        "{said}",
        "kubectl -n {namespace} describe hpa {name}-triton",
        on(c.REASON_SCALING_FAILED),
    ),
    Code(
        "ED0803",
        "There is no room for another replica",
        Severity.WARNING,
        "{said}",
        "add a node with an accelerator, or lower spec.scaling.maxReplicas; another one is tried again by itself",
        on(c.REASON_REPLICAS_CAPPED),
    ),
    Code(
        "ED0807",
        "The autoscaler does not get a figure of an adapter",
        Severity.WARNING,
        "{said}",
        "install or mend the adapter that serves it (docs/scaling.md), or remove it from spec.scaling.metrics",
        on(c.REASON_CUSTOM_METRICS_UNAVAILABLE),
    ),
    Code(
        "ED0808",
        "No exporter tells a figure that the autoscaler is to follow",
        Severity.WARNING,
        "{said}",
        "add utilization to spec.exporter.metrics of AcceleratorProfile {profile}, or remove it from"
        " spec.scaling.metrics",
        on(c.REASON_FIGURE_UNKNOWN),
    ),
    Code(
        "ED0901",
        "A node is under pressure",
        Severity.WARNING,
        "{node} has {kind}: {said}",
        "free what it is short of (kubectl describe node {node}); pods are evicted until then",
        pressure,
        Scope.CLUSTER,
    ),
    Code(
        "ED0902",
        "A node is not ready",
        Severity.ERROR,
        "{node}: {said}",
        "see whether the box is up and its kubelet runs: journalctl -u kubelet on {node}",
        not_ready,
        Scope.CLUSTER,
    ),
    Code(
        "ED0903",
        "A node's clock is wrong",
        Severity.WARNING,
        "{node} is {seconds} s {where} of the API server: times of cameras and events are off",
        "start a time service on {node} (chronyc tracking, timedatectl)",
        skewed,
        Scope.CLUSTER,
    ),
    Code(
        "ED0904",
        "This machine's clock is wrong",
        Severity.INFO,
        "it differs from the API server's by {seconds} s; ages here are told by the server's",
        "set the clock of the machine on which you run kubectl",
        own_clock,
        Scope.CLUSTER,
    ),
    Code(
        "ED0905",
        "A node takes no new pods",
        Severity.INFO,
        "{node} is cordoned: a pod that ends there does not come back",
        "kubectl uncordon {node}",
        unschedulable,
        Scope.CLUSTER,
    ),
)
