"""Debian packages, installed only when a program of theirs is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import locks, progress

NODE_PACKAGES: Mapping[str, str] = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "mount": "mount",
}
"""Program (on the PATH, or absolute) -> the package that has it."""

_POLICY = Path("/usr/sbin/policy-rc.d")


def ensure(wanted: Mapping[str, str]) -> None:
    """Install the packages of those programs that are missing; needs root and Debian's archive."""
    if not missing(wanted):
        return
    with locks.exclusive("apt"):
        packages = missing(wanted)  # somebody else may have installed them while we waited
        if packages:
            _install(packages)


def missing(wanted: Mapping[str, str]) -> list[str]:
    """Packages that have to be installed, sorted."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return sorted({package for program, package in wanted.items() if shutil.which(program, path=path) is None})


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600"]
    with progress.stage(f"install {' '.join(packages)}", expect="about 25 s"):
        if not _known(packages):
            subprocess.run([*apt, "update"], check=True, env=environment)
        with _services_stay_down():
            subprocess.run(
                [*apt, "install", "--yes", "--no-install-recommends", *packages],
                check=True,
                env=environment,
                stdout=subprocess.DEVNULL,
            )


def _known(packages: list[str]) -> bool:
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", *packages], capture_output=True, text=True)
    return shown.returncode == 0


@contextmanager
def _services_stay_down() -> Iterator[None]:
    # etcd-server and containerd would start as services of the machine; the node starts its own.
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
