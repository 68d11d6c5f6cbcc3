"""One number from few measurements and what is usual: a Bayesian fit on a grid, with an honest interval.

A family says the logarithm of a cost for a value of the number, up to a free scale: only how costs differ tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from edgedetector.tuning.evidence import Range

T = TypeVar("T")

_STEPS: Final = 60
_TAIL: Final = 0.025
"""On each side of an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is usual: a distribution with different widths on its two sides, cut at 0 and `most`."""

    mode: float
    below: float
    """Width towards 0: the standard deviation where `power` is 2, half of it where that is 1."""
    above: float
    """The same towards `most`."""
    most: float
    power: float = 2.0
    """2: normal; 1: exponential, of which much is near the mode and a little far from it."""


@dataclass(frozen=True, slots=True)
class Point(Generic[T]):
    """A measured cost."""

    at: T
    """Under which circumstances."""
    log: float
    """Natural logarithm of the cost."""
    variance: float
    """Of the logarithm."""
    group: int = 0
    """Points of one group have one scale."""


def estimate(
    points: Sequence[Point[T]],
    prior: Prior,
    family: Callable[[float, T], float],
    misfit: Callable[[float], float] = lambda _: 0.0,
) -> Range:
    """Return the number as posterior mean and interval of 95 %; without points that tell, the prior's.

    Parameters
    ----------
    family
        Of a value and circumstances, the logarithm of the cost but for the group's scale.
    misfit
        Of a value, how badly it fits what else was seen: chi squared.
    """
    step = prior.most / _STEPS
    grid = [step * (index + 0.5) for index in range(_STEPS)]
    logs = [-0.5 * (_misfit(points, value, family) + misfit(value) + _surprise(prior, value)) for value in grid]
    highest = max(logs)
    weights = [math.exp(log - highest) for log in logs]
    total = sum(weights)
    mean = sum(weight * value for weight, value in zip(weights, grid, strict=True)) / total
    low = max(0.0, _quantile(grid, weights, _TAIL * total) - step / 2)
    return Range(low, mean, _quantile(grid, weights, (1 - _TAIL) * total) + step / 2)


def _misfit(points: Sequence[Point[T]], value: float, family: Callable[[float, T], float]) -> float:
    """Return chi squared with the best scale for each group: the weighted variance of the residuals."""
    sums: dict[int, tuple[float, float, float]] = {}
    for point in points:
        residual, weight = point.log - family(value, point.at), 1.0 / point.variance
        zeroth, first, second = sums.get(point.group, (0.0, 0.0, 0.0))
        sums[point.group] = (zeroth + weight, first + weight * residual, second + weight * residual * residual)
    return sum(max(0.0, second - first * first / zeroth) for zeroth, first, second in sums.values())


def _surprise(prior: Prior, value: float) -> float:
    width = prior.below if value < prior.mode else prior.above
    return float(abs((value - prior.mode) / width) ** prior.power)


def _quantile(grid: Sequence[float], weights: Sequence[float], share: float) -> float:
    passed = 0.0
    for value, weight in zip(grid, weights, strict=True):
        passed += weight
        if passed >= share:
            return value
    return grid[-1]
