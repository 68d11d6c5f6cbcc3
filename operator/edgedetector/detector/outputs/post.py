"""One POST request, and what its answer means for the event in it."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

Verdict = Literal["sent", "retry", "refused"]

_AGAIN: Final = frozenset({408, 429})
"""The only 4xx that say nothing against the request itself (RFC 9110 15.5.9, RFC 6585 4)."""
_LONGEST: Final = 300.0
"""Seconds of Retry-After that are believed; a receiver that errs must not silence a camera for a day."""
_ANSWER: Final = 64 << 10
"""Bytes of an answer that are read, to use the connection again."""
_FAILED: Final = 500
_OK: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said."""

    status: int
    """0: nothing."""
    wait: float = 0.0
    """Seconds that it asks us to wait."""
    error: str = ""
    secret: bool = False
    """Whether `error` is about a Secret, and nothing was sent."""

    @property
    def verdict(self) -> Verdict:
        """What becomes of the event. A redirect is a refusal: none is followed, to no host."""
        if self.status in _OK:
            return "sent"
        return "retry" if self.status == 0 or self.status in _AGAIN or self.status >= _FAILED else "refused"


def refusal(url: str) -> str:
    """Say why nothing is sent to a URL; empty if it may be.

    HTTPS to anywhere. Plain HTTP only inside of the cluster (a name of one label, or under .svc) or to a
    private address on the site: whom a camera sees is not for everybody on the way.
    """
    at = urlsplit(url)
    host = at.hostname or ""
    if at.scheme == "https" and host:
        return ""
    if at.scheme != "http" or not host:
        return "its URL is not http:// or https:// with a host"
    return (
        "" if _near(host) else "plain http:// is only for Services in the cluster and private addresses; use https://"
    )


class Poster:
    """Sends to one URL over one connection that is kept. Not for several threads.

    http.client of the standard library, as for models: it follows no redirect and reads no proxy from the environment.
    """

    def __init__(self, url: str, *, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        """Take the URL and the seconds that connecting and each piece of an answer may take.

        Raises
        ------
        ValueError
            If nothing may be sent there.
        """
        if why := refusal(url):
            raise ValueError(why)
        self._at = urlsplit(url)
        self._timeout = timeout
        self._tls = tls
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, headers: Mapping[str, str], now: float) -> Answer:
        """Send and return the answer; `now` is in seconds since the epoch, for a Retry-After that is a date."""
        if self._connection:
            # A server may close what is idle at any time; that is no failure (RFC 9112 9.5), and ids make it harmless.
            with contextlib.suppress(ConnectionError):
                return self._exchange(self._connection, body, headers, now)
        try:
            return self._exchange(_connect(self._at, self._timeout, self._tls), body, headers, now)
        except ConnectionError as error:
            return Answer(0, error=type(error).__name__)

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str], now: float
    ) -> Answer:
        """Send over a connection; raises ConnectionError if it breaks off."""
        self._connection = None
        try:
            connection.request("POST", _path(self._at), body, dict(headers))
            response = connection.getresponse()
            rest = response.read(_ANSWER)
            if len(rest) < _ANSWER and not response.will_close:
                self._connection = connection
            return Answer(response.status, retry_after(response.headers.get("Retry-After"), now))
        except ConnectionError:
            raise
        except (OSError, http.client.HTTPException) as error:
            # The type and not the text: that may quote the URL, which can hold a key, or the answer.
            return Answer(0, error=type(error).__name__)
        finally:
            if self._connection is None:
                connection.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None


def retry_after(value: str | None, now: float) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110 10.2.3), 0 to 300."""
    if not value:
        return 0.0
    if value.strip().isascii() and value.strip().isdigit():
        return min(_LONGEST, float(value.strip()[:9]))
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    seconds = (until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.fromtimestamp(now, UTC)
    return max(0.0, min(_LONGEST, seconds.total_seconds()))


def _connect(at: SplitResult, timeout: float, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    host = at.hostname or ""
    if at.scheme == "https":
        context = tls or ssl.create_default_context()
        return http.client.HTTPSConnection(host, at.port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, at.port, timeout=timeout)


def _path(at: SplitResult) -> str:
    return f"{at.path or '/'}{'?' if at.query else ''}{at.query}"


def _near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        labels = host.rstrip(".").split(".")
        return len(labels) == 1 or labels[-1] == "svc" or labels[-3:] == ["svc", "cluster", "local"]
