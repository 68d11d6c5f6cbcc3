"""Orders of measurements over HTTP: who may give one, and what is answered.

A port-forward ends on the pod's loopback, so whoever comes from there may forward the pod's ports, or is in the pod.
Behind a forwarded port sits a browser, too: what sends no JSON is a page that must not, and so is what asks for another
host (`hosts`).
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Generic, TypeVar

from edgedetector.api.trace import LONGEST, Refused
from edgedetector.api.wire import InvalidDocumentError, from_json, to_json
from edgedetector.detector.measuring import BusyError, MeasurementRefusedError

Wanted = TypeVar("Wanted")
Answered = tuple[HTTPStatus, bytes]


@dataclass(frozen=True, slots=True)
class Job(Generic[Wanted]):
    """What can be ordered at a path."""

    order: type[Wanted]
    refusal: Callable[[Wanted], str]
    """Returns why an order is not taken; empty: it is."""
    carried_out: Callable[[Wanted, Callable[[], bool]], object]
    """Takes an order, and what tells whether who gave it has gone; may raise `MeasurementRefusedError`."""


def answer(handler: BaseHTTPRequestHandler, job: Job[Any], length: int) -> Answered:
    """Carry an order out, and return status and JSON.

    Parameters
    ----------
    length
        Bytes of the body; 0: not told.
    """
    if refused := _unwanted(handler, length):
        return _refused(*refused)
    try:
        order = from_json(job.order, handler.rfile.read(length).decode(errors="replace"))
        if problem := job.refusal(order):
            return _refused(HTTPStatus.BAD_REQUEST, problem)
        found = job.carried_out(order, lambda: gone(handler.connection))
    except (InvalidDocumentError, MeasurementRefusedError) as error:
        return _refused(next(status for kind, status in _STATUS.items() if isinstance(error, kind)), str(error))
    return HTTPStatus.OK, to_json(found).encode()


_STATUS: Final = {
    InvalidDocumentError: HTTPStatus.BAD_REQUEST,
    BusyError: HTTPStatus.CONFLICT,
    MeasurementRefusedError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def _unwanted(handler: BaseHTTPRequestHandler, length: int) -> tuple[HTTPStatus, str] | None:
    """Return why a request is not even read, None if it is."""
    if not on_loopback(handler.client_address[0]):
        return HTTPStatus.FORBIDDEN, f"only through a forwarded port: kubectl edgedetector {handler.path[1:]}"
    if handler.headers.get_content_type() != "application/json":
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the Content-Type is not application/json"
    if not 0 < length <= LONGEST:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an order has 1 to {LONGEST} bytes, and says how many"
    return None


def _refused(status: HTTPStatus, message: str) -> Answered:
    return status, to_json(Refused(message)).encode()


def on_loopback(address: str) -> bool:
    """Return whether a client's address is this machine's own, also where it is IPv4 on a socket of IPv6."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def gone(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection on which nothing more is expected."""
    try:
        # Not select.select, which takes no descriptor above 1023: the connection would count as closed.
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        # A client that has sent all it wanted to may close its half alone; ours never does.
        return bool(poll.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True
