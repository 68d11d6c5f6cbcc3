"""The control groups of the node's pods."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from . import paths, waiting

CONTROLLERS = frozenset({"cpu", "cpuset", "hugetlb", "io", "memory", "pids"})
"""What the kubelet uses of control groups version 2."""

SHARE = 8
"""Weight of all pods together, in processes of the machine: to its scheduler they are one, and beside a dozen compilers
or test programs they would get next to nothing, which no real node does to its pods."""
_SHARES = 1024  # of one process, in version 1
_WEIGHT = 100  # in version 2


def make(cluster: paths.Cluster) -> None:
    """The parent of all pods' cgroups, in every hierarchy of version 1 or in the one of version 2."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        wanted = CONTROLLERS.intersection((root / "cgroup.controllers").read_text().split())
        for folder in (root, root / cluster.cgroup):
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)))
        if "cpu" in wanted:
            (root / cluster.cgroup / "cpu.weight").write_text(str(SHARE * _WEIGHT))
        return
    for hierarchy in _hierarchies():
        folder = hierarchy / cluster.cgroup
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset is empty and takes no process
            if (folder / setting).exists():
                (folder / setting).write_text((hierarchy / setting).read_text())
        if (folder / "cpu.shares").exists():
            (folder / "cpu.shares").write_text(str(SHARE * _SHARES))


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
