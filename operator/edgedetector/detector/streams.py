"""Which of a camera's two streams is read: the usual one, or under overload the one in fewer pixels. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

SPOILT: Final = 300.0
"""Seconds for which a sub-stream that failed is not gone to again: each try costs frames, on a box that is short of
them."""


@dataclass(frozen=True, slots=True)
class Streams:
    """A camera's streams by URL."""

    usual: str
    smaller: str = ""
    """Empty: there is none, or the usual one is it already."""
    failed_at: float | None = None
    """When the smaller one failed last. Seconds, monotonic."""

    def has_smaller(self, now: float) -> bool:
        """Return whether there is a smaller one that can be gone to."""
        return bool(self.smaller) and (self.failed_at is None or now - self.failed_at >= SPOILT)

    def url(self, now: float, *, smaller: bool) -> str:
        """Return what to read, if `smaller` says that fewer pixels are wanted."""
        return self.smaller if smaller and self.has_smaller(now) else self.usual

    def failed(self, url: str, now: float) -> Streams:
        """Return the streams after a failure of one: the smaller one alone is given up for another."""
        return replace(self, failed_at=now) if self.smaller and url == self.smaller else self
