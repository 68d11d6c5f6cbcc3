"""A camera's video on the pod's loopback, for `kubectl edgedetector view`: of all that go2rtc can do, this and no more.

Behind a port that is forwarded here sits a whole machine, any page in its browsers among it, and go2rtc's API would
dial for each of them what they name. A page of another origin can neither ask for this host nor send the header: its
browser would have to ask first (OPTIONS), which is refused.
"""

from __future__ import annotations

import http.client
import logging
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Collection
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from edgedetector.api import names
from edgedetector.go2rtc.render import API_HOST, STREAM_PATH

log = logging.getLogger(__name__)

MOST: Final = 64
"""Videos at once: each is a thread and a consumer of go2rtc."""
SILENCE: Final = 15.0
"""Seconds without a byte after which a video ends: a camera that is dialled again has been so by then."""
_CHUNK: Final = 1 << 16
_HOSTS: Final = frozenset({"127.0.0.1", "localhost"})


class VideoServer(ThreadingHTTPServer):
    """GET /video/STREAM_ID, on loopback.

    Parameters
    ----------
    port
        To listen on; 0: a free one.
    go2rtc_port
        Of go2rtc's API on loopback.
    streams
        Gives the ids that may be asked for; called from any thread.
    most
        Videos at once.
    """

    daemon_threads = True
    request_queue_size = 16

    def __init__(
        self, port: int, go2rtc_port: int, streams: Callable[[], Collection[str]], *, most: int = MOST
    ) -> None:
        self.go2rtc_port = go2rtc_port
        self.streams = streams
        self.places = threading.BoundedSemaphore(most)
        super().__init__((API_HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """Log anything but a side that went away while video was passed on."""
        if not isinstance(error := sys.exception(), OSError | http.client.HTTPException):
            log.error("a request for video failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: VideoServer
    server_version = "edgedetector"
    sys_version = ""
    timeout: ClassVar[float] = SILENCE  # seconds for a client to send its request, and to take a piece of video

    def do_GET(self) -> None:
        host, header = self.headers.get("Host", ""), self.headers.get(names.HEADER_VIEW)
        path = self.path.partition("?")[0]
        stream = path.removeprefix(names.PATH_VIDEO)
        if not _on_this_machine(host):
            self._refuse(HTTPStatus.FORBIDDEN, "the Host is not this machine")
        elif header != names.HEADER_VIEW_VALUE:
            self._refuse(HTTPStatus.FORBIDDEN, "only for kubectl edgedetector view")
        elif stream == path or stream not in self.server.streams():
            self._refuse(HTTPStatus.NOT_FOUND, "no such stream")
        elif not self.server.places.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many videos at once")
        else:
            try:
                self._pass_on(stream)
            finally:
                self.server.places.release()

    def _pass_on(self, stream: str) -> None:
        try:
            source = socket.create_connection((API_HOST, self.server.go2rtc_port), SILENCE)
        except OSError:
            self._refuse(HTTPStatus.BAD_GATEWAY, "go2rtc does not answer")
            return
        with source:
            answer = self._ask(source, stream)
            if answer is None:
                return
            with answer:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "video/mp4"))
                self._end_headers()
                # A read takes all that is buffered, so what comes next shows on the socket.
                while content := answer.read1(_CHUNK):
                    self.wfile.write(content)
                    if not self._goes_on(source):
                        return

    def _ask(self, source: socket.socket, stream: str) -> http.client.HTTPResponse | None:
        """Return go2rtc's answer where it is video; None: the client was told that there is none, or has gone."""
        # HTTP/1.0 has no chunks: the body is the video and nothing else.
        query = f"{STREAM_PATH}?src={stream}&video=h264,h265"
        source.sendall(f"GET {query} HTTP/1.0\r\nHost: {API_HOST}\r\n\r\n".encode())
        # It dials the camera before it answers.
        if not self._goes_on(source):
            self._refuse(HTTPStatus.BAD_GATEWAY, "go2rtc does not answer")
            return None
        answer = http.client.HTTPResponse(source)
        try:
            answer.begin()
        except (OSError, http.client.HTTPException):
            answer.close()
            self._refuse(HTTPStatus.BAD_GATEWAY, "go2rtc does not answer")
            return None
        if answer.status != HTTPStatus.OK:
            answer.close()
            # What go2rtc says to it may hold an address.
            self._refuse(HTTPStatus.BAD_GATEWAY, "go2rtc has no video of it")
            return None
        return answer

    def _goes_on(self, source: socket.socket) -> bool:
        """Wait for go2rtc; return False if the client has gone, or nothing comes."""
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            # A client has nothing more to say: what comes of it is its end.
            selector.register(self.connection, selectors.EVENT_READ)
            ready = {key.fileobj for key, _ in selector.select(SILENCE)}
        return source in ready and self.connection not in ready

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        body = f"{why}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self._end_headers()
        self.wfile.write(body)

    def _end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Say nothing: a path may be anything."""


def _on_this_machine(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").hostname in _HOSTS
    except ValueError:
        return False
