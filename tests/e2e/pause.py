"""Stop the operator for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness import Kubectl, poll


@contextlib.contextmanager
def stopped(operator: Kubectl) -> Iterator[None]:
    """Leave everything to itself while the block runs: no operator is there. It is back when the block has ended."""
    (name,) = [deployment["metadata"]["name"] for deployment in operator.items("deployments")]
    operator("scale", f"deployment/{name}", "--replicas=0")
    try:
        poll("no operator", lambda: _pods(operator, name), lambda found: not found)
        yield
    finally:
        operator("scale", f"deployment/{name}", "--replicas=1")
        operator("rollout", "status", f"deployment/{name}", "--timeout=300s")


def _pods(operator: Kubectl, name: str) -> list[str]:
    found = [pod["metadata"] for pod in operator.items("pods")]
    return [pod["name"] for pod in found if pod["name"].startswith(f"{name}-") and _of_deployment(pod)]


def _of_deployment(pod: dict[str, object]) -> bool:
    owners = pod.get("ownerReferences")
    return isinstance(owners, list) and owners[0]["kind"] == "ReplicaSet"
