"""How long frames take from the detector's queue through Triton's dynamic batcher, for one configuration and demand.

A short event simulation with fixed arrivals: no random numbers, the same input gives the same figure. Requests are
resolved one by one in the order in which they are sent, which is also the order in which Triton executes them.

The client is our detector: it sends what waits at once, up to the largest batch, while fewer than two requests an
instance are on their way; so frames gather in it while the server is busy, and most batches are formed there. Triton's
own joining then matters only with a queue delay, for which it holds requests back.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

FRAMES: Final = 600
"""Of a run, after the first ones, that find an empty server."""
_WARM: Final = 60
_MOST_REQUESTS: Final = 16
"""On their way at once, whatever the instances (`detector.batching.capacity`)."""
_REQUESTS_PER_INSTANCE: Final = 2
"""`detector.batching.REQUESTS_PER_INSTANCE`: Triton takes up to 2 x instances batches out of its queue."""
_STEPS: Final = 5
"""Of the search for the capacity: 1/32 of the range, then interpolated."""
_FIRST: Final = 0.8
"""Where that search begins: with a bound of a few executions a server keeps to it up to about here."""
_SERVED: Final = 0.01
"""Share of the frames that may be superseded where a demand still counts as served."""


@dataclass(frozen=True, slots=True)
class Server:
    """What serves one model."""

    costs: tuple[tuple[float, ...], ...]
    """Seconds of an execution: [executions of the model at work, itself included, from 1][size from 1]."""
    delay: float = 0.0
    """Seconds that Triton waits for more requests."""
    preferred: tuple[int, ...] = ()
    """Sizes at which it does not wait any longer."""
    gap: float = 0.0
    """Seconds between two executions of an instance at least."""
    cameras: int = 0
    """That frames come from, each at a steady rate; 0: not known, then frames come independently."""

    @property
    def instances(self) -> int:
        """Executions at once at most."""
        return len(self.costs)

    @property
    def largest(self) -> int:
        """Images in a batch at most."""
        return len(self.costs[0])

    @property
    def requests(self) -> int:
        """On their way at once."""
        return requests_at_once(self.instances)

    @property
    def saturated(self) -> float:
        """Images a second when all instances always have a full batch."""
        row = self.costs[-1]
        return max(self.instances * size / (seconds + self.gap) for size, seconds in enumerate(row, 1))


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


def requests_at_once(instances: int) -> int:
    """Return how many requests of a model the detector has on their way at most."""
    return max(1, min(_MOST_REQUESTS, _REQUESTS_PER_INSTANCE * instances))


@lru_cache(maxsize=8192)
def passage(server: Server, rate: float, percentile: int = 99, frames: int = FRAMES) -> Passage:
    """Return what frames experience that come at `rate` a second."""
    if rate <= 0.0:
        return Passage(server.costs[0][0] + (server.delay if server.largest > 1 else 0.0), 1.0, 0.0)
    arrivals = [at / rate for at in _arrivals(frames + _WARM, server.cameras)]
    interval = server.cameras / rate if server.cameras else math.inf
    run = _joined if server.delay > 0.0 and server.largest > 1 else _direct
    latencies, executions, working, end = run(server, arrivals, interval)
    counted = sorted(latencies[_WARM:] or latencies)
    rank = min(len(counted) - 1, math.ceil(len(counted) * percentile / 100.0) - 1)
    return Passage(
        counted[max(0, rank)],
        len(latencies) / executions,
        min(1.0, working / (server.instances * end)),
        1.0 - len(latencies) / len(arrivals),
    )


def capacity(server: Server, bound: float, percentile: int = 99, frames: int = FRAMES * 2 // 3) -> float:
    """Return the highest demand, images a second, at which the percentile of the latency keeps to `bound` seconds.

    A demand of which a noticeable part is superseded is not served, however quick the rest is. Bisection, and at last
    an interpolation on the logarithm of the latency, so that the figure has no steps.
    """
    low, high = 0.0, server.saturated
    quick = passage(server, 0.0, percentile).latency
    slow = 0.0
    if quick > bound:
        return 0.0
    for step in range(_STEPS):
        rate = low + (high - low) * (_FIRST if step == 0 else 0.5)
        found = passage(server, rate, percentile, frames)
        if found.latency <= bound and found.skipped <= _SERVED:
            low, quick = rate, found.latency
        else:
            high, slow = rate, found.latency
    if slow <= bound:
        return low
    return low + (high - low) * math.log(bound / quick) / math.log(slow / quick)


@lru_cache(maxsize=8)
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


def _direct(server: Server, arrivals: list[float], interval: float) -> tuple[list[float], int, float, float]:
    """Run without a delay: a request is an execution."""
    costs, largest, room, gap = server.costs, server.largest, server.requests, server.gap
    free = [0.0] * server.instances  # when each instance is free, a heap
    outstanding: list[float] = []  # ends of the requests on their way, a heap
    latencies: list[float] = []
    executions, working = 0, 0.0
    index, count = 0, len(arrivals)
    while index < count:
        now = arrivals[index]
        while outstanding and outstanding[0] <= now:
            heapq.heappop(outstanding)
        while len(outstanding) >= room:
            now = heapq.heappop(outstanding)
        while arrivals[index] < now - interval:
            index += 1
        after = bisect_right(arrivals, now, index + 1, min(count, index + largest))
        start = max(now, free[0])
        at_work = sum(1 for end in free if end > start)
        seconds = costs[min(at_work, len(costs) - 1)][after - index - 1]
        end = start + seconds
        heapq.heapreplace(free, end + gap)
        heapq.heappush(outstanding, end)
        latencies += [end - arrived for arrived in arrivals[index:after]]
        executions, working, index = executions + 1, working + seconds, after
    return latencies, executions, working, max(free)


def _joined(server: Server, arrivals: list[float], interval: float) -> tuple[list[float], int, float, float]:
    """Run with a delay: Triton joins requests until one is as old as that, or they are a size that is preferred."""
    costs, largest, room, gap = server.costs, server.largest, server.requests, server.gap
    enough = {size for size in server.preferred if size <= largest} | {largest}
    free = [0.0] * server.instances
    outstanding: list[float] = []
    latencies: list[float] = []
    executions, working = 0, 0.0
    index, count = 0, len(arrivals)
    while index < count:
        now = arrivals[index]
        while outstanding and outstanding[0] <= now:
            heapq.heappop(outstanding)
        while len(outstanding) >= room:
            now = heapq.heappop(outstanding)
        while arrivals[index] < now - interval:
            index += 1
        latest = now + server.delay
        after = bisect_right(arrivals, now, index + 1, min(count, index + largest))
        requests, leaves = 1, latest
        while after - index not in enough:
            if after >= count:
                break
            at = max(now, arrivals[after])
            while outstanding and outstanding[0] <= at:
                heapq.heappop(outstanding)
            if len(outstanding) + requests >= room:
                if not outstanding:
                    break
                at = max(at, outstanding[0])
            if at > latest:
                break
            following = bisect_right(arrivals, at, after + 1, min(count, after + largest))
            if following - index > largest:  # the next request does not fit: what there is leaves
                leaves = at
                break
            after, requests = following, requests + 1
        else:
            leaves = max(now, arrivals[after - 1])
        start = max(leaves, free[0])
        at_work = sum(1 for end in free if end > start)
        seconds = costs[min(at_work, len(costs) - 1)][after - index - 1]
        end = start + seconds
        heapq.heapreplace(free, end + gap)
        for _ in range(requests):
            heapq.heappush(outstanding, end)
        latencies += [end - arrived for arrived in arrivals[index:after]]
        executions, working, index = executions + 1, working + seconds, after
    return latencies, executions, working, max(free)
