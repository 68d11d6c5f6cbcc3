"""What an execution costs, learnt from the batch statistics of everything that was visited: no probe is spent on it.

A batch's time alone, by its size, and how executions lengthen each other (`sharing`). Measured sizes win over the line
through them; where nothing was measured, intervals say how little is known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edgedetector.tuning import link, post_processing, sharing, untangled
from edgedetector.tuning.evidence import Range, Visit
from edgedetector.tuning.executions import SYSTEMATIC, Seen, mean, measured
from edgedetector.tuning.posterior import Point, Prior, estimate
from edgedetector.tuning.sharing import Company, Sharing, Worked
from edgedetector.tuning.situation import Engine
from edgedetector.tuning.untangled import Line, Untangled

SIZE_PRIOR: Final = Prior(mode=0.55, below=0.3, above=0.25, most=1.0)
"""Share of a single image's time that each further image costs: tau + alpha * b with alpha at most all of it. Small
accelerators are rather full with one image (docs/results: 4 + 2b ms is friendly, 0.33)."""
_OFF_LINE: Final = 0.15
"""Relative standard deviation of real costs about the line (optimisation profiles, kernels chosen by size)."""
_OFF_STRETCH: Final = 0.08
"""Relative error of the stretch for each instance that a visit had more or less than what is asked for."""
_CLIFF: Final = 1.25
"""How much dearer an image may be in four times the largest measured size: the working set may leave fast memory."""
_DEAREST: Final = 3.0
"""Times an image of the largest measured size that a further one may cost: beyond fast memory, or padded up to the next
compiled size. An assumption, not a measurement: a batch that as a whole takes twice as long is about within it."""
_LIKELY: Final = 0.3
"""Of a cliff that is expected: costs jump up at some size, and never down."""
_OFF_COMPANY: Final = 0.25
"""Relative error of how much company lengthens executions of one size, where luck and a mixture of sizes decide it."""
_OFF_DEVICE: Final = 0.08
"""Relative error of what utilisation tells of all sizes together: part and contention are not those of each size."""
_UNKNOWN: Final = Range(1e-4, 0.02, 60.0)
"""Seconds of an execution of which nothing is known."""
_MOST_INSTANCES: Final = 8
_TWO_SIDED: Final = 1.96
_FAR: Final = 20.0
"""Logarithm of the largest factor between two sizes, and the largest relative error: beyond them figures are none."""
_SHORTEST: Final = 1e-9
"""Seconds of an execution with nothing else at work, at least."""
_DIP: Final = 0.92
"""An image in a size that costs less than this share of one in the next measured size is a dip."""


@dataclass(frozen=True, slots=True)
class Cost:
    """An execution of one size with nothing else at work; logarithms of seconds, sharing being as expected."""

    low: float
    mean: float
    high: float
    near: Seen
    """What was measured of this size, or of the one that it is told from."""
    base: float
    """What that takes with nothing else at work, sharing being as expected."""

    def told(self, end: str, shared: Sharing) -> float:
        """Return the seconds at an end of the interval, if the device is shared like that."""
        log: float = getattr(self, end)
        return math.exp(max(-_FAR, min(_FAR, log - self.base))) * sharing.alone(
            math.exp(self.near.log), shared, self.near.beside
        )


@dataclass(frozen=True, slots=True)
class Curve:
    """One model's costs."""

    costs: tuple[Cost, ...] = ()
    """By batch size from 1; empty: nothing is known."""
    part: Range = sharing.UNTOLD
    """Of an execution, in which it has the device for itself."""
    contentions: tuple[Range, ...] = ()
    """What each further execution at work adds to that part, by the number of instances from 1."""
    measured: tuple[int, ...] = ()
    """Sizes, ascending."""
    crossing: Range = link.NONE
    """Seconds of an execution, for each image, in which it has the link to the device for itself."""
    steps: post_processing.Lines = field(default_factory=dict)
    """What its post-processing inside Triton takes; empty: it has none, or nothing is known of it."""

    @property
    def largest(self) -> int:
        """The largest size that is known or may be used."""
        return len(self.costs)

    def contention(self, instances: int) -> Range:
        """Return the contention with as many instances."""
        return self.contentions[min(max(1, instances), len(self.contentions)) - 1]

    def shared(self, instances: int) -> Sharing:
        """Return how as many instances are expected to share the device."""
        return Sharing(self.part.mean, self.contention(instances).mean)

    def _ends(self, instances: int) -> tuple[Sharing, Sharing, Sharing]:
        return _ends(self.part, self.contention(instances))

    def seconds(self, size: int, beside: Company = sharing.ALONE) -> Range:
        """Return how long a batch of `size` images takes in some company."""
        if not self.costs or size < 1:
            return _UNKNOWN
        found = {
            end: [
                sharing.together(self.alone(size, shared, end), shared, beside)
                for shared in self._ends(beside.instances)
            ]
            for end in ("low", "mean", "high")
        }
        return Range(min(found["low"]), found["mean"][1], max(found["high"]))

    def alone(self, size: int, shared: Sharing, end: str = "mean") -> float:
        """Return the seconds of a batch with nothing else at work, if the device is shared like that."""
        return self.costs[min(size, self.largest) - 1].told(end, shared)

    def per_image(self, size: int) -> float:
        """Return the mean seconds an image in a batch of `size`, alone."""
        return self.seconds(size).mean / size

    def dearer(self) -> Curve:
        """Return the curve with what was never seen as dear as it can be: each further image up to `_DEAREST` times."""
        largest = self.measured[-1] if self.measured else self.largest
        costs = [
            cost if size <= largest else _at_most(cost, self.costs[largest - 1], size / largest)
            for size, cost in enumerate(self.costs, 1)
        ]
        return replace(self, costs=tuple(costs))

    def dips(self) -> tuple[int, ...]:
        """Return measured sizes above 1 after which an image becomes dearer, ascending."""
        pairs = zip(self.measured, self.measured[1:], strict=False)
        return tuple(
            size for size, following in pairs if size > 1 and self.per_image(size) < _DIP * self.per_image(following)
        )


@dataclass(frozen=True, slots=True)
class Curves:
    """All models' costs."""

    models: Mapping[str, Curve] = field(default_factory=dict)

    def of(self, model: str) -> Curve:
        """Return a model's costs; of one that was never seen, nothing is known."""
        return self.models.get(model, Curve())


def learn(visits: Sequence[Visit], engines: Mapping[str, Engine], cameras: Mapping[str, int] | None = None) -> Curves:
    """Return what executions cost, from all visits. Figures that are no positive numbers count as not told.

    Parameters
    ----------
    visits
        What was seen, in any order.
    engines
        By model; gives the largest batch that costs are wanted for.
    cameras
        How many of a pod a model serves about, where that is known.
    """
    latest = max((visit.ended for visit in visits if math.isfinite(visit.ended)), default=0.0)
    found = {name: _curve(name, visits, engine, latest) for name, engine in sorted(engines.items())}
    return Curves({**found, **_side_by_side(visits, engines, cameras or {})})


def _side_by_side(
    visits: Sequence[Visit], engines: Mapping[str, Engine], cameras: Mapping[str, int]
) -> dict[str, Curve]:
    """Return the costs of several models, if a visit shows all of them at work."""
    names = sorted(engines)
    largest = {name: max(1, engines[name].largest_batch) for name in names}
    shown = untangled.told(names, visits, largest, cameras) if len(names) > 1 else ()
    if not shown:
        return {}
    known = untangled.untangled(shown)
    return {
        name: replace(
            _from_line(line, known, engines[name], link.an_image(name, visits, engines[name].tensors)),
            steps=post_processing.learn(name, visits),
        )
        for name, line in zip(names, known.lines, strict=True)
    }


def _from_line(line: Line, known: Untangled, engine: Engine, crossing: Range) -> Curve:
    sizes = tuple(size for size, *_ in line.off)
    costs = tuple(_on_line(line, size) for size in range(1, max(1, engine.largest_batch) + 1))
    costs = _padded(costs, engine.preferred, set(sizes))
    return Curve(costs, known.part, (known.contention,) * _MOST_INSTANCES, sizes or (1,), crossing)


def _on_line(line: Line, size: int) -> Cost:
    """Return the cost of a size: on its model's line, off it as far as measured sizes are."""
    trusted = [(at, off / (1.0 + variance / _OFF_LINE**2)) for at, off, variance in line.off]
    below = max((one for one in trusted if one[0] <= size), default=None)
    above = min((one for one in trusted if one[0] >= size), default=None)
    (low, under), (high, over) = below or above or (size, 0.0), above or below or (size, 0.0)
    mean = line.log(size) + (under if high == low else under + (size - low) / (high - low) * (over - under))
    variance = next((1.0 / (1.0 / one + _OFF_LINE**-2) for at, _, one in line.off if at == size), _OFF_LINE**2)
    reach = _TWO_SIDED * math.sqrt(line.variance(size) + variance)
    cliff = math.log(_CLIFF) * min(1.0, math.log2(size / low) / 2) if above is None and below is not None else 0.0
    mean += _LIKELY * cliff
    return Cost(mean - reach, mean, mean + reach + cliff, Seen(size, sharing.ALONE, mean, variance), mean)


def _curve(name: str, visits: Sequence[Visit], engine: Engine, latest: float) -> Curve:
    largest = max(1, engine.largest_batch)
    seen = measured(name, visits, largest, latest)
    if not seen:
        return Curve()
    part = sharing.part(name, visits)
    worked = sharing.worked(name, visits)
    misfit = _misfit(worked, part, seen, largest)
    contentions = tuple(_contention(seen, count, part.mean, misfit) for count in range(1, _MOST_INSTANCES + 1))
    sizes = sorted({entry.size for entry in seen})
    lines = () if engine.preferred else worked  # What is compiled for sizes costs in steps.
    costs = _padded(_costs(seen, part, contentions, largest, lines), engine.preferred, set(sizes))
    crossing, steps = link.an_image(name, visits, engine.tensors), post_processing.learn(name, visits)
    return Curve(costs, part, contentions, tuple(sizes), crossing, steps)


def _misfit(worked: Sequence[Worked], part: Range, seen: Sequence[Seen], largest: int) -> Callable[[float], float]:
    """Return how badly a contention fits utilisation, beside what executions cost that had no company."""
    solo = [entry for entry in seen if entry.beside.others <= 0.0]
    if not solo:
        return lambda _: 0.0
    costs = _costs(solo, part, (Range(0.0, 0.0, 0.0),), largest)

    def alone(size: int) -> Range:
        cost = costs[min(size, largest) - 1]
        return Range(math.exp(cost.low), math.exp(cost.mean), math.exp(cost.high))

    return sharing.misfit(worked, part.mean, alone)


def _contention(seen: Sequence[Seen], instances: int, part: float, misfit: Callable[[float], float]) -> Range:
    """Return the contention with as many instances; visits with about as many count most."""
    points = []
    if len({entry.beside for entry in seen}) > 1:
        points = [
            Point(entry, entry.log, entry.variance + _away(entry.beside, instances), entry.size) for entry in seen
        ]
    return estimate(points, sharing.CONTENTION, lambda value, entry: _longer(entry, Sharing(part, value)), misfit)


def _longer(entry: Seen, shared: Sharing) -> float:
    """Return the logarithm of how much company lengthens what was measured, as far as it can be said beforehand."""
    beside = replace(entry.beside, here=0.0, alone=0.0)
    return entry.log - math.log(sharing.alone(math.exp(entry.log), shared, beside))


def _away(beside: Company, instances: int) -> float:
    """Return the variance for having been measured with another number of instances, and by luck in company."""
    if beside.others <= 0.0:
        return 0.0
    luck = _OFF_COMPANY * min(1.0, beside.others) * (2.0 - beside.busy)
    return (_OFF_STRETCH * (beside.instances - instances)) ** 2 + luck**2


def _ends(part: Range, contention: Range) -> tuple[Sharing, Sharing, Sharing]:
    """Return how the device is shared: at least, as expected, at most."""
    return (
        Sharing(part.low, contention.low),
        Sharing(part.mean, contention.mean),
        Sharing(part.high, contention.high),
    )


def _at_most(cost: Cost, seen: Cost, larger: float) -> Cost:
    """Return a cost that is surely not exceeded, of a batch `larger` times as large as the largest that was seen."""
    most = max(cost.high, seen.mean + math.log1p(_DEAREST * (larger - 1.0)))
    return replace(seen, mean=most, high=max(most, seen.high))


def _log_line(steepness: float, size: int) -> float:
    return math.log1p(steepness * (size - 1))


@dataclass(frozen=True, slots=True)
class _Bare:
    """What a measurement says of its size with nothing else at work."""

    near: Seen
    log: float
    variance: float


def _costs(
    seen: Sequence[Seen], part: Range, contentions: Sequence[Range], largest: int, worked: Sequence[Worked] = ()
) -> tuple[Cost, ...]:
    """Return costs for sizes 1 to `largest`: measured ones, and the others between and beyond them."""
    bare = [_bare(entry, part, contentions[min(entry.beside.instances, len(contentions)) - 1]) for entry in seen]
    # What sharing does shifts all sizes of one visit alike, and what is not known of it errs alike.
    sizes = Counter(one.near.visit for one in bare)
    visits = {ended: number for number, ended in enumerate(sizes)}
    points = [
        Point(
            one.near.size,
            one.log,
            one.near.variance + (one.variance - one.near.variance) * sizes[one.near.visit] + _OFF_LINE**2 / 4,
            visits[one.near.visit],
        )
        for one in bare
    ]
    level = [one for one in bare if one.near.beside.others <= 0.0]
    steepness = estimate(points, SIZE_PRIOR, _log_line, _overworked(level, worked, part.mean, contentions[-1].mean))
    pooled = {
        size: _pooled([one for one in bare if one.near.size == size]) for size in sorted({one.size for one in seen})
    }
    anchors = _anchors(pooled, steepness.mean)
    return tuple(_cost(size, anchors, steepness) for size in range(1, largest + 1))


def _padded(costs: tuple[Cost, ...], compiled: tuple[int, ...], measured: set[int]) -> tuple[Cost, ...]:
    """Return costs in which a size between those that the engine was compiled for may cost as much as the next one.

    Whether it is padded up to that is the backend's; where nothing was measured, half of the way is expected.
    """
    found = list(costs)
    for size, cost in enumerate(costs, 1):
        above = min((one for one in compiled if size < one <= len(costs)), default=size)
        if size not in measured and size not in compiled and above > size:
            next_one = costs[above - 1]
            mean = max(cost.mean, (cost.mean + next_one.mean) / 2)
            found[size - 1] = replace(cost, mean=mean, high=max(cost.high, next_one.high))
    return tuple(found)


def _overworked(
    solo: Sequence[_Bare], worked: Sequence[Worked], part: float, contention: float
) -> Callable[[float], float]:
    """Return how badly a line through what had no company fits the device's seconds in company.

    It tells of sizes that were seen in company only, where how long each waits for others is hardly known.
    """

    def chi_squared(steepness: float) -> float:
        level = mean([(one.log - _log_line(steepness, one.near.size), one.variance) for one in solo])[0]
        found = 0.0
        for one in worked:
            line = sum(count * math.exp(_log_line(steepness, size)) for size, count in one.executions.items())
            longer = 1.0 + contention * one.others
            found += (math.log(one.device / (part * longer * line)) - level) ** 2 / _OFF_DEVICE**2
        return found

    return chi_squared if solo else lambda _: 0.0


def _bare(entry: Seen, part: Range, contention: Range) -> _Bare:
    """Return a measurement without its company, less certain by what is not known of that."""
    seconds = math.exp(entry.log)
    ends = (sharing.alone(seconds, shared, entry.beside) for shared in _ends(part, contention))
    low, expected, high = (max(_SHORTEST, end) for end in ends)
    unknown = abs(math.log(high / low)) / (2 * _TWO_SIDED)
    off = sharing.doubt(max(0.0, seconds - expected), entry.beside, entry.alike)
    waited = off / expected if entry.beside.others > 0.0 else 0.0
    return _Bare(entry, math.log(expected), entry.variance + min(_FAR, unknown) ** 2 + min(_FAR, waited) ** 2)


def _pooled(found: Sequence[_Bare]) -> _Bare:
    """Return one measurement of a size."""
    best = min(found, key=lambda one: one.variance)
    log, variance = mean([(one.log, one.variance) for one in found])
    return _Bare(best.near, log, max(variance, SYSTEMATIC**2))


def _anchors(pooled: Mapping[int, _Bare], steepness: float) -> dict[int, Cost]:
    """Return the measured costs, the uncertain ones drawn to the line through all."""
    weights = {size: 1.0 / (one.variance + _OFF_LINE**2) for size, one in pooled.items()}
    off = sum((one.log - _log_line(steepness, size)) * weights[size] for size, one in pooled.items())
    level = off / sum(weights.values())
    anchors = {}
    for size, one in pooled.items():
        trust = _OFF_LINE**2 / (_OFF_LINE**2 + one.variance) if len(pooled) > 1 else 1.0
        log = trust * one.log + (1.0 - trust) * (level + _log_line(steepness, size))
        reach = _TWO_SIDED * math.sqrt(one.variance * trust)
        anchors[size] = Cost(log - reach, log, log + reach, one.near, one.log)
    return anchors


def _cost(size: int, anchors: Mapping[int, Cost], steepness: Range) -> Cost:
    """Return the cost of a size: its own, between its neighbours', or beyond the last one."""
    if size in anchors:
        return anchors[size]
    below = max((known for known in anchors if known < size), default=0)
    above = min((known for known in anchors if known > size), default=0)
    if below and above:
        return _between(size, below, above, anchors)
    near = below or above
    anchor = anchors[near]
    flat, line, steep = (
        _log_line(value, size) - _log_line(value, near) for value in (steepness.low, steepness.mean, steepness.high)
    )
    if size < near:  # A smaller batch takes no longer, and an image at least its share.
        return replace(anchor, low=anchor.low + math.log(size / near), mean=anchor.mean + line)
    cliff = math.log(_CLIFF) * min(1.0, math.log2(size / near) / 2)
    return replace(
        anchor,
        low=anchor.low + flat,
        mean=anchor.mean + line + _LIKELY * cliff,
        high=anchor.high + steep + cliff,
    )


def _between(size: int, below: int, above: int, anchors: Mapping[int, Cost]) -> Cost:
    """Return the cost between two measured sizes: on the line between them, at most the dearer (profiles pad up)."""
    first, second = anchors[below], anchors[above]
    part = (size - below) / (above - below)
    mean = math.log((1 - part) * math.exp(first.mean) + part * math.exp(second.mean))
    near = first if part < 0.5 else second  # noqa: PLR2004 - the nearer one
    return replace(near, low=min(first.low, second.low, mean), mean=mean, high=max(first.high, second.high, mean))
