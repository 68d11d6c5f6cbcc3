"""What executions of two models cost alone, told from how long they take side by side."""

from __future__ import annotations

import math

import pytest
from tests.unit.tuning.pairs import NAMES, server, shown

from edgedetector.tuning.curve import learn
from edgedetector.tuning.situation import Engine

LIGHT, HEAVY = 0.002, 0.0064
"""Seconds of a further image; one alone takes 3 ms more."""


@pytest.mark.parametrize("part", [0.25, 0.33, 0.4, 0.5])
@pytest.mark.parametrize("largest", [1, 8])
@pytest.mark.parametrize("rates", [(150.0, 110.0), (150.0, 90.0), (60.0, 30.0)])
def test_the_interval_holds_what_an_image_costs_alone_however_executions_overlap(
    part: float, largest: int, rates: tuple[float, float]
) -> None:
    """A third: a device of two engines, which is busy for half of the time while three executions are at work."""
    seen = shown((server(LIGHT, largest, part=part), server(HEAVY, 8, part=part)), rates)
    curves = learn((seen,), {"first": Engine(largest), "second": Engine(8)})
    for name, each in zip(NAMES, (LIGHT, HEAVY), strict=True):
        cost = curves.of(name).costs[0]
        assert cost.low <= math.log(0.003 + each) <= cost.high, (name, seen.utilization)
