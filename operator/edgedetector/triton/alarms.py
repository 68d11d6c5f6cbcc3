"""Calls at set times, from one thread."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Alarms:
    """Makes calls when their time has come, in order of time. A call must be short: the next one waits for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="triton-deadlines", daemon=True)
        self._thread.start()

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call at a time of the monotonic clock, seconds."""
        with self._changed:
            entry = (when, next(self._order), call)
            heapq.heappush(self._calls, entry)
            if self._calls[0] is entry:
                self._changed.notify()

    def close(self) -> None:
        """Drop what is still to come, and end the thread."""
        with self._changed:
            self._closed = True
            self._calls.clear()
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            call()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if self._calls and self._calls[0][0] <= now:
                    return heapq.heappop(self._calls)[2]
                self._changed.wait(self._calls[0][0] - now if self._calls else None)
            return None
