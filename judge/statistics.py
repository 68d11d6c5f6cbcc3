"""Durations counted by bucket, as the detector's observation has them."""

from __future__ import annotations

import math
from typing import Final

SHORTEST: Final = 0.0005
AN_OCTAVE: Final = 8
BUCKETS: Final = 121
_FACTOR: Final = AN_OCTAVE / math.log(2.0)


class Histogram:
    """Counts of durations; a percentile is exact to the width of a bucket, 9 %, and interpolated within."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.total = 0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        bucket = math.ceil(math.log(seconds / SHORTEST) * _FACTOR - 1e-9) if seconds > SHORTEST else 0
        self.counts[bucket if bucket < BUCKETS else BUCKETS - 1] += 1
        self.total += 1

    def percentile(self, share: float) -> float | None:
        """Return the duration that `share` (0 to 1) of all do not exceed; None: there are too few to tell.

        At least one must be expected above it: a 99th percentile needs 100.
        """
        if self.total == 0 or self.total * (1.0 - share) < 1.0 - 1e-9:
            return None
        below, rank = 0, share * self.total
        for bucket, count in enumerate(self.counts):
            if count and below + count >= rank:
                lower = 0.0 if bucket == 0 else bound(bucket - 1)
                return lower + (bound(bucket) - lower) * (rank - below) / count
            below += count
        return bound(BUCKETS - 1)

    def clear(self) -> None:
        """Begin anew."""
        self.counts = [0] * BUCKETS
        self.total = 0


def bound(bucket: int) -> float:
    """Return the upper bound of a bucket, seconds."""
    return float(SHORTEST * 2.0 ** (bucket / AN_OCTAVE))
