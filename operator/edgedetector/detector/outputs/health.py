"""Which outputs deliver, as status may say it: only what has lasted, since each change is a write. Clock passed in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.api import conditions
from edgedetector.api.dataplane import OutputState

STEADY: Final = 10.0
"""Seconds that news must last: a broker that is restarted, or a server that fails now and then, is no news."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an output does not deliver. Both empty: it does."""

    reason: str = ""
    """Reason of the condition that tells of it."""
    message: str = ""
    """Without any secret, and without figures that change."""


FINE: Final = Trouble()
Tell = Callable[[str, Trouble], None]
"""Told how a sink, by name, fares; cheap to repeat."""


def failing(message: str) -> Trouble:
    """Return the trouble with somebody else's server, or with the way to it."""
    return Trouble(conditions.REASON_OUTPUT_FAILING, message)


def lacking(message: str) -> Trouble:
    """Return the trouble with a Secret."""
    return Trouble(conditions.REASON_SECRET_MISSING, message)


@dataclass(frozen=True, slots=True)
class _Entry:
    shown: Trouble = FINE
    news: Trouble = FINE
    since: float = 0.0

    def at(self, now: float) -> _Entry:
        return replace(self, shown=self.news) if now - self.since >= STEADY else self


class Board:
    """What every sink said last. For several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take the clock: seconds, monotonic."""
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def tell(self, name: str, trouble: Trouble) -> None:
        """Note how a sink fares; see `Tell`."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None and entry.news != trouble:
                now = self._clock()
                self._entries[name] = replace(entry.at(now), news=trouble, since=now)

    def keep(self, old: Iterable[str], new: Iterable[str]) -> None:
        """Forget all other sinks; what was said of the old ones stays, and new ones are well until they speak."""
        fresh = _Entry(since=self._clock())
        with self._lock:
            kept = {name: self._entries.get(name, fresh) for name in old}
            self._entries = {**kept, **dict.fromkeys(new, fresh)}

    def states(self) -> tuple[OutputState, ...]:
        """Return how each sink fares, by name."""
        now = self._clock()
        with self._lock:
            self._entries = {name: entry.at(now) for name, entry in self._entries.items()}
            shown = {name: entry.shown for name, entry in sorted(self._entries.items())}
        return tuple(OutputState(name, said == FINE, said.reason, said.message) for name, said in shown.items())
