"""Serve the media pod's state, read-only: the only thing of the pod's API that others may reach."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from edgedetector.api.wire import to_json
from edgedetector.go2rtc.state import MediaState
from edgedetector.media.metrics import exposition
from edgedetector.media.supervisor import Supervisor


class Server(ThreadingHTTPServer):
    """GET /healthz, /state and /metrics, on IPv4 and IPv6 where there is IPv6.

    `traffic` gives what stands in /metrics besides the state.
    """

    daemon_threads = True
    request_queue_size = 16
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def __init__(self, port: int, supervisor: Supervisor, traffic: Callable[[], str] = str) -> None:
        self.supervisor = supervisor
        self.traffic = traffic
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        """Bind to both families."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "edgedetector"
    sys_version = ""
    timeout: ClassVar[float] = 5.0  # seconds for a client to send its request

    def do_GET(self) -> None:
        supervisor = self.server.supervisor
        path = self.path.partition("?")[0]
        if path == "/healthz":
            ok = supervisor.rendered
            self._answer(
                HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", "ok\n" if ok else "no\n"
            )
        elif path == "/state":
            self._answer(HTTPStatus.OK, "application/json", to_json(_current(supervisor)))
        elif path == "/metrics":
            text = exposition(_current(supervisor)) + self.server.traffic()
            self._answer(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", text)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "no such path\n")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Say nothing: probes and scrapes come every second."""


def _current(supervisor: Supervisor) -> MediaState:
    return supervisor.state
