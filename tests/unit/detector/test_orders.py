"""Orders of traces over HTTP, through the detector's own server."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.detector.faketriton import FakeTriton
from tests.unit.detector.realpod import until

from edgedetector.api.trace import Order, Trace
from edgedetector.api.wire import from_json, to_json
from edgedetector.detector import web
from edgedetector.detector.orders import gone, on_loopback
from edgedetector.detector.tracer import Tracer

JSON = {"Content-Type": "application/json"}


@dataclass
class Rig:
    """A detector's server, and the Triton behind it."""

    port: int
    triton: FakeTriton
    tracer: Tracer

    def ask(
        self, method: str = "POST", body: str = "", headers: dict[str, str] | None = None, host: str = "127.0.0.1"
    ) -> tuple[int, dict[str, Any]]:
        with contextlib.closing(http.client.HTTPConnection(host, self.port, timeout=60)) as connection:
            connection.request(method, "/trace", body, JSON if headers is None else headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith("{") else {"message": text}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    triton = FakeTriton(tmp_path / "trace")
    tracer = Tracer(triton, tmp_path / "tracing", file=str(triton.file))
    server = web.public(
        ("", 0),
        state=lambda: "",
        observation=lambda: "",
        exposition=lambda: b"",
        greet=lambda _a, _b: "",
        tracer=tracer,
    )
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    yield Rig(server.server_address[1], triton, tracer)
    stop.set()
    thread.join()


def test_an_order_is_carried_out_and_told_again(rig: Rig) -> None:
    assert rig.ask("GET")[0] == 404, "there was none yet"

    status, found = rig.ask(body=to_json(Order(5, by="ann")))

    assert status == 200
    assert (len(found["requests"]), found["by"]) == (5, "ann")
    assert rig.ask("GET") == (200, {**found, "by": ""}), "who asked is nobody else's business"
    assert from_json(Trace, json.dumps(found)) == rig.tracer.last


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        ('{"requests": 1001}', JSON, 400, "1 to 1000 can be traced"),
        ('{"requests": 0}', JSON, 400, "1 to 1000 can be traced"),
        ('{"requests": 1, "seconds": 121}', JSON, 400, "at most 120"),
        ('{"requests": 1, "seconds": 0}', JSON, 400, "above 0"),
        ('{"requests": 1, "by": "' + "x" * 101 + '"}', JSON, 400, "at most 100"),
        ('{"requests": "1"}', JSON, 400, "requests: expected int"),
        ("{}", JSON, 400, "requests: missing"),
        ("[", JSON, 400, "not JSON"),
        ("", JSON, 413, "an order has 1 to"),
        (" " * 1001, JSON, 413, "an order has 1 to"),
        ('{"requests": 1}', {"Content-Type": "text/plain"}, 415, "application/json"),
        ('{"requests": 1}', {}, 415, "application/json"),
        ('{"requests": 1}', {**JSON, "Host": "evil.example"}, 421, "the Host"),
        ('{"requests": 1}', {**JSON, "Host": "[::1"}, 421, "the Host"),
        ('{"requests": 1}', {**JSON, "Host": "[evil]"}, 421, "the Host"),
    ],
)
def test_what_is_not_taken_is_told(rig: Rig, body: str, headers: dict[str, str], status: int, said: str) -> None:
    found = rig.ask(body=body, headers=headers)

    assert found[0] == status
    assert said in found[1]["message"]
    assert rig.triton.calls == []


def test_only_loopback_may(rig: Rig) -> None:
    own = own_address()
    if own is None:
        pytest.skip("this machine has no address but loopback")

    status, found = rig.ask(body=to_json(Order(1)), host=own)

    assert status == 403
    assert "kubectl edgedetector trace" in found["message"]
    assert rig.triton.calls == []


@pytest.mark.parametrize(
    ("address", "own"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.5", False), ("::ffff:10.0.0.5", False),
     ("fe80::1%eth0", False)],
)  # fmt: skip
def test_addresses(address: str, own: bool) -> None:  # noqa: FBT001 - a table
    assert on_loopback(address) is own


def test_a_second_order_is_a_conflict_and_names_who_has_the_first(rig: Rig) -> None:
    rig.triton.comes = 0
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", rig.port, timeout=60)) as first:
        first.request("POST", "/trace", to_json(Order(5, by="ann@laptop")), JSON)
        until("it runs", lambda: rig.triton.settings["trace_level"] == ("TIMESTAMPS",))

        status, found = rig.ask(body=to_json(Order(5)))

    assert (status, found["message"]) == (409, "a trace of ann@laptop runs; it ends by itself, so try again")
    # Closing the connection is what Ctrl-C does.
    until("it is switched off", lambda: rig.triton.settings["trace_level"] == ("OFF",))
    until("the lock is free", lambda: rig.tracer.last is not None)
    assert rig.tracer.last.cut == "who asked has gone"


@pytest.mark.parametrize("least", [0, 1100])
def test_a_connection_of_any_descriptor_is_gone_once_it_is_closed(least: int) -> None:
    here, there = socket.socketpair()
    with here, there, socket.socket(fileno=fcntl.fcntl(here, fcntl.F_DUPFD, least)) as connection:
        assert connection.fileno() >= least
        assert not gone(connection)
        there.send(b"more")
        assert not gone(connection)
        connection.recv(4)
        there.close()
        assert gone(connection)
    assert gone(connection), "closed by ourselves"


def test_a_triton_that_does_not_trace_is_told(rig: Rig) -> None:
    rig.triton.down = 1

    assert rig.ask(body=to_json(Order(1)))[0] == 503


def own_address() -> str | None:
    """Return an address of this machine that is not loopback; nothing is sent to learn it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith("127.") else found
