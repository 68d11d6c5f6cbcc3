"""Percentiles as the detector's observation has them: of durations that are counted by bucket."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

SHORTEST: Final = 0.0005
AN_OCTAVE: Final = 8
BOUNDS: Final = SHORTEST * 2.0 ** (np.arange(121) / AN_OCTAVE)
"""Upper bounds of the buckets, seconds; what takes longer than the last one counts there."""


def least(share: float) -> int:
    """Return of how many durations one lies above the percentile with a probability of 95 %: 299 for the 99th."""
    return math.ceil(math.log(0.05) / math.log(share))


def buckets(durations: Sequence[float]) -> dict[int, int]:
    """Return how many durations there are by bucket, without the empty ones."""
    found = np.searchsorted(BOUNDS, np.asarray(durations, float) - 1e-12)
    counts = np.bincount(np.minimum(found, len(BOUNDS) - 1), minlength=len(BOUNDS))
    return {bucket: count for bucket, count in enumerate(counts.tolist()) if count}


def percentile(durations: Sequence[float], share: float) -> float | None:
    """Return the duration that `share` (0 to 1) of all do not exceed, as precise as a bucket, 9 %; None: too few."""
    total = len(durations)
    if total < least(share):
        return None
    below, rank = 0, math.ceil(share * total - 1e-9)
    for bucket, count in buckets(durations).items():
        below += count
        if below >= rank:
            into = 1.0 - (below - rank + 0.5) / count
            return float(BOUNDS[bucket] * 2.0 ** ((into - 1.0) / AN_OCTAVE))
    return None


def exact(durations: Sequence[float], share: float) -> float:
    """Return the same as precise as it can be had, of however few; infinite: there are none."""
    return float(np.quantile(durations, share)) if durations else math.inf
