"""Frames of cameras: periodic, each with a phase of its own and some jitter, and how many cameras there are when."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Traffic:
    """The cameras of one model."""

    cameras: int
    rate: float
    """Frames a second of each."""
    jitter: float = 0.1
    """Of an interval, at most."""
    levels: Sequence[tuple[float, float]] = ((0.0, 1.0),)
    """(from second, share of the cameras that are on), ascending."""
    period: float = math.inf
    """Seconds after which `levels` begin again."""
    moving: float = 0.0
    """By how much the share of cameras moves, up and down in turn, whenever a probe has just begun."""

    def share(self, now: float) -> float:
        """Return the share of the cameras that are on."""
        at = now % self.period if math.isfinite(self.period) else now
        return self.levels[max(0, bisect_right(self.levels, (at, math.inf)) - 1)][1]

    def on(self, now: float, moved: float = 1.0) -> int:
        """Return how many cameras are on."""
        return max(1, round(self.cameras * self.share(now) * moved))

    @property
    def extremes(self) -> tuple[int, int]:
        """Return the fewest and the most cameras that are ever on, but for a probe's moves."""
        shares = [share for _, share in self.levels]
        return max(1, round(self.cameras * min(shares))), max(1, round(self.cameras * max(shares)))


class Frames:
    """The frames of one model, second by second: the same for the same seed, whatever is served."""

    def __init__(self, seed: str, *, jitter: float) -> None:
        self._seed = [*seed.encode()]
        self._jitter = jitter
        self._phases = np.random.default_rng(self._seed).random(4096)

    def second(self, number: int, cameras: int, rate: float) -> tuple[list[float], list[int]]:
        """Return when the frames of a second come, ascending, and of which cameras."""
        phases = self._phases[np.arange(cameras) % 4096]
        first = np.ceil(number * rate - phases)
        count = np.ceil((number + 1) * rate - phases) - first
        most = math.ceil(rate) + 1
        steps = np.arange(most)
        times = (first[:, None] + steps + phases[:, None]) / rate
        named = np.broadcast_to(np.arange(cameras)[:, None], times.shape)
        there = steps < count[:, None]
        drawn = np.random.default_rng([*self._seed, number]).random(times.shape)
        times = times + self._jitter / rate * (drawn - 0.5)
        # A frame does not leave its second, so that seconds can be had one by one.
        found = np.clip(times[there], number, np.nextafter(number + 1.0, 0.0))
        order = np.argsort(found, kind="stable")
        return found[order].tolist(), named[there][order].tolist()
