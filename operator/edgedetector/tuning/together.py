"""What several models on one device can serve at once: their batchers run side by side and take turns at it. Pure.

What others take of the device does not only make it slower: an execution waits while others have it, and meanwhile
frames gather for the next one. So a model's batches cannot be told without the other models'.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from edgedetector.tuning import batcher
from edgedetector.tuning.batcher import FRAMES, HALVINGS, HIGHEST_LOAD, SERVED, WARM, Device, Passage, Run, Server

_FEWEST: Final = 1 / 3
"""Of the frames that are asked for of each model in the mean, those that the one with the least demand has at least,"""
_LONGER: Final = 3.0
"""but for this many times the frames in all: bounds the time."""


def served(servers: Sequence[Server], rates: Sequence[float], frames: int = FRAMES) -> list[Run]:
    """Return what became of frames of each model that come at these rates a second, all above 0.

    Parameters
    ----------
    frames
        Of a model, in the mean over the models.
    """
    runs = _runs(servers, rates, frames)
    _go(runs)
    return runs


def late(servers: Sequence[Server], rates: Sequence[float], pause: float, bound: float) -> list[float]:
    """Return the seconds' worth of each model's frames that take longer than `bound` when none is executed in a pause.

    As `batcher.late` tells of one: after the pause, of so many seconds, what waits for all of them takes turns.
    """
    runs = _runs(servers, rates, FRAMES)
    for run in runs:
        run.hold(pause)
    _go(runs)
    return [
        (sum(latency > bound for latency in run.latencies) + run.skipped) / rate
        for run, rate in zip(runs, rates, strict=True)
    ]


def _runs(servers: Sequence[Server], rates: Sequence[float], frames: int) -> list[Run]:
    seconds = len(rates) * frames / sum(rates)
    seconds = min(_LONGER * seconds, max(seconds, _FEWEST * frames / min(rates)))
    device, streams = Device() if len(servers) > 1 else None, _streams(servers, rates, seconds)
    # All begin to count and end when the busiest does: what comes later than others would find the device empty.
    busiest = streams[rates.index(max(rates))]
    begin, end = busiest[WARM], busiest[-1]
    lasting = [arrivals[: bisect_right(arrivals, end)] or [(begin + end) / 2] for arrivals in streams]
    return [
        Run(server, arrivals, device, bisect_left(arrivals, begin))
        for server, arrivals in zip(servers, lasting, strict=True)
    ]


def _streams(servers: Sequence[Server], rates: Sequence[float], seconds: float) -> list[list[float]]:
    """Return times of frames of each model, for so many seconds and as long before as the busiest needs to warm up."""
    before = WARM / max(rates)
    return [
        batcher.arrivals(server, rate, max(1, round(rate * seconds)), stream, before=round(rate * before))
        for stream, (server, rate) in enumerate(zip(servers, rates, strict=True))
    ]


@lru_cache(maxsize=2048)
def passages(
    servers: tuple[Server, ...], rates: tuple[float, ...], percentile: int = 99, frames: int = FRAMES
) -> tuple[Passage, ...]:
    """Return what frames of each model experience; see `served`."""
    return tuple(run.passage(percentile) for run in served(servers, rates, frames))


def capacity(
    servers: Sequence[Server],
    demands: Sequence[float],
    bounds: Sequence[float],
    percentile: int,
    *,
    frames: int = FRAMES,
    halvings: int = HALVINGS,
) -> float:
    """Return how many times the demands, images a second, all models can have at which they keep to their bounds.

    As `batcher.capacity` finds it of one.
    """
    low, high = 0.0, HIGHEST_LOAD * most(servers, demands)
    quick = slow = _nearest([batcher.passage(server, 0.0, percentile) for server in servers], bounds)
    if quick > 1.0:
        return 0.0
    for _ in range(halvings):
        times = (low + high) / 2
        there = passages(tuple(servers), tuple(times * demand for demand in demands), percentile, frames)
        near = _nearest(there, bounds)
        if near > 1.0 or any(one.skipped > SERVED for one in there):
            high, slow = times, near
        else:
            low, quick = times, near
    if slow <= 1.0:
        return low
    return low + (high - low) * math.log(1.0 / quick) / math.log(slow / quick)


def _nearest(there: Sequence[Passage], bounds: Sequence[float]) -> float:
    """Return the latency that is nearest to its bound, or most above it, as a share of it."""
    return max(one.latency / bound if bound > 0.0 else math.inf for one, bound in zip(there, bounds, strict=True))


def most(servers: Sequence[Server], demands: Sequence[float]) -> float:
    """Return how many times the demands they could serve with the batches that suit each best."""
    alone = min(server.saturated / demand for server, demand in zip(servers, demands, strict=True))
    taken = sum(
        demand * min(seconds / size for size, seconds in enumerate(server.alone, 1))
        for server, demand in zip(servers, demands, strict=True)
    )
    return min(alone, 1.0 / taken)


def _go(runs: Sequence[Run]) -> None:
    """Let all run, each as far as nothing happens in another: a device serves in the order in which it is asked."""
    due = [run.go(-math.inf) for run in runs]
    while (now := min(due)) < math.inf:
        first = due.index(now)
        due[first] = runs[first].go(min(due[:first] + due[first + 1 :], default=math.inf))
