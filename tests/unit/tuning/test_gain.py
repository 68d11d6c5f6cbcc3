"""How sure a gain is."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from edgedetector.tuning.evidence import ModelPrediction, ModelVisit, Prediction, Range, Visit
from edgedetector.tuning.gain import gain, grounded, half_width, measured_gain, saturated
from edgedetector.tuning.situation import Engine, Situation
from edgedetector.tuning.window import Knobs

SITUATION = Situation({"people": Knobs()}, {"people": Engine(8)})


def prediction(low: float, mean: float, high: float) -> Prediction:
    return Prediction({"people": ModelPrediction(Range(low, mean, high), Range(0.01, 0.02, 0.03), 0.5, 1.0)})


def visit(rate: float, demand: float, busy: float, *, windows: int = 30, latency: float = 0.02) -> Visit:
    seen = ModelVisit(Knobs(), {}, demand, rate, busy, latency=Range(latency, latency, latency))
    return Visit({"people": seen}, 60.0, 0.0, windows=windows, spread=0.02)


def test_what_is_not_known_of_the_server_does_not_part_two_that_it_serves_alike() -> None:
    wide = prediction(50, 100, 200)
    assert gain(wide, wide, SITUATION) == Range(0, 0, 0)
    assert gain(prediction(50, 100, 400), wide, SITUATION).high == pytest.approx(1.0)


def test_live_throughput_counts_as_capacity_only_where_it_is_saturated() -> None:
    expected = prediction(100, 120, 200)
    full, idle = visit(150, 400, 0.97), visit(150, 150, 0.5)
    assert saturated(full.models["people"])
    assert not saturated(idle.models["people"])
    assert grounded(expected, full, 0.05).models["people"].capacity.mean == 150
    assert grounded(expected, idle, 0.05).models["people"].capacity == expected.models["people"].capacity
    late = visit(150, 400, 0.97, latency=0.06)
    assert grounded(expected, late, 0.05).models["people"].capacity == Range(100, 120, 150), "not within the bound"


def test_a_gain_between_saturated_configurations_is_what_they_served_whatever_was_predicted() -> None:
    base, better = visit(100, 400, 0.97), visit(130, 400, 0.97)
    found = measured_gain((prediction(50, 90, 900), better), (prediction(80, 99, 120), base), SITUATION)
    assert found.gain.mean == pytest.approx(0.3)
    assert 0.2 < found.gain.low < 0.3 < found.gain.high < 0.42


def test_a_range_that_more_windows_would_not_narrow_is_known_as_that() -> None:
    idle, before = visit(50, 50, 0.4), visit(50, 50, 0.5)
    unsure = measured_gain((prediction(60, 120, 300), idle), (prediction(90, 100, 110), before), SITUATION)
    assert unsure.known
    few = visit(50, 50, 0.4, windows=5)
    early = measured_gain((prediction(119, 120, 121), few), (prediction(99, 100, 101), before), SITUATION)
    assert not early.known


def test_looking_after_every_window_misleads_in_no_more_than_one_of_twenty_trials() -> None:
    """What a fixed-sample interval does not give: it misleads here in about a third."""
    draw = random.Random(1)
    misled = naive = 0
    for _ in range(400):
        values = [draw.gauss(0, 1) for _ in range(30)]
        means = [(n, fmean(values[:n])) for n in range(5, 31)]
        misled += any(abs(mean) > half_width(1.0, n) for n, mean in means)
        naive += any(abs(mean) > 1.96 / n**0.5 for n, mean in means)
    assert misled <= 20
    assert naive > 60
