"""A real HTTPS server in a namespace, with a certificate of its own authority, that serves what a test puts into it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests import authority

from harness import Kubectl

NAME: Final = "models"
AUTHORITY: Final = "site-authority"
PORT: Final = 8443

_PROGRAM: Final = """
import http.server, os, ssl, sys

class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        name = "/content" + self.path.partition("?")[0]
        if os.path.exists(name + ".location"):
            self.send_response(302)
            self.send_header("Location", open(name + ".location").read().strip())
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_):
        pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/certificate/server.crt", "/certificate/server.key")
os.chdir("/content")
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


@dataclass(frozen=True)
class ModelServer:
    """The server of one namespace."""

    kubectl: Kubectl

    def holds(self, name: str, content: str) -> str:
        """Put a file there and return its SHA-256 digest."""
        script = f"cat >/content/.new && mv /content/.new /content/{name}"
        self.kubectl("exec", "-i", f"deployment/{NAME}", "--", "sh", "-c", script, stdin=content)
        return hashlib.sha256(content.encode()).hexdigest()

    def asked(self, name: str) -> int:
        """Return how often a file was asked for."""
        words = self.kubectl("logs", f"deployment/{NAME}").splitlines()
        return words.count(f"asked for /{name}")

    def source(self, name: str, digest: str, host: str = NAME) -> dict[str, Any]:
        """Return a model's source."""
        authority_key = {"name": AUTHORITY, "key": "root.pem"}
        url = f"https://{host}:{PORT}/{name}"
        return {"http": {"url": url, "sha256": digest, "caConfigMap": authority_key}}


def start(kubectl: Kubectl, image: str) -> ModelServer:
    """Start a server; `image` has a Python."""
    with tempfile.TemporaryDirectory() as folder:
        authority.make(Path(folder), f"DNS:{NAME}", f"DNS:{NAME}.{kubectl.namespace}.svc")
        files = {name: (Path(folder) / name).read_text() for name in ("ca.crt", "server.crt", "server.key")}
    kubectl.apply(*_objects(image, files))
    kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=240s")
    return ModelServer(kubectl)


def stop(kubectl: Kubectl) -> None:
    """Take the server away for good."""
    kubectl("delete", "deployment,service", NAME, "--wait=true")


def _objects(image: str, files: Mapping[str, str]) -> list[dict[str, Any]]:
    labels = {"app.kubernetes.io/name": NAME}
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", _PROGRAM],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "content", "mountPath": "/content"},
            {"name": "certificate", "mountPath": "/certificate", "readOnly": True},
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "content", "emptyDir": {}},
            {"name": "certificate", "secret": {"secretName": "models-certificate"}},
        ],
    }
    certificate = {name: files[name] for name in ("server.crt", "server.key")}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": AUTHORITY},
            "data": {"root.pem": files["ca.crt"]},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "models-certificate"}, "stringData": certificate},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME},
            "spec": {
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME},
            "spec": {"selector": labels, "ports": [{"port": PORT, "targetPort": PORT}]},
        },
    ]
