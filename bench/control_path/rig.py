"""The experiment's hands: kubectl in one namespace, load from inside the pod, and waiting with a deadline."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.control_path import manifests
from hack import cluster as driver

from edgedetector.api import names
from edgedetector.api.dataplane import Probe, ServingConfig

T = TypeVar("T")

CLIENTS = 4
"""Closed-loop clients: enough to keep two instances busy, few enough to leave most of two cores to the rest."""


class NotReachedError(RuntimeError):
    """Something did not happen in time; the message has what was seen last."""


def poll(what: str, look: Callable[[], T], good: Callable[[T], bool], seconds: float, every: float = 1.0) -> T:
    """Look until it is good and return it; seldom, since each look starts a kubectl, and times are taken in the pod."""
    deadline = time.monotonic() + seconds
    while not good(seen := look()):
        if time.monotonic() > deadline:
            raise NotReachedError(f"{what}: not within {seconds:g} s; last seen: {seen!r}")
        time.sleep(every)
    return seen


@dataclass
class Window:
    """What the clients saw while something was changed."""

    requests: int = 0
    wrong: int = 0
    errors: int = 0
    error: str = ""
    gap: float = 0.0
    """Seconds, the longest that any client waited from one answer to the next."""
    timeline: list[dict[str, Any]] = field(default_factory=list)
    started: float = 0.0

    def when(self, good: Callable[[dict[str, Any]], bool], after: float) -> float:
        """Return the seconds from `after` until the detector's state was good for the first time."""
        for entry in self.timeline:
            if entry["at"] >= after and good(entry["state"]):
                return float(entry["at"] - after)
        raise NotReachedError(f"the state was never as expected; last: {self.timeline[-1:]}")


class Rig:
    """One namespace with the pod under test."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._kubectl = driver.build("kubectl")
        self._environment = {**os.environ, "KUBECONFIG": str(driver.kubeconfig())}
        self._refreshes = 0

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        command = [self._kubectl, "--namespace", self.namespace, *arguments]
        done = subprocess.run(
            command,
            env=self._environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=None if check else subprocess.DEVNULL,
            check=check,
            text=True,
        )
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listing))

    def get(self, *arguments: str) -> Any:
        text = self.kubectl("get", *arguments, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods that are not on their way out, oldest first."""
        items = self.get("pods", "-l", f"app={manifests.NAME}")["items"]
        staying = [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]
        return sorted(staying, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def pod(self) -> str:
        """Return the name of the pod that is Ready, after waiting for it."""
        found = poll("a Ready pod", self.pods, lambda pods: any(map(is_ready, pods)), 120, every=0.5)
        return str(next(pod["metadata"]["name"] for pod in found if is_ready(pod)))

    def restarts(self, pod: str, container: str) -> int:
        """Return how often a container of the pod was started again."""
        statuses = self.get("pod", pod)["status"]["containerStatuses"]
        return int(next(status["restartCount"] for status in statuses if status["name"] == container))

    def state(self, pod: str) -> dict[str, Any]:
        """Return the detector's /state, an empty one while it does not answer."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:{names.PORT_DETECTOR}/proxy/state"
        text = self.kubectl("get", "--raw", path, check=False)
        return dict(json.loads(text)) if text.startswith("{") else {}

    def write(self, accepted: ServingConfig, probe: Probe | None = None) -> None:
        """Write the ConfigMap, as the operator would."""
        self.apply(manifests.serving_map(accepted, probe))

    def refresh(self, pod: str) -> None:
        """Change the pod's annotation, as the operator would: the kubelet then looks at the volumes."""
        self._refreshes += 1
        self.kubectl("annotate", "pod", pod, "--overwrite", f"{names.ANNOTATION_REFRESH}={self._refreshes}")

    def exec(self, pod: str, container: str, *command: str, check: bool = True) -> str:
        return self.kubectl("exec", pod, "-c", container, "--", *command, check=check)

    @contextmanager
    def load(self, pod: str) -> Iterator[Window]:
        """Ask the model in closed loop for as long as the context lasts; the window is filled at its end."""
        command = [self._kubectl, "--namespace", self.namespace, "exec", "-i", pod, "-c", "clients", "--"]
        command += ["python", "/clients/clients.py", "load", str(CLIENTS)]
        window = Window()
        with subprocess.Popen(
            command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            window.started = json.loads(next(iter(process.stdout or ())))["started"]
            try:
                yield window
            finally:
                answer, _ = process.communicate(timeout=60)
        for key, value in json.loads(answer.strip().splitlines()[-1]).items():
            setattr(window, key, value)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def serves(serving_id: str) -> Callable[[dict[str, Any]], bool]:
    """Return whether a state says that the model serves this config."""
    return lambda state: any(
        model["servingId"] == serving_id and model["state"] == "Ready" for model in state.get("models", [])
    )
