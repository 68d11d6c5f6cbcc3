"""Keys and certificates of the cluster, made with the openssl command."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DAYS = 3650
"""Longer than any test cluster lives."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client certificate is for: the user name and the group that Kubernetes takes from it."""

    user: str
    group: str = ""


def clients(node: str) -> Mapping[str, Identity]:
    """File name -> identity of every client of the API server."""
    return {
        "admin": Identity("kubernetes-admin", "system:masters"),
        "kube-apiserver-kubelet": Identity("kube-apiserver-kubelet-client", "system:masters"),
        "kube-controller-manager": Identity("system:kube-controller-manager"),
        "kube-scheduler": Identity("system:kube-scheduler"),
        "kube-proxy": Identity("system:kube-proxy"),
        "coredns": Identity("system:coredns"),
        "kubelet": Identity(f"system:node:{node}", "system:nodes"),
    }


def make(folder: Path, node: str, server_names: list[str]) -> None:
    """Write NAME.crt and NAME.key for both authorities, the API server and every client, and the key that signs
    service account tokens. `server_names` are subject alternative names such as "DNS:kubernetes" or "IP:10.0.0.1"."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for authority in ("ca", "front-proxy-ca"):
        _certificate(folder, authority, f"/CN={authority}", ["basicConstraints=critical,CA:TRUE"])
    server = [f"subjectAltName={','.join(server_names)}", "extendedKeyUsage=serverAuth"]
    _certificate(folder, "kube-apiserver", "/CN=kube-apiserver", server, "ca")
    client = ["extendedKeyUsage=clientAuth"]
    for name, identity in clients(node).items():
        subject = (f"/O={identity.group}" if identity.group else "") + f"/CN={identity.user}"
        _certificate(folder, name, subject, client, "ca")
    _certificate(folder, "front-proxy-client", "/CN=front-proxy-client", client, "front-proxy-ca")
    _certificate(folder, "service-accounts", "/CN=service-accounts", [])


def _certificate(folder: Path, name: str, subject: str, extensions: list[str], authority: str = "") -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-batch"]
    command += ["-subj", subject, "-days", str(DAYS), "-keyout", f"{name}.key", "-out", f"{name}.crt"]
    if authority:
        command += ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key"]
        extensions = ["basicConstraints=critical,CA:FALSE", *extensions]
    for extension in extensions:
        command += ["-addext", extension]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
