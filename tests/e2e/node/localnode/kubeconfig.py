"""Kubeconfig files: who talks to which API server."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from pathlib import Path

from . import binaries, paths, progress


def render(context: str, server: str, authority: Path, certificate: Path, key: Path) -> str:
    """A kubeconfig with one context of that name, credentials included."""

    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    return f"""apiVersion: v1
kind: Config
clusters:
- name: {context}
  cluster:
    server: {server}
    certificate-authority-data: {embedded(authority)}
users:
- name: {context}
  user:
    client-certificate-data: {embedded(certificate)}
    client-key-data: {embedded(key)}
contexts:
- name: {context}
  context:
    cluster: {context}
    user: {context}
current-context: {context}
"""


def write(file: Path, text: str) -> None:
    """Replace a file that only its owner may read, at once and whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as partial:  # mode 0600
        partial.write(text)
    Path(partial.name).replace(file)


def users_file(explicit: str | None) -> Path:
    """The file to export into: --kubeconfig, else the first of $KUBECONFIG, else ~/.kube/config."""
    first = os.environ.get("KUBECONFIG", "").split(":")[0]
    return Path(explicit or first or Path.home() / ".kube" / "config")


def merge(cluster: paths.Cluster, target: Path) -> None:
    """Add the cluster to a kubeconfig and make it the current one; other clusters in the file stay."""
    if not target.exists() or not target.read_text().strip():
        write(target, cluster.kubeconfig.read_text())
        return
    # The first file wins: neither stale credentials of a namesake nor another current context survive.
    environment = {**os.environ, "KUBECONFIG": f"{cluster.kubeconfig}:{target}"}
    command = [str(binaries.program("kubectl")), "config", "view", "--flatten", "--raw"]
    write(target, subprocess.check_output(command, env=environment, text=True))


def forget(cluster: paths.Cluster, target: Path) -> None:
    """Take the cluster out of a kubeconfig, if it is in it."""
    if not target.exists() or cluster.context not in target.read_text():
        return
    if not binaries.is_built("kubernetes"):  # a teardown never starts a build
        progress.say(f"no kubectl is built: {cluster.context} stays in {target}")
        return
    kubectl = [str(binaries.program("kubectl")), "--kubeconfig", str(target), "config"]
    for what in ("delete-context", "delete-cluster", "delete-user"):
        subprocess.run([*kubectl, what, cluster.context], capture_output=True, check=False)
    shown = subprocess.run([*kubectl, "current-context"], check=False, capture_output=True, text=True)
    if shown.stdout.strip() == cluster.context:
        subprocess.run([*kubectl, "unset", "current-context"], check=False, capture_output=True)
