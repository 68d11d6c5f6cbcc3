"""Which key is reconciled when: a queue of keys, each at most once in it and at most once at work.

A key that is added while a worker has it is handed out again when that worker is done, so a change during a pass is
never lost and never makes two workers meet. `Schedule` decides and knows no clock but the one it is told; `KeyedQueue`
makes tasks wait for it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")

# Seconds. The first retry comes soon, since most failures are a moment's; the cap is what a broken cluster costs.
BACKOFF_BASE: Final = 0.5
BACKOFF_CAP: Final = 120.0


def backoff(failures: int, rng: random.Random) -> float:
    """Return the seconds to wait after so many failures in a row: doubling, capped, from half to the whole of it."""
    ceiling = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(failures - 1, 30))
    return ceiling * rng.uniform(0.5, 1.0)


class Schedule(Generic[K]):
    """Due times of keys. All times are seconds on one monotonic clock."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._working: set[K] = set()
        self._order = itertools.count()

    def add(self, key: K, due: float) -> None:
        """Want the key at `due`, or earlier if that was wanted before."""
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, next(self._order), key))

    def take(self, now: float) -> K | None:
        """Return a key that is due and not at work, and count it as at work; None if there is none."""
        held: list[tuple[float, int, K]] = []
        found: K | None = None
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            due, _, key = entry
            if self._due.get(key) != due:
                continue  # superseded by an earlier time, or taken
            if key in self._working:
                held.append(entry)
                continue
            found = key
            break
        for entry in held:
            heapq.heappush(self._heap, entry)
        if found is not None:
            del self._due[found]
            self._working.add(found)
        return found

    def done(self, key: K) -> None:
        """Take the key back from its worker."""
        self._working.discard(key)

    def next_due(self) -> float | None:
        """Return when `take` will have something, as far as is known now; None: not before an `add` or a `done`."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._heap and self._heap[0][2] not in self._working:
            return self._heap[0][0]
        return min((due for key, due in self._due.items() if key not in self._working), default=None)

    def __len__(self) -> int:
        return len(self._due)


class KeyedQueue(Generic[K]):
    """A `Schedule` that tasks of one event loop can wait for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._schedule: Schedule[K] = Schedule()
        self._clock = clock
        self._changed = asyncio.Event()

    def add(self, key: K, delay: float = 0.0) -> None:
        """Want the key after so many seconds, or earlier if that was wanted before."""
        self._schedule.add(key, self._clock() + delay)
        self._changed.set()

    async def take(self) -> K:
        """Wait for a key that is due; the caller owes a `done`."""
        while True:
            key = self._schedule.take(self._clock())
            if key is not None:
                return key
            self._changed.clear()
            due = self._schedule.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        """Give the key back."""
        self._schedule.done(key)
        self._changed.set()

    def __len__(self) -> int:
        return len(self._schedule)
