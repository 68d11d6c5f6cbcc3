"""A bounded queue between those who must not wait and one who may."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from edgedetector.detector.outputs.reports import Report


class Mailbox:
    """Reports that wait for a sink; the oldest make room for new ones. For several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._reports: deque[Report] = deque()
        self._woken = False

    def put(self, reports: Iterable[Report]) -> int:
        """Add reports and wake the sink, also for none; return how many old ones were dropped. Never waits."""
        with self._changed:
            self._reports.extend(reports)
            dropped = max(0, len(self._reports) - self._limit)
            for _ in range(dropped):
                self._reports.popleft()
            self._woken = True
            self._changed.notify_all()
        return dropped

    def take(self, most: int, timeout: float) -> list[Report]:
        """Return up to `most` reports, oldest first, as soon as there are any, or somebody woke the sink."""
        with self._changed:
            self._changed.wait_for(lambda: self._reports or self._woken, timeout)
            self._woken = False
            return [self._reports.popleft() for _ in range(min(most, len(self._reports)))]

    def inherit(self, other: Mailbox) -> int:
        """Take over what another mailbox still has, as older than all that is here; return how many were dropped."""
        older = other.take(len(other), 0.0)
        with self._changed:
            room = max(0, self._limit - len(self._reports))
            kept = older[len(older) - min(room, len(older)) :]
            self._reports.extendleft(reversed(kept))
            self._woken = True
            self._changed.notify_all()
        return len(older) - len(kept)

    def __len__(self) -> int:
        with self._changed:
            return len(self._reports)
