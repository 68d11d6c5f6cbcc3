"""Frames that the ladder takes of a camera, counted against its target rate. Pure.

What comes of the camera is paced a second time, at the target: what is due so, less what is taken, was left out. So a
camera that sends less than its target, or nothing, is short of nothing by the ladder.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgedetector.detector.pacing import Pacer


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a camera is short of while it is asked for fewer frames than its target. Times in seconds, monotonic."""

    pacer: Pacer
    """At the target rate."""
    owed: int = 0
    """Frames that were due less those that were taken, from -1 to 1: one may come before it is due at the target."""
    let: bool = False
    """Whether the ladder has let a frame be taken since the last one was."""

    @classmethod
    def of(cls, target: float) -> Shortfall:
        """Return the shortfall of a camera from now on, by the frames a second that are wanted of it."""
        return cls(Pacer(1.0 / target))

    def arrived(self, now: float, *, let: bool) -> tuple[Shortfall, bool]:
        """Return the shortfall after a packet arrived, and whether a frame was left out before it.

        Parameters
        ----------
        let
            Whether the ladder lets a frame be taken now. That there is none then is not its doing.
        """
        due, pacer = self.pacer.admits(now), self.pacer.seen(now)
        owed = self.owed + due
        after = Shortfall(pacer.admitted(now) if due else pacer, min(1, owed), self.let or let)
        return after, owed > 1 and not self.let

    def taken(self) -> Shortfall:
        """Return the shortfall after a frame was taken."""
        return Shortfall(self.pacer, max(-1, self.owed - 1))
