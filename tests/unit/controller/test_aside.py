"""Kopf beside the operator: what an API server does to it, or it does to itself, ends nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import random
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import kopf
import pytest
from aiohttp import web
from kubernetes.aio import client as kubernetes
from tests.unit.controller import virtual

from edgedetector.controller import aside, keys

# Seconds; a busy machine takes a few, and a failure that is told by waiting may take long.
PATIENCE = 60.0
# Seconds between two tries of a request: in production it takes Kopf's ten former tries some two minutes.
RETRIES = (0.001, 0.01)
TRIES = 9
"""After so many Kopf would end if nobody told it better."""

GROUPS = {
    "edgedetector.dev": ("v1alpha1", "acceleratorprofiles", "AcceleratorProfile"),
    "apiextensions.k8s.io": ("v1", "customresourcedefinitions", "CustomResourceDefinition"),
}


@dataclass
class Server:
    """As much of an API server as Kopf asks for: two kinds, their lists and watches."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """Statuses of the next lists and watches, instead of what was asked for."""
    refused: int = 0
    generation: int = 1
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self) -> None:
        """Change the profile; watches end, as they do from time to time, and the next list tells of it."""
        self.generation += 1
        self.changed.set()
        self.changed = asyncio.Event()

    async def versions(self, _request: web.Request) -> web.Response:
        return web.json_response({"versions": ["v1"]})

    async def core(self, _request: web.Request) -> web.Response:
        one = {"name": "namespaces", "singularName": "namespace", "kind": "Namespace", "namespaced": False}
        return web.json_response({"groupVersion": "v1", "resources": [one | {"verbs": ["list", "watch"]}]})

    async def groups(self, _request: web.Request) -> web.Response:
        found = []
        for group, (version, _, _) in GROUPS.items():
            one = {"groupVersion": f"{group}/{version}", "version": version}
            found.append({"name": group, "preferredVersion": one, "versions": [one]})
        return web.json_response({"groups": found})

    async def resources(self, request: web.Request) -> web.Response:
        version, plural, kind = GROUPS[request.match_info["group"]]
        one = {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": False}
        one |= {"verbs": ["list", "watch"]}
        return web.json_response({"groupVersion": f"{request.match_info['group']}/{version}", "resources": [one]})

    async def objects(self, request: web.Request) -> web.StreamResponse:
        if self.answers:
            self.refused += 1
            status = self.answers.pop(0)
            return web.json_response({"kind": "Status", "code": status, "message": "injected"}, status=status)
        if request.query.get("watch") != "true":
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": self._items(request)})
        stream, changed = web.StreamResponse(), self.changed
        await stream.prepare(request)
        with contextlib.suppress(ConnectionError):
            await changed.wait()
            for item in self._items(request):
                await stream.write(json.dumps({"type": "MODIFIED", "object": item}).encode() + b"\n")
        return stream

    def _items(self, request: web.Request) -> list[dict[str, Any]]:
        if request.match_info["plural"] != "acceleratorprofiles":
            return []
        metadata = {"name": "cpu", "uid": "1", "resourceVersion": str(self.generation), "generation": self.generation}
        return [{"apiVersion": "edgedetector.dev/v1alpha1", "kind": "AcceleratorProfile", "metadata": metadata}]


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.add_routes([
        web.get("/api", server.versions),
        web.get("/api/v1", server.core),
        web.get("/apis", server.groups),
        web.get("/apis/{group}/{version}", server.resources),
        web.get("/apis/{group}/{version}/{plural}", server.objects),
    ])  # fmt: skip
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@dataclass
class Operator:
    """What Kopf told, and how often it was begun anew."""

    server: Server
    told: asyncio.Queue[keys.Key]
    begun_anew: int = 0
    threads: set[int] = field(default_factory=set)

    def wake(self, key: keys.Key) -> None:
        self.threads.add(threading.get_ident())
        self.told.put_nowait(key)

    def anew(self) -> None:
        self.begun_anew += 1

    async def hears_of_a_change(self) -> None:
        """Change the profile until that is told: Kopf's watch may be on its way at the first time."""
        while not self.told.empty():
            self.told.get_nowait()
        async with asyncio.timeout(PATIENCE):
            while True:
                self.server.change()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        assert await self.told.get() == keys.profile("cpu")
                        return


@contextlib.asynccontextmanager
async def watching(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    """Yield once Kopf has told of the profile that there is."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(aside, "BACKOFF", (0.01, 0.02))
    async with serving() as server:
        found = Operator(server, asyncio.Queue())
        monkeypatch.setattr(
            kopf, "login_with_kubeconfig", lambda **_: kopf.ConnectionInfo(server=server.url, token="t")
        )

        coroutine = aside.watching(found.wake, lambda: None, found.anew, RETRIES)
        task = asyncio.create_task(coroutine)
        try:
            async with asyncio.timeout(PATIENCE):
                assert await found.told.get() == keys.profile("cpu")
            yield found
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task])
            # What Kopf leaves to the collector would be closed in the middle of some later test: CPython 3.11 gives up
            # parsing (`AST constructor recursion depth mismatch`) when that happens inside `ast.parse`.
            del task, coroutine
            gc.collect()


async def test_a_token_that_is_refused_costs_a_new_beginning_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as operator:
        operator.server.answers = [401]
        operator.server.change()
        async with asyncio.timeout(PATIENCE):
            while not operator.begun_anew:  # noqa: ASYNC110 - a count in another task
                await asyncio.sleep(0.02)
        await operator.hears_of_a_change()
        assert (operator.server.refused, operator.begun_anew) == (1, 1)
        assert operator.threads == {threading.get_ident()}, "it is told where the queue is"


async def test_a_server_that_fails_longer_than_kopf_has_patience_is_watched_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with watching(monkeypatch) as operator:
        operator.server.answers = [503] * (TRIES * 4)  # two kinds, two tries of each at least
        async with asyncio.timeout(PATIENCE):
            while operator.server.answers:
                operator.server.change()  # ends the watches that are open
                await asyncio.sleep(0.02)
        await operator.hears_of_a_change()
        assert (operator.server.refused, operator.begun_anew) == (TRIES * 4, 0)


async def test_kopf_that_ends_is_begun_anew_and_watches_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as operator:
        with monkeypatch.context() as broken:
            broken.setattr(kopf, "login_with_kubeconfig", lambda **_: None)
            operator.server.answers = [401]
            operator.server.change()
            async with asyncio.timeout(PATIENCE):
                while operator.begun_anew < 2:
                    operator.server.change()
                    await asyncio.sleep(0.05)
        await operator.hears_of_a_change()


async def _attempts(*seconds: float) -> tuple[list[float], int]:
    """Return when attempts that take so long begin, and how often it was told of a new one."""
    clock = asyncio.get_running_loop().time
    times, told, left = list[float](), list[float](), list(seconds)

    async def attempt() -> BaseException | None:
        times.append(clock())
        await asyncio.sleep(left.pop(0) if left else 10_000.0)
        return RuntimeError("broken")

    task = asyncio.create_task(aside.supervise(attempt, lambda: told.append(clock()), clock, random.Random(1)))
    await asyncio.sleep(5_000.0)
    task.cancel()
    return times, len(told)


def test_pauses_grow_to_half_a_minute_and_a_good_run_makes_them_short_again() -> None:
    times, told = virtual.run(_attempts(*[0.0] * 8, aside.HEALTHY))
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert 0.5 <= pauses[0] <= 1.0
    assert 15.0 <= pauses[6] <= 30.0
    assert 15.0 <= pauses[7] <= 30.0
    assert aside.HEALTHY + 0.5 <= pauses[8] <= aside.HEALTHY + 1.0
    assert told == len(times) - 1


async def test_whoever_waits_for_it_ends_when_he_is_told_to() -> None:
    begun, stopped = threading.Event(), threading.Event()

    async def operate(stop: asyncio.Event) -> None:
        begun.set()
        await stop.wait()
        stopped.set()

    task = asyncio.create_task(aside.apart(operate))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert stopped.is_set()


async def test_what_ended_it_is_told() -> None:
    async def operate(_stop: asyncio.Event) -> None:
        raise kopf.LoginError("refused")

    assert isinstance(await aside.apart(operate), kopf.LoginError)


async def test_in_a_pod_both_go_to_one_address_and_need_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = kubernetes.Configuration()
    configuration.host = "https://[fd00::1]:443"
    monkeypatch.setattr(kubernetes.Configuration, "get_default_copy", lambda: configuration)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    info = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: info)
    found = await aside.login()
    assert found is not None
    assert (found.server, found.token) == ("https://[fd00::1]:443", "t")


def test_tries_never_run_out() -> None:
    retries = aside.Retries(*aside.RETRIES, random.Random(1))
    waits = [wait for wait, _ in zip(retries, range(1000), strict=False)]
    assert len(waits) == 1000
    assert waits[0] <= 0.5
    assert 15.0 <= max(waits) <= 30.0
