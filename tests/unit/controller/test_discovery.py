"""Optional kinds that are installed and removed while the operator runs, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tests.unit.controller import virtual

from edgedetector.cluster.errors import UnavailableError
from edgedetector.controller.discovery import MEMORY, Discovery

BOTH = frozenset({"ServiceMonitor", "PrometheusRule"})


class Server:
    """Serves the optional kinds from a moment on; answers nothing while it is down."""

    def __init__(self, since: float, down: tuple[float, float] = (0.0, 0.0)) -> None:
        self.since, self.down = since, down
        self.requests = 0

    async def served(self, _api_version: str, wanted: Iterable[str]) -> frozenset[str]:
        self.requests += 1
        now = asyncio.get_running_loop().time()
        if self.down[0] <= now < self.down[1]:
            raise UnavailableError("no answer in time")
        return frozenset(wanted) if now >= self.since else frozenset()


def watch(server: Server, seconds: float) -> list[float]:
    """Return when the detectors at rest were woken."""

    async def run() -> list[float]:
        clock = asyncio.get_running_loop().time
        woken: list[float] = []
        discovery = Discovery(server, clock, lambda: woken.append(clock()))  # type: ignore[arg-type]
        task = asyncio.create_task(discovery.run())
        await asyncio.sleep(seconds)
        task.cancel()
        return woken

    return virtual.run(run())


def test_kinds_that_are_served_long_after_their_definition_wake_detectors_at_rest_once() -> None:
    woken = watch(Server(since=101.0), 1000.0)
    assert len(woken) == 1
    assert 101 <= woken[0] <= 101 + 2 * MEMORY <= 131


def test_a_server_that_does_not_answer_for_a_while_ends_nothing() -> None:
    woken = watch(Server(since=10.0, down=(5.0, 200.0)), 1000.0)
    assert len(woken) == 1
    assert 200 <= woken[0] <= 200 + 2 * MEMORY


def test_kinds_that_were_there_from_the_start_wake_nobody() -> None:
    assert watch(Server(since=0.0), 1000.0) == []


def test_many_passes_share_one_request_and_a_definition_that_changes_asks_anew() -> None:
    async def run() -> None:
        clock = asyncio.get_running_loop().time
        server, woken = Server(since=1.0), list[float]()
        discovery = Discovery(server, clock, lambda: woken.append(clock()))  # type: ignore[arg-type]
        assert [await discovery.served() for _ in range(3)] == [frozenset()] * 3
        assert server.requests == 1
        await asyncio.sleep(2.0)
        discovery.forget()
        assert await discovery.served() == BOTH
        assert woken == [2.0], "the others have to look too"

    virtual.run(run())
