"""The best that a server can give, by trying everything, under the limits that the tuner has too.

Everything: all instance counts, the batch sizes of `SIZES` up to the engine's and those it was compiled for, with
each of those also as the only preferred size, and `DELAYS`. What cannot be better than the best so far, by a bound that
no load can exceed (`truth.bound`), is not served; that changes no result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from edgedetector.tuning.situation import Goal
from edgedetector.tuning.window import Configuration, Knobs
from judge import truth
from judge.memory import Known
from judge.pod import Pod
from judge.server import Server

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
DELAYS = (0, 500, 2000, 5000)
"""Microseconds."""
FEW_SIZES = (1, 2, 4, 8, 16)
FEW_DELAYS = (0, 2000)
"""For servers with several models, whose configurations multiply."""
STEADY = 40
"""Seconds of a load whose latency or utilisation counts."""
WINDOW = 10
"""Seconds, as of the windows in which a tuner is held to the objective."""
WINDOWS = 6
CHANGING = 30
"""Of them, those that are looked at, the latter where neighbours or the traffic change."""
EXACT = 1.0 + 1e-9
"""Of bytes that were added in another order."""
SHORT = 0.2
"""By which share a look of 4 s must be worse than the best so far to settle it."""


@dataclass(frozen=True, slots=True)
class Best:
    """What the sweep found."""

    configuration: Configuration
    score: float
    start: float
    """The start's score."""
    allowed: int
    """Configurations that keep the limits and can be come to."""
    served: int
    """Of them, those that had to be served to know."""


def score(server: Server, configuration: Configuration, *, least: float = 0.0) -> float:
    """Return how good a configuration is by the server's goal, more is better; 0: not above `least`, or impossible.

    Throughput: images a second within the latency bound. Latency: 1 / percentile at the present demand. Efficiency: 1 /
    utilisation of the accelerator at the present demand.
    """
    if server.goal is Goal.THROUGHPUT:
        return truth.capacity(server, configuration, least=least)
    cameras = truth.at(server, most=True)
    short = _worth(server, truth.load(server, configuration, cameras, 4, patient=False))
    if short <= least * (1.0 - SHORT):
        return 0.0
    return _worth(server, truth.load(server, configuration, cameras, STEADY))


def _worth(server: Server, found: truth.Load) -> float:
    value = found.latency if server.goal is Goal.LATENCY else max(found.utilization, 1e-3)
    return 1.0 / value if found.kept else 0.0


def knobs(server: Server, name: str, *, few: bool) -> Iterator[Knobs]:
    """Yield the settings of one model."""
    engine, limits = server.engines[name], server.limits
    compiled = [size for size in engine.preferred if size <= engine.largest_batch]
    sizes = {*(FEW_SIZES if few else SIZES), *compiled, engine.largest_batch}
    sizes = {size for size in sizes if 1 <= size <= max(1, engine.largest_batch)} or {1}
    delays = [delay for delay in (FEW_DELAYS if few else DELAYS) if delay <= limits.max_queue_delay_microseconds]
    preferred: list[tuple[int, ...]] = [(), *((size,) for size in compiled)]
    preferred += [tuple(compiled)] if len(compiled) > 1 else []
    counts = range(limits.min_instances, limits.max_instances + 1)
    for count, size, liked, delay in itertools.product(counts, sorted(sizes), preferred, delays):
        pointless = size == 1 and (delay or liked)
        if not pointless and all(one <= size for one in liked):
            yield Knobs(count, size, liked, delay)


def allowed(server: Server) -> list[Configuration]:
    """Return the configurations within the bounds that can be come to from the start, memory permitting."""
    names = list(server.engines)
    few = len(names) > 1
    start = dict(server.start)
    every = [dict(zip(names, found, strict=True)) for found in itertools.product(
        *(knobs(server, name, few=few) for name in names))]  # fmt: skip
    every = [one for one in every if one != start]
    if not server.memory_known:
        # No step that may need more than is known to be there: what is in use now.
        return [start, *(one for one in every if _without_more(server, start, one))]
    return [start, *_reachable(server, start, every)]


def _without_more(server: Server, start: Configuration, one: Configuration) -> bool:
    if server.coexisting:
        return server.memory(one) <= server.memory(start)
    return server.memory_to_change(start, one, in_place=server.in_place) <= server.memory(start)


def _reachable(server: Server, start: Configuration, every: Sequence[Configuration]) -> list[Configuration]:
    """Return those for which there is a chain of changes that are known to fit; the leanest so far is the way on.

    Known from what was served before (`memory.Known`): a sweep that keeps the limits on memory makes no change that may
    not fit, as little as a tuner, though it would have fitted.
    """
    total, known = server.hardware.memory, Known(server, start)
    found: list[Configuration] = []
    left = [one for one in every if server.memory(one) <= total]
    while True:
        lean = min([start, *found], key=server.memory)
        now = [one for one in left if _fits(server, known, lean, one)]
        if not now:
            return found + _next_to(server, known, [start, *found], left)
        found += now
        left = [one for one in left if one not in now]
        known.see(now)


def _fits(server: Server, known: Known, old: Configuration, new: Configuration) -> bool:
    """Return whether a change is known to fit, be it since old and new of the same size were verified to."""
    total = server.hardware.memory
    if known.most_to_change(old, new) <= total * EXACT:
        return True
    verified = server.coexisting and all(_no_larger(new[name], knobs) for name, knobs in old.items())
    return verified and server.memory_to_change(old, new, in_place=server.in_place) <= total


def _no_larger(new: Knobs, old: Knobs) -> bool:
    return new.instances <= old.instances and max(1, new.max_batch_size) <= max(1, old.max_batch_size)


def _next_to(
    server: Server, known: Known, found: list[Configuration], left: list[Configuration]
) -> list[Configuration]:
    """Return those that only a change in place comes to."""
    if not server.in_place:
        return []
    total, near = server.hardware.memory, {_key(one) for one in found}
    return [one for one in left if known.most(tuple(one.items())) <= total * EXACT and _key(one) in near]


def _key(configuration: Configuration) -> tuple[tuple[str, Knobs], ...]:
    return tuple((name, replace(value, instances=1)) for name, value in configuration.items())


def sweep(server: Server, *, told: Callable[[Configuration, float], None] | None = None) -> Best:
    """Return the best configuration that is safe at the least and at the most demand there ever is.

    Safe: keeps the latency bound and the ceilings of accelerator and host, or, where the start does not, is no worse
    than it: an overload is not to be given less of what it has while it lasts. And it breaks the objective in no window
    of real traffic in which the start keeps it, as the tuner must not.
    """
    low, high = truth.at(server, most=False), truth.at(server, most=True)
    present = [truth.load(server, server.start, cameras) for cameras in (low, high)]
    start = score(server, server.start)
    watched = slow_windows(server, server.start)
    candidates = allowed(server)
    candidates.sort(key=lambda one: (_usual(one), _hope(server, one)), reverse=True)
    best: Configuration = server.start
    top = start if all(one.kept for one in present) else 0.0
    served = 0
    for one in candidates:
        if one == server.start or _hope(server, one) <= top * (1.0 + truth.PRECISION):
            continue
        served += 1
        if score(server, one, least=top) <= top:
            continue
        # Again without a lower end: a capacity that is sought above the best so far is higher by luck, where a load of
        # more cameras keeps the bound and one of fewer does not. What the tuner reached is sought from below, too.
        found = score(server, one)
        if found <= top or not _safe(server, one, list(zip((low, high), present, strict=True))):
            continue
        if not any(slow and not before for slow, before in zip(slow_windows(server, one), watched, strict=True)):
            best, top = one, found
            if told:
                told(one, found)
    return Best(best, max(top, start) if best == server.start else top, start, len(candidates), served)


def _usual(configuration: Configuration) -> bool:
    """Return whether a configuration is of those that are often best: looked at first, they settle the others soon."""
    return all(
        1 < one.max_batch_size <= 8 and not one.preferred_batch_sizes and one.max_queue_delay_microseconds == 0
        for one in configuration.values()
    )


def _hope(server: Server, configuration: Configuration) -> float:
    return truth.bound(server, configuration) if server.goal is Goal.THROUGHPUT else math.inf


def _safe(server: Server, configuration: Configuration, loads: list[tuple[truth.Cameras, truth.Load]]) -> bool:
    for cameras, present in loads:
        found = truth.load(server, configuration, cameras)
        within = found.kept or (not present.kept and _no_worse(found, present))
        device = max(server.limits.accelerator, present.utilization)
        if not within or found.utilization > device or found.host > max(server.limits.host, present.host):
            return False
    return True


def slow_windows(server: Server, configuration: Configuration) -> list[bool]:
    """Return of windows of the server's own traffic, neighbours included, whether too many results came too late."""
    pod = Pod(server, configuration)
    pod.run(truth.WARM)
    allowed_, found = 1.0 - server.limits.percentile / 100.0, []
    changing = server.hardware.neighbour or any(len(traffic.levels) > 1 for traffic in server.traffic.values())
    for number in range(CHANGING if changing else WINDOWS):
        if number >= WINDOWS // 2:  # a probe's traffic, where it moves
            pod.moved = 1.0 + max(traffic.moving for traffic in server.traffic.values())
        before = {name: (lane.detector.results, lane.detector.slow) for name, lane in pod.lanes.items()}
        pod.run(truth.WARM + WINDOW * (number + 1))
        found.append(any(
            lane.detector.slow - before[name][1] > allowed_ * (lane.detector.results - before[name][0])
            for name, lane in pod.lanes.items()
        ))  # fmt: skip
    return found


def _no_worse(found: truth.Load, present: truth.Load) -> bool:
    return found.latency <= present.latency and found.served >= present.served * (1.0 - truth.PRECISION)
