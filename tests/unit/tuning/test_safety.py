"""No step that may break what must be kept; but a broken start can be left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.tuning.truths import EPOCH, MODEL, Truth, situation

from edgedetector.tuning.curve import learn
from edgedetector.tuning.evidence import ModelPrediction, Prediction, Range
from edgedetector.tuning.prediction import predict
from edgedetector.tuning.safety import refusal
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.window import Knobs

START = Knobs(1, 4)
QUICK = Range(0.02, 0.025, 0.03)
USED = Range(1e9, 1e9, 1e9)
CHANGE = Range(2e9, 2e9, 2e9)


def made(
    knobs: Knobs = START,
    *,
    latency: Range = QUICK,
    capacity: float = 200.0,
    demand: float = 100.0,
    memory: Range | None = USED,
    change: Range | None = CHANGE,
    total: float | None = 8e9,
    used: Range | None = None,
    host: Range | None = None,
    need: float | None = None,
    room: float | None = None,
) -> Prediction:
    model = ModelPrediction(Range(capacity, capacity, capacity), latency, 0.5, 2.0, knobs, demand=demand)
    return Prediction({MODEL: model}, used, host, memory, change, need, memory_total=total, shared_memory_room=room)


def why(step: Prediction, now: Prediction | None = None, where: Situation | None = None) -> str:
    return refusal(step, now or made(), where or situation(START, limits=Limits(0.05), engine=Engine(8)))


def test_what_keeps_everything_may_be_tried() -> None:
    assert why(made(Knobs(2, 8, (4, 8), 1000))) == ""
    assert why(made()) == ""


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        (Knobs(5, 4), "instances"),
        (Knobs(0, 4), "instances"),
        (Knobs(1, 16), "compiled"),
        (Knobs(1, 4, (8,)), "preferred"),
        (Knobs(1, 4, (0,)), "preferred"),
        (Knobs(1, 4, (), 6000), "delay"),
        (Knobs(1, 4, (), -1), "delay"),
    ],
)
def test_bounds_are_kept_whatever_is_predicted(knobs: Knobs, word: str) -> None:
    assert word in why(made(knobs, latency=Range(0.0, 0.0, 0.001)))


def test_the_upper_end_of_the_latency_counts() -> None:
    assert why(made(Knobs(2, 4), latency=Range(0.01, 0.02, 0.046))).startswith("the latency of people may reach 46 ms")
    assert why(made(Knobs(2, 4), latency=Range(0.01, 0.02, 0.044))) == ""


def test_a_model_that_stays_as_it_is_hinders_no_step_of_another() -> None:
    astray = replace(made().models[MODEL], knobs=Knobs(9, 4), latency=Range(0.5, 0.5, 0.6), capacity=Range(80, 80, 80))
    now = replace(made(), models={MODEL: made().models[MODEL], "cars": astray})
    step = replace(now, models={MODEL: made(Knobs(2, 4)).models[MODEL], "cars": astray})
    assert why(step, now) == ""


def test_a_model_that_is_served_may_give_to_another_that_lags() -> None:
    """Both have the capacity of their mix, which the one that lags ends: that is no fault of the one that is served."""
    where = situation(START, limits=Limits(0.05), engine=Engine(8))
    where = replace(where, engines={**where.engines, "cars": Engine(8)})
    served = replace(made(capacity=90.0).models[MODEL], served=100.0)
    lags = replace(made(capacity=90.0, latency=Range(0.2, 0.25, 0.3)).models[MODEL], served=90.0)
    now = replace(made(), models={MODEL: served, "cars": lags})
    uncertain = made(Knobs(2, 4), latency=Range(0.01, 0.02, 0.2)).models[MODEL]
    assert why(replace(now, models={MODEL: uncertain, "cars": uncertain}), now, where) == ""
    skipped = replace(now, models={MODEL: replace(served, served=90.0), "cars": lags})
    assert why(replace(now, models={MODEL: uncertain, "cars": uncertain}), skipped, where) != "", "it lags itself"
    slow = replace(uncertain, latency=Range(0.01, 0.04, 0.2))
    assert why(replace(now, models={MODEL: slow, "cars": uncertain}), now, where) != "", (
        "it is expected to near the limit"
    )


def test_what_is_slower_than_now_must_leave_room_for_what_was_not_seen() -> None:
    quick = made(latency=Range(0.018, 0.02, 0.022))
    told = why(made(Knobs(2, 4), latency=Range(0.033, 0.034, 0.035)), quick)
    assert told == "the latency of people is expected to rise to 34 ms, more than 65% of 50 ms"
    assert why(made(Knobs(2, 4), latency=Range(0.030, 0.031, 0.044)), quick) == ""


def test_a_step_leaves_as_much_room_above_the_demand_as_now_or_enough_for_the_traffic_level() -> None:
    plenty = made(capacity=300)
    assert "1.3 times the demand" in why(made(Knobs(1, 2), capacity=110), plenty)
    assert why(made(Knobs(1, 2), capacity=135), plenty) == ""
    assert why(made(Knobs(1, 2), capacity=110), made(capacity=112)) == ""


def test_near_the_limit_a_step_that_is_surely_within_it_and_no_slower_is_allowed() -> None:
    near = made(latency=Range(0.042, 0.045, 0.048))
    assert why(made(Knobs(2, 4), latency=Range(0.03, 0.04, 0.049)), near) == ""
    assert why(made(Knobs(2, 4), latency=Range(0.03, 0.04, 0.051)), near) != ""
    assert why(made(Knobs(2, 4), latency=Range(0.03, 0.046, 0.049)), near) != ""


def test_a_start_that_is_too_slow_may_be_left_for_what_is_less_slow() -> None:
    slow = made(latency=Range(0.10, 0.12, 0.15))
    assert why(made(Knobs(2, 4), latency=Range(0.05, 0.08, 0.2)), slow) == ""
    assert why(made(Knobs(2, 4), latency=Range(0.05, 0.119, 0.2)), slow) != ""


def test_a_start_that_cannot_serve_its_demand_may_be_left_for_what_serves_more() -> None:
    full = made(capacity=80.0, latency=Range(0.2, 0.25, 0.3))
    assert why(made(Knobs(2, 4), capacity=90.0, latency=Range(0.2, 0.3, 0.5)), full) == ""
    assert why(made(Knobs(2, 4), capacity=70.0, latency=Range(0.2, 0.3, 0.5)), full) != ""


def test_a_start_that_cannot_serve_its_demand_but_keeps_the_objective_goes_on_keeping_it() -> None:
    """What it skips keeps its latency; more requests on their way would not."""
    full = made(capacity=80.0)
    assert why(made(Knobs(2, 4), capacity=120.0, latency=Range(0.02, 0.03, 0.2)), full) != ""
    assert why(made(Knobs(2, 4), capacity=120.0, latency=Range(0.02, 0.03, 0.049)), full) == ""


def test_a_forgotten_delay_may_be_cured_though_memory_is_all_that_is_known() -> None:
    """100 ms of queue delay: bounds allow 5 ms, the objective is broken, and the reload fits."""
    truth, forgotten = Truth(), Knobs(1, 8, (), 100_000)
    where = situation(forgotten, latency=0.08, engine=Engine(8))
    visits = [truth.visit(forgotten, sizes=[1, 2], use=0.3, latency=0.112, memory=7e8, total=8e9)]
    curves = learn(visits, where.engines)
    now, cured = (predict({MODEL: k}, curves, visits, where) for k in (forgotten, Knobs(1, 8)))
    assert refusal(cured, now, where) == ""
    assert now.models[MODEL].latency.mean - cured.models[MODEL].latency.mean > 0.09


@pytest.mark.parametrize(("what", "word"), [("used", "utilisation"), ("host", "host")])
def test_shares_keep_their_limits_or_do_not_grow(what: str, word: str) -> None:
    high, low = Range(0.8, 0.87, 0.9), Range(0.5, 0.6, 0.7)
    step = made(Knobs(2, 4), **{what: high})
    assert word in why(step, made(**{what: low}))
    assert why(step, made(**{what: high})) == ""
    assert why(made(Knobs(2, 4), **{what: low}), made(**{what: low})) == ""


GROWING = [Knobs(2, 4), Knobs(1, 8), Knobs(1, 4, (), 1000), Knobs(1, 2)]


@pytest.mark.parametrize("knobs", GROWING)
def test_without_the_total_no_step_that_may_need_more_is_tried(knobs: Knobs) -> None:
    assert why(made(knobs, total=None)) == "the accelerator's total memory is not known"


@pytest.mark.parametrize("knobs", [Knobs(1, 4, (), 1000), Knobs(1, 2)])
def test_a_reload_that_is_verified_to_fit_needs_no_total(knobs: Knobs) -> None:
    where = situation(START, limits=Limits(0.05), engine=Engine(8), coexisting=True)
    assert why(made(knobs, total=None), where=where) == ""
    assert why(made(Knobs(2, 4), total=None), where=where) != ""


def test_fewer_instances_in_place_need_no_total() -> None:
    where = situation(START, limits=Limits(0.05), engine=Engine(8), in_place=True)
    assert why(made(Knobs(1, 4), total=None), made(Knobs(2, 4)), where) == ""
    assert why(made(Knobs(1, 2), total=None), made(Knobs(2, 4)), where) != ""


def test_memory_holds_old_and_new_at_their_upper_ends() -> None:
    assert "may need 9000 MB" in why(made(Knobs(2, 4), change=Range(1e9, 2e9, 9e9)))
    assert why(made(Knobs(2, 4), change=None)) == "how much of the accelerator's memory is used is not known"
    assert why(made(Knobs(2, 4), change=Range(1e9, 2e9, float("nan")))) != ""


def test_requests_in_flight_fit_into_shared_memory() -> None:
    now = made(need=1e8, room=3e8)
    assert why(made(Knobs(2, 4), need=2e8, room=3e8), now) == ""
    assert "/dev/shm" in why(made(Knobs(2, 4), need=4e8, room=3e8), now)
    assert why(made(Knobs(1, 2), need=1e8, room=0.5e8), now) == ""


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_limit_allows_nothing(limit: float) -> None:
    assert why(made(Knobs(2, 4)), where=situation(limits=Limits(limit))) == "the latency limit is no positive number"


def test_contradictory_bounds_allow_nothing() -> None:
    limits = Limits(0.05, min_instances=3, max_instances=2)
    assert all("instances" in why(made(Knobs(n, 4)), where=situation(limits=limits)) for n in range(1, 5))


def test_nothing_may_be_tried_of_which_nothing_is_known() -> None:
    where = situation(START)
    step, now = (predict({MODEL: k}, learn([], where.engines), [], where) for k in (Knobs(2, 4), START))
    assert refusal(step, now, where) != ""


def test_with_a_visit_in_hand_and_room_a_second_instance_may_be_tried() -> None:
    where = situation(START, latency=0.1, engine=Engine(8))
    visits = [Truth().visit(START, sizes=[1, 2, 3], use=0.5, latency=0.02, memory=6e8, total=8e9, ended=EPOCH)]
    curves = learn(visits, where.engines)
    step, now = (predict({MODEL: k}, curves, visits, where) for k in (replace(START, instances=2), START))
    assert refusal(step, now, where) == ""


def test_a_reload_that_is_verified_to_fit_and_expected_not_to_is_not_made() -> None:
    """It was verified with another model."""
    where = situation(START, limits=Limits(0.05), engine=Engine(8), coexisting=True)
    assert why(made(Knobs(1, 2), change=Range(1e9, 7e9, 9e9)), where=where) == ""
    assert "expected to need 8500 MB" in why(made(Knobs(1, 2), change=Range(1e9, 8.5e9, 9e9)), where=where)
    assert why(made(Knobs(1, 2), change=None), where=where) == ""


def test_a_trial_at_this_load_leaves_no_allowance_for_what_was_not_known_of_it() -> None:
    """Of an overloaded server a tenth above the reserve is borne, until a trial has shown how its batches cost."""
    now = made(latency=Range(0.3, 0.4, 0.5), used=Range(0.5, 0.5, 0.5))
    step = made(Knobs(2, 4), used=Range(0.8, 0.86, 0.9))
    where = situation(START, limits=Limits(0.05), engine=Engine(8))
    assert refusal(step, now, where) == ""
    assert "utilisation" in refusal(step, now, where, tried=True)
