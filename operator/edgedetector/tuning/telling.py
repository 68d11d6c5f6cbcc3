"""When it is told anew what limits a box: once it has changed for good, in every mode. Pure.

It is told with decisions, but changes without any too: cameras are added, a link is mended, and in mode Off nothing is
decided. What is told then costs two writes, so it must have been something else for a while, and is seldom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgedetector.tuning.ledger import Capacity

LOOK: Final = 60.0
"""Seconds between two looks, which cost some milliseconds of a processor each."""
LASTS: Final = 300.0
"""Seconds for which it must be something else than is told: the windows that are looked at reach as far at rest, so
that none of them is of before."""
APART: Final = 600.0
"""Seconds between two tellings at least: six an hour, however it goes to and fro."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What came of the looks so far. Seconds since the epoch."""

    last: float = 0.0
    since: float | None = None
    """Since when it is something else than what is told; None: it is not."""

    def due(self, now: float) -> bool:
        """Return whether it is time for another look."""
        return not 0.0 <= now - self.last < LOOK


def looked(looks: Looks, told: Capacity | None, found: Capacity | None, now: float) -> tuple[Looks, bool]:
    """Return the looks with one more, and whether what it found is to be told.

    Parameters
    ----------
    told
        None: nothing is.
    found
        None: nothing can be said.
    """
    if found is None or (told is not None and _same(told, found)):
        return Looks(now), False
    since = now if looks.since is None else min(looks.since, now)
    lately = told is not None and 0.0 <= now - told.at < APART
    return Looks(now, since), now - since >= LASTS and not lately


def _same(told: Capacity, found: Capacity) -> bool:
    """Whether one would do the same about both; figures alone move at rest.

    A record of an earlier release does not say of which configuration it is, nor what would help by itself.
    """
    if found.pods and not told.pods:
        return False  # a record of an earlier release: what one pod serves is for the autoscaler to know
    return told.limit == found.limit and (not told.of or (told.of, told.remedy) == (found.of, found.remedy))
