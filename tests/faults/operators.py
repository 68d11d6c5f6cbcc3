"""The operator as a process that dies and is started again, as a kubelet would."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]

# Seconds; a killed process is gone in milliseconds.
_DEATH = 10.0


class Zygote:
    """Forks operators that have their imports behind them (see `zygote.py`).

    `environment` is that of the imports: the Kubernetes client reads `KUBECONFIG` in them.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        path = os.pathsep.join((str(ROOT / "operator"), str(ROOT)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=ROOT, env={**os.environ, **environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def fork(self, arguments: Sequence[str], environment: dict[str, str], log: Path) -> int:
        """Return the id of a new operator's process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": list(arguments), "environment": environment, "log": str(log)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it; its operators die with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


class Forker(Protocol):
    """Starts operators."""

    def fork(self, arguments: Sequence[str], environment: dict[str, str], log: Path) -> int:
        """Return the id of a new operator's process."""


class Operator:
    """One operator at a time, which is started again whenever it ends, until `stop`."""

    def __init__(self, zygote: Forker, arguments: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._zygote = zygote
        self._arguments = tuple(arguments)
        self._environment = environment
        self._watcher: asyncio.Task[None] | None = None
        self._killing = asyncio.Lock()
        self.log = log
        self.pid = 0
        self.starts = 0
        self.deaths = 0
        """How often it ended by itself, which it never should."""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return bool(self.pid) and _runs(self.pid)

    def start(self) -> None:
        """Start it, and from now on again whenever it ends."""
        self._fork()
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(), name="operator")

    async def kill(self) -> None:
        """Kill it; it is started again if it is not stopped.

        Two writes at once may both mean its death: the second then means the process that is dying, and no other is
        started for it, or two would run and one of them unknown to us.
        """
        meant = self.pid
        async with self._killing:
            if self.pid != meant:
                return
            self.pid = 0
            if meant and _runs(meant):
                await _end(meant)
            if self._watcher is not None:
                self._fork()

    async def stop(self) -> None:
        """Kill it and leave it dead."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
        await self.kill()

    def _fork(self) -> None:
        self.pid = self._zygote.fork(self._arguments, self._environment, self.log)
        self.starts += 1

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            if self.pid and not _runs(self.pid):
                self.deaths += 1
                self._fork()


async def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(_DEATH):
        # Others that mean this death get their turn before the next start, however fast the process is gone.
        await asyncio.sleep(0)
        while _runs(pid):  # noqa: ASYNC110 - no event tells of the end of a process that is not our child
            await asyncio.sleep(0.002)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
