"""The page's own server, on loopback: its files, one stream of messages a page, and what a page wants to see."""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, ClassVar, Final

from edgedetector.cli.viewing.access import HEADERS, Asked, judge
from edgedetector.cli.viewing.message import packed
from edgedetector.cli.viewing.relay import PICTURES, VIDEO, Relay

FILES: Final = {
    "": ("index.html", "text/html; charset=utf-8"),
    **{
        name: (name, kind)
        for kind, found in {
            "text/javascript; charset=utf-8": (
                "app.js",
                "boxes.js",
                "cards.js",
                "messages.js",
                "player.js",
                "words.js",
            ),
            "text/css; charset=utf-8": ("style.css",),
            "image/svg+xml": ("icon.svg",),
        }.items()
        for name in found
    },
}
"""Path behind the token -> file and type. Nothing else is answered."""
KEEPALIVE: Final = 5.0
"""Seconds of silence after which a page gets a sign of life, by which one that was closed is noticed."""
PATIENCE: Final = 10.0
"""Seconds that a thread has to end."""
MAX_BODY: Final = 1 << 20
"""Bytes: a thousand names of cameras have a tenth of that."""
MAX_CAMERAS: Final = 1000


class Server(ThreadingHTTPServer):
    """Serves pages on a free port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self, relay: Relay, port: int = 0) -> None:
        self.relay = relay
        self.token = secrets.token_urlsafe(24)
        self._ticket = secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        """Where the page is, for its user's eyes."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    @property
    def ticket(self) -> str:
        """An address that leads there once: browsers get it as an argument, which all users of the machine can read."""
        return f"http://127.0.0.1:{self.server_port}/open/{self._ticket}"

    def use(self, ticket: str) -> bool:
        """Return whether the ticket is good; it is so once."""
        with self._lock:
            good = bool(self._ticket) and hmac.compare_digest(ticket.encode(), self._ticket.encode())
            if good:
                self._ticket = ""
            return good

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "edgedetector"
    sys_version = ""
    timeout: ClassVar[float] = 30.0
    """Seconds for a browser to send its request, or to take what it is sent."""

    def do_GET(self) -> None:
        first, _, ticket = self.path.removeprefix("/").partition("/")
        verdict = judge(self._asked(), self.server.server_port, self.server.token if first != "open" else "open")
        if verdict.status != HTTPStatus.OK:
            self._answer(verdict.status, verdict.why)
        elif first == "open":
            self._redeem(ticket)
        elif verdict.rest == "live":
            self._live()
        elif verdict.rest in FILES:
            name, kind = FILES[verdict.rest]
            content = resources.files("edgedetector.cli.viewing").joinpath("static", name).read_bytes()
            self._answer(HTTPStatus.OK, content, kind)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "no such file\n")

    def do_POST(self) -> None:
        verdict = judge(self._asked(), self.server.server_port, self.server.token)
        self.close_connection = True
        if verdict.status != HTTPStatus.OK or verdict.rest != "watch":
            status = HTTPStatus.NOT_FOUND if verdict.status == HTTPStatus.OK else verdict.status
            self._answer(status, verdict.why or "no such path\n")
            return
        wanted = self._wanted()
        if wanted is None:
            self._answer(HTTPStatus.BAD_REQUEST, 'wanted: {"session": "...", "cameras": {"gate": "video"}}\n')
        elif not self.server.relay.watch(*wanted):
            self._answer(HTTPStatus.GONE, "this page's connection has ended\n")
        else:
            self._answer(HTTPStatus.NO_CONTENT)

    def _asked(self) -> Asked:
        found = {key: self.headers.get(name, "") for key, name in _ASKED.items()}
        return Asked(self.path, **found)

    def _redeem(self, ticket: str) -> None:
        if not self.server.use(ticket):
            self._answer(
                HTTPStatus.GONE,
                "This address leads to the page once, and was used. If that was not you, end the command with Ctrl-C; "
                "the address that it has printed works as long as it runs.\n",
            )
            return
        self._start(HTTPStatus.SEE_OTHER, {"Location": f"/{self.server.token}/", "Content-Length": "0"})

    def _wanted(self) -> tuple[str, dict[str, str]] | None:
        stated = self.headers.get("Content-Length") or ""
        length = int(stated) if stated.isdecimal() else 0
        if not 0 < length <= MAX_BODY:
            return None
        try:
            body = json.loads(self.rfile.read(length))
            cameras = {str(camera): str(kind) for camera, kind in body["cameras"].items()}
            session = str(body["session"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return None
        good = len(cameras) <= MAX_CAMERAS and set(cameras.values()) <= {VIDEO, PICTURES}
        return (session, cameras) if good else None

    def _live(self) -> None:
        self._start(HTTPStatus.OK, {"Content-Type": "application/octet-stream"})
        self.close_connection = True
        session = self.server.relay.open()
        try:
            while not session.closed:
                self.wfile.write(session.take(KEEPALIVE) or packed("alive"))
        finally:
            self.server.relay.close(session)

    def _answer(self, status: HTTPStatus, content: str | bytes = b"", kind: str = "text/plain; charset=utf-8") -> None:
        body = content.encode() if isinstance(content, str) else content
        self._start(status, {"Content-Type": kind, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _start(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal is for people, and paths hold the token."""


_ASKED: Final = {"host": "Host", "origin": "Origin", "site": "Sec-Fetch-Site"}


@contextlib.contextmanager
def serving(relay: Relay, port: int = 0, patience: float = PATIENCE) -> Iterator[Server]:
    """Serve the page for as long as the block runs.

    Parameters
    ----------
    patience
        Seconds that each thread has to end. No port stays open, even if one has not ended by then.

    Raises
    ------
    OSError
        If the port is taken.
    """
    stop = threading.Event()
    with Server(relay, port) as server:
        threads = [
            threading.Thread(target=server.serve_forever, name="page", daemon=True),
            threading.Thread(target=relay.run, args=(stop,), name="relay", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield server
        finally:
            stop.set()
            relay.end()  # here and not in its thread alone, which may be waiting for the cluster for long
            server.shutdown()
            for thread in threads:
                thread.join(patience)
