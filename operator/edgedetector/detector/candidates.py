"""The addresses behind a headless Service, looked up where nobody waits for a name server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from edgedetector.detector.sharing import Resolve, resolve_host

log = logging.getLogger(__name__)

PERIOD: Final = 2.0
"""Seconds between look-ups: CoreDNS holds an answer for 5 s, and a new replica makes itself known by its greeting."""
SOONEST: Final = 0.5
"""Seconds between look-ups at least, however many strangers greet."""


class Candidates:
    """Looks a name up again and again, in a thread of its own.

    A look-up cannot be cancelled, and a name server that does not answer holds it for as long as resolv.conf says: 5 s
    a try, several tries. Nobody else waits for it, and the thread is a daemon, so the process ends without it.

    When DNS fails, the last answer stays: cameras must not move because a name server is restarting.

    Parameters
    ----------
    tell
        Takes the addresses of each answer.
    """

    def __init__(self, tell: Callable[[frozenset[str]], None], resolve: Resolve = resolve_host) -> None:
        self._tell = tell
        self._resolve = resolve
        self._host = ""
        self._failed = False
        self._wanted = threading.Event()

    def of(self, host: str) -> None:
        """Look up `host` from now on; empty: nothing."""
        if host != self._host:
            self._host = host
            self._wanted.set()

    def again(self) -> None:
        """Look the name up before its turn."""
        self._wanted.set()

    def run(self, stop: threading.Event) -> None:
        """Look up until `stop` is set."""
        while True:
            self._wanted.clear()
            if self._host:
                self.look(self._host)
            if stop.wait(SOONEST):
                return
            self._wanted.wait(PERIOD - SOONEST)

    def look(self, host: str) -> None:
        """Look up once."""
        try:
            found = self._resolve(host)
        except OSError as error:
            if not self._failed:
                log.warning("replicas of %s are not known anew: %s", host, error)
            self._failed = True
            return
        self._failed = False
        if host == self._host:
            self._tell(found)
