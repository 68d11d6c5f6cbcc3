"""What executions of several models cost alone, from how long they took side by side. Pure.

An execution waits while the device has executions of the other models, so that what is always in their company takes as
long as they do, whatever it takes itself: 87 ms where it is 10. What tells is how executions of all models, and the
device's utilisation, fit together. So all their costs are looked for at once with which the simulation (`together`)
shows what was seen: the most probable ones by Gauss-Newton steps, and how far they may be off by Laplace's
approximation (Bishop, Pattern Recognition and Machine Learning, 4.4). What is seen of no model by itself is expected to
be as of the others.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edgedetector.tuning import batcher, post_processing, resources, together
from edgedetector.tuning.batcher import Server
from edgedetector.tuning.evidence import Range, Visit
from edgedetector.tuning.sharing import known, share, split
from edgedetector.tuning.window import Knobs

_VISITS: Final = 3
"""That are looked at, the latest: bounds the time."""
_FRAMES: Final = 600
"""Of all models in a simulation; bounds the time, too."""
_FEWEST: Final = 4
"""Executions of a size in a simulation that say how long it takes there."""
_RARE: Final = 0.02
"""Share of a model's executions below which a size says nothing."""
_OFF: Final = 0.06
"""Relative error of a mean execution of the simulation: phases of the cameras."""
_OFF_SIZE: Final = 0.05
_OFF_DEVICE: Final = 0.03
"""The same of the device's share of time."""
_LUCK: Final = 0.3
"""Coefficient of variation of an execution in company."""
_SPREAD: Final = 0.15
_ALIKE: Final = 0.5
"""Relative standard deviation of what an image alone costs in the models of one detector: half as long to twice."""
_STEEPNESS: Final = (0.55, 0.28)
"""Each further image's share of a single one's time, and its standard deviation; see `curve.SIZE_PRIOR`."""
_PART: Final = (0.4, 0.8)
"""Logit of the part of an execution in which it has the device for itself: 0.6, 0.24 to 0.88."""
_PARTS: Final = (-1.1, 0.4, 2.2)
"""Logits from which it is looked for: 0.25, as of a device of several engines, 0.6 and 0.9. With one that is far off no
small step fits better: all executions always wait, or none does."""
_CONTENTION: Final = (math.log(0.04), 1.0)
"""Logarithm of the contention: 0.04, 0.006 to 0.3."""
_STEPS: Final = 5
_TURN: Final = 0.1
"""Of a logarithm, by which it is changed to see what depends on it."""
_LONGEST: Final = 0.7
"""That it is changed in a step at most."""
_ENOUGH: Final = 0.3
"""Of chi squared, that a step must gain for another to follow."""
_TWO_SIDED: Final = 1.96


@dataclass(frozen=True, slots=True)
class Executions:
    """What a visit shows of a model."""

    knobs: Knobs
    largest: int
    """Images in a batch at most."""
    rate: float
    """Images a second that came."""
    interval: float
    sizes: tuple[tuple[int, int, float], ...]
    """Size, executions and their mean seconds."""
    step: tuple[float, ...] = ()
    """Seconds of the post-processing for a request, by images from 1; empty: there is none, or nothing is known."""

    @property
    def mean(self) -> float:
        """Return the mean seconds of an execution."""
        return sum(count * seconds for _, count, seconds in self.sizes) / self.count

    @property
    def count(self) -> int:
        """Return the number of executions."""
        return sum(count for _, count, _ in self.sizes)


@dataclass(frozen=True, slots=True)
class Told:
    """What a visit shows."""

    models: tuple[Executions, ...]
    utilization: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """What executions of a model cost alone; logarithms of seconds."""

    first: float
    """Of one image."""
    steepness: Range
    """Each further image's share of it."""
    variances: tuple[float, float, float]
    """Of `first`, of the logarithm of the steepness, and their covariance."""
    off: tuple[tuple[int, float, float], ...] = ()
    """Sizes that were seen, how far they were off the line, and the variance of that."""

    def log(self, size: int) -> float:
        """Return the logarithm of the seconds of a size."""
        return self.first + math.log1p(self.steepness.mean * (size - 1))

    def variance(self, size: int) -> float:
        """Return its variance."""
        further = self.steepness.mean * (size - 1)
        slope = further / (1.0 + further)
        first, steepness, both = self.variances
        return max(0.0, first + slope**2 * steepness + 2.0 * slope * both)


@dataclass(frozen=True, slots=True)
class Untangled:
    """What is most probable, and how far it may be off."""

    lines: tuple[Line, ...]
    part: Range
    contention: Range


def told(
    names: Sequence[str], visits: Sequence[Visit], largest: Mapping[str, int], cameras: Mapping[str, int]
) -> tuple[Told, ...]:
    """Return what the latest visits show in which all models were at work."""
    found, steps = [], {name: post_processing.learn(name, visits) for name in names}
    for visit in sorted(visits, key=lambda one: one.ended if math.isfinite(one.ended) else -math.inf):
        each = [_executions(name, visit, largest[name], cameras.get(name, 0), steps[name]) for name in names]
        models = tuple(one for one in each if one is not None)
        if len(models) == len(names):
            found.append(Told(models, share(visit.utilization) if known(visit.utilization) else None))  # type: ignore[arg-type]
    return tuple(found[-_VISITS:])


def _executions(name: str, visit: Visit, largest: int, cameras: int, steps: post_processing.Lines) -> Executions | None:
    seen = visit.models.get(name)
    if seen is None or not known(seen.rate):
        return None
    sizes = tuple(
        (size, batch.executions, batch.seconds)
        for size, batch in sorted(seen.batches.items())
        if 1 <= size <= largest and batch.executions > 0 and 1e-6 <= batch.seconds <= 60.0  # noqa: PLR2004 - believable
    )
    if not sizes:
        return None
    demand = seen.demand if known(seen.demand) else seen.rate
    rate = min(1e6, max(demand, seen.rate)) if demand > seen.rate / 0.97 and seen.busiest > 0.9 else seen.rate  # noqa: PLR2004
    interval = cameras / demand if cameras > 0 else batcher.INTERVAL
    most = min(largest, max(resources.batch(seen.knobs, cameras), sizes[-1][0]))
    return Executions(seen.knobs, most, rate, interval, sizes, _step(seen.knobs.post_processing, most, steps))


def _step(instances: int, most: int, steps: post_processing.Lines) -> tuple[float, ...]:
    if instances < 1 or not steps:
        return ()
    return tuple(post_processing.seconds(steps, instances, size) for size in range(1, most + 1))


@lru_cache(maxsize=64)
def untangled(visits: tuple[Told, ...]) -> Untangled:
    """Return what executions of each model cost alone, from at least one visit."""
    count = len(visits[0].models)
    apart = [_alone(visits, index) for index in range(count)]
    starts = [_start(firsts, part) for firsts in (apart, [min(apart)] * count) for part in _PARTS]
    return _told_of(visits, _fit(visits, min(starts, key=lambda start: _squared(_off(visits, start)))))


def _start(firsts: Sequence[float], part: float) -> list[float]:
    return [value for first in firsts for value in (first, math.log(_STEEPNESS[0]))] + [part, _CONTENTION[0]]


def _alone(visits: Sequence[Told], index: int) -> float:
    """Return the logarithm of the seconds that one image took at least, if others were in no one's way."""
    return min(
        math.log(seconds / (1.0 + _STEEPNESS[0] * (size - 1)))
        for visit in visits
        for size, _, seconds in visit.models[index].sizes
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    values: list[float]
    """Of each model the logarithms of an image's seconds and of the steepness; logit of the part, log contention."""
    covariance: list[list[float]]


def _fit(visits: Sequence[Told], values: list[float]) -> _Fit:
    off, damping = _off(visits, values), 1.0
    misfit = _squared(off)
    curvature: list[list[float]] = []
    for _ in range(_STEPS):
        slopes = [_slope(visits, values, off, index) for index in range(len(values))]
        curvature = [[_dot(one, other) for other in slopes] for one in slopes]
        damped = [
            [value * (1.0 + damping) if row == column else value for column, value in enumerate(line)]
            for row, line in enumerate(curvature)
        ]
        step = _solved(damped, [-_dot(slope, off) for slope in slopes])
        there = [value + max(-_LONGEST, min(_LONGEST, by)) for value, by in zip(values, step, strict=True)]
        off_there = _off(visits, there)
        gained = misfit - _squared(off_there)
        if gained > 0.0:
            values, off, misfit, damping = there, off_there, misfit - gained, damping / 4
        else:
            damping *= 4
        if 0.0 <= gained < _ENOUGH:
            break
    size = len(values)
    columns = [_solved(curvature, [float(row == column) for row in range(size)]) for column in range(size)]
    return _Fit(values, columns)


def _slope(visits: Sequence[Told], values: Sequence[float], off: Sequence[float], index: int) -> list[float]:
    turned = [value + _TURN if at == index else value for at, value in enumerate(values)]
    return [(there - here) / _TURN for there, here in zip(_off(visits, turned), off, strict=True)]


def _off(visits: Sequence[Told], values: Sequence[float]) -> list[float]:
    """Return how far what is simulated is off what was seen, and values off what is usual, in standard deviations."""
    found: list[float] = []
    for visit in visits:
        runs, device = _simulated(visit, values)
        if visit.utilization is not None:
            found.append((math.log(min(1.0, device)) - math.log(visit.utilization)) / _OFF_DEVICE)
        for model, sizes in zip(visit.models, runs, strict=True):
            count, seconds = (sum(one[at] for one in sizes.values()) for at in (0, 1))
            found.append((math.log(seconds / count) - math.log(model.mean)) / _OFF)
            found += [_off_size(model, size, sizes) for size, *_ in model.sizes]
    count = (len(values) - 2) // 2
    firsts = values[: 2 * count : 2]
    mean = sum(firsts) / count
    found += [(first - mean) / _ALIKE for first in firsts]
    found += [(math.exp(value) - _STEEPNESS[0]) / _STEEPNESS[1] for value in values[1 : 2 * count : 2]]
    part, contention = values[-2:]
    return [*found, (part - _PART[0]) / _PART[1], (contention - _CONTENTION[0]) / _CONTENTION[1]]


def _off_size(model: Executions, size: int, sizes: Mapping[int, tuple[int, float]]) -> float:
    log, variance, weight = _compared(model, size, sizes)
    return log / math.sqrt(variance) * math.sqrt(weight)


def _compared(model: Executions, size: int, sizes: Mapping[int, tuple[int, float]]) -> tuple[float, float, float]:
    """Return the logarithm of what a size takes longer in the simulation, its variance, and its share; 0: unknown."""
    count, seconds = next((count, seconds) for one, count, seconds in model.sizes if one == size)
    simulated, took = sizes.get(size, (0, 0.0))
    part = count / model.count
    if simulated < _FEWEST or part < _RARE:
        return 0.0, 1.0, 0.0
    variance = _OFF_SIZE**2 + _LUCK**2 / simulated + _SPREAD**2 / count
    return math.log(took / simulated / seconds), variance, part


def _simulated(visit: Told, values: Sequence[float]) -> tuple[list[dict[int, tuple[int, float]]], float]:
    """Return of each model executions and their seconds by size, and the device's share of time at work."""
    part, contention = 1.0 / (1.0 + math.exp(-values[-2])), math.exp(min(1.0, values[-1]))
    servers = []
    for index, model in enumerate(visit.models):
        first, steepness = math.exp(values[2 * index]), math.exp(values[2 * index + 1])
        parts = [split(first * (1.0 + steepness * (size - 1)), part) for size in range(1, model.largest + 1)]
        servers.append(
            Server(
                instances=max(1, model.knobs.instances),
                apart=tuple(apart for apart, _ in parts),
                alone=tuple(alone for _, alone in parts),
                contention=contention,
                delay=max(0, model.knobs.max_queue_delay_microseconds) / 1e6,
                preferred=tuple(model.knobs.preferred_batch_sizes),
                gap=batcher.GAP,
                prepare=batcher.PREPARE,
                way=batcher.WAY,
                interval=model.interval,
                steps=model.knobs.post_processing if model.step else 0,
                step=model.step,
            )
        )
    runs = together.served(servers, [model.rate for model in visit.models], _FRAMES // len(servers))
    found = []
    for run in runs:
        sizes: dict[int, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
        for size, seconds in run.executed:
            count, total = sizes[size]
            sizes[size] = count + 1, total + seconds
        found.append(dict(sizes))
    return found, sum(run.device / run.end for run in runs)


def _told_of(visits: Sequence[Told], fit: _Fit) -> Untangled:
    simulated = [_simulated(visit, fit.values)[0] for visit in visits]
    lines = []
    for index in range((len(fit.values) - 2) // 2):
        at = 2 * index
        steepness = fit.values[at + 1]
        reach = _reach(fit, at + 1)
        lines.append(
            Line(
                fit.values[at],
                Range(math.exp(steepness - reach), math.exp(steepness), min(1.2, math.exp(steepness + reach))),
                (fit.covariance[at][at], fit.covariance[at + 1][at + 1], fit.covariance[at][at + 1]),
                _beside(visits, simulated, index),
            )
        )
    part, contention = fit.values[-2:]
    parts, contentions = (
        (value - _reach(fit, at), value, value + _reach(fit, at)) for at, value in ((-2, part), (-1, contention))
    )
    return Untangled(
        tuple(lines),
        Range(*(max(0.1, 1.0 / (1.0 + math.exp(-value))) for value in parts)),
        Range(*(min(1.2, math.exp(value)) for value in contentions)),
    )


def _reach(fit: _Fit, index: int) -> float:
    return _TWO_SIDED * math.sqrt(max(0.0, fit.covariance[index][index]))


def _beside(
    visits: Sequence[Told], simulated: Sequence[Sequence[Mapping[int, tuple[int, float]]]], index: int
) -> tuple[tuple[int, float, float], ...]:
    """Return how far sizes that were seen are off the line, e.g. since the engine was compiled for them."""
    seen: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for visit, runs in zip(visits, simulated, strict=True):
        model = visit.models[index]
        for size, *_ in model.sizes:
            log, variance, weight = _compared(model, size, runs[index])
            if weight > 0.0:
                seen[size].append((-log, variance))
    found = []
    for size, values in sorted(seen.items()):
        total = sum(1.0 / variance for _, variance in values)
        found.append((size, sum(log / variance for log, variance in values) / total, 1.0 / total))
    return tuple(found)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _squared(values: Sequence[float]) -> float:
    return _dot(values, values)


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return the solution of a symmetric, positive definite system of a few equations (Gauss, Jordan)."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for at, pivot in enumerate(rows):
        scale = pivot[at] or 1e-12
        pivot[:] = [value / scale for value in pivot]
        for other in rows:
            if other is not pivot and other[at]:
                factor = other[at]
                other[:] = [value - factor * taken for value, taken in zip(other, pivot, strict=True)]
    return [line[-1] for line in rows]
