"""What acts beside the tuner: the degradation ladder of each pod, which is the real one, and Kubernetes' autoscaler.

The autoscaler's bounds are those that the operator plans; its algorithm is that of its documentation ("Algorithm
details", kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale): every 15 s, each metric by itself, the
highest of what they ask for, nothing within 10 % of the target, and downwards the highest of the last 5 minutes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from edgedetector.api.edgedetector import ScalingSpec
from edgedetector.detector.ladder import Ladder
from edgedetector.detector.pressure import Pressure
from edgedetector.detector.rungs import KEYFRAME_RATE, Options
from edgedetector.plan.scaling import held, least

SYNC: Final = 15.0
"""Seconds between two decisions of the autoscaler, over which a pod's use of processors is averaged, too."""
STABILIZED: Final = 300.0
TOLERANCE: Final = 0.1
TARGET: Final = 0.8
"""Of what a container asks for; of one core for the detector's, which asks for none here."""

PRIORITIES: Final = (("low", 0), ("high", 100))
"""Half of the cameras are of each; the second is never suspended."""


class Rungs:
    """A pod's ladder, with one camera of each priority for all that are alike."""

    def __init__(self, rate: float, least: float) -> None:
        options = tuple(Options(name, priority, least, rate) for name, priority in PRIORITIES)
        self._ladder, _ = Ladder().configured(Ladder().settings, options)
        self.moves = 0
        self.reversals = 0
        self._last = 0
        self._rates = self._now()

    def advance(self, pressure: Pressure, now: float) -> None:
        """Take in a second's measurement."""
        before = len(self._ladder.taken)
        self._ladder, changes = self._ladder.advance(pressure, now)
        self.moves += len(changes)
        if direction := len(self._ladder.taken) - before:
            self.reversals += self._last * direction < 0
            self._last = direction
            self._rates = self._now()

    @property
    def degraded(self) -> int:
        """Rungs that all cameras together are down."""
        return sum(standing.rungs for standing in self._ladder.standings())

    def offered(self, cameras: int) -> float:
        """Return the frames a second that are left of so many cameras."""
        low = cameras // 2
        return low * self._rates[0] + (cameras - low) * self._rates[1]

    def _now(self) -> tuple[float, float]:
        found = []
        for standing in self._ladder.standings():
            left = standing.level
            rate = min(left.rate, KEYFRAME_RATE) if left.keyframes_only else left.rate
            found.append(0.0 if left.suspended else rate)
        return found[0], found[1]


class Autoscaler:
    """Decides the number of replicas.

    Parameters
    ----------
    request
        Cores that Triton's container asks for.
    """

    def __init__(self, least: int, most: int, request: float) -> None:
        self.spec = ScalingSpec(min_replicas=least, max_replicas=most)
        self._targets = (TARGET * request, TARGET)
        self._asked_for: deque[tuple[float, int]] = deque()

    def most(self, asked: int, *, began: float | None, converged: bool, now: float) -> int:
        """Return the maximum that the operator plans; times are seconds since the epoch."""
        since = None if began is None else datetime.fromtimestamp(began, UTC)
        stays = held(self.spec, asked, since=since, converged=converged, now=datetime.fromtimestamp(now, UTC))
        return self.spec.max_replicas if stays is None else max(self.spec.min_replicas, stays)

    def fewest(self, asked: int, most: int, *, degraded: bool) -> int:
        """Return the minimum that the operator plans."""
        return max(self.spec.min_replicas, min(least(asked, degraded=degraded) or 0, most))

    def decide(
        self, now: float, asked: int, used: Sequence[tuple[float, float] | None], most: int, fewest: int = 0
    ) -> int:
        """Return the replicas to ask for.

        Parameters
        ----------
        used
            Cores of Triton and of the detector by pod; None: a pod that does not run yet.
        """
        wanted = max(self._by(which, asked, used) for which in (0, 1)) if any(used) else asked
        self._asked_for.append((now, wanted))
        while self._asked_for[0][0] < now - STABILIZED:
            self._asked_for.popleft()
        if wanted < asked:
            wanted = min(asked, max(count for _, count in self._asked_for))
        return max(self.spec.min_replicas, fewest, min(wanted, most, max(4, 2 * asked)))

    def _by(self, which: int, asked: int, used: Sequence[tuple[float, float] | None]) -> int:
        target = self._targets[which]
        known = [one[which] for one in used if one is not None]
        if abs(sum(known) / len(known) / target - 1.0) <= TOLERANCE:
            return asked
        # Pods of which nothing is known count as idle where more are asked for, as at the target where fewer are.
        missing = 0.0 if sum(known) / len(known) > target else target
        ratio = (sum(known) + missing * (len(used) - len(known))) / len(used) / target
        return asked if abs(ratio - 1.0) <= TOLERANCE else math.ceil(ratio * len(used))
