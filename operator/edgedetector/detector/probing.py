"""Probes of the other replicas over HTTP, all in one thread: greetings go out, answers and failures come in.

A probe is `POST /alive` with this replica's greeting; the answer is the other's. It goes out from the address that the
others know this replica by, since by that they recognise it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import http.client
import io
import socket
import threading
from collections.abc import Callable
from typing import Final, cast

from edgedetector.api.wire import to_json
from edgedetector.detector.cooperation import Cooperation
from edgedetector.detector.liveness import DEADLINE, Finding

PATH: Final = "/alive"
LONGEST: Final = 256 * 1024
"""Bytes of an answer, or of a greeting, at most: some 2,000 cameras with long names."""
_LOOK: Final = 0.5
"""Seconds between looks whether the process ends."""


class ProbeError(Exception):
    """A probe failed; `finding` says how."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


async def ask(address: str, port: int, text: str, *, own: str, deadline: float = DEADLINE) -> str:
    """Greet a replica and return the text of its answer.

    Parameters
    ----------
    own
        Address to connect from.
    deadline
        Seconds for everything together.

    Raises
    ------
    ProbeError
        If no whole answer with status 200 came in time.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(deadline):
            reader, writer = await asyncio.open_connection(address, port, local_addr=(own, 0))
            writer.write(_request(address, text))
            return _text(await _everything(reader))
    except TimeoutError:
        raise ProbeError(Finding.HUNG if writer else Finding.UNREACHABLE) from None
    except (ConnectionError, http.client.IncompleteRead):
        raise ProbeError(Finding.REFUSED) from None
    except OSError:
        raise ProbeError(Finding.UNREACHABLE) from None
    except (http.client.HTTPException, ValueError):
        raise ProbeError(Finding.WRONG) from None
    finally:
        if writer:
            writer.transport.abort()


def _request(address: str, text: str) -> bytes:
    """Return a request of HTTP/1.0: the answer ends with the connection, and comes in one piece."""
    body = text.encode()
    head = f"POST {PATH} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


async def _everything(reader: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while part := await reader.read(LONGEST):
        found += part
        if len(found) > LONGEST:
            raise ValueError("the answer is too long")
    return bytes(found)


def _text(answer: bytes) -> str:
    response = http.client.HTTPResponse(cast("socket.socket", _Received(answer)))
    response.begin()
    if response.status != http.HTTPStatus.OK:
        raise ValueError(f"status {response.status}")
    return response.read().decode()


class _Received:
    """A socket as far as the standard library's parser needs one, with an answer that has come already."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._answer)


class Prober:
    """Sends the probes that are due.

    Parameters
    ----------
    port
        Where the replicas answer.
    """

    def __init__(self, cooperation: Cooperation, port: int) -> None:
        self._cooperation = cooperation
        self._port = port
        self._news = False

    def run(self, stop: threading.Event) -> None:
        """Probe until `stop` is set."""
        asyncio.run(self._run(stop))

    async def _run(self, stop: threading.Event) -> None:
        wake, loop = asyncio.Event(), asyncio.get_running_loop()
        self._cooperation.on_news = lambda: _call(loop, lambda: self._hear(wake))
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                wake.clear()
                if self._news:
                    self._news = False
                    self._cooperation.hurry()
                for address in self._cooperation.due():
                    tasks.create_task(self._probe(address)).add_done_callback(lambda _: wake.set())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), min(_LOOK, self._cooperation.next_due()))

    def _hear(self, wake: asyncio.Event) -> None:
        self._news = True
        wake.set()

    async def _probe(self, address: str) -> None:
        text = to_json(self._cooperation.greeting())
        try:
            answer = await ask(address, self._port, text, own=self._cooperation.own)
        except ProbeError as error:
            self._cooperation.missed(address, error.finding)
        else:
            self._cooperation.answered(address, answer)


def _call(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and with it all probing
        loop.call_soon_threadsafe(call)
