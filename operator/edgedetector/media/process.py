"""Talk to the go2rtc in the same pod, over loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Final

from edgedetector.go2rtc.render import API_HOST, API_PORT, revision_in_force
from edgedetector.go2rtc.streams import InvalidAnswerError, Traffic, parse

# Loopback to a process that answers in a millisecond; longer means that it hangs or is starting.
_TIMEOUT_SECONDS: Final = 2.0


class UnreachableError(Exception):
    """go2rtc does not answer: it is starting, or its container is."""


class Go2rtc:
    """The go2rtc in the same pod."""

    def __init__(self, host: str = API_HOST, port: int = API_PORT) -> None:
        self._host = host
        self._port = port

    def revision(self) -> str:
        """Return the revision of the file that the running process has read."""
        try:
            answer = json.loads(self._request("GET", "/api"))
        except ValueError:
            raise UnreachableError from None
        return revision_in_force(answer if isinstance(answer, dict) else {})

    def traffic(self) -> dict[str, Traffic]:
        """Return stream id -> traffic."""
        try:
            return parse(self._request("GET", "/api/streams"))
        except InvalidAnswerError:
            raise UnreachableError from None

    def restart(self) -> None:
        """Make the process read its file again: it execs itself, with the same process id and arguments."""
        self._request("POST", "/api/restart")

    def _request(self, method: str, path: str) -> str:
        with self._connection() as connection:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read().decode(errors="replace")
            if response.status != http.client.OK:
                raise UnreachableError
            return body

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            yield connection
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(type(error).__name__) from None
        finally:
            connection.close()
