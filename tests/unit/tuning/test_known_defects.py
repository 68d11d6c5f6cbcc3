"""What was known to be wrong in tuning, each with the input that showed it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.tuning.pairs import NAMES, server, shown

from edgedetector.api.observation import bound
from edgedetector.tuning import memory, rescue, resources, sharing, visits
from edgedetector.tuning.capacity import measured
from edgedetector.tuning.curve import learn
from edgedetector.tuning.decision import Report
from edgedetector.tuning.evidence import ModelPrediction, ModelVisit, Prediction, Range, Visit
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import BatchTime, Knobs, ModelWindow, Window

YEARS = 12 * 365 * 86400.0


def test_no_capacity_is_shown_that_the_accelerator_cannot_have() -> None:
    """A device that does one execution of 10 ms at a time: 100 images a second, with however many instances."""
    four = ModelWindow(Knobs(4, 1), demand=20.0, offered=20.0, rate=20.0, busy=0.05)
    seen = Window("a", 0.0, 10.0, {"people": four}, utilization=0.2)
    found = measured([seen], {"people": Knobs(4, 1)}, 1, 0.0)
    assert found is not None
    assert found.frames <= 105.0


def test_what_was_seen_of_full_batches_alone_does_not_say_that_nothing_can_be_quicker() -> None:
    """Four instances with batches of eight take 60 ms; one image alone may well take 10."""
    knobs = Knobs(4, 8)
    seen = ModelVisit(
        knobs, {8: BatchTime(500, 0.060)}, demand=500.0, rate=400.0, busy=1.0, latency=Range(0.2, 0.2, 0.2)
    )
    state = State(accepted={"people": knobs}, visits=(Visit({"people": seen}, 60.0, 0.0, windows=6),))
    situation = Situation({"people": knobs}, {"people": Engine(8)}, limits=Limits(latency=0.05))
    present = Prediction({"people": ModelPrediction(Range(1, 1, 1), Range(0.2, 0.2, 0.2), 1.0, 8.0, knobs)})
    curves = learn(state.visits, situation.engines)
    assert "no configuration can" not in rescue.hopeless(state, situation, [], present, curves)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [((), "is predicted to keep it"), ((0.2, 0.06), "is predicted to keep it"), ((0.2, 0.04), "is sure enough")],
)
def test_what_is_expected_to_keep_the_objective_is_not_said_to_break_it(seconds: tuple[float, ...], said: str) -> None:
    """It may be refused all the same: what is not known of it may break the objective."""
    knobs = {"people": Knobs(1, 8)}

    def likely(latency: float) -> Prediction:
        seen = ModelPrediction(Range(90, 100, 110), Range(0.5 * latency, latency, 9 * latency), 0.5, 1.0, Knobs(1, 8))
        return Prediction({"people": seen})

    present, situation = likely(0.2), Situation(knobs, {"people": Engine(8)}, limits=Limits(latency=0.05))
    state, refused = State(accepted=knobs), [(knobs, likely(each)) for each in seconds]
    assert said in rescue.hopeless(state, situation, refused, present, learn((), situation.engines))


def test_what_one_image_took_beside_another_model_does_not_say_that_nothing_can_be_quicker() -> None:
    """Two models of 40 ms: beside each other one image takes longer, but neither needs to."""
    seen = shown((server(0.037, 1, part=1.0), server(0.037, 1, part=1.0)), (9.0, 9.0))
    assert min(model.batches[1].seconds for model in seen.models.values()) > 0.045
    knobs = dict.fromkeys(NAMES, Knobs(1, 1))
    state = State(accepted=knobs, visits=(seen,))
    curves = learn(state.visits, dict.fromkeys(NAMES, Engine(1)))
    assert 0.030 < rescue.fastest(state, curves) <= 0.040
    present = Prediction({})
    for limit, never in ((0.045, False), (0.020, True)):
        situation = Situation(knobs, dict.fromkeys(NAMES, Engine(1)), limits=Limits(latency=limit))
        said = rescue.hopeless(state, situation, [], present, curves)
        assert ("no configuration can keep" in said) is never


def test_a_clock_that_was_years_ahead_denies_nothing_for_years() -> None:
    state = memory.deny(State(), {"people": Knobs(2)}, YEARS, 3600.0, "it did not load")
    assert not memory.denied(state, {"people": Knobs(2)}, 0.0)


def test_after_the_clock_was_set_back_the_present_load_is_that_of_the_latest_window() -> None:
    def visit(instances: int, demand: float, ended: float) -> Visit:
        return Visit({"people": ModelVisit(Knobs(instances), demand=demand)}, 60.0, ended)

    before, after = visit(1, 10.0, YEARS), visit(2, 90.0, 0.0)
    now = resources.latest((before, after))
    assert now is not None
    assert now.models["people"].demand == 90.0


def test_after_the_clock_was_set_back_nothing_is_seen_in_the_future_of_it_and_the_order_stays() -> None:
    """Else what is seen now would be measured against a time that is years away, and count for nothing."""
    config = {"people": Knobs()}
    told = Situation(config, {"people": Engine(1)})
    seen = tuple(
        Visit({"people": ModelVisit(Knobs(instances), demand=10.0 * instances)}, 60.0, ended, windows=6)
        for instances, ended in ((1, 50.0), (3, YEARS), (2, YEARS + 60.0))
    )
    first, _ = step(State(), Report(("a",)), told, 100.0)
    after, _ = step(replace(first, visits=seen), Report(("a",)), told, 100.0)
    assert [visit.ended for visit in after.visits] == [50.0, 100.0, 100.0]
    assert [visit.models["people"].knobs.instances for visit in after.visits] == [1, 3, 2]
    assert resources.latest(after.visits) == after.visits[-1]


def test_a_percentile_does_not_remember_each_slow_frame_of_the_last_hours() -> None:
    """Under 1 % of the frames are slow, each time by another time: the 99th percentile is never one of them."""
    visit = None
    for number in range(500):
        ages = {40: 347, 50 + number % 40: 3}
        model = ModelWindow(Knobs(), demand=35.0, offered=35.0, rate=35.0, ages=ages)
        visit = visits.merged(visit, Window("a", 10.0 * number, 10.0, {"people": model}), 10.0 * number)
    assert visit is not None
    latency = visit.models["people"].latency
    assert latency is not None
    assert latency.mean <= bound(41)


def test_executions_that_took_for_ever_are_no_company() -> None:
    """1.7e152 s of a batch of nothing, squared, was no number any more."""
    batches = {0: BatchTime(1, 1.7e152), 1: BatchTime(1, 0.01)}
    seen = ModelVisit(Knobs(2), batches, busy=1.0)
    assert sharing.company("people", {"people": seen}).mean == 0.01
    visit = Visit({"people": seen}, 60.0, 0.0)
    assert learn([visit], {"people": Engine(1)}).of("people").costs
