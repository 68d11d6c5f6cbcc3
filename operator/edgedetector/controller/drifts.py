"""Peace with a second writer: a child that is put right again and again is put right less and less often.

Somebody who edits a child once sees it healed at once. Two controllers that each insist on a value of their own would
otherwise write as fast as the API server lets them. What counts is the same child in the same wanted state: a changed
specification starts anew, however often it changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")

# Reason of the Event.
CONTESTED: Final = "Contested"
# Writes of a child in one wanted state before patience begins; the first one makes it.
FREE: Final = 6
# Seconds from then on: the first pause, and the longest.
BASE: Final = 5.0
CAP: Final = 300.0
# Seconds after which peace is believed; above the cap, or a fight would be forgotten in its own pauses.
FORGET: Final = 900.0


@dataclass(frozen=True, slots=True)
class _Write:
    """The last write of a child."""

    wanted: int
    count: int
    time: float
    told: bool = False

    @property
    def pause(self) -> float:
        return 0.0 if self.count < FREE else min(CAP, BASE * 2.0 ** min(self.count - FREE, 30))


class Drifts(Generic[K]):
    """Remembers which children were written when; says how long to leave one alone.

    Parameters
    ----------
    clock
        Monotonic seconds.
    wake
        Called with an owner and the seconds after which a child of his may be put right again.
    """

    def __init__(self, clock: Callable[[], float], wake: Callable[[K, float], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._writes: dict[K, dict[str, _Write]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._writes.values()))

    def held(self, owner: K, child: str, wanted: dict[str, Any]) -> bool:
        """Tell whether the child is to be left as it is for now; if so, its owner is looked at again in time."""
        last = self._writes.get(owner, {}).get(child)
        if last is None or last.wanted != _digest(wanted):
            return False
        left = last.time + last.pause - self._clock()
        if left > 0:
            self._wake(owner, left)
        return left > 0

    def wrote(self, owner: K, child: str, wanted: dict[str, Any]) -> None:
        """Note a write of the child."""
        now, digest = self._clock(), _digest(wanted)
        recent = {name: write for name, write in self._writes.get(owner, {}).items() if now - write.time < FORGET}
        last = recent.get(child)
        same = last is not None and last.wanted == digest
        recent[child] = _Write(
            digest, last.count + 1 if last and same else 1, now, told=bool(last and same and last.told)
        )
        self._writes[owner] = recent

    def is_news(self, owner: K, child: str) -> bool:
        """Tell once a fight that the child is left alone."""
        last = self._writes.get(owner, {}).get(child)
        if last is None or last.told:
            return False
        self._writes[owner][child] = _Write(last.wanted, last.count, last.time, told=True)
        return True

    def rested(self, owner: K) -> None:
        """Note that all children were as wanted: what is long past is dropped."""
        if all(self._clock() - write.time >= FORGET for write in self._writes.get(owner, {}).values()):
            self.forget(owner)

    def forget(self, owner: K) -> None:
        """Drop what is known of an owner who is gone."""
        self._writes.pop(owner, None)


def _digest(wanted: dict[str, Any]) -> int:
    return hash(json.dumps(wanted, sort_keys=True))
