"""Predictions hold the truth of servers in closed form, take what was measured, and say where nothing is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.tuning.truths import ALONE, EPOCH, MODEL, Truth, situation

from edgedetector.tuning.candidates import candidates
from edgedetector.tuning.curve import learn
from edgedetector.tuning.evidence import ModelPrediction, ModelVisit, Prediction, Range, Visit
from edgedetector.tuning.lane import NEVER
from edgedetector.tuning.prediction import better, predict
from edgedetector.tuning.safety import refusal
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import BatchTime, Knobs

LOOSE = 1.0
"""Seconds: a bound that only a full server breaks."""
SERVERS = st.builds(
    Truth,
    fixed=st.floats(0.004, 0.010),
    each=st.floats(0.002, 0.006),
    serial=st.floats(0.3, 1.0),
    contention=st.sampled_from([0.0, 0.0, 0.2]),
    cliff=st.sampled_from([0, 0, 4]),
)


def told(knobs: Knobs, visits: Sequence[Visit], where: Situation) -> Prediction:
    return predict({MODEL: knobs}, learn(visits, where.engines), visits, where)


def of(knobs: Knobs, visits: Sequence[Visit], where: Situation) -> ModelPrediction:
    return told(knobs, visits, where).models[MODEL]


def best(truth: Truth, knobs: Knobs) -> float:
    return max(truth.most(size, knobs.instances) for size in range(1, max(1, knobs.max_batch_size) + 1))


def ordered(value: Range) -> bool:
    return 0.0 <= value.low <= value.mean <= value.high < math.inf


@settings(max_examples=25)
@given(SERVERS, st.integers(1, 4), st.sampled_from([1, 4, 8]))
def test_capacities_hold_the_truth_after_one_visit(truth: Truth, count: int, size: int) -> None:
    found = of(Knobs(count, size), [truth.visit(use=0.5)], situation(latency=LOOSE)).capacity
    assert found.low <= best(truth, Knobs(count, size)) * 1.02
    assert found.high >= truth.most(size, count) * 0.9


@settings(max_examples=25)
@example(Truth(0.0078125, 0.002, 1.0), 4)  # one device, always at work
@given(SERVERS, st.integers(2, 4))
def test_capacities_are_narrow_after_visits_to_all_that_counts(truth: Truth, count: int) -> None:
    truth = replace(truth, cliff=0)  # Where larger batches are dearer the load decides which there are.
    sizes = [1, 2, 3, 4, 5, 6, 7, 8]
    visits = [
        truth.visit(Knobs(1, 8), sizes=sizes, ended=EPOCH),
        truth.visit(Knobs(count, 8), sizes=sizes, use=0.95, ended=EPOCH + 60),
    ]
    found = of(Knobs(count, 8), visits, situation(latency=LOOSE)).capacity
    assert found.mean == pytest.approx(best(truth, Knobs(count, 8)), rel=0.25)
    assert found.high / max(found.low, 1e-9) < 2.0


@settings(max_examples=25)
@given(SERVERS, st.sampled_from([1, 4]), st.floats(0.2, 0.7), st.floats(1.2, 2.0))
def test_more_demand_is_never_quicker(truth: Truth, size: int, use: float, more: float) -> None:
    base = truth.visit(use=use)
    demand = base.models[MODEL].demand
    low, high = (
        of(Knobs(1, size), [truth.visit(use=use, demand=demand * factor)], situation(latency=LOOSE)).latency.mean
        for factor in (1.0, more)
    )
    assert high >= low * 0.85  # A percentile of 600 frames scatters: 33.1 ms were found at 1.2 times the load of 37.0.


def test_what_was_measured_of_the_very_configuration_is_what_is_expected() -> None:
    visit = Truth().visit(latency=0.031)
    found = of(Knobs(1, 1), [visit], situation()).latency
    assert found.mean == 0.031
    assert found.low < 0.031 < found.high < 0.040


def test_what_is_slower_than_the_model_says_is_so_elsewhere_too() -> None:
    truth = Truth()
    quick, slow = (
        of(Knobs(1, 2), [truth.visit(use=0.4, latency=seconds)], situation()).latency.mean for seconds in (0.02, 0.06)
    )
    assert slow > quick + 0.02


def test_the_luck_of_a_few_cameras_changes_no_capacity() -> None:
    """Their phases made a percentile a fifth longer or shorter, and with more cameras they are others."""
    capacities = [
        of(Knobs(2, 4), [Truth().visit(use=0.4, latency=seconds)], situation()).capacity.mean
        for seconds in (0.011, 0.015)
    ]
    assert capacities[0] == pytest.approx(capacities[1], rel=0.02)


def test_a_percentile_of_bursts_is_told_from_a_higher_load_and_not_as_a_time_that_everything_takes() -> None:
    """Of results of which most came soon: a second instance takes the bursts, and the percentile falls."""
    ages = {33: 900, 60: 100}
    visit = Truth(serial=0.5).visit(use=0.7, latency=0.09)
    burst = replace(visit, models={MODEL: replace(visit.models[MODEL], ages=ages)})
    all_late = replace(visit, models={MODEL: replace(visit.models[MODEL], ages={60: 1000})})
    told_, constant = (of(Knobs(2, 2), [one], situation(latency=0.2)).latency.mean for one in (burst, all_late))
    assert told_ + 0.01 < constant


def test_a_world_in_which_what_was_measured_could_not_have_been_is_ruled_out() -> None:
    """Seen only at work beside each other, costs are uncertain; not so far that what serves well could not serve."""
    truth = Truth(fixed=0.002, each=0.005, serial=0.45)
    seen = [
        truth.visit(Knobs(1, 32), sizes=[32], use=1.0),
        truth.visit(Knobs(2, 3), sizes=[1, 2, 3], use=0.9, latency=0.04, ended=EPOCH + 60),
    ]
    found = of(Knobs(3, 3), seen, situation(latency=0.1)).latency
    assert found.high < 0.1


def test_a_saturated_visit_bounds_its_configuration() -> None:
    visit = Truth().visit(use=1.0)
    model = visit.models[MODEL]
    full = replace(visit, models={MODEL: replace(model, demand=2 * model.rate)})
    found = of(Knobs(1, 1), [full], situation(latency=LOOSE))
    assert found.capacity.high <= model.rate * 1.1
    assert found.served < 1.1 * model.rate


def test_a_demand_that_only_just_rose_does_not_bound_an_idle_configuration() -> None:
    visit = Truth().visit(use=0.5)
    model = visit.models[MODEL]
    risen = replace(visit, models={MODEL: replace(model, demand=1.4 * model.rate)})
    assert of(Knobs(1, 1), [risen], situation(latency=LOOSE)).capacity.mean > 1.3 * model.rate


def test_nothing_is_known_without_visits() -> None:
    found = told(Knobs(1, 1), [], situation())
    assert found.models[MODEL].latency.high == NEVER
    assert found.models[MODEL].capacity.low == 0.0
    assert (found.utilization, found.host, found.memory, found.shared_memory) == (None,) * 4


WEIRD = st.one_of(
    st.floats(), st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 1e-300, 1e300]), st.just(0.01)
)
OPTIONAL = st.one_of(st.none(), WEIRD)
RANGES = st.one_of(st.none(), st.builds(Range, WEIRD, WEIRD, WEIRD))
KNOBS = st.builds(
    Knobs,
    st.integers(-1, 6),
    st.integers(-1, 40),
    st.sampled_from([(), (2, 4), (64,), (0,)]),
    st.sampled_from([0, 1000, 100_000]),
)
MODELS = st.builds(
    ModelVisit,
    KNOBS,
    st.dictionaries(st.integers(-1, 64), st.builds(BatchTime, st.integers(-1, 1000), WEIRD), max_size=3),
    demand=WEIRD,
    rate=WEIRD,
    busy=WEIRD,
    queue=WEIRD,
    latency=RANGES,
    exchange=OPTIONAL,
    request=WEIRD,
)
VISITS = st.builds(
    Visit,
    st.fixed_dictionaries({MODEL: MODELS}),
    seconds=WEIRD,
    ended=WEIRD,
    utilization=OPTIONAL,
    memory_used=OPTIONAL,
    host=OPTIONAL,
    memory_total=OPTIONAL,
    shared_memory_free=OPTIONAL,
    spread=WEIRD,
)


@settings(max_examples=100)
@given(st.lists(VISITS, max_size=3), KNOBS)
def test_garbage_never_raises_and_never_makes_a_figure_that_is_none(visits: list[Visit], knobs: Knobs) -> None:
    where = situation(engine=Engine(8))
    found = told(knobs, visits, where)
    model = found.models[MODEL]
    figures = [model.capacity, model.latency, found.utilization, found.host, found.memory, found.change_memory]
    assert [value for value in figures if value is not None and not ordered(value)] == []
    if not any(
        batch.executions >= 1 and batch.seconds > 0 for v in visits for batch in v.models[MODEL].batches.values()
    ):
        assert model.latency.high == NEVER
    assert isinstance(refusal(found, told(Knobs(1, 1), visits, where), where), str)
    assert math.isfinite(better(found, told(Knobs(1, 1), visits, where), where))


def test_memory_of_one_visit_is_bounded_by_what_is_used() -> None:
    visit = Truth().visit(memory=700e6, total=8e9)
    found = told(Knobs(2, 1), [visit], situation())
    assert found.memory is not None
    assert found.change_memory is not None
    assert found.memory.low == 700e6
    assert found.memory.high == pytest.approx(1400e6)
    assert found.change_memory.high == pytest.approx(2100e6)
    assert found.memory_total == 8e9


def test_memory_of_an_instance_is_what_two_counts_differ_by() -> None:
    truth = Truth()
    visits = [
        truth.visit(Knobs(2, 1), memory=900e6, ended=EPOCH),
        truth.visit(Knobs(1, 1), memory=700e6, ended=EPOCH + 60),
    ]
    found = told(Knobs(3, 1), visits, situation())
    assert found.memory is not None
    assert found.change_memory is not None
    assert found.memory.mean == pytest.approx(1100e6)
    assert found.change_memory.mean == pytest.approx(1300e6)
    assert told(Knobs(2, 1), visits, situation()).memory == Range(900e6, 900e6, 900e6)


def test_in_place_only_the_further_instances_need_memory() -> None:
    visit = Truth().visit(memory=700e6)
    stays, reloads = (
        told(Knobs(2, 1), [visit], situation(in_place=in_place)).change_memory for in_place in (True, False)
    )
    assert stays is not None
    assert reloads is not None
    assert stays.high == pytest.approx(1400e6)
    assert reloads.high == pytest.approx(2100e6)


def test_a_stated_total_counts_where_the_exporter_has_none() -> None:
    where = situation(limits=Limits(memory=4e9))
    assert told(Knobs(1, 1), [Truth().visit()], where).memory_total == 4e9
    assert told(Knobs(1, 1), [Truth().visit(total=8e9)], where).memory_total == 8e9


def test_requests_in_flight_take_shared_memory() -> None:
    where = situation(engine=Engine(32, region=1e6))
    assert told(Knobs(2, 8), [], where).shared_memory == 4 * 8 * 1e6
    assert told(Knobs(2, 8, (2, 4)), [], where).shared_memory == 4 * 4 * 1e6


def test_batches_that_are_cheaper_leave_the_accelerator_idle() -> None:
    truth = Truth(fixed=0.008, each=0.001)
    full = truth.visit(Knobs(1, 8), sizes=[1, 2, 4, 8], use=0.7)
    now, held = (told(Knobs(1, 8, (), delay), [full], situation()) for delay in (0, 50_000))
    assert now.utilization is not None
    assert held.utilization is not None
    assert held.utilization.mean <= now.utilization.mean


def prediction(
    *,
    capacity: float = 100.0,
    latency: float = 0.02,
    knobs: Knobs = ALONE,
    busy: float = 0.5,
    used: float | None = None,
) -> Prediction:
    model = ModelPrediction(
        Range(capacity, capacity, capacity), Range(latency, latency, latency), busy, 1.0, knobs, demand=50.0
    )
    return Prediction({MODEL: model}, utilization=Range(used, used, used) if used is not None else None)


@pytest.mark.parametrize(
    ("goal", "worse", "improved"),
    [
        (Goal.THROUGHPUT, prediction(capacity=100.0), prediction(capacity=110.0)),
        (Goal.LATENCY, prediction(latency=0.022), prediction(latency=0.02)),
        (Goal.EFFICIENCY, prediction(busy=0.55), prediction(busy=0.5)),
        (Goal.EFFICIENCY, prediction(busy=0.5, used=0.44), prediction(busy=0.55, used=0.4)),
    ],
)
def test_better_is_what_the_goal_says(goal: Goal, worse: Prediction, improved: Prediction) -> None:
    assert better(improved, worse, situation(goal=goal)) == pytest.approx(0.1)
    assert better(worse, improved, situation(goal=goal)) < 0


@pytest.mark.parametrize("goal", list(Goal))
@pytest.mark.parametrize("more", [Knobs(3, 4), Knobs(2, 8), Knobs(2, 4, (), 1000)])
def test_of_equals_the_leaner_is_better(goal: Goal, more: Knobs) -> None:
    lean, rich = (prediction(knobs=knobs, busy=1.0 / knobs.instances) for knobs in (Knobs(2, 4), more))
    assert better(lean, rich, situation(goal=goal)) > 0 > better(rich, lean, situation(goal=goal))


def two(first: Knobs, second: Knobs, demand: float) -> tuple[Situation, list[Visit]]:
    """Two models of 10 ms on one device, the second at `demand`."""

    def visited(knobs: Knobs, rate: float) -> ModelVisit:
        return ModelVisit(knobs, {1: BatchTime(1000, 0.01)}, demand=rate, rate=rate, busy=rate * 0.01)

    where = Situation({"first": first, "second": second}, {"first": Engine(8), "second": Engine(8)}, limits=Limits(0.2))
    return where, [
        Visit({"first": visited(first, 20.0), "second": visited(second, demand)}, 60.0, EPOCH, (20 + demand) * 0.01)
    ]


def test_models_share_their_device() -> None:
    capacities = []
    for demand in (5.0, 60.0):
        where, visits = two(Knobs(), Knobs(), demand)
        found = predict(where.start, learn(visits, where.engines), visits, where)
        capacities.append(found.models["first"].capacity.mean)
        assert found.models["second"].capacity.mean == pytest.approx(capacities[-1] / 20.0 * demand)
    assert capacities[1] < 0.6 * capacities[0]


def test_a_prediction_does_not_depend_on_anything_else() -> None:
    visits, where = [Truth().visit(latency=0.03, memory=5e8, total=8e9)], situation()
    curves = learn(visits, where.engines)
    every = list(candidates({MODEL: Knobs(1, 1)}, where, curves))[:6]
    first = [predict(one, curves, visits, where) for one in every]
    assert [predict(one, learn(visits, where.engines), visits, where) for one in reversed(every)] == first[::-1]


def overloaded(knobs: Knobs, batch: BatchTime, rate: float, latency: float | None) -> Visit:
    """Return a visit to a server that gives up much of 147 frames a second, and is busy all the time."""
    seen = None if latency is None else Range(0.97 * latency, latency, 1.03 * latency)
    model = ModelVisit(knobs, {knobs.max_batch_size: batch}, demand=147.0, rate=rate, busy=1.0, latency=seen)
    busy = 0.57 if knobs.instances == 1 else 1.0
    return Visit({MODEL: model}, 30.0, EPOCH, utilization=busy, windows=2 if latency is None else 12, spread=0.03)


def test_what_an_overloaded_server_showed_narrows_what_is_expected_of_its_neighbours() -> None:
    """Of a real Triton (docs/results/tuner-live.md, seed 2): two instances with batches up to 6 took 466 ms.

    Up to 817 of 900 ms had been predicted, where 395 were measured of batches up to 4.
    """
    where = replace(situation(latency=0.9), cameras=32)

    def predicted(size: int, *, measured: bool) -> Range:
        visits = [
            overloaded(Knobs(1, 1), BatchTime(700, 0.0385), 25.4, 0.44 if measured else None),
            overloaded(Knobs(2, 4), BatchTime(300, 0.0885), 90.4, 0.395 if measured else None),
        ]
        return of(Knobs(2, size), visits, where).latency

    found = predicted(6, measured=True)
    assert predicted(6, measured=False).high > found.high
    assert found.low <= 0.466 <= found.high <= 0.6
    larger = predicted(12, measured=True)
    assert larger.low <= 0.655 <= larger.high < 0.9 * predicted(12, measured=False).high


def test_what_is_given_up_while_batches_are_waited_for_is_no_work_that_was_done() -> None:
    """A delay of 100 ms of which a box served 91 of 120 images a second, and its accelerator worked 31 % of the time.

    Without it 97 % were expected, and were 74: the images that never reached it counted as less to do.
    """
    costs = {
        1: (439, 0.01516),
        3: (29, 0.0183),
        4: (45, 0.01985),
        6: (293, 0.03234),
        7: (305, 0.03389),
        8: (964, 0.03546),
    }
    batches = {size: BatchTime(count, seconds) for size, (count, seconds) in costs.items()}
    latency = Range(0.171, 0.174, 0.177)
    model = ModelVisit(Knobs(1, 8, (), 100_000), batches, demand=120.0, rate=91.4, busy=0.472, latency=latency)
    visit = Visit({MODEL: model}, 130.0, EPOCH, utilization=0.311, windows=13, spread=0.01)
    where = replace(situation(latency=0.108), cameras=8)
    used = told(Knobs(1, 8), [visit], where).utilization
    assert used is not None
    assert 0.6 < used.mean < 0.8
