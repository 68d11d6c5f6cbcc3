"""What people are told: figures that can be read, and nothing that is not so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.tuning import sentences
from edgedetector.tuning.evidence import ModelPrediction, Prediction, Range
from edgedetector.tuning.lane import ANY, NEVER
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Knobs

SITUATION = Situation({"people": Knobs()}, {"people": Engine(8)}, limits=Limits(latency=0.05))


USUAL = Range(0.028, 0.03, 0.034)


def prediction(capacity: Range, latency: Range = USUAL) -> Prediction:
    return Prediction({"people": ModelPrediction(capacity, latency, 0.5, 1.0)})


NOW, THEN = prediction(Range(1190.0, 1204.4, 1250.0)), prediction(Range(1500.0, 1600.0, 1700.0))


@pytest.mark.parametrize(
    ("figure", "told"),
    [(0.1234, "0.123"), (12.34, "12.3"), (99.96, "100"), (123.4, "123"), (1234.5, "1234"), (98765.0, "98765")],
)
def test_a_figure_has_three_digits_and_no_exponent(figure: float, told: str) -> None:
    assert sentences.number(figure) == told


@given(st.floats(0.001, 1e7))
def test_no_figure_is_off_by_more_than_it_says(figure: float) -> None:
    assert float(sentences.number(figure)) == pytest.approx(figure, rel=0.006)
    assert "e" not in sentences.number(figure)


def test_a_capacity_of_thousands_is_told_in_full() -> None:
    assert sentences.expected(NOW, THEN, SITUATION) == (
        "capacity of a pod from 1204 to 1500-1700 images/s predicted, p99 28-34 ms of 50"
    )
    assert sentences.figures(NOW, THEN, THEN, SITUATION) == (
        "capacity of a pod 1204 -> 1600 images/s (predicted 1500-1700), p99 30 -> 30 ms of 50"
    )
    assert sentences.demand({"people": 1234.5}) == "1234 images/s"


def test_what_is_not_known_is_not_told_as_an_hour() -> None:
    dark = prediction(Range(0.0, 40.0, ANY), Range(0.0, 1.0, NEVER))
    assert sentences.expected(NOW, dark, SITUATION) == "capacity of a pod not known, p99 not known"
    by_latency = Situation(SITUATION.start, SITUATION.engines, Goal.LATENCY, SITUATION.limits)
    assert "predicted" not in sentences.figures(NOW, NOW, dark, by_latency)


@pytest.mark.parametrize("goal", Goal)
def test_the_end_promises_no_figure_that_no_goal_is_tried_by(goal: Goal) -> None:
    situation = Situation(SITUATION.start, SITUATION.engines, goal, SITUATION.limits)
    told = sentences.settled({"people": Knobs(2, 8)}, None, NOW, situation)
    assert told == (
        "converged with people at 2 instances, batches up to 8: capacity of a pod 1204 images/s; "
        "nothing that is safe promises clearly more"
    )


@pytest.mark.parametrize(
    ("knobs", "joined"),
    [
        (Knobs(1, 0), 1),
        (Knobs(1, 8), 8),
        (Knobs(1, 8, (2, 4)), 4),
        (Knobs(1, 8, (2, 4), 1), 8),
        (Knobs(1, 2, (4,)), 2),
    ],
)
def test_without_a_delay_the_largest_preferred_size_caps_a_batch(knobs: Knobs, joined: int) -> None:
    assert knobs.joined == joined
