"""What an execution costs, learnt from the batch statistics of everything that was visited: no probe is spent on it.

A batch's time alone, by its size, and how executions lengthen each other (`sharing`). Measured sizes win over the line
through them; where nothing was measured, intervals say how little is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edgedetector.tuning import sharing
from edgedetector.tuning.evidence import Range, Visit
from edgedetector.tuning.posterior import Point, Prior, estimate
from edgedetector.tuning.sharing import Company, Sharing, known
from edgedetector.tuning.situation import Engine

SIZE_PRIOR: Final = Prior(mode=0.55, below=0.3, above=0.25, most=1.0)
"""Share of a single image's time that each further image costs: tau + alpha * b with alpha at most all of it. Small
accelerators are rather full with one image (docs/results: 4 + 2b ms is friendly, 0.33)."""
_SYSTEMATIC: Final = 0.02
"""Relative error of a mean duration however many executions it is of: throttling, neighbours, Triton's own work."""
_SPREAD: Final = 0.1
"""Assumed coefficient of variation of one execution; Triton tells only the mean."""
_OFF_LINE: Final = 0.15
"""Relative standard deviation of real costs about the line (optimisation profiles, kernels chosen by size)."""
_OFF_STRETCH: Final = 0.08
"""Relative error of the stretch for each instance that a visit had more or less than what is asked for."""
_CLIFF: Final = 1.25
"""How much dearer an image may be in four times the largest measured size: the working set may leave fast memory."""
_AGEING: Final = 0.01
"""Relative error that an hour adds to what was measured: temperature, neighbours, drivers."""
_OLDEST: Final = 0.10
_UNKNOWN: Final = Range(1e-4, 0.02, 60.0)
"""Seconds of an execution of which nothing is known."""
_SHORTEST, _LONGEST = 1e-6, 600.0
"""Seconds of an execution that can be believed."""
_MOST_INSTANCES: Final = 8
_TWO_SIDED: Final = 1.96
_DIP: Final = 0.92
"""An image in a size that costs less than this share of one in the next measured size is a dip."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Executions of one batch size in one visit."""

    size: int
    beside: Company
    log: float
    """Of the mean seconds, in that company."""
    variance: float


@dataclass(frozen=True, slots=True)
class Cost:
    """An execution of one size in some company; logarithms of seconds."""

    beside: Company
    low: float
    mean: float
    high: float


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
        found = self.contention(instances)
        return (
            Sharing(self.part.low, found.low),
            Sharing(self.part.mean, found.mean),
            Sharing(self.part.high, found.high),
        )

    def seconds(self, size: int, beside: Company = sharing.ALONE) -> Range:
        """Return how long a batch of `size` images takes in some company."""
        if not self.costs or size < 1:
            return _UNKNOWN
        cost = self.costs[min(size, self.largest) - 1]
        ratios = [
            sharing.stretch(value, beside) / sharing.stretch(value, cost.beside)
            for value in self._ends(beside.instances)
        ]
        return Range(
            math.exp(cost.low) * min(ratios), math.exp(cost.mean) * ratios[1], math.exp(cost.high) * max(ratios)
        )

    def alone(self, size: int, shared: Sharing, end: str = "mean") -> float:
        """Return the seconds of a batch with nothing else at work, if the device is shared like that."""
        cost = self.costs[min(size, self.largest) - 1]
        log: float = getattr(cost, end)
        return math.exp(log) / sharing.stretch(shared, cost.beside)

    def per_image(self, size: int) -> float:
        """Return the mean seconds an image in a batch of `size`, alone."""
        return self.seconds(size).mean / size

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


def learn(visits: Sequence[Visit], engines: Mapping[str, Engine]) -> Curves:
    """Return what executions cost, from all visits. Figures that are no positive numbers count as not told.

    Parameters
    ----------
    visits
        What was seen, in any order.
    engines
        By model; gives the largest batch that costs are wanted for.
    """
    latest = max((visit.ended for visit in visits if math.isfinite(visit.ended)), default=0.0)
    return Curves({name: _curve(name, visits, engine, latest) for name, engine in sorted(engines.items())})


def _curve(name: str, visits: Sequence[Visit], engine: Engine, latest: float) -> Curve:
    largest = max(1, engine.largest_batch)
    seen = [
        entry
        for visit in visits
        if name in visit.models
        for entry in _entries(name, visit, latest)
        if entry.size <= largest
    ]
    if not seen:
        return Curve()
    part = sharing.part(name, visits)
    misfit = _misfit(name, visits, part, seen, largest)
    contentions = tuple(_contention(seen, count, part.mean, misfit) for count in range(1, _MOST_INSTANCES + 1))
    sizes = sorted({entry.size for entry in seen})
    ends = _Ends(part, contentions)
    costs = _padded(_costs(seen, ends, largest), engine.preferred, set(sizes))
    return Curve(costs, part, contentions, tuple(sizes))


def _entries(name: str, visit: Visit, latest: float) -> Iterator[Seen]:
    beside = sharing.company(name, visit.models)
    hours = max(0.0, latest - visit.ended) / 3600.0 if math.isfinite(visit.ended) else math.inf
    drift = min(_OLDEST, _AGEING * hours)
    spread = min(1.0, visit.spread) / math.sqrt(max(1, visit.windows)) if known(visit.spread) else 0.0
    for size, batch in visit.models[name].batches.items():
        if size >= 1 and batch.executions >= 1 and _SHORTEST <= batch.seconds <= _LONGEST:
            variance = _SYSTEMATIC**2 + drift**2 + spread**2 + _SPREAD**2 / batch.executions
            yield Seen(size, beside, math.log(batch.seconds), variance)


def _misfit(
    name: str, visits: Sequence[Visit], part: Range, seen: Sequence[Seen], largest: int
) -> Callable[[float], float]:
    """Return how badly a contention fits utilisation, beside what executions cost that had no company."""
    solo = [entry for entry in seen if entry.beside.others <= 0.0]
    if not solo:
        return lambda _: 0.0
    costs = _costs(solo, _Ends(part, (Range(0.0, 0.0, 0.0),)), largest)

    def alone(size: int) -> Range:
        cost = costs[min(size, largest) - 1]
        return Range(math.exp(cost.low), math.exp(cost.mean), math.exp(cost.high))

    return sharing.misfit(name, visits, part.mean, alone)


def _contention(seen: Sequence[Seen], instances: int, part: float, misfit: Callable[[float], float]) -> Range:
    """Return the contention with as many instances; visits with about as many count most."""
    points = []
    if len({entry.beside for entry in seen}) > 1:
        points = [
            Point(entry.beside, entry.log, entry.variance + _away(entry.beside, instances), entry.size)
            for entry in seen
        ]
    return estimate(
        points,
        sharing.CONTENTION,
        lambda value, beside: math.log(sharing.stretch(Sharing(part, value), beside)),
        misfit,
    )


def _away(beside: Company, instances: int) -> float:
    """Return the variance for having been measured with another number of instances."""
    apart = _OFF_STRETCH * (beside.instances - instances) if beside.others > 0.0 else 0.0
    return apart**2 + beside.doubt**2


@dataclass(frozen=True, slots=True)
class _Ends:
    """What is known of sharing while costs are learnt."""

    part: Range
    contentions: tuple[Range, ...]

    def stretches(self, instances: int, beside: Company) -> list[float]:
        """Return the logarithms of how much company lengthens executions: at least, as expected, at most."""
        found = self.contentions[min(instances, len(self.contentions)) - 1]
        pairs = zip((self.part.low, self.part.mean, self.part.high), (found.low, found.mean, found.high), strict=True)
        return [math.log(sharing.stretch(Sharing(*pair), beside)) for pair in pairs]


def _log_line(steepness: float, size: int) -> float:
    return math.log1p(steepness * (size - 1))


def _costs(seen: Sequence[Seen], ends: _Ends, largest: int) -> tuple[Cost, ...]:
    """Return costs for sizes 1 to `largest`: measured ones, and the others between and beyond them."""
    pooled = {
        size: _pooled([entry for entry in seen if entry.size == size], ends)
        for size in sorted({entry.size for entry in seen})
    }
    alone = {size: _moved(entry, sharing.ALONE, ends) for size, entry in pooled.items()}
    # Sizes are compared only where both were seen in the same company: what sharing does is less certain.
    companies = {entry.beside: number for number, entry in enumerate(seen)}
    points = [
        Point(
            entry.size, entry.log, entry.variance + (entry.beside.doubt**2 + _OFF_LINE**2) / 4, companies[entry.beside]
        )
        for entry in seen
    ]
    steepness = estimate(points, SIZE_PRIOR, _log_line)
    anchors = _anchors(pooled, alone, steepness.mean)
    bare = {size: _anchor(entry) for size, entry in alone.items()}
    return tuple(_cost(size, anchors, bare, steepness) for size in range(1, largest + 1))


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


def _moved(entry: Seen, beside: Company, ends: _Ends) -> Seen:
    """Return a measurement as it would be in other company, less certain by what is not known of sharing."""
    instances = max(entry.beside.instances, beside.instances)
    pairs = zip(ends.stretches(instances, beside), ends.stretches(instances, entry.beside), strict=True)
    low, mean, high = (there - here for there, here in pairs)
    doubt = abs(high - low) / (2 * _TWO_SIDED)
    luck = abs(entry.beside.doubt - beside.doubt)
    return replace(entry, beside=beside, log=entry.log + mean, variance=entry.variance + doubt**2 + luck**2)


def _pooled(entries: Sequence[Seen], ends: _Ends) -> Seen:
    """Return one measurement of a size, in the company of the best of them."""
    best = min(entries, key=lambda entry: entry.variance)
    moved = [_moved(entry, best.beside, ends) for entry in entries]
    total = sum(1.0 / entry.variance for entry in moved)
    log = sum(entry.log / entry.variance for entry in moved) / total
    return replace(best, log=log, variance=max(1.0 / total, _SYSTEMATIC**2))


def _anchors(pooled: Mapping[int, Seen], alone: Mapping[int, Seen], steepness: float) -> dict[int, Cost]:
    """Return the measured costs, those of few executions drawn to the line through all."""
    weights = {size: 1.0 / (entry.variance + _OFF_LINE**2) for size, entry in alone.items()}
    level = sum((alone[size].log - _log_line(steepness, size)) * weights[size] for size in alone) / sum(
        weights.values()
    )
    anchors = {}
    for size, entry in pooled.items():
        pull = level + _log_line(steepness, size) - alone[size].log if len(pooled) > 1 else 0.0
        # What was measured in company only tells less of the cost than of that company.
        doubt = max(entry.variance, alone[size].variance)
        trust = _OFF_LINE**2 / (_OFF_LINE**2 + doubt)
        log = entry.log + (1.0 - trust) * pull
        variance = doubt * (trust if len(pooled) > 1 else 1.0)
        anchors[size] = _anchor(replace(entry, log=log, variance=variance))
    return anchors


def _anchor(entry: Seen) -> Cost:
    reach = _TWO_SIDED * math.sqrt(entry.variance)
    return Cost(entry.beside, entry.log - reach, entry.log, entry.log + reach)


def _cost(size: int, anchors: Mapping[int, Cost], bare: Mapping[int, Cost], steepness: Range) -> Cost:
    """Return the cost of a size: its own, between its neighbours', or beyond the last one.

    Parameters
    ----------
    bare
        The measured sizes with nothing else at work: what can be compared.
    """
    if size in anchors:
        return anchors[size]
    below = max((known for known in anchors if known < size), default=0)
    above = min((known for known in anchors if known > size), default=0)
    if below and above:
        same = anchors[below].beside == anchors[above].beside
        return _between(size, below, above, anchors if same else bare)
    near = below or above
    anchor = anchors[near]
    flat, line, steep = (
        _log_line(value, size) - _log_line(value, near) for value in (steepness.low, steepness.mean, steepness.high)
    )
    if size < near:  # A smaller batch takes no longer, and an image at least its share.
        return Cost(anchor.beside, anchor.low + math.log(size / near), anchor.mean + line, anchor.high)
    return Cost(
        anchor.beside,
        anchor.low + flat,
        anchor.mean + line,
        anchor.high + steep + math.log(_CLIFF) * min(1.0, math.log2(size / near) / 2),
    )


def _between(size: int, below: int, above: int, anchors: Mapping[int, Cost]) -> Cost:
    """Return the cost between two measured sizes: on the line between them, at most the dearer (profiles pad up)."""
    first, second = anchors[below], anchors[above]
    part = (size - below) / (above - below)
    mean = math.log((1 - part) * math.exp(first.mean) + part * math.exp(second.mean))
    near = first if part < 0.5 else second  # noqa: PLR2004 - the nearer one
    return Cost(near.beside, min(first.low, second.low), mean, max(first.high, second.high))
