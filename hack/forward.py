"""Reach a port of a pod from this machine, through the API server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import cluster

START_SECONDS = 90.0


@contextlib.contextmanager
def forward(namespace: str, target: str, port: int) -> Iterator[str]:
    """Yield `http://127.0.0.1:N` of a `kubectl port-forward` to `target`, as long as the block runs.

    Raises
    ------
    ConnectionError
        If the forward does not stand within `START_SECONDS`.
    """
    process = subprocess.Popen(
        [cluster.build("kubectl"), "port-forward", "--namespace", namespace, target, f":{port}"],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig())},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{_local_port(process)}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def serving_pod(namespace: str, detector: str, camera: str) -> str:
    """Return `pod/NAME` of the replica that has the camera, as status says.

    Raises
    ------
    LookupError
        If no replica has it.
    """
    found = json.loads(cluster.kubectl("get", "edgedetector", detector, "--namespace", namespace, "-o", "json"))
    for entry in found.get("status", {}).get("cameras", []):
        if entry["name"] == camera and entry.get("replica"):
            return f"pod/{entry['replica']}"
    raise LookupError(f"no replica has camera {camera}")


def get(url: str, timeout: float = 10.0) -> bytes:
    """Return the body of a GET.

    Raises
    ------
    OSError
        If it cannot be had within `timeout` seconds.
    """
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        body: bytes = answer.read()
        return body


def _local_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None  # noqa: S101 - for the type checker
    deadline = time.monotonic() + START_SECONDS
    printed = ""
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([process.stdout], [], [], 0.5)[0]:
            printed += process.stdout.readline()
            if found := re.search(r"127\.0\.0\.1:(\d+) ->", printed):
                return int(found[1])
    raise ConnectionError(f"port-forward did not come up: {printed.strip()}")
