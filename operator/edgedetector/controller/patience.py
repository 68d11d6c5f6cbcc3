"""How long until the next look at a detector that is on its way, should no event come. Pure but for its memory.

What matters is an event nearly always. The few things that are none, such as the kubelet's words about a volume, or a
time that has passed, are found by looking again: soon at first, then ever more seldom. With a constant pace a thousand
detectors that wait for their nodes would keep the API server busy for nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edgedetector.controller.keys import Key

# Seconds until the first look after something was new.
FIRST: Final = 5.0
# So whatever takes a time T to be true is seen within 2 T + FIRST.
GROWTH: Final = 2.0


class Patience:
    """Remembers a digest of what was seen last, and how long was waited for it to change."""

    def __init__(self) -> None:
        self._looks: dict[Key, tuple[bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._looks)

    def wait(self, key: Key, seen: object, longest: float) -> float:
        """Return the seconds to wait after having seen this; `repr` of what was seen tells whether it is new."""
        digest = hashlib.blake2b(repr(seen).encode(), digest_size=8).digest()
        before, waited = self._looks.get(key, (b"", 0.0))
        seconds = min(longest, waited * GROWTH) if digest == before else min(longest, FIRST)
        self._looks[key] = digest, seconds
        return seconds

    def forget(self, key: Key) -> None:
        """Drop what is known of a key that is gone, or at rest."""
        self._looks.pop(key, None)
