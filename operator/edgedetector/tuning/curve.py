"""What an execution costs, learnt from the batch statistics of everything that was visited: no probe is spent on it.

A batch's time alone, by its size, and how executions lengthen each other (`sharing`). Measured sizes win over the line
through them; where nothing was measured, intervals say how little is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edgedetector.tuning import sharing
from edgedetector.tuning.evidence import Range, Visit
from edgedetector.tuning.posterior import Point, Prior, estimate
from edgedetector.tuning.sharing import Company, known
from edgedetector.tuning.situation import Engine

SIZE_PRIOR: Final = Prior(mode=0.5, below=0.3, above=0.25, most=1.0)
"""Share of a single image's time that each further image costs: tau + alpha * b with alpha at most all of it."""
_SYSTEMATIC: Final = 0.02
"""Relative error of a mean duration however many executions it is of: throttling, neighbours, Triton's own work."""
_SPREAD: Final = 0.25
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
_MOST_INSTANCES: Final = 16
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
    serials: tuple[Range, ...] = ()
    """Serial share of an execution, by the number of instances from 1."""
    measured: tuple[int, ...] = ()
    """Sizes, ascending."""

    @property
    def largest(self) -> int:
        """The largest size that is known or may be used."""
        return len(self.costs)

    def serial(self, instances: int) -> Range:
        """Return the serial share with as many instances."""
        return self.serials[min(max(1, instances), len(self.serials)) - 1]

    def seconds(self, size: int, beside: Company = sharing.ALONE) -> Range:
        """Return how long a batch of `size` images takes in some company."""
        if not self.costs or size < 1:
            return _UNKNOWN
        cost, serial = self.costs[min(size, self.largest) - 1], self.serial(beside.instances)
        ratios = [
            sharing.stretch(value, beside) / sharing.stretch(value, cost.beside)
            for value in (serial.low, serial.mean, serial.high)
        ]
        return Range(
            math.exp(cost.low) * min(ratios), math.exp(cost.mean) * ratios[1], math.exp(cost.high) * max(ratios)
        )

    def alone(self, size: int, serial: float, end: str = "mean") -> float:
        """Return the seconds of a batch with nothing else at work, if the serial share is `serial`."""
        cost = self.costs[min(size, self.largest) - 1]
        log: float = getattr(cost, end)
        return math.exp(log) / sharing.stretch(serial, cost.beside)

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
    usual = sharing.prior(name, visits)
    serials = tuple(_serial(seen, count, usual) for count in range(1, _MOST_INSTANCES + 1))
    sizes = sorted({entry.size for entry in seen})
    costs = _padded(_costs(seen, serials, largest), engine.preferred, set(sizes))
    return Curve(costs, serials, tuple(sizes))


def _entries(name: str, visit: Visit, latest: float) -> Iterator[Seen]:
    beside = sharing.company(name, visit.models)
    hours = max(0.0, latest - visit.ended) / 3600.0 if math.isfinite(visit.ended) else math.inf
    drift = min(_OLDEST, _AGEING * hours)
    spread = min(1.0, visit.spread) / math.sqrt(max(1, visit.windows)) if known(visit.spread) else 0.0
    for size, batch in visit.models[name].batches.items():
        if size >= 1 and batch.executions >= 1 and _SHORTEST <= batch.seconds <= _LONGEST:
            variance = _SYSTEMATIC**2 + drift**2 + spread**2 + _SPREAD**2 / batch.executions
            yield Seen(size, beside, math.log(batch.seconds), variance)


def _serial(seen: Sequence[Seen], instances: int, usual: Prior) -> Range:
    """Return the serial share with as many instances; visits with about as many count most."""
    if len({entry.beside for entry in seen}) <= 1:
        return estimate((), usual, _log_stretch)
    points = [
        Point(entry.beside, entry.log, entry.variance + _away(entry.beside, instances), entry.size) for entry in seen
    ]
    return estimate(points, usual, _log_stretch)


def _away(beside: Company, instances: int) -> float:
    """Return the variance for having been measured with another number of instances."""
    apart = _OFF_STRETCH * (beside.instances - instances) if beside.others > 0.0 else 0.0
    return apart**2 + beside.doubt**2


def _log_stretch(serial: float, beside: Company) -> float:
    return math.log(sharing.stretch(serial, beside))


def _log_line(steepness: float, size: int) -> float:
    return math.log1p(steepness * (size - 1))


def _costs(seen: Sequence[Seen], serials: tuple[Range, ...], largest: int) -> tuple[Cost, ...]:
    """Return costs for sizes 1 to `largest`: measured ones, and the others between and beyond them."""
    pooled = {
        size: _pooled([entry for entry in seen if entry.size == size], serials)
        for size in sorted({entry.size for entry in seen})
    }
    alone = {size: _moved(entry, sharing.ALONE, serials) for size, entry in pooled.items()}
    # Sizes are compared only where both were seen in the same company: what sharing does is less certain.
    companies = {entry.beside: number for number, entry in enumerate(seen)}
    points = [
        Point(entry.size, entry.log, entry.variance + _OFF_LINE**2 / 4, companies[entry.beside]) for entry in seen
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


def _moved(entry: Seen, beside: Company, serials: tuple[Range, ...]) -> Seen:
    """Return a measurement as it would be in other company, less certain by what is not known of sharing."""
    serial = serials[min(max(entry.beside.instances, beside.instances), len(serials)) - 1]
    low, mean, high = (
        _log_stretch(value, beside) - _log_stretch(value, entry.beside)
        for value in (serial.low, serial.mean, serial.high)
    )
    doubt = (high - low) / (2 * _TWO_SIDED)
    luck = abs(entry.beside.doubt - beside.doubt)
    return replace(entry, beside=beside, log=entry.log + mean, variance=entry.variance + doubt**2 + luck**2)


def _pooled(entries: Sequence[Seen], serials: tuple[Range, ...]) -> Seen:
    """Return one measurement of a size, in the company of the best of them."""
    best = min(entries, key=lambda entry: entry.variance)
    moved = [_moved(entry, best.beside, serials) for entry in entries]
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
        trust = _OFF_LINE**2 / (_OFF_LINE**2 + entry.variance)
        log = entry.log + (1.0 - trust) * pull
        variance = entry.variance * (trust if len(pooled) > 1 else 1.0)
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
