"""The least of a Kubernetes client: enough to see the cluster come up."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Sequence
from typing import Any

from . import binaries, paths, sandbox, settings


def get(cluster: paths.Cluster, path: str) -> tuple[int, bytes]:
    """HTTP status and body of a GET as administrator; status 0 while nothing listens."""
    pki = cluster.home / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    address = sandbox.link(cluster).node
    connection = http.client.HTTPSConnection(address, settings.API_PORT, timeout=5, context=context)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def is_ready(cluster: paths.Cluster) -> bool:
    """Whether the API server says that it is ready."""
    return get(cluster, "/readyz")[0] == http.client.OK


def node_is_ready(cluster: paths.Cluster) -> bool:
    """Whether the node's Ready condition is True."""
    status, body = get(cluster, f"/api/v1/nodes/{cluster.node}")
    if status != http.client.OK:
        return False
    conditions: list[dict[str, Any]] = json.loads(body)["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def exists(cluster: paths.Cluster, path: str) -> bool:
    """Whether an object of that path exists."""
    return get(cluster, path)[0] == http.client.OK


def kubectl(cluster: paths.Cluster, arguments: Sequence[str], text: str | None = None) -> str:
    """Run kubectl as administrator, with `text` on its standard input; returns what it prints."""
    command = [str(binaries.program("kubectl")), "--kubeconfig", str(cluster.kubeconfig), *arguments]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


def apply(cluster: paths.Cluster, manifests: str) -> None:
    """Server-side apply of YAML documents."""
    kubectl(
        cluster, ["apply", "--server-side", "--force-conflicts", "--field-manager=local-node", "-f", "-"], manifests
    )
