"""What several models may take of the accelerator together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.tuning.truths import Truth

from edgedetector.tuning.record import State
from edgedetector.tuning.reserve import widened
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.window import Knobs

START = {"first": Knobs(), "second": Knobs()}
WHERE = Situation(START, dict.fromkeys(START, Engine(4)), limits=Limits(latency=0.1, accelerator=0.8))
ONE = Truth().visit(Knobs(), use=0.5)
MODEL = next(iter(ONE.models.values()))


def seen(utilization: float | None) -> State:
    """The start was visited at 20 images a second of each model, which is wanted now."""
    models = {name: replace(MODEL, demand=20.0, knobs=knobs) for name, knobs in START.items()}
    visit = replace(ONE, models=models, utilization=utilization)
    return State(accepted=START, visits=(visit,), demand=dict.fromkeys(START, 20.0))


@pytest.mark.parametrize(("utilization", "limit"), [(0.95, 0.95), (0.6, 0.8), (None, 0.8), (1.7, 1.0)])
def test_what_the_start_took_is_left_to_all_models_together(utilization: float | None, limit: float) -> None:
    assert widened(WHERE, seen(utilization)).limits.accelerator == limit


def test_what_the_start_took_of_a_rush_hour_is_left_to_nobody_at_another_hour() -> None:
    state = replace(seen(0.95), demand={"first": 20.0, "second": 12.0})
    assert widened(WHERE, state) == WHERE


def test_a_single_model_gives_nothing_back_to_another() -> None:
    alone = replace(WHERE, start={"first": Knobs()}, engines={"first": Engine(4)})
    assert widened(alone, seen(0.95)) == alone
