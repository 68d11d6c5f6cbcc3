"""How steeply a cost grows along one axis, from few points and what is usual: a Bayesian fit on a grid.

The family is `scale * (1 + slope * (x - 1))`: the time of a batch by its size (the fixed and the proportional part,
Model Analyzer's and Clipper's linear model), and the stretch of an execution by how many run at once (Gunther's
Universal Scalability Law without its coherence term: slope 0 is perfect overlap, 1 a serial device, above 1 they slow
each other down).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgedetector.tuning.evidence import Range

_STEPS: Final = 60
_TAIL: Final = 0.025
"""On each side of an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is usual: a normal distribution with different widths on its two sides, cut at 0 and `most`."""

    mode: float
    below: float
    """Standard deviation towards 0."""
    above: float
    most: float


@dataclass(frozen=True, slots=True)
class Point:
    """A measured cost."""

    at: float
    """Where on the axis, at least 1."""
    log: float
    """Natural logarithm of the cost."""
    variance: float
    """Of the logarithm."""
    group: int = 0
    """Points of one group have one scale."""


def slope(points: Sequence[Point], prior: Prior) -> Range:
    """Return the slope as posterior mean and interval of 95 %; without points that tell, the prior's."""
    grid = [prior.most * (index + 0.5) / _STEPS for index in range(_STEPS)]
    logs = [-0.5 * (_misfit(points, value) + _surprise(prior, value)) for value in grid]
    highest = max(logs)
    weights = [math.exp(log - highest) for log in logs]
    total = sum(weights)
    mean = sum(weight * value for weight, value in zip(weights, grid, strict=True)) / total
    step = prior.most / _STEPS
    low = max(0.0, _quantile(grid, weights, _TAIL * total) - step / 2)
    return Range(low, mean, _quantile(grid, weights, (1 - _TAIL) * total) + step / 2)


def stretch(slope: float, at: float) -> float:
    """Return the cost at `at`, 1 where `at` is 1."""
    return 1.0 + slope * (at - 1.0)


def _misfit(points: Sequence[Point], value: float) -> float:
    """Return chi squared with the best scale for each group: the weighted variance of the residuals."""
    sums: dict[int, tuple[float, float, float]] = {}
    for point in points:
        residual, weight = point.log - math.log1p(value * (point.at - 1.0)), 1.0 / point.variance
        zeroth, first, second = sums.get(point.group, (0.0, 0.0, 0.0))
        sums[point.group] = (zeroth + weight, first + weight * residual, second + weight * residual * residual)
    return sum(max(0.0, second - first * first / zeroth) for zeroth, first, second in sums.values())


def _surprise(prior: Prior, value: float) -> float:
    width = prior.below if value < prior.mode else prior.above
    return ((value - prior.mode) / width) ** 2


def _quantile(grid: Sequence[float], weights: Sequence[float], share: float) -> float:
    passed = 0.0
    for value, weight in zip(grid, weights, strict=True):
        passed += weight
        if passed >= share:
            return value
    return grid[-1]
