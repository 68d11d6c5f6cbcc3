"""A real HTTPS server on loopback that answers as it is told, and counts what it is asked."""

from __future__ import annotations

import http.server
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgedetector.detector.download import Address, Network

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]
LOOPBACK = ipaddress.ip_address("127.0.0.1")


@dataclass
class ModelServer:
    """`answers` by path; `asked` holds the paths in the order in which they came."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def url(self, path: str, host: str = "models.example") -> str:
        return f"https://{host}:{self.port}{path}"

    def holds(self, path: str, content: bytes) -> None:
        self.answers[path] = gives(content)


def gives(content: bytes, *, length: int | None = None) -> Answer:
    """Answer with the content; `length` is what the header says, -1: nothing."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if length != -1:
            request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        request.wfile.write(content)

    return answer


def moves(location: str, status: int = 302) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def says(status: int) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status, "token=secret of the server")
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


@contextmanager
def model_server(folder: Path) -> Iterator[ModelServer]:
    """Serve with the certificate in `folder`."""
    found = ModelServer(0)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            found.answers.get(self.path.partition("?")[0], says(404))(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that refuses to go on is what is tested."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    server = Server(("127.0.0.1", 0), Handler)
    # Not at accept: a client that never speaks would hold the server.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def loopback(**more: float) -> Network:
    """A network in which every name is this machine, and this machine may be asked."""

    def resolve(_host: str, _port: int) -> list[Address]:
        return [LOOPBACK]

    return Network(resolve=resolve, refusal=lambda _: "", **more)  # type: ignore[arg-type]
