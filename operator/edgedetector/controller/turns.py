"""Who may choose what to try next: one detector at a time, in line, while there is room for another trial. Pure.

To choose takes seconds of a processor, a step of a trial some milliseconds, every two seconds, and a trial whose steps
come too late is ended by its pod. So trials stand in no line, and only as many begin as the operator can attend to.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

TRIALS: Final = 16
"""Trials under way at once in all detectors together (docs/results/tuning-load.md)."""


class Turns(Generic[K]):
    """The line of those who want to choose.

    Parameters
    ----------
    most
        Trials under way at once.
    """

    def __init__(self, most: int = TRIALS) -> None:
        self._most = most
        self._line: dict[K, None] = {}
        self._has: K | None = None

    def take(self, key: K, trials: int) -> bool:
        """Return whether it is this one's turn, which it then has until it leaves; else it waits in line.

        Parameters
        ----------
        trials
            That are under way.
        """
        self._line.setdefault(key)
        if self.next(trials) != key:
            return False
        self._has = key
        del self._line[key]
        return True

    def leave(self, key: K) -> None:
        """Give the turn or the place in line to the next."""
        self._line.pop(key, None)
        if self._has == key:
            self._has = None

    def next(self, trials: int) -> K | None:
        """Return whose turn it would be now; None: nobody's."""
        if self._has is not None or trials >= self._most:
            return None
        return next(iter(self._line), None)
