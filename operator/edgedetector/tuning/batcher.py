"""How long frames take from the detector's queue through Triton's dynamic batcher, for one configuration and demand.

A short event simulation with fixed arrivals: no random numbers, the same input gives the same figure. What counts of
client and server:

- The detector sends what waits at once, up to the largest batch, while fewer than two requests an instance are on their
  way. So frames gather in it while the server is busy, and most batches are formed there.
- Triton joins requests that wait for an instance, and with a queue delay it holds them back for others.
- An execution has a part of its own (copies, launches), in which others may compute, and a part in which it has the
  device for itself. So instances pay as far as they hide the first.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

FRAMES: Final = 600
"""Of a run, after the first ones, that find an empty server."""
_WARM: Final = 60
_MOST_REQUESTS: Final = 16
"""On their way at once, whatever the instances (`detector.batching.capacity`)."""
_REQUESTS_PER_INSTANCE: Final = 2
"""`detector.batching.REQUESTS_PER_INSTANCE`: Triton takes up to 2 x instances batches out of its queue."""
LOADS: Final = (0.15, 0.35, 0.55, 0.7, 0.8, 0.88, 0.95, 1.02)
"""Shares of what a server can do at most, at which its latency is looked at."""
FEW_LOADS: Final = (0.2, 0.45, 0.7, 0.9)
"""The same where the figure is an end of an interval."""
_SERVED: Final = 0.01
"""Share of the frames that may be superseded where a demand still counts as served."""
INTERVAL: Final = 0.2
"""Seconds between two frames of a camera where that is not known: 5 frames a second."""
_MOST_CAMERAS: Final = 4096


@dataclass(frozen=True, slots=True)
class Server:
    """What serves one model. Seconds."""

    instances: int
    apart: tuple[float, ...]
    """Part of an execution in which others may compute, by size from 1."""
    alone: tuple[float, ...]
    """Part in which it has the device for itself, by size from 1."""
    contention: float = 0.0
    """What each further execution at work adds to that part, relatively."""
    delay: float = 0.0
    """For which Triton waits for more requests."""
    preferred: tuple[int, ...] = ()
    """Sizes at which it does not wait any longer."""
    gap: float = 0.0
    """Between two executions of an instance at least."""
    prepare: float = 0.0
    """That the detector needs for an image before its request is sent."""
    way: float = 0.0
    """Of a request between detector and Triton, both ways together."""
    interval: float = INTERVAL
    """Between two frames of one camera: each sends at a steady rate, and a frame that waits longer is superseded.
    Infinite: frames come independently."""

    @property
    def largest(self) -> int:
        """Images in a batch at most."""
        return len(self.alone)

    @property
    def saturated(self) -> float:
        """Images a second when all instances always have the batch that suits them best."""
        slower = 1.0 + self.contention * (self.instances - 1)
        return max(
            size / max(alone * slower, (apart + alone * slower + self.gap) / self.instances)
            for size, (apart, alone) in enumerate(zip(self.apart, self.alone, strict=True), 1)
        )


@dataclass(frozen=True, slots=True)
class Passage:
    """What frames experience. Seconds."""

    latency: float
    """The percentile asked for."""
    batch: float
    """Mean size of an execution."""
    busy: float
    """Share of the time that an instance executes, 0 to 1."""
    skipped: float = 0.0
    """Share of the frames that newer ones superseded."""
    execution: float = 0.0
    """Mean duration."""


def requests_at_once(instances: int) -> int:
    """Return how many requests of a model the detector has on their way at most."""
    return max(1, min(_MOST_REQUESTS, _REQUESTS_PER_INSTANCE * instances))


@lru_cache(maxsize=8192)
def passage(server: Server, rate: float, percentile: int = 99, frames: int = FRAMES) -> Passage:
    """Return what frames experience that come at `rate` a second."""
    if rate <= 0.0:
        execution = server.apart[0] + server.alone[0]
        held = server.delay if server.largest > 1 else 0.0
        return Passage(server.prepare + server.way + held + execution, 1.0, 0.0, execution=execution)
    cameras = min(_MOST_CAMERAS, max(1, round(rate * server.interval))) if math.isfinite(server.interval) else 0
    run = _Run(server, [at / rate for at in _arrivals(frames + _WARM, cameras)])
    run.go(server.interval)
    counted = sorted(run.latencies[_WARM:] or run.latencies)
    rank = min(len(counted) - 1, math.ceil(len(counted) * percentile / 100.0) - 1)
    return Passage(
        counted[max(0, rank)],
        len(run.latencies) / run.executions,
        min(1.0, run.working / (server.instances * run.end)),
        1.0 - len(run.latencies) / len(run.arrivals),
        run.working / run.executions,
    )


@lru_cache(maxsize=2048)
def latencies(server: Server, percentile: int, loads: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Return (images a second, latency) from no load to the shares `loads` of what the server can do, ascending.

    A demand of which a noticeable part is superseded is not served, however quick the rest is: it ends the list.
    """
    found = [(0.0, passage(server, 0.0, percentile).latency)]
    frames = FRAMES // 2 if len(loads) > len(FEW_LOADS) else FRAMES // 3
    for load in loads:
        rate = load * server.saturated
        there = passage(server, rate, percentile, frames)
        if there.skipped > _SERVED:
            break
        found.append((rate, max(there.latency, found[-1][1])))
    return tuple(found)


def capacity(server: Server, bound: float, percentile: int = 99, loads: tuple[float, ...] = LOADS) -> float:
    """Return the highest demand, images a second, at which the percentile of the latency keeps to `bound` seconds."""
    points = latencies(server, percentile, loads)
    if bound < points[0][1]:
        return 0.0
    for (low, quick), (high, slow) in pairwise(points):
        if slow > bound:
            return low + (high - low) * math.log(bound / quick) / math.log(slow / quick)
    return points[-1][0]


@lru_cache(maxsize=256)
def _arrivals(count: int, cameras: int) -> tuple[float, ...]:
    """Return times of `count` frames at a rate of 1: independent, or one in each period of each camera.

    With cameras their phases are drawn anew in every period: the mean over many detectors, not the luck of one.
    """
    if cameras <= 0:
        times, at = [], 0.0
        for value in _uniform(count):
            at -= math.log(1.0 - value)
            times.append(at)
        return tuple(at * count / times[-1] for at in times)
    periods = -(-count // cameras)
    values = _uniform(periods * cameras)
    times = sorted(cameras * (index // cameras + value) for index, value in enumerate(values))
    return tuple(times[:count])


def _uniform(count: int) -> list[float]:
    """Return numbers in [0, 1) that look drawn: Knuth's 64-bit linear congruential generator (MMIX), top bits."""
    values, state = [], 0x9E3779B97F4A7C15
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append((state >> 11) / 2**53)
    return values


class _Run:
    """Frames on their way. Batches are resolved one after the other, in the order in which they begin."""

    def __init__(self, server: Server, arrivals: list[float]) -> None:
        self.arrivals = arrivals
        self.latencies: list[float] = []
        self.executions = 0
        self.working = 0.0
        self.end = 0.0
        self._server = server
        self._room = requests_at_once(server.instances)
        self._enough = {size for size in server.preferred if size <= server.largest} | {server.largest}
        self._free = [0.0] * server.instances  # when each instance is free, a heap
        self._flying: list[float] = []  # when each request on its way is answered, a heap
        self._device = 0.0  # when the device is free
        self._sent = 0.0  # when the last request was sent

    def go(self, interval: float) -> None:
        """Serve all frames but those that wait for more than `interval` seconds."""
        index, count, arrivals = 0, len(self.arrivals), self.arrivals
        while index < count:
            at = self._slot(arrivals[index], 0)
            while index < count and arrivals[index] < at - interval:
                index += 1
            if index < count:
                index = self._batch(index, max(at, arrivals[index]))

    def _slot(self, at: float, more: int) -> float:
        """Return when a request can be sent, from `at` on, beside `more` that wait in Triton."""
        flying, room = self._flying, self._room - more
        at = max(at, self._sent)
        while flying and flying[0] <= at:
            heapq.heappop(flying)
        while flying and len(flying) >= room:
            at = heapq.heappop(flying)
        self._sent = at
        return at if room > 0 else math.inf

    def _take(self, index: int, at: float) -> int:
        """Return the index after the last frame of a request that is sent at `at`, `index` its first."""
        return bisect_right(self.arrivals, at, index + 1, min(len(self.arrivals), index + self._server.largest))

    def _batch(self, index: int, at: float) -> int:
        """Form and execute a batch whose first request is sent at `at`; return the index after its last frame."""
        server, arrivals, enough = self._server, self.arrivals, self._enough
        prepare, half = server.prepare, server.way / 2
        after, requests, count = self._take(index, at), 1, len(arrivals)
        there = at + prepare * (after - index) + half
        leaves = max(there + server.delay, self._free[0])
        while after - index not in enough and after < count and arrivals[after] < leaves:
            at = self._slot(arrivals[after], requests)
            following = self._take(after, at) if at < leaves else after
            arrives = at + prepare * (following - after) + half
            if arrives >= leaves:
                break
            if following - index > server.largest:
                leaves = max(arrives, there)
                break
            after, requests, there = following, requests + 1, max(there, arrives)
        else:
            if after - index in enough:
                leaves = there
        self._execute(index, after, requests, leaves)
        return after

    def _execute(self, index: int, after: int, requests: int, leaves: float) -> None:
        server, free = self._server, self._free
        size = after - index - 1
        start = max(leaves, free[0])
        beside = sum(1 for end in free if end - server.gap > start) if server.contention else 0
        end = max(start + server.apart[size], self._device) + server.alone[size] * (1.0 + server.contention * beside)
        self._device = self.end = end
        heapq.heapreplace(free, end + server.gap)
        answered = end + server.way / 2
        for _ in range(requests):
            heapq.heappush(self._flying, answered)
        self.latencies += [answered - arrived for arrived in self.arrivals[index:after]]
        self.executions += 1
        self.working += end - start
