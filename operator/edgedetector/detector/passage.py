"""From when on results tell of what the cameras are left with now, and no longer of what went before. Pure.

At a move of the ladder requests are on their way, with a slow model for longer than a second: what comes back at first
was sent under the load that has just been lowered, and so did wait whatever went behind it. Judged by that, the ladder
would move a second time for the same reason.

    move ──frames from here on──> first of them back ──frames from here on count──>
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf


@dataclass(frozen=True, slots=True)
class Passage:
    """What was on its way at the last move, and whether it is through. Times in seconds, monotonic."""

    moved: float = -inf
    since: float = -inf
    """When the first frame that arrived after the move had its result; infinity: none has."""

    @classmethod
    def at(cls, moved: float) -> Passage:
        """Return the passage that begins with a move."""
        return cls(moved, inf)

    def seen(self, results: Iterable[tuple[float, float]]) -> Passage:
        """Return the passage after results, each as (when its frame arrived, when it was there)."""
        if self.since < inf:
            return self
        return replace(self, since=min((at for arrived, at in results if arrived >= self.moved), default=inf))

    def tells(self, arrived: float) -> bool:
        """Return whether the result of a frame that arrived then tells of the load as it is now."""
        return arrived >= self.since
