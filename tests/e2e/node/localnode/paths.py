"""Where the node keeps what it builds (cache) and what it runs on (state)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
"""The directory that holds the executables, the Go modules and the manifests."""


def cache() -> Path:
    """Content-addressed results: built binaries and image archives. Safe to delete at any time."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("EDGEDETECTOR_CACHE") or base / "edgedetector")


def state() -> Path:
    """Parent of one directory a running cluster."""
    return Path(os.environ.get("EDGEDETECTOR_STATE") or "/var/lib/edgedetector-node")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's name and everything whose name derives from it."""

    name: str

    def __post_init__(self) -> None:
        # kind's own rule; it also keeps the name usable as a cgroup and a file name.
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,40}", self.name):
            raise SystemExit(f"'{self.name}' is not a valid cluster name")

    @property
    def home(self) -> Path:
        """Every file of the running cluster."""
        return state() / self.name

    @property
    def node(self) -> str:
        """The node's name, as kind names it."""
        return f"{self.name}-control-plane"

    @property
    def context(self) -> str:
        """The kubeconfig's context, cluster and user, as kind names them."""
        return f"kind-{self.name}"

    @property
    def cgroup(self) -> str:
        """Parent of every pod's cgroup, in each hierarchy."""
        return f"edgedetector-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.home / "kubeconfig"

    @property
    def socket(self) -> Path:
        """The container runtime's socket."""
        return self.home / "containerd.sock"

    @property
    def logs(self) -> Path:
        """One file a program."""
        return self.home / "logs"

    @property
    def audit_log(self) -> Path:
        """Who did what, by the API server; unless another file is asked for."""
        return self.home / "audit.log"

    @property
    def complete(self) -> Path:
        """Exists once the cluster has been created to the end: an interrupted creation is no cluster."""
        return self.home / "complete"
