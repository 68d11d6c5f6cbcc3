"""HTTP of the detector: figures for all in the cluster, greetings between replicas, pictures for those who may."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from edgedetector.api import bench, trace
from edgedetector.api.wire import to_json
from edgedetector.detector import orders, picture
from edgedetector.detector.bench import Bencher
from edgedetector.detector.events import Hub, Result
from edgedetector.detector.hosts import foreign
from edgedetector.detector.orders import Job
from edgedetector.detector.outputs.secretfiles import SecretFile, allowed
from edgedetector.detector.probing import LONGEST, PATH
from edgedetector.detector.tracer import Tracer

log = logging.getLogger(__name__)

_KEEPALIVE: Final = 5.0
"""Seconds after which a silent event stream gets a comment, by which a listener that has gone is noticed."""
_SNAPSHOT: Final = re.compile(r"/snapshot/([a-z0-9]([-a-z0-9.]*[a-z0-9])?)\.(jpg|json)")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, type and body of a response."""

    body: bytes
    kind: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK


UNAUTHORIZED: Final = Answer(b"Authorization: Bearer ... is missing or wrong\n", "text/plain", HTTPStatus.UNAUTHORIZED)
MISDIRECTED: Final = Answer(
    b"the Host has to be localhost, an address or a Service's name\n", "text/plain", HTTPStatus.MISDIRECTED_REQUEST
)
NOT_FOUND: Final = Answer(b"not found\n", "text/plain", HTTPStatus.NOT_FOUND)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30.0
    """Seconds: a client that sends nothing must not hold a thread for ever."""

    def parse_request(self) -> bool:
        """Return whether a request is to be answered; one that is not has been refused."""
        if not super().parse_request():
            return False
        if foreign(self.client_address[0], self.headers.get("Host", "")):
            self.close_connection = True  # what was not read would be taken for the next request
            self.send(MISDIRECTED)
            return False
        return True

    def send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *args: Any) -> None:
        """Log no requests: probes and scrapes would drown the rest."""


class Server(ThreadingHTTPServer):
    """A server to which a client that goes away is no error."""

    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """Log anything but a client that went away."""
        if not isinstance(error := sys.exception(), OSError):
            log.error("a request failed", exc_info=error)

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set."""
        server = threading.Thread(target=self.serve_forever, daemon=True)
        server.start()
        stop.wait()
        self.shutdown()
        self.server_close()


def public(
    address: tuple[str, int],
    *,
    state: Callable[[], str],
    observation: Callable[[], str],
    exposition: Callable[[], bytes],
    greet: Callable[[str, str], str],
    tracer: Tracer | None = None,
    bencher: Bencher | None = None,
) -> Server:
    """Return the server of /metrics, /state, /observation, /healthz, /alive, /trace and /bench: no pictures.

    Parameters
    ----------
    greet
        Takes the address and the greeting of another replica, and returns ours (see `cooperation`).
    tracer, bencher
        Trace requests and load the box, for those on this pod's loopback alone: for who may forward its ports. None:
        nobody does.
    """
    jobs = _jobs(tracer, bencher)
    answers: Mapping[str, Callable[[], Answer]] = {
        "/metrics": lambda: Answer(exposition(), "text/plain; version=0.0.4; charset=utf-8"),
        "/state": lambda: Answer(state().encode()),
        "/observation": lambda: Answer(observation().encode()),
        "/healthz": lambda: Answer(b"ok\n", "text/plain"),
        trace.PATH: lambda: _last(tracer),
    }

    def answer(path: str) -> Answer:
        return answers.get(urlsplit(path).path, lambda: NOT_FOUND)()

    class Public(_Handler):
        def do_GET(self) -> None:
            self.send(answer(self.path))

        def do_POST(self) -> None:
            length = _length(self.headers.get("Content-Length"))
            if (job := jobs.get(self.path)) is not None:
                self.close_connection = True
                status, body = orders.answer(self, job, length)
                self.send(Answer(body, status=status))
                return
            if self.path != PATH or not 0 < length <= LONGEST:
                self.close_connection = True  # what was not read would be taken for the next request
                self.send(NOT_FOUND)
                return
            text = self.rfile.read(length).decode(errors="replace")
            self.send(Answer(greet(self.client_address[0].removeprefix("::ffff:"), text).encode()))

    return Server(address, Public)


def _jobs(tracer: Tracer | None, bencher: Bencher | None) -> dict[str, Job[Any]]:
    jobs = dict[str, Job[Any]]()
    if tracer is not None:
        jobs[trace.PATH] = Job(trace.Order, trace.refusal, tracer.trace)
    if bencher is not None:
        jobs[bench.PATH] = Job(bench.Order, bench.refusal, bencher.bench)
    return jobs


def _last(tracer: Tracer | None) -> Answer:
    """Return the last trace, without who asked for it: this is answered to everybody in the cluster."""
    found = tracer.last if tracer is not None else None
    return Answer(to_json(replace(found, by="")).encode()) if found is not None else NOT_FOUND


def _length(stated: str | None) -> int:
    return int(stated) if stated is not None and stated.isdecimal() else 0


def private(address: tuple[str, int], hub: Hub, token: Callable[[], SecretFile | None] = lambda: None) -> Server:
    """Return the server of /events and /snapshot/CAMERA.{jpg,json}.

    Parameters
    ----------
    token
        Returns what a client must have; None: only clients on loopback are answered, whatever the server's address.
        Asked for each request and, while events flow, for each turn: a token that is changed ends old listeners.
    """

    class Private(_Handler):
        def permitted(self) -> bool:
            return allowed(self.headers.get("Authorization"), token(), self.client_address[0])

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if not self.permitted():
                self.send(UNAUTHORIZED)
            elif url.path == "/events":
                _stream(self, hub, self.permitted, digest=parse_qs(url.query).get("digest") == ["1"])
            elif found := _SNAPSHOT.fullmatch(url.path):
                self.send(_snapshot(hub, found[1], found[3]))
            else:
                self.send(NOT_FOUND)

    return Server(address, Private)


def newest(hub: Hub, camera: str) -> bytes | None:
    """Return the newest picture of a camera with its boxes as JPEG, None if there is none."""
    results = hub.latest(camera)
    return picture.jpeg(picture.annotate(results)) if results else None


def _snapshot(hub: Hub, camera: str, kind: str) -> Answer:
    results = hub.latest(camera)
    if not results:
        return NOT_FOUND
    if kind == "json":
        return Answer(json.dumps(_together(results)).encode())
    return Answer(picture.jpeg(picture.annotate(results)), "image/jpeg")


def _together(results: Sequence[Result]) -> dict[str, Any]:
    """Return one document for a frame that several models have looked at: each detection names its model."""
    documents = [result.document() for result in results]
    served = ("model", "variant")
    found = [
        {**detection, **{key: d[key] for key in served if key in d}} for d in documents for detection in d["detections"]
    ]
    return {"camera": documents[0]["camera"], "frame": documents[0]["frame"], "detections": found}


def _stream(handler: _Handler, hub: Hub, permitted: Callable[[], bool], *, digest: bool) -> None:
    """Send server-sent events until the listener goes; events that it was too slow for are counted, never hidden."""
    handler.send_response(HTTPStatus.OK)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Cache-Control", "no-store")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    with hub.listen(digest=digest) as listener:
        handler.wfile.write(b": listening\n\n")
        while permitted():
            events, dropped = hub.take(listener, _KEEPALIVE)
            lines = [f"data: {event}\n\n" for event in events] or [": nothing new\n\n"]
            if dropped:
                lines.insert(0, f'event: dropped\ndata: {{"count": {dropped}}}\n\n')
            handler.wfile.write("".join(lines).encode())
            handler.wfile.flush()
