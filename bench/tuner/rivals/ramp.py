"""What a server gives under an open loop whose rate rises: which rate is next, and the highest that it kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

COARSE: Final = 1.2
FINE: Final = 1.04
"""Of the rate before. First in coarse steps until one breaks, then from the last good rate in fine ones."""
ANSWERED: Final = 0.9
"""Of the offered rate must be answered in the same time, or the queue grows, whatever the latencies so far."""
AGAIN: Final = 2
"""Times that a rate must break: one hiccup of the machine is not the server's capacity."""
STEPS: Final = 40


@dataclass(frozen=True)
class Step:
    """What one rate gave."""

    offered: float
    """Requests a second, with exponential gaps."""
    answered: float
    latency: float
    """99th percentile, seconds."""
    failed: int = 0

    def good(self, bound: float) -> bool:
        return self.latency <= bound and self.answered >= ANSWERED * self.offered and not self.failed


def following(steps: Sequence[Step], lowest: float, bound: float) -> float | None:
    """Return the rate to offer next; None: the ramp is done.

    Parameters
    ----------
    steps
        So far, in their order.
    lowest
        Rate to begin with. If even that breaks, the ramp goes down by coarse steps until one is kept.
    bound
        Seconds.
    """
    if not steps:
        return lowest
    if len(steps) >= STEPS:
        return None
    good = [step.offered for step in steps if step.good(bound)]
    top = max(good, default=0.0)
    above = sorted(step.offered for step in steps if step.offered > top)
    if above:
        ceiling = above[0]
        if sum(rate == ceiling for rate in above) < AGAIN:
            return ceiling
        if not good:
            return ceiling / COARSE
        return top * FINE if top * FINE < ceiling * 0.999 else None
    return top * COARSE


def capacity(steps: Sequence[Step], bound: float) -> float:
    """Return the highest rate that was answered within the bound, requests a second; 0: none was."""
    return max((step.answered for step in steps if step.good(bound)), default=0.0)
