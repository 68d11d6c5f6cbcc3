"""The cluster, through kubectl: apply, wait, talk to pods through the API server's proxy, measure."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.media_topology.objects import NAMESPACE

T = TypeVar("T")
PROXY = f"/api/v1/namespaces/{NAMESPACE}"


class KubectlError(Exception):
    """kubectl ended with an error."""


@dataclass(frozen=True)
class Usage:
    """Of one container: resident memory in bytes, processor time in seconds since its start."""

    memory: int
    cpu: float


class Cluster:
    def __init__(self, kubectl: Path, kubeconfig: Path) -> None:
        self._kubectl = kubectl
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig)}

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        command = [str(self._kubectl), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=self._environment)
        if done.returncode:
            raise KubectlError(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, objects: Iterable[dict[str, Any]]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(items))

    def delete(self, kind: str, *names: str, wait: bool = True) -> None:
        self.run("-n", NAMESPACE, "delete", kind, *names, "--ignore-not-found", f"--wait={str(wait).lower()}")

    def refresh(self, selector: str) -> None:
        """Make the kubelet refresh the volumes of pods at once, as the operator does."""
        stamp = f"edgedetector.dev/refresh={time.time_ns()}"
        self.run("-n", NAMESPACE, "annotate", "pod", "-l", selector, stamp, "--overwrite")

    def rolled_out(self, *deployments: str) -> None:
        for name in deployments:
            self.run("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=300s")

    def rolled(self, deployment: str) -> bool:
        """Tell whether a Deployment has nothing left to do."""
        found = json.loads(self.run("-n", NAMESPACE, "get", "deployment", deployment, "-o", "json"))
        status = found["status"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [1, 1, 1]

    def pods(self, selector: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            self.run("-n", NAMESPACE, "get", "pods", "-l", selector, "-o", "json")
        )["items"]
        return found

    def get(self, path: str) -> Any:
        return json.loads(self.run("get", "--raw", f"{PROXY}/{path}"))

    def usage(self) -> dict[tuple[str, str], Usage]:
        """(pod, container) -> usage, as the kubelet measures it."""
        found = {}
        for node in self.run("get", "nodes", "-o", "name").split():
            path = f"/api/v1/nodes/{node.removeprefix('node/')}/proxy/stats/summary"
            for pod in json.loads(self.run("get", "--raw", path))["pods"]:
                if pod["podRef"]["namespace"] == NAMESPACE:
                    for item in pod["containers"]:
                        memory = item.get("memory", {}).get("rssBytes", 0)
                        cpu = item.get("cpu", {}).get("usageCoreNanoSeconds", 0) / 1e9
                        found[pod["podRef"]["name"], item["name"]] = Usage(memory, cpu)
        return found


def wait_for(what: str, probe: Callable[[], T], seconds: float = 180.0, every: float = 0.5) -> T:
    """Poll until `probe` gives something true, and fail showing the last answer."""
    deadline = time.monotonic() + seconds
    last = "none"
    while time.monotonic() < deadline:
        try:
            answer = probe()
            if answer:
                return answer
            last = repr(answer)
        except KubectlError as error:
            last = str(error)
        time.sleep(every)
    raise TimeoutError(f"{what}: last answer {last}"[:2000])


def pod_overhead() -> float:
    """Return bytes of memory that a pod costs besides its containers: its shim and its pause process.

    The proportional share, from this machine's processes; 0 if the node is another machine.
    """
    shims, total = 0, 0
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            command = (directory / "cmdline").read_bytes().split(b"\0")
            if b"containerd-shim" in command[0] or command[0] == b"/pause":
                rollup = (directory / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
                shims += b"containerd-shim" in command[0]
        except (OSError, StopIteration):
            continue
    return total / shims if shims else 0.0
