"""What came of each model's frames: counters that only grow, from which others make rates and percentiles.

Called some times a frame from the threads that send requests, so that each call is one or two increments under a lock
that nobody holds for longer (`docs/results/observation.md`).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from edgedetector.api.observation import BUCKETS, bucket_of
from edgedetector.detector.batching import Outcome

_SERVED: Final = Outcome.SERVED  # a look into an enumeration costs as much as an increment
_SKIPPED: Final = frozenset({Outcome.SUPERSEDED, Outcome.EXPIRED})


@dataclass(frozen=True, slots=True)
class Counted:
    """The counters of one model since the process began; as in `observation.ModelCounters`."""

    offered: int = 0
    skipped: int = 0
    failed: int = 0
    exchange: int = 0
    """Nanoseconds."""
    ages: dict[str, int] = field(default_factory=dict)
    exchanges: dict[str, int] = field(default_factory=dict)


class _Counters:
    __slots__ = ("ages", "exchange", "exchanges", "failed", "offered", "skipped")

    def __init__(self) -> None:
        self.offered = self.skipped = self.failed = self.exchange = 0
        self.ages, self.exchanges = [0] * BUCKETS, [0] * BUCKETS


class Ledger:
    """Counts by model. Safe for many threads; never calls anybody, so that it may be called with any lock held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A model that is taken away and comes again goes on counting: what begins anew would go backwards.
        self._models = defaultdict[str, _Counters](_Counters)

    def offered(self, model: str) -> None:
        """Count a frame that came to be inferred."""
        with self._lock:
            self._models[model].offered += 1

    def settled(self, model: str, outcome: Outcome) -> None:
        """Count what became of one; a result is counted by `answered`."""
        if outcome is _SERVED:
            return
        with self._lock:
            counters = self._models[model]
            counters.skipped += outcome in _SKIPPED
            counters.failed += outcome is Outcome.FAILED

    def answered(self, model: str, seconds: float, ages: Sequence[float]) -> None:
        """Count a request by what it took until its answer, and the results in it by the ages of their frames."""
        bucket, nanoseconds, buckets = bucket_of(seconds), int(seconds * 1e9), list(map(bucket_of, ages))
        with self._lock:
            counters = self._models[model]
            counters.exchange += nanoseconds
            counters.exchanges[bucket] += 1
            for bucket in buckets:
                counters.ages[bucket] += 1

    def counted(self, model: str) -> Counted:
        """Return a model's counters now."""
        with self._lock:
            one = self._models[model]
            ages, exchanges = _some(one.ages), _some(one.exchanges)
            return Counted(one.offered, one.skipped, one.failed, one.exchange, ages, exchanges)


def _some(buckets: Sequence[int]) -> dict[str, int]:
    return {str(bucket): count for bucket, count in enumerate(buckets) if count}
