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
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600"]
    install = [*apt, "install", "--yes", "--no-install-recommends", *packages]

    def run(command: list[str]) -> bool:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode == 0

    with progress.stage(f"install {' '.join(packages)}", expect="about 25 s"), _services_stay_down():
        # The lists may be missing or too old for what the archive still has; then they are fetched, and once more.
        if not run(install) and not (run([*apt, "update"]) and run(install)):
            raise SystemExit(f"ERROR: apt-get could not install {' '.join(packages)}")


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
