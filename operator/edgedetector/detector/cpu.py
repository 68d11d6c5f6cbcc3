"""What work costs: wall and CPU seconds by stage, and a budget that keeps one camera from taking another's CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgedetector.detector.frame import Clocks

STAGES: Final = ("read", "decode", "motion", "prepare", "request", "boxes", "track")
"""Stages of a frame, in order. In `read` wall time is mostly waiting for the camera; its CPU time is the demuxing."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece of work took, in seconds. CPU time is that of the thread that did it."""

    wall: float
    cpu: float


Tell = Callable[[Spent], None]


class Stopwatch:
    """Tells what a block took, also if it failed. For one thread; may be used again, not within itself.

    Parameters
    ----------
    tell
        Called once a block. CPU time far below wall time means waiting: for a server, a lock, or a CPU.
    """

    def __init__(self, clocks: Clocks, tell: Tell) -> None:
        self._clocks = clocks
        self._tell = tell
        self._wall = self._cpu = 0.0

    def __enter__(self) -> None:
        self._wall, self._cpu = self._clocks.monotonic(), self._clocks.cpu()

    def __exit__(self, *_: object) -> None:
        cpu = self._clocks.cpu() - self._cpu
        self._tell(Spent(max(0.0, self._clocks.monotonic() - self._wall), max(0.0, cpu)))


@dataclass(frozen=True, slots=True)
class Budget:
    """CPU seconds that a stage may spend: `share` of one core on average, `burst` seconds at once (a token bucket)."""

    share: float = 0.75
    """Of one core. A 1080p camera of 25 frames/s takes about 0.2 in software."""
    burst: float = 3.0
    """Seconds: a camera that connects, or a scene that changes as a whole, may cost more for a moment."""
    owed: float = 0.0
    """Seconds spent that are not yet earned back."""
    at: float | None = None
    """Seconds, monotonic, when it was last looked at."""

    def advance(self, now: float, cpu: float = 0.0) -> Budget:
        """Return the budget as of now, after `cpu` more seconds."""
        earned = 0.0 if self.at is None else max(0.0, now - self.at) * self.share
        # By the constructor, since this happens twice a packet: `dataclasses.replace` takes three times as long.
        return Budget(self.share, self.burst, max(0.0, self.owed - earned) + cpu, now)

    @property
    def exceeded(self) -> bool:
        """Whether nothing may be spent before some was earned back."""
        return self.owed > self.burst

    @property
    def recovered(self) -> bool:
        """Whether half the burst is there again: work that stopped starts here, not at each drop that came in."""
        return self.owed <= self.burst / 2
