"""How many frames a second a camera asks for: its target, more while something moves, less where the ladder says so.

The rate rises by steps while there is activity and room, and falls back by steps some time after the activity; under
pressure what is above the target goes at once, before the ladder takes anything from anyone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from edgedetector.api.dataplane import FrameRate

STEP: Final = 1.5
"""Factor between rates: from a target of 5 to a maximum of 15 in three steps."""
STEP_AFTER: Final = 1.0
"""Seconds between steps: each shows in the pressure before the next."""
ACTIVE_AFTER: Final = 0.5
"""Seconds of activity before the first step up: one odd frame is none."""
REST_AFTER: Final = 5.0
"""Seconds without activity before the first step down: somebody who stands still for a moment is still there."""
HOLD_OFF: Final = 30.0
"""Seconds after pressure without a step up: cameras that rise together must not do so again as soon as it is gone."""


class Room(StrEnum):
    """What the box has left, as the ladder judges it."""

    ROOM = "room"
    """Everything known is well below its limit, and nothing is degraded."""
    HOLD = "hold"
    """Nothing is over its limit, but there is no room for more."""
    OVER = "over"
    """Something is over its limit."""


@dataclass(frozen=True, slots=True)
class AdaptiveRate:
    """The rate of one camera. Times in seconds, monotonic.

    ``minimum <= rate <= maximum`` holds always, also for a ceiling below the minimum.
    """

    bounds: FrameRate
    rate: float
    """Frames a second asked for now."""
    stepped: float = 0.0
    """When the rate last took a step."""
    active_since: float | None = None
    quiet_since: float | None = None
    pressed: float | None = None
    """When something was last over its limit."""

    @classmethod
    def of(cls, bounds: FrameRate) -> AdaptiveRate:
        """Return the rate of a camera that starts at its target."""
        return cls(bounds, bounds.target)

    def configured(self, bounds: FrameRate) -> AdaptiveRate:
        """Return the rate for other bounds; with another target it starts there."""
        if bounds == self.bounds:
            return self
        kept = self.rate if bounds.target == self.bounds.target else bounds.target
        return replace(self, bounds=bounds, rate=_clamp(kept, bounds.minimum, bounds.maximum))

    def advance(
        self, now: float, *, active: bool, room: Room = Room.ROOM, ceiling: float | None = None
    ) -> AdaptiveRate:
        """Return the rate as of now.

        Parameters
        ----------
        active
            Whether something moves or came in or left. Not whether something is there: a parked car would keep a
            camera at its maximum for ever.
        ceiling
            The ladder's rate for this camera, None where it takes nothing.
        """
        target = self.bounds.target
        allowed = target if ceiling is None else _clamp(ceiling, self.bounds.minimum, target)
        seen = self._saw(now, active=active, room=room)
        # Down to what the ladder allows, and back up from it, at once: it has its own steps and dwell.
        at_once = allowed < target or room is Room.OVER or self.rate < allowed
        rate = allowed if at_once else _next(seen, now, room)
        return seen if rate == seen.rate else replace(seen, rate=rate, stepped=now)

    def _saw(self, now: float, *, active: bool, room: Room) -> AdaptiveRate:
        return replace(
            self,
            active_since=(now if self.active_since is None else self.active_since) if active else None,
            quiet_since=None if active else (now if self.quiet_since is None else self.quiet_since),
            pressed=now if room is Room.OVER else self.pressed,
        )


def _next(rate: AdaptiveRate, now: float, room: Room) -> float:
    """Return the rate after one step, if one is due."""
    if now - rate.stepped < STEP_AFTER:
        return rate.rate
    free = room is Room.ROOM and (rate.pressed is None or now - rate.pressed >= HOLD_OFF)
    if free and rate.active_since is not None and now - rate.active_since >= ACTIVE_AFTER:
        return min(rate.rate * STEP, rate.bounds.maximum)
    if rate.quiet_since is not None and now - rate.quiet_since >= REST_AFTER:
        return max(rate.rate / STEP, rate.bounds.target)
    return rate.rate


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
