"""Probes over real sockets: how a replica may fail to answer, told apart, and three replicas that share cameras out.

Each replica has an address of its own in 127.0.0.0/8, and all the same port, as pods have.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edgedetector.api.wire import to_json
from edgedetector.detector.candidates import Candidates
from edgedetector.detector.cooperation import Cooperation
from edgedetector.detector.liveness import Finding
from edgedetector.detector.probing import LONGEST, PATH, ProbeError, Prober, ask
from edgedetector.detector.sharing import assign

GROUP = "site/yard"
CAMERAS = frozenset(f"camera-{number}" for number in range(12))
DEADLINE = 0.5


def until(true: Callable[[], object], what: Callable[[], object], seconds: float = 60.0) -> None:
    """Look again and again until something holds; when it never does, fail and show `what`."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not true():
        assert time.monotonic() < end, what()
        pause.wait(0.02)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """Yield a port where each connection is given to `serve`; None: it is left in the kernel's queue."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if serve:
            threading.Thread(target=_accept, args=(server, serve), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                serve(connection)


def found(port: int, address: str = "127.0.0.1") -> str:
    """Return what a probe came to: the text of the answer, or how it failed."""
    try:
        return asyncio.run(ask(address, port, "{}", own="127.0.0.1", deadline=DEADLINE))
    except ProbeError as error:
        return error.finding


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return serve


def test_an_answer_is_an_answer() -> None:
    with listening(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell")) as port:
        assert found(port) == "well"


def test_nobody_listening_is_a_refusal() -> None:
    with listening(None) as port:
        pass
    assert found(port) == Finding.REFUSED


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nhalf"])
def test_a_process_that_ends_while_it_answers_is_a_refusal(answer: bytes) -> None:
    with listening(answering(answer)) as port:
        assert found(port) == Finding.REFUSED


def test_a_process_that_accepts_and_never_answers_is_hung() -> None:
    with listening(None) as port:
        assert found(port) == Finding.HUNG


def test_a_process_that_answers_a_byte_at_a_time_is_hung_too() -> None:
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.05):
                connection.sendall(b"H")

    with listening(drip) as port:
        assert found(port) == Finding.HUNG
        over.set()


def test_packets_that_are_dropped_are_an_unreachable_address() -> None:
    """A queue of one that is full makes the kernel drop further connections without a word."""
    with socket.socket() as server, contextlib.ExitStack() as clients:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        assert found(server.getsockname()[1]) == Finding.UNREACHABLE


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * LONGEST,
    ],
    ids=["another server", "no HTTP", "no text", "endless"],
)
def test_another_s_answer_is_wrong(answer: bytes) -> None:
    with listening(answering(answer)) as port:
        assert found(port) == Finding.WRONG


class Replica:
    """Prober, look-ups, HTTP and a fleet's loop of one replica; streams give frames as soon as they are opened."""

    def __init__(self, address: str, port: int, listed: set[str], group: str = GROUP) -> None:
        self.address, self.group = address, group
        self.stop, self.closed = threading.Event(), threading.Event()
        self.held: frozenset[str] = frozenset()
        self.cooperation = Cooperation(address, f"pod-{address}", boot=str(id(self)), clock=time.monotonic)
        self.candidates = Candidates(self.cooperation.list, lambda _: frozenset(listed))
        self.cooperation.on_stranger = self.candidates.again
        self.candidates.of("replicas")
        self.server = _server((address, port), self)
        self.port = self.server.server_address[1]
        runs = (Prober(self.cooperation, self.port).run, self.candidates.run, self._fleet)
        self.threads = [threading.Thread(target=run, args=(self.stop,), daemon=True) for run in runs]
        self.threads.append(threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True))
        for thread in self.threads:
            thread.start()

    def _fleet(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.held = self.cooperation.decide(self.group, CAMERAS, self.held)
            self.cooperation.wait(0.5)
        self.held = frozenset()

    def hang(self) -> None:
        """Do nothing more, neither prober nor fleet nor server; but the port stays open."""
        self.stop.set()

    def end(self) -> None:
        """End as kill -9 does: no word to anybody, and a closed port."""
        if not self.closed.is_set():
            self.stop.set()
            self.closed.set()
            self.server.shutdown()
            self.server.server_close()
            for thread in self.threads:
                thread.join()

    def finding(self, address: str) -> Finding | None:
        peer = self.cooperation.peers().get(address)
        return peer.finding if peer else None


def _server(address: tuple[str, int], replica: Replica) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == PATH
            if replica.stop.is_set():
                replica.closed.wait()
                return
            text = self.rfile.read(min(int(self.headers["Content-Length"]), LONGEST)).decode()
            replica.cooperation.greeted(self.client_address[0], text)
            answer = to_json(replica.cooperation.greeting()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """A prober that gave up is no error."""

    return Server(address, Handler)


class Site:
    """Replicas that DNS lists."""

    def __init__(self) -> None:
        self.listed: set[str] = set()
        self.replicas: list[Replica] = []
        self._last = itertools.count(1)

    def add(self, group: str = GROUP, address: str = "") -> Replica:
        address = address or f"127.0.7.{next(self._last)}"
        port = self.replicas[0].port if self.replicas else 0
        self.listed.add(address)
        self.replicas.append(Replica(address, port, self.listed, group))
        return self.replicas[-1]

    def shared(self, *replicas: Replica) -> None:
        """Wait until exactly these hold all cameras, each what the hash gives it."""
        owners = assign(CAMERAS, frozenset(replica.address for replica in replicas))
        wanted = {r.address: {c for c, owner in owners.items() if owner == r.address} for r in replicas}
        until(lambda: {r.address: r.held for r in replicas} == wanted, lambda: {r.address: r.held for r in replicas})


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    for replica in made.replicas:
        replica.end()


def test_replicas_share_out_and_take_over_after_a_kill_and_after_a_hang(site: Site) -> None:
    one, two, three = site.add(), site.add(), site.add()
    site.shared(one, two, three)
    two.end()
    site.shared(one, three)
    assert one.finding(two.address) == Finding.REFUSED
    three.hang()
    site.shared(one)
    assert one.finding(three.address) == Finding.HUNG


def test_one_that_leaves_is_not_waited_for(site: Site) -> None:
    one, two = site.add(), site.add()
    site.shared(one, two)
    two.cooperation.leave()
    site.shared(one)
    until(lambda: two.cooperation.done, lambda: two.held)
    assert one.finding(two.address) == Finding.ANSWERED, "it was alive all the while"


def test_an_address_that_another_detector_s_pod_has_got_is_no_replica(site: Site) -> None:
    one, two = site.add(), site.add()
    site.shared(one, two)
    two.end()
    stranger = site.add("site/other", two.address)
    site.shared(one)
    until(lambda: one.finding(two.address) == Finding.WRONG, lambda: one.finding(two.address))
    assert stranger.held == CAMERAS


def test_whom_dns_does_not_list_cannot_talk_cameras_away(site: Site) -> None:
    one = site.add()
    site.shared(one)
    asked = threading.Event()
    one.cooperation.on_stranger = asked.set
    liar = Cooperation("127.0.7.99", "liar", boot="x", clock=time.monotonic)
    liar.decide(GROUP, CAMERAS, CAMERAS, alone=True)
    liar.decide(GROUP, CAMERAS, CAMERAS, alone=True)
    answer = asyncio.run(ask(one.address, one.port, to_json(liar.greeting()), own="127.0.7.99", deadline=30.0))
    assert '"group":"site/yard"' in answer
    assert asked.is_set(), "DNS is asked whether it is a new one"
    assert one.cooperation.peers() == {}
    assert one.cooperation.decide(GROUP, CAMERAS, CAMERAS) == CAMERAS
