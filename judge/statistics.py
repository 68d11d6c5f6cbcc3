"""Percentiles as the detector's observation has them: of durations that are counted by bucket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

SHORTEST: Final = 0.0005
AN_OCTAVE: Final = 8
BOUNDS: Final = SHORTEST * 2.0 ** (np.arange(121) / AN_OCTAVE)
"""Upper bounds of the buckets, seconds; what takes longer than the last one counts there."""


def buckets(durations: Sequence[float]) -> dict[int, int]:
    """Return how many durations there are by bucket, without the empty ones."""
    return {bucket: count for bucket, count in enumerate(_counts(durations).tolist()) if count}


def _counts(durations: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    found = np.searchsorted(BOUNDS, np.asarray(durations, float) - 1e-12)
    return np.bincount(np.minimum(found, len(BOUNDS) - 1), minlength=len(BOUNDS))


def percentile(durations: Sequence[float], share: float) -> float | None:
    """Return the duration that `share` (0 to 1) of all do not exceed, exact to the width of a bucket, 9 %.

    None: there are too few to tell. At least one must be expected above it: a 99th percentile needs 100.
    """
    total = len(durations)
    if total == 0 or total * (1.0 - share) < 1.0 - 1e-9:
        return None
    below = np.cumsum(_counts(durations))
    rank = share * total
    bucket = int(np.searchsorted(below, rank))
    lower = float(BOUNDS[bucket - 1]) if bucket else 0.0
    before = int(below[bucket - 1]) if bucket else 0
    return lower + (float(BOUNDS[bucket]) - lower) * (rank - before) / (int(below[bucket]) - before)
