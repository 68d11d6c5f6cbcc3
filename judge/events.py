"""Virtual time: what happens when, in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Clock:
    """A queue of events. Equal times go in the order in which they were asked for, so that a run can be repeated."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._queue: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._number = 0

    def at(self, when: float, call: Callable[[Any], None], argument: Any = None) -> None:
        """Call `call(argument)` at `when` seconds, which is not in the past."""
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, call, argument))

    def run(self, until: float) -> None:
        """Let everything happen that is due before `until` or at it."""
        queue, pop, count = self._queue, heapq.heappop, 0
        while queue and queue[0][0] <= until:
            self.now, _, call, argument = pop(queue)
            call(argument)
            count += 1
        self.events += count
        self.now = max(self.now, until)
