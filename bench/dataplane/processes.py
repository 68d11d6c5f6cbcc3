"""What processes of this machine use and hold, from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.dataplane.figures import Snapshot

from edgedetector.triton.shared_memory import DIRECTORY

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def snapshot(roots: Mapping[str, int]) -> Snapshot:
    """Return what the named processes have used, and each descendant of theirs as ``name/program``."""
    used: dict[tuple[str, int], float] = {}
    for name, pid in roots.items():
        for found in tree(pid):
            stat = _stat(found)
            if stat is not None:
                program, seconds = stat
                used[name if found == pid else f"{name}/{program}", found] = seconds
    return Snapshot(time.monotonic(), used)


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    for thread in _entries(Path(f"/proc/{pid}/task")):
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from tree(int(child))


def resident(pid: int) -> float:
    """Return resident memory without what files and shared memory hold, in MiB."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * PAGE / 2**20


@dataclass(frozen=True)
class Held:
    """What this process holds that does not go by itself."""

    descriptors: int
    threads: int
    regions: int
    """Files of shared memory."""

    @classmethod
    def now(cls, token: str) -> Held:
        """Look; `token` is that of the `Regions` whose files are counted: other processes have theirs beside them."""
        return cls(
            len(list(_entries(Path("/proc/self/fd")))),
            len(list(_entries(Path("/proc/self/task")))),
            len(list(DIRECTORY.glob(f"*-{token}-*"))),
        )


def _entries(directory: Path) -> tuple[Path, ...]:
    try:
        return tuple(directory.iterdir())
    except OSError:
        return ()


def _stat(pid: int) -> tuple[str, float] | None:
    """Return a process's program and CPU seconds, its own and not its children's; None if it has ended."""
    try:
        head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    fields = tail.split()
    return head.partition("(")[2], (int(fields[11]) + int(fields[12])) / TICKS
