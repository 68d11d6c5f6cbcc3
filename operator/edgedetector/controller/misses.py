"""Since when an autoscaler has lacked a figure that it had. Pure but for its memory.

An autoscaler says of each look what it did not get, and not since when. It looks again after 15 seconds; one look that
got nothing is a scrape that came late or an adapter that was busy, and nothing to mend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from edgedetector.controller.keys import Key


class Misses:
    """Remembers when a figure was first missed, by detector, until none is."""

    def __init__(self) -> None:
        self._since: dict[Key, datetime] = {}

    def __len__(self) -> int:
        return len(self._since)

    def look(self, key: Key, now: datetime, *, lacks: bool, well: bool) -> datetime | None:
        """Return since when the autoscaler has lacked a figure; None: it lacks none, or had none before.

        Parameters
        ----------
        lacks
            Whether it lacks one now.
        well
            Whether all was well by the last status: what was told to be missing then is not only missed now.
        """
        if not (lacks and well):
            self.forget(key)
            return None
        return self._since.setdefault(key, now)

    def forget(self, key: Key) -> None:
        """Drop what is known of a key."""
        self._since.pop(key, None)
