"""Measurements that somebody has ordered, a trace or a bench: one at a time, and counted for who learns from the load.

Two at once would measure each other, and the tuner must learn from neither: what they send and cost is no load of the
cameras. So each begins and ends with a count, by which an observation tells that one ran (`api.observation`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MeasurementRefusedError(Exception):
    """It cannot be made; the message says the way out."""


class BusyError(MeasurementRefusedError):
    """Another one runs."""


class Measurements:
    """Those of one pod. Safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = ""
        self._count = 0

    @property
    def count(self) -> int:
        """Beginnings and ends so far: odd while one runs."""
        return self._count

    @contextmanager
    def of(self, what: str, by: str = "") -> Iterator[None]:
        """Make one, for as long as the block runs.

        Parameters
        ----------
        what
            With its article, e.g. "a trace".
        by
            Who has ordered it.

        Raises
        ------
        BusyError
            If another one runs.
        """
        if not self._lock.acquire(blocking=False):
            raise BusyError(f"{self._running or 'another measurement'} runs; it ends by itself, so try again")
        self._running = f"{what} of {by or 'somebody else'}"
        self._count += 1
        try:
            yield
        finally:
            self._count += 1
            self._running = ""
            self._lock.release()
