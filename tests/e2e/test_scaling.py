"""A real operator lowers an autoscaler's maximum to what finds a node, on a real API server whose pods are put there.

No scheduler and no autoscaler run, so that what they would say is said by the test, and nobody waits for them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.apiserver import Server
from tests.unit.plan import scenarios

from edgedetector.api import names
from harness import poll

Object = dict[str, Any]

SITE = "scaling"
SCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": names.triton("yard"), "namespace": SITE},
}


def pod(name: str, *, node: str = "") -> Object:
    """An inference pod; without a node the scheduler has found none for two minutes."""
    since = (datetime.now(UTC) - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient denglin.com/gpu.",
        "lastTransitionTime": since,
    }
    labels = {
        names.LABEL_DETECTOR: "yard",
        names.LABEL_COMPONENT: names.COMPONENT_TRITON,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    spec = {"containers": [{"name": "triton", "image": "none"}]} | ({"nodeName": node} if node else {})
    status = {"phase": "Pending"} | ({} if node else {"conditions": [unschedulable]})
    metadata = {"name": name, "namespace": SITE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def put(server: Server, obj: Object) -> None:
    """Put an object there, status and all."""
    path = server.path(obj)
    server.request("POST", path.rpartition("/")[0], obj)
    server.request("PATCH", f"{path}/status", {"status": obj["status"]}, "application/merge-patch+json")


def patch(server: Server, body: Object) -> None:
    """Change the autoscaler by hand."""
    server.request("PATCH", server.path(SCALER) + "?fieldManager=somebody", body, "application/merge-patch+json")


def maximum(server: Server) -> tuple[int, str]:
    """The autoscaler's maximum and what is noted about it; 0 if there is no autoscaler."""
    found = server.get(server.path(SCALER))
    if not found:
        return 0, ""
    return found["spec"]["maxReplicas"], (found["metadata"].get("annotations") or {}).get(names.ANNOTATION_CAPPED, "")


@pytest.fixture
def operator(apiserver: Server, tmp_path: Path) -> Iterator[Path]:
    """An operator of one namespace; yields its log."""
    for name in (SITE, f"{SITE}-system"):
        apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    log = tmp_path / "operator.log"
    arguments = ["--namespaces", SITE, "--operator-namespace", f"{SITE}-system", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgedetector.controller", *arguments],
            env={**os.environ, "KUBECONFIG": str(apiserver.kubeconfig), "PYTHONPATH": "operator"},
            cwd=scenarios.REPOSITORY, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        yield log
        process.terminate()
        process.wait(timeout=30)


def test_the_maximum_follows_the_replicas_that_find_a_node(apiserver: Server, operator: Path) -> None:
    server = apiserver
    spec = scenarios.minimal(scaling={"minReplicas": 1, "maxReplicas": 3}, tuning={"mode": "Off"})
    server.apply(
        {
            "apiVersion": names.API_VERSION,
            "kind": "EdgeDetector",
            "metadata": {"name": "yard", "namespace": SITE},
            "spec": spec,
        }
    )
    poll("an autoscaler", lambda: maximum(server), lambda found: found == (3, ""))

    waiting = [pod("second"), pod("third")]
    for obj in (pod("first", node="box"), *waiting):
        put(server, obj)
    lowered = poll("a lowered maximum", lambda: maximum(server), lambda found: found[0] == 1)
    assert lowered[1].startswith("1 since 20")

    for obj in waiting:  # as the autoscaler would have it
        server.request("DELETE", server.path(obj), {"gracePeriodSeconds": 0})
    # Healing shows that there was a look at a site where nobody waits; the maximum and its time are as before.
    patch(server, {"spec": {"maxReplicas": 9}})
    assert poll("healing", lambda: maximum(server), lambda found: found[0] != 9) == lowered

    patch(server, {"metadata": {"annotations": {names.ANNOTATION_CAPPED: "1 since 2026-01-01T00:00:00Z"}}})
    # The note is now somebody else's, who may keep it; nothing follows from one whose time is over.
    poll("another try after its time", lambda: maximum(server)[0], lambda found: found == 3)
    assert "Traceback" not in operator.read_text()
