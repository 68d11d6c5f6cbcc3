"""What an execution costs, learnt from the batch statistics of everything that was visited: no probe is spent on it.

seconds(size, at once) = cost by batch size x stretch by how many instances execute at once. Measured sizes win over the
line through them; where nothing was measured, intervals say how little is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edgedetector.tuning.evidence import ModelVisit, Range, Visit
from edgedetector.tuning.posterior import Point, Prior, slope, stretch
from edgedetector.tuning.situation import Engine

SIZE_PRIOR: Final = Prior(mode=0.5, below=0.25, above=0.25, most=1.0)
"""Share of a single image's time that each further image costs: tau + alpha * b with alpha at most all of it."""
AT_ONCE_PRIOR: Final = Prior(mode=0.5, below=0.25, above=0.45, most=2.5)
"""Stretch of an execution for each further one at once. Instances hide copies and launches (0), share a serial device
(1) or hinder each other (the KS20's unpatched scheduler: 0.7 for two; shared memory bandwidth: above 1)."""
_SYSTEMATIC: Final = 0.02
"""Relative error of a mean duration however many executions it is of: throttling, neighbours, Triton's own work."""
_SPREAD: Final = 0.25
"""Assumed coefficient of variation of one execution; Triton tells only the mean."""
_OFF_LINE: Final = 0.15
"""Relative standard deviation of real costs about the line (optimisation profiles, kernels chosen by size)."""
_OFF_STRETCH: Final = 0.08
"""Relative error of the stretch for each execution at once that a visit was away from what is asked for."""
_CLIFF: Final = 1.25
"""How much dearer an image may be beyond the largest measured size: the working set may leave the fast memory."""
_LOSS: Final = 1.12
"""How much a further instance may lengthen the executions beyond a serial device."""
_AGEING: Final = 0.01
"""Relative error that an hour adds to what was measured: temperature, neighbours, drivers."""
_OLDEST: Final = 0.10
_SLACK: Final = 1.15
"""By how much a device may do more than its utilisation says; monitors sample."""
_UNKNOWN: Final = Range(1e-4, 0.02, 60.0)
"""Seconds of an execution of which nothing is known."""
_LEVELS: Final = 16
_TWO_SIDED: Final = 1.96
_DIP: Final = 0.92
"""An image of a size that costs less than this share of the neighbours' is a dip."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Executions of one batch size in one visit."""

    size: int
    at_once: float
    """Executions at work while one is, itself included."""
    log: float
    """Of the mean seconds."""
    variance: float
    executions: float


@dataclass(frozen=True, slots=True)
class Cost:
    """An execution of one size, with `at_once` executions at work; logarithms of seconds."""

    at_once: float
    low: float
    mean: float
    high: float
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """One model's costs."""

    costs: tuple[Cost, ...] = ()
    """By batch size from 1; empty: nothing is known."""
    slopes: tuple[Range, ...] = ()
    """Stretch for each further execution at once, by how many are at work from 1."""
    measured: tuple[int, ...] = ()
    """Sizes, ascending."""

    @property
    def largest(self) -> int:
        """The largest size that is known or may be used."""
        return len(self.costs)

    def seconds(self, size: int, at_once: float = 1.0) -> Range:
        """Return how long a batch of `size` images takes while `at_once` executions are at work, itself included."""
        if not self.costs or size < 1:
            return _UNKNOWN
        cost = self.costs[min(size, self.largest) - 1]
        ratios = self._ratios(cost.at_once, max(1.0, at_once))
        # Independent errors: their logarithms add in quadrature.
        low = math.hypot(cost.mean - cost.low, math.log(ratios.mean / ratios.low))
        high = math.hypot(cost.high - cost.mean, math.log(ratios.high / ratios.mean))
        mean = cost.mean + math.log(ratios.mean)
        return Range(math.exp(mean - low), math.exp(mean), math.exp(mean + high))

    def per_image(self, size: int, at_once: float = 1.0) -> float:
        """Return the mean seconds an image in a batch of `size`."""
        return self.seconds(size, at_once).mean / size

    def dips(self) -> tuple[int, ...]:
        """Return measured sizes above 1 after which an image becomes dearer, ascending."""
        pairs = zip(self.measured, self.measured[1:], strict=False)
        return tuple(
            size for size, following in pairs if 1 < size and self.per_image(size) < _DIP * self.per_image(following)
        )

    def _ratios(self, known: float, wanted: float) -> Range:
        """Return how much longer an execution takes at `wanted` at once than at `known`."""
        if not self.slopes or abs(known - wanted) < 1e-6:  # noqa: PLR2004 - equal but for rounding
            return Range(1.0, 1.0, 1.0)
        slopes = self.slopes[min(len(self.slopes), max(1, round(max(known, wanted)))) - 1]
        ratios = [stretch(value, wanted) / stretch(value, known) for value in (slopes.low, slopes.mean, slopes.high)]
        return Range(min(ratios), ratios[1], max(ratios))


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
    names = {name for visit in visits for name in visit.models} | set(engines)
    return Curves({name: _curve(name, visits, engines.get(name, Engine()), latest) for name in sorted(names)})


def _curve(name: str, visits: Sequence[Visit], engine: Engine, latest: float) -> Curve:
    seen = [entry for visit in visits if name in visit.models for entry in _entries(name, visit, latest)]
    if not seen:
        return Curve()
    share = _device_share(name, visits)
    slopes = tuple(_slope(seen, level, share) for level in range(1, _LEVELS + 1))
    sizes = sorted({entry.size for entry in seen})
    largest = max(engine.largest_batch, sizes[-1], 1)
    return Curve(_costs(seen, slopes, largest), slopes, tuple(sizes))


def _entries(name: str, visit: Visit, latest: float) -> Iterator[Seen]:
    at_once = executions_at_once(name, visit.models)
    hours = max(0.0, latest - visit.ended) / 3600.0 if math.isfinite(visit.ended) else math.inf
    ageing = min(_OLDEST, _AGEING * hours)
    for size, batch in visit.models[name].batches.items():
        if size >= 1 and batch.executions >= 1 and known(batch.seconds):
            variance = _SYSTEMATIC**2 + ageing**2 + _SPREAD**2 / batch.executions
            yield Seen(size, at_once, math.log(batch.seconds), variance, batch.executions)


def executions_at_once(name: str, models: Mapping[str, ModelVisit]) -> float:
    """Return how many executions are at work while one of the model is: its other instances and the other models'."""
    busy = {other: visit.knobs.instances * share(visit.busy) for other, visit in models.items()}
    own = models[name]
    return 1.0 + max(0, own.knobs.instances - 1) * share(own.busy) + sum(busy.values()) - busy[name]


def known(value: float | None) -> bool:
    """Return whether a figure is a positive number."""
    return value is not None and math.isfinite(value) and value > 0.0


def share(value: float) -> float:
    """Return a share between 0 and 1; of what is no number, 0."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0


def _device_share(name: str, visits: Sequence[Visit]) -> float | None:
    """Return which share of an execution alone the accelerator works, by its utilisation; None: not known.

    Only of visits with one instance of one model: with more, executions wait for each other.
    """
    shares = [
        share(visit.utilization) / visit.models[name].busy
        for visit in visits
        if visit.utilization is not None and len(visit.models) == 1 and visit.models[name].knobs.instances == 1
        if known(visit.utilization) and visit.models[name].busy > 0.1  # noqa: PLR2004 - below it is noise
    ]
    return min(1.0, min(shares)) if shares else None


def _slope(seen: Sequence[Seen], level: int, share: float | None) -> Range:
    """Return the stretch for each further execution at once when `level` are at work."""
    base = min(entry.at_once for entry in seen)
    points = [
        Point(entry.at_once, entry.log, entry.variance + _away(entry.at_once, base, level), entry.size)
        for entry in seen
    ]
    found = slope(points, _at_once_prior(level, share))
    if share is None or level == 1:
        return found
    # At most 1 / share executions can be in the device's part at once, so a further one cannot come for nothing.
    least = (level * share / _SLACK - 1.0) / (level - 1)
    return Range(max(found.low, min(least, found.mean)), found.mean, found.high)


def _away(at_once: float, base: float, level: int) -> float:
    """Return the variance for measuring at another level: the stretch need not be a straight line."""
    return (_OFF_STRETCH * abs(at_once - level)) ** 2 if at_once - base > 0.3 else 0.0  # noqa: PLR2004


def _at_once_prior(level: int, share: float | None) -> Prior:
    if share is None or level == 1:
        return AT_ONCE_PRIOR
    serial = min(1.0, max(0.1, (level * share - 1.0) / (level - 1)))
    mode = (serial + AT_ONCE_PRIOR.mode) / 2
    return Prior(mode, AT_ONCE_PRIOR.below, AT_ONCE_PRIOR.above, AT_ONCE_PRIOR.most)


def _costs(seen: Sequence[Seen], slopes: tuple[Range, ...], largest: int) -> tuple[Cost, ...]:
    """Return costs for sizes 1 to `largest`: measured ones drawn to the line, the others between and beyond them."""
    raw = {size: _pooled([entry for entry in seen if entry.size == size], slopes) for size in {s.size for s in seen}}
    common = min(entry.at_once for entry in raw.values())
    bare = Curve(slopes=slopes)
    points = []
    for size, entry in raw.items():
        ratio = bare._ratios(entry.at_once, common)  # noqa: SLF001 - the same class's arithmetic before it is whole
        doubt = (math.log(ratio.high / ratio.low) / (2 * _TWO_SIDED)) ** 2
        points.append(Point(float(size), entry.log + math.log(ratio.mean), entry.variance + doubt + _OFF_LINE**2 / 4))
    steepness = slope(points, SIZE_PRIOR)
    anchors = {size: _anchor(entry) for size, entry in sorted(raw.items())}
    return tuple(_cost(size, anchors, steepness) for size in range(1, largest + 1))


def _pooled(entries: Sequence[Seen], slopes: tuple[Range, ...]) -> Seen:
    """Return one measurement of a size, at the level of the best of them."""
    best = min(entries, key=lambda entry: entry.variance)
    bare = Curve(slopes=slopes)
    logs, weights = [], []
    for entry in entries:
        ratio = bare._ratios(entry.at_once, best.at_once)  # noqa: SLF001
        doubt = (math.log(ratio.high / ratio.low) / (2 * _TWO_SIDED)) ** 2
        logs.append(entry.log + math.log(ratio.mean))
        weights.append(1.0 / (entry.variance + doubt))
    total = sum(weights)
    log = sum(weight * value for weight, value in zip(weights, logs, strict=True)) / total
    variance = max(1.0 / total, _SYSTEMATIC**2)
    return Seen(best.size, best.at_once, log, variance, sum(entry.executions for entry in entries))


def _anchor(entry: Seen) -> Cost:
    reach = _TWO_SIDED * math.sqrt(entry.variance)
    return Cost(entry.at_once, entry.log - reach, entry.log, entry.log + reach, measured=True)


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
    line = [math.log(stretch(value, size) / stretch(value, near)) for value in (steepness.low, steepness.mean)]
    proportional = math.log(size / near)
    if size < near:  # a smaller batch takes no longer, and an image at least its share
        return Cost(anchor.at_once, anchor.low + proportional, anchor.mean + line[1], anchor.high)
    steepest = math.log(stretch(steepness.high, size) / stretch(steepness.high, near))
    return Cost(anchor.at_once, anchor.low + line[0], anchor.mean + line[1], anchor.high + steepest + math.log(_CLIFF))


def _between(size: int, below: int, above: int, anchors: Mapping[int, Cost]) -> Cost:
    """Return the cost between two measured sizes: on the line between them, at most the dearer (profiles pad up)."""
    first, second = anchors[below], anchors[above]
    part = (size - below) / (above - below)
    mean = math.log((1 - part) * math.exp(first.mean) + part * math.exp(second.mean))
    near = first if part < 0.5 else second  # noqa: PLR2004 - the nearer one
    return Cost(near.at_once, min(first.low, second.low), mean, max(first.high, second.high))
