"""AIMD on the batch size, as Clipper does it. Pure.

D. Crankshaw et al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017, section 4.3.1: "additively
increase the batch size by a fixed amount until the latency to process a batch exceeds the latency objective", then
"a small multiplicative backoff, reducing the batch size by 10 %".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

STEP: Final = 4
"""Images. Clipper leaves the amount open."""
BACKOFF: Final = 0.9
LARGEST: Final = 32
LOOKS: Final = 16
"""Batch sizes tried, at most. Clipper never ends: the oscillation about the objective is its steady state."""


@dataclass(frozen=True)
class Found:
    """Where AIMD came to."""

    batch: int
    """The largest that kept the objective; 1 if none did."""
    tried: tuple[int, ...]
    """In this order."""


def increased(batch: int) -> int:
    return min(LARGEST, batch + STEP)


def backed_off(batch: int) -> int:
    """Return 10 % less, at least one less."""
    return max(1, min(batch - 1, int(batch * BACKOFF)))


def climb(keeps: Callable[[int], bool]) -> Found:
    """Return where the batch size settles: increased while the objective is kept, then backed off until it is again.

    It ends there, since increasing again could only repeat what was seen.

    Parameters
    ----------
    keeps
        Tries a batch size and tells whether the latency objective was kept.
    """
    tried, batch = [1], 1
    kept = keeps(1)
    while kept and batch < LARGEST and len(tried) < LOOKS:
        batch = increased(batch)
        tried.append(batch)
        kept = keeps(batch)
    while not kept and batch > 1 and len(tried) < LOOKS:
        batch = backed_off(batch)
        tried.append(batch)
        kept = keeps(batch)
    return Found(batch if kept else 1, tuple(tried))
