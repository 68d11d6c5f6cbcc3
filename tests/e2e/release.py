"""A release of the operator on a bare API server: Helm's part, and the process that its Deployment would run.

No kubelet starts the operator there, so tests do: with the environment that the Deployment gives it, as the service
account that it names, and nothing more. What the chart forgets to set or to permit is missing then.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.apiserver import ROOT, Server
from tests.e2e.node.localnode import wheels

Object = dict[str, Any]

CHART = ROOT / "charts" / "edgedetector"
FIRST_LIGHT = Path(__file__).parent / "data" / "first-light.tar.xz"
"""Chart and operator of the first working version: git archive 1f265e0 charts operator/edgedetector, no data plane."""


def unpack_first_light(directory: Path) -> Path:
    """Unpack the first release and return where its chart and its code lie."""
    with tarfile.open(FIRST_LIGHT) as archive:
        archive.extractall(directory, filter="data")
    return directory


def helm(kubeconfig: Path, *arguments: str, values: Object | None = None, check: bool = True) -> str:
    """Run Helm; `values` are its --values."""
    command = [str(wheels.helm()), *arguments, *(["--values", "-"] if values is not None else [])]
    done = subprocess.run(
        command, env={**os.environ, "KUBECONFIG": str(kubeconfig)}, input=json.dumps(values or {}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def rendered(
    *arguments: str, values: Object | None = None, chart: Path = CHART, name: str = "edgedetector"
) -> list[Object]:
    """Return what the chart renders for a release of that name, in the order in which it stands there."""
    import yaml  # noqa: PLC0415 - the C loader is needed: a dozen charts with two large definitions each

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = helm(Path("/nonexistent"), "template", name, str(chart), *arguments, values=values or {})
    return [obj for obj in yaml.load_all(text, loader) if obj]


class Process:
    """The operator, as its Deployment in `namespace` describes it."""

    def __init__(self, server: Server, namespace: str, log: Path, code: Path = ROOT) -> None:
        deployment = server.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/edgedetector")
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        environment = {
            entry["name"]: namespace if "valueFrom" in entry else entry.get("value", "") for entry in container["env"]
        }
        for volume in pod["volumes"]:
            if "configMap" in volume:  # mounted, as a kubelet would
                files = server.get(f"/api/v1/namespaces/{namespace}/configmaps/{volume['configMap']['name']}")["data"]
                folder = log.parent / volume["name"]
                folder.mkdir(exist_ok=True)
                for name, text in files.items():
                    (folder / name).write_text(text)
                environment[f"EDGEDETECTOR_{volume['name'].upper()}"] = str(folder)
        self.port = _free_port()
        self.log = log
        config = server.kubeconfig_of(namespace, pod["serviceAccountName"])
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edgedetector.controller", "--port", str(self.port), "--resync", "20"],
                env={**os.environ, **environment, "KUBECONFIG": str(config), "PYTHONPATH": str(code / "operator")},
                cwd=code, stdout=output, stderr=output,
            )  # fmt: skip

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def metrics(self) -> str:
        """Return its figures, empty until it serves them."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            return str(answer.read().decode())
        return ""

    def ready(self) -> bool:
        """Tell whether a kubelet would call it ready."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz") as answer:
            return bool(answer.status == 200)
        return False

    def stop(self) -> None:
        """End it as a kubelet does."""
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running(server: Server, namespace: str, log: Path, code: Path = ROOT) -> Iterator[Process]:
    """Run the operator for as long as the context lasts."""
    process = Process(server, namespace, log, code)
    try:
        yield process
    except BaseException:
        print(f"--- the operator's last words ({log}):\n" + "\n".join(log.read_text().splitlines()[-30:]))
        raise
    finally:
        process.stop()


def every_object(server: Server) -> dict[str, str]:
    """Return all objects of all kinds that the API server lists: kind, namespace and name -> UID. No Events."""
    found: dict[str, str] = {}
    groups = server.request("GET", "/apis")["groups"]
    for version in ("v1", *(group["preferredVersion"]["groupVersion"] for group in groups)):
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        served = server.get(prefix) or {"resources": []}  # a kind's definition may be on its way out
        for resource in served["resources"]:
            if "list" not in resource["verbs"] or "/" in resource["name"] or resource["kind"] in {"Event", "Lease"}:
                continue
            for item in (server.get(f"{prefix}/{resource['name']}") or {"items": []})["items"]:
                metadata = item["metadata"]
                place = f"{resource['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
                found[place] = metadata.get("uid", "")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
