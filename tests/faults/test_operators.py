"""The operator as a process: at any moment there is one, or none."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.faults.operators import Operator


class Sleepers:
    """Starts processes that do nothing."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []

    def fork(self, _arguments: Sequence[str], _environment: dict[str, str], _log: Path) -> int:
        self.started.append(subprocess.Popen(["sleep", "600"]))
        return self.started[-1].pid

    def running(self) -> int:
        return sum(process.poll() is None for process in self.started)


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    found = Sleepers()
    yield found
    for process in found.started:
        process.kill()
        process.wait()


async def test_kills_at_once_leave_one_process_and_a_stop_none(sleepers: Sleepers) -> None:
    operator = Operator(sleepers, (), {}, Path("log"))
    operator.start()
    for _ in range(5):
        await asyncio.gather(*(operator.kill() for _ in range(4)))
        assert (sleepers.running(), operator.alive) == (1, True)
    assert len(sleepers.started) == 6
    await asyncio.gather(operator.kill(), operator.stop(), operator.kill())
    assert (sleepers.running(), operator.alive, operator.deaths) == (0, False, 0)
