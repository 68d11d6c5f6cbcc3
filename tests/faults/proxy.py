"""A reverse proxy before the API server that numbers the operator's writes and does to them what a plan says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web
from tests.faults import plans

Object = dict[str, Any]

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
RETRY_AFTER = 1
"""Seconds that a 429 asks to wait."""

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "content-encoding", "host", "keep-alive"})
# Each of the proxy's own answers says what an API server's would.
_REASONS = {401: "Unauthorized", 409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
# A big object in one event of a watch; aiohttp's own limit is for lines, which we do not read.
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Done:
    """A write as the API server answered it, whether the operator learnt of it or not."""

    write: plans.Write
    fault: plans.Fault | None
    status: int
    """0: the API server never saw it."""
    uid: str = ""
    """Of the object that was written."""


@dataclass
class Reads:
    """What happens to watches and lists from now on; each entry is used up by the request that it strikes."""

    watch_answers: list[int] = field(default_factory=list)
    """HTTP statuses for the next watches, instead of a stream."""
    expired: int = 0
    """So many of the next watches say in their stream that their version is too old."""
    list_answers: list[int] = field(default_factory=list)
    """HTTP statuses for the next lists."""
    refused: dict[str, list[int]] = field(default_factory=dict)
    """Plural of a kind -> HTTP statuses for its next lists and watches."""
    blind: bool = False
    """Streams stay open, and what happens is not told."""


class Proxy:
    """Serves plain HTTP on a port of its own.

    Parameters
    ----------
    upstream
        URL of the API server.
    tls
        How to authenticate to it; the operator's own credentials are passed on as they come.
    kill
        Kills the operator with SIGKILL; returns when it is dead.
    host
        Address to listen on.
    """

    def __init__(
        self,
        upstream: str,
        tls: ssl.SSLContext | None,
        kill: Callable[[], Awaitable[None]],
        host: str = "127.0.0.1",
    ) -> None:
        self._upstream = upstream
        self._host = host
        self._tls = tls
        self._kill = kill
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._streams: set[asyncio.Task[Any]] = set()
        self._name = plans.Counting()
        self._plan: plans.Plan = plans.undisturbed
        self._underway = 0
        self._last = time.monotonic()
        self.url = ""
        self.step = ""
        self.done: list[Done] = []
        self.reads = Reads()
        self.gets: dict[str, int] = {}
        """Path -> how often it was read since the last `begin` or `forget_gets`."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0)
        await site.start()
        self.url = f"http://{self._host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop_watches()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def begin(self, plan: plans.Plan = plans.undisturbed) -> None:
        """Forget the last run and take a plan for the next one."""
        self._name, self._plan = plans.Counting(), plan
        self.done, self.reads = [], Reads()
        self.forget_gets()

    def forget_gets(self) -> None:
        """Count what is read from now on."""
        self.gets = {}

    @property
    def quiet(self) -> float:
        """Seconds since the operator asked for anything but a watch; 0 while a request is under way."""
        return 0.0 if self._underway else time.monotonic() - self._last

    def drop_watches(self) -> None:
        """Cut every watch in the middle."""
        for stream in tuple(self._streams):
            stream.cancel()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET" and (refused := self.reads.refused.get(request.path.rpartition("/")[2])):
            return _answer(refused.pop(0))
        if request.query.get("watch") in {"1", "true"}:
            return await self._watch(request)
        self._underway += 1
        try:
            if request.method in WRITES:
                return await self._write(request)
            self.gets[request.path] = self.gets.get(request.path, 0) + 1
            if self.reads.list_answers and request.path.rpartition("/")[2].isalpha():
                return _answer(self.reads.list_answers.pop(0))
            status, headers, body = await self._forward(request)
            return web.Response(status=status, headers=headers, body=body)
        finally:
            self._underway -= 1
            self._last = time.monotonic()

    async def _write(self, request: web.Request) -> web.StreamResponse:
        write = self._name(self.step, request.method, request.path)
        fault = self._plan(write)
        if fault is None:
            status, headers, body = await self._forward(request)
            self._note(write, None, status, body)
            return web.Response(status=status, headers=headers, body=body)
        if not fault.commits:
            self._note(write, fault, 0)
            if fault.status:
                return _answer(fault.status)
            await self._kill()
            return _hang_up(request)
        status, headers, body = await self._forward(request)
        self._note(write, fault, status, body)
        if fault is plans.Fault.KILL_REPLIED:
            reply = web.Response(status=status, headers=headers, body=body)
            with contextlib.suppress(ConnectionError):  # in a storm another write may have killed it
                await reply.prepare(request)
                await reply.write_eof()
        if fault.kills:
            await self._kill()
        return _hang_up(request)

    def _note(self, write: plans.Write, fault: plans.Fault | None, status: int, body: bytes = b"") -> None:
        uid = ""
        with contextlib.suppress(ValueError, AttributeError):
            uid = (json.loads(body).get("metadata") or {}).get("uid", "") if body else ""
        self.done.append(Done(write, fault, status, uid))

    async def _forward(self, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        assert self._session is not None
        body = await request.read()
        async with self._session.request(
            request.method, self._target(request), data=body or None, headers=_headers(request)
        ) as answer:
            content = await answer.read()
            return answer.status, _kept(answer), content

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self.reads.watch_answers:
            return _answer(self.reads.watch_answers.pop(0))
        if self.reads.expired:
            self.reads.expired -= 1
            return web.json_response({"type": "ERROR", "object": _status(410)})
        task = asyncio.create_task(self._stream(request))
        self._streams.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            return _hang_up(request)
        finally:
            self._streams.discard(task)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        async with self._session.get(self._target(request), headers=_headers(request)) as answer:
            reply = web.StreamResponse(status=answer.status, headers=_kept(answer))
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):  # either side may be gone
                await reply.prepare(request)
                async for chunk in answer.content.iter_any():
                    if not self.reads.blind:
                        await reply.write(chunk)
                await reply.write_eof()
            return reply

    def _target(self, request: web.Request) -> str:
        return self._upstream + request.raw_path


def _headers(request: web.Request) -> dict[str, str]:
    found = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
    return found | {"Accept-Encoding": "identity"}


def _kept(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {key: value for key, value in answer.headers.items() if key.lower() not in _HOP_BY_HOP}


def _answer(status: int) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 429 else {}
    return web.json_response(_status(status), status=status, headers=headers)


def _status(status: int) -> Object:
    reason = _REASONS.get(status, "Unknown")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"injected: {reason}",
        "reason": reason,
        "code": status,
    }


def _hang_up(request: web.Request) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
