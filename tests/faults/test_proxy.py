"""The proxy does to a write what the plan says, and nothing to any other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from tests.faults.plans import Case, Fault, Once, Write
from tests.faults.proxy import Proxy

WRITE = Write("create", "PATCH /thing")


@dataclass
class Stand:
    """A proxy before a server that remembers what reached it."""

    proxy: Proxy
    session: aiohttp.ClientSession
    reached: list[str] = field(default_factory=list)
    kills: list[int] = field(default_factory=list)
    """How many writes had reached the server at each kill."""

    async def send(self, method: str = "PATCH") -> int | None:
        """Return the status; None if the connection ended without one."""
        try:
            async with self.session.request(method, f"{self.proxy.url}/thing", data=b"{}") as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientError:
            return None


@contextlib.asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    reached: list[str] = []
    kills: list[int] = []

    async def thing(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            stream = web.StreamResponse()
            await stream.prepare(request)
            await stream.write(b'{"type":"ADDED"}\n')
            await asyncio.Event().wait()
        reached.append(request.method)
        return web.json_response({"metadata": {"uid": "u1"}}, status=201)

    async def kill() -> None:
        kills.append(len(reached))

    app = web.Application()
    app.router.add_route("*", "/thing", thing)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with (
        Proxy(url, None, kill) as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        proxy.step = "create"
        yield Stand(proxy, session, reached, kills)
    await runner.cleanup()


@pytest.mark.parametrize(
    ("fault", "status", "reached", "kills"),
    [
        (Fault.KILL_BEFORE, None, 0, [0]),
        (Fault.KILL_COMMITTED, None, 1, [1]),
        (Fault.KILL_REPLIED, 201, 1, [1]),
        (Fault.LOST, None, 1, []),
        (Fault.CONFLICT, 409, 0, []),
        (Fault.PATIENCE, 429, 0, []),
        (Fault.BROKEN, 500, 0, []),
        (Fault.GONE, 410, 0, []),
    ],
)
async def test_a_fault_strikes_as_it_is_called(
    fault: Fault, status: int | None, reached: int, kills: list[int]
) -> None:
    async with stand() as it:
        it.proxy.begin(Once([Case(WRITE, fault)]))
        assert await it.send() == status
        assert len(it.reached) == reached
        assert it.kills == kills
        assert await it.send() == 201, "the next one is let through"
        assert [done.write.nth for done in it.proxy.done] == [1, 2]


async def test_without_a_fault_writes_are_named_and_known_by_the_uid_they_made() -> None:
    async with stand() as it:
        assert await it.send("GET") == 201
        assert await it.send() == 201
        assert [(str(done.write), done.status, done.uid) for done in it.proxy.done] == [
            ("create: PATCH /thing", 201, "u1")
        ]


async def test_watches_are_passed_on_cut_answered_and_silenced() -> None:
    async with stand() as it:
        watch = f"{it.proxy.url}/thing?watch=true"
        async with it.session.get(watch) as answer:
            assert await answer.content.readline() == b'{"type":"ADDED"}\n'
            it.proxy.drop_watches()
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
        it.proxy.reads.watch_answers = [410]
        async with it.session.get(watch) as answer:
            assert answer.status == 410
