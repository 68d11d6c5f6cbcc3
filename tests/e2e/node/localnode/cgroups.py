"""The control groups of the node's pods."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from . import paths, waiting


def make(cluster: paths.Cluster) -> None:
    """The parent of all pods' cgroups, in every hierarchy of version 1 or in the one of version 2."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        controllers = (root / "cgroup.controllers").read_text().split()
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
        (root / cluster.cgroup).mkdir(exist_ok=True)
        (root / cluster.cgroup / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
        return
    for hierarchy in _hierarchies():
        folder = hierarchy / cluster.cgroup
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset is empty and takes no process
            if (folder / setting).exists():
                (folder / setting).write_text((hierarchy / setting).read_text())


def _hierarchies() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root]
    return [p for p in root.iterdir() if (p / "cgroup.procs").exists() and not p.is_symlink()]


def remove(cluster: paths.Cluster) -> None:
    """Remove what `make`, the kubelet and runc made; no process may be left in it."""
    for hierarchy in _hierarchies():
        top = hierarchy / cluster.cgroup
        for folder, _, _ in os.walk(top, topdown=False):
            waiting.until(functools.partial(_removed, Path(folder)), f"{folder} can be removed")


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
