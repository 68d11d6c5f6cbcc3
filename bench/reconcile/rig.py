"""The bench's hands: the operator as a process of its own with the chart's identity, and EdgeDetectors for it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml
from hack import cluster as driver
from tests.apiserver import ROOT, Server, until

from edgedetector import plan, profiles
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile

SYSTEM = "edgedetector-system"
PROFILE = "cpu"
NAMESPACES = 20
"""Sites that share one operator. More objects in a namespace make each list of the API server's longer."""
TICKS = os.sysconf("SC_CLK_TCK")

Object = dict[str, Any]


@dataclass(frozen=True)
class Operator:
    """A running operator."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def figures(self) -> dict[str, float]:
        """Return the operator's own metrics: name with labels -> value."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def memory(self) -> dict[str, float]:
        """Return resident memory in MiB: now, and at its highest."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        now, peak = (int(re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)[1]) for key in ("VmRSS", "VmHWM"))  # type: ignore[index]
        return {"rssMiB": round(now / 1024, 1), "peakMiB": round(peak / 1024, 1)}


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rendered() -> list[Object]:
    """Return the chart's objects but the CRDs."""
    command = [
        driver.build("helm"),
        "template",
        "edgedetector",
        ROOT / "charts" / "edgedetector",
        "--namespace",
        SYSTEM,
    ]
    done = subprocess.run([*command, "--set", "crds.install=false"], stdout=subprocess.PIPE, check=True)
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


def install(server: Server) -> None:
    """Make the operator's identity and its permissions, as the chart has them, and the namespaces."""
    server.install_crds()
    spaces = [SYSTEM, *(f"site-{number}" for number in range(NAMESPACES))]
    server.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in spaces))
    wanted = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    server.apply(*(obj for obj in rendered() if obj["kind"] in wanted))


@contextlib.contextmanager
def operator(server: Server, *options: str, wrapper: tuple[str, ...] = ()) -> Iterator[Operator]:
    """Run the operator with the environment that the chart gives it, until the context ends.

    `wrapper` stands between Python and the module: ("-m", "cProfile", "-o", "FILE", "-m").
    """
    deployment = next(obj for obj in rendered() if obj["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    config = server.kubeconfig_of(SYSTEM, pod["serviceAccountName"])
    variables = {entry["name"]: entry.get("value", SYSTEM) for entry in pod["containers"][0]["env"]}
    port = free_port()
    environment = {**os.environ, **variables, "KUBECONFIG": str(config), "EDGEDETECTOR_PORT": str(port)}
    log = server.home / "operator.log"
    command = [sys.executable, *(wrapper or ("-m",)), "edgedetector.controller", *options]
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command], env=environment, stdout=output, stderr=output
        )
    running = Operator(process, port, log)
    try:
        until("the operator answers", lambda: answers(running), 240, every=0.1)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(running: Operator) -> bool:
    if running.process.poll() is not None:
        raise RuntimeError(f"the operator has ended: {running.log.read_text()[-2000:]}")
    try:
        return bool(running.figures())
    except OSError:
        return False


def await_profiles(server: Server) -> None:
    """Wait until the operator has made the shipped profiles."""
    path = "/apis/edgedetector.dev/v1alpha1/acceleratorprofiles"
    until("the profiles are there", lambda: len(server.get(path)["items"]) >= len(profiles.load()), 240, every=0.1)


def detector(number: int) -> Object:
    """Return a site of four cameras with credentials, and a model from a claim."""
    cameras = [
        {
            "name": f"camera-{index}",
            "url": f"rtsp://camera-{index}.cams.svc:554/main",
            "credentialsSecretRef": {"name": f"camera-{index}"},
            "frameRate": {"minimum": 1, "target": 5, "maximum": 15},
        }
        for index in range(4)
    ]
    model = {
        "name": "people",
        "source": {"persistentVolumeClaim": {"claimName": "models", "path": "people"}},
        "maxBatchSize": 8,
        "inputs": [{"name": "image", "dims": [576, 768, 3], "dataType": "UINT8"}],
        "outputs": [{"name": "boxes", "dims": [64, 4], "dataType": "FP32"}],
        "decoder": {"type": "none", "labels": ["person"]},
    }
    return {
        "apiVersion": "edgedetector.dev/v1alpha1",
        "kind": "EdgeDetector",
        "metadata": {"name": f"d{number:05}", "namespace": f"site-{number % NAMESPACES}"},
        "spec": {
            "acceleratorProfile": PROFILE,
            "models": [model],
            "cameras": cameras,
            "scaling": {"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilization": 80},
        },
    }


def create(server: Server, obj: Object) -> None:
    """Create an EdgeDetector, as `kubectl create` would."""
    server.request("POST", server.path(obj).rpartition("/")[0], obj)


def children() -> frozenset[tuple[str, str]]:
    """Return the kind and name of each child of `detector(0)`, as the operator plans them."""
    body = next(body for body in profiles.load() if body["metadata"]["name"] == PROFILE)
    profile = AcceleratorProfile.parse(body)
    parsed = EdgeDetector.parse({**detector(0), "metadata": {**detector(0)["metadata"], "uid": "0", "generation": 1}})
    facts = plan.Facts(frozenset({"ServiceMonitor", "PrometheusRule"}))
    settings = plan.Settings(operator_namespace=SYSTEM, detector_image="detector:1")
    accepted = plan.serving_config(parsed, profile)
    found = plan.detector_children(parsed, profile, settings, facts, accepted)
    return frozenset((obj["kind"], obj["metadata"]["name"]) for obj in found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machine() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{today}, commit {commit.stdout.decode().strip()}, {os.uname().machine}, {cores} cores, {memory:.0f} GiB"


def shown(value: object) -> str:
    return json.dumps(value)
