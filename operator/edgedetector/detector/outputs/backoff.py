"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Exponential waits with jitter over their upper half, so that many detectors do not come back as one.

    Half of each wait is fixed, against the "full jitter" of Brooker (Exponential Backoff and Jitter, AWS, 2015): a
    receiver that comes up is never hammered by a row of small draws.
    """

    first: float = 0.5
    """Seconds, at most, before the second attempt."""
    most: float = 30.0
    """Seconds, at most, before any."""
    draw: Callable[[], float] = field(default=random.random)
    """A number from 0 to 1."""
    _failures: int = 0

    def failed(self) -> float:
        """Return the seconds to wait after one more failure."""
        # The exponent is bounded, or it would outgrow a float on a receiver that never comes back.
        ceiling: float = min(self.most, self.first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return ceiling * (1 + self.draw()) / 2

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0
