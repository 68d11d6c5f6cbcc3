"""The pure parts of the contest with other tuners."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from bench.tuner.rivals import aimd, analyzer, ramp, space, standings
from bench.tuner.rivals.load import lines
from bench.tuner.rivals.override import changed
from bench.tuner.rivals.ramp import Step
from bench.tuner.rivals.search import Search, clipper, sweep
from bench.tuner.rivals.space import START, Outcome
from bench.tuner.rivals.traffic import Met
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.tuning.window import Knobs

BOUND = 0.1
RATES = st.floats(1.0, 1e4)


def test_the_space_has_each_configuration_once_and_the_start() -> None:
    every = space.space()
    assert len(set(every)) == len(every) == 4 * (1 + 5 * 3)
    assert START in every


def test_a_configuration_without_batches_has_no_delay() -> None:
    assert all(one.max_queue_delay_microseconds == 0 for one in space.space() if one.max_batch_size == 1)
    assert space.nearest(2, 1, 5000) == Knobs(2, 1)


@given(RATES, st.floats(0.0, BOUND), RATES, st.floats(BOUND * 1.001, 100.0))
def test_whatever_keeps_the_bound_is_better_than_whatever_does_not(
    one: float, kept: float, other: float, broken: float
) -> None:
    assert space.score(Outcome(one, kept), BOUND) > space.score(Outcome(other, broken), BOUND)
    assert space.score(Outcome(one, kept), BOUND) > space.score(Outcome(other, kept, failed=1), BOUND)


def test_of_equals_the_smaller_configuration_is_best() -> None:
    tried = dict.fromkeys([Knobs(4, 8), Knobs(2, 16), Knobs(2, 8)], Outcome(100.0, 0.05))
    assert space.best(tried, BOUND) == Knobs(2, 8)


@given(st.floats(1.0, 1e4), st.floats(0.01, 1.0))
def test_the_common_load_takes_a_share_of_the_bound_where_the_capacity_is_as_said(
    capacity: float, bound: float
) -> None:
    flights = space.flights(capacity, bound)
    assert flights >= 1
    assert flights == 1 or abs(flights / capacity - 0.4 * bound) <= 0.5 / capacity + 1e-9


@given(st.integers(0, 40))
def test_aimd_settles_one_backoff_below_what_breaks_the_objective(largest: int) -> None:
    found = aimd.climb(lambda batch: batch <= largest)
    top = min(max(largest, 1), aimd.LARGEST)
    assert int((top + 1) * aimd.BACKOFF) <= found.batch <= top or found.batch == top
    assert found.batch in found.tried


@given(st.lists(st.booleans(), min_size=aimd.LOOKS, max_size=aimd.LOOKS))
def test_aimd_ends_whatever_it_sees_with_a_batch_that_kept_the_objective(seen: list[bool]) -> None:
    answers = iter(seen)
    told: dict[int, bool] = {}
    found = aimd.climb(lambda batch: told.setdefault(batch, next(answers)))
    assert len(found.tried) <= aimd.LOOKS
    assert all(1 <= batch <= aimd.LARGEST for batch in found.tried)
    assert found.batch == 1 or told[found.batch]


def _ramped(capacity: float, lowest: float, hiccups: tuple[int, ...] = ()) -> tuple[list[Step], float]:
    steps: list[Step] = []
    for number in itertools.count():
        rate = ramp.following(steps, lowest, BOUND)
        if rate is None:
            return steps, ramp.capacity(steps, BOUND)
        late = rate > capacity or number in hiccups
        steps.append(Step(rate, rate, 10.0 if late else 0.02))
    raise AssertionError


@given(RATES, st.floats(0.2, 3.0))
def test_a_ramp_finds_the_capacity_to_one_fine_step(capacity: float, share: float) -> None:
    steps, found = _ramped(capacity, share * capacity)
    assert capacity / ramp.FINE * 0.998 <= found <= capacity
    assert len(steps) < ramp.STEPS


@given(RATES, st.floats(0.2, 3.0), st.integers(0, 30))
def test_one_hiccup_of_the_machine_does_not_end_a_ramp(capacity: float, share: float, when: int) -> None:
    _, calm = _ramped(capacity, share * capacity)
    _, found = _ramped(capacity, share * capacity, (when,))
    assert found == pytest.approx(calm, rel=ramp.FINE - 0.998)


def test_a_rate_that_is_not_answered_is_not_kept_however_fast_the_answers_are() -> None:
    assert not Step(100.0, 85.0, 0.01).good(BOUND)
    assert not Step(100.0, 100.0, 0.01, failed=1).good(BOUND)
    assert ramp.capacity([Step(100.0, 85.0, 0.01)], BOUND) == 0.0


def test_perf_analyzers_microseconds_become_seconds() -> None:
    text = "Concurrency,Inferences/Second,p50 latency,p99 latency\n8,123.5,10000,45600\n"
    (line,) = lines(text)
    assert (line.throughput, line.latency) == (123.5, pytest.approx(0.0456))


def test_what_is_not_perf_analyzers_is_refused() -> None:
    with pytest.raises(ValueError, match="perf_analyzer"):
        lines("a,b\n1,2\n")


CONFIG: dict[str, Any] = {
    "name": "people",
    "input": [{"name": "image", "data_type": "TYPE_UINT8", "dims": ["32", "32", "3"]}],
    "max_batch_size": 32,
    "instance_group": [{"name": "people_0", "count": 1, "kind": "KIND_MODEL"}],
    "dynamic_batching": {"preferred_batch_size": [32], "max_queue_delay_microseconds": "100000"},
    "model_warmup": [{"name": "32", "batch_size": 32}],
}


def test_an_override_is_the_whole_configuration_with_other_knobs() -> None:
    found = changed(CONFIG, Knobs(3, 8, (4,), 1000))
    assert found["input"] == CONFIG["input"]
    assert found["name"] == "people"
    assert found["max_batch_size"] == 8
    assert found["instance_group"] == [{"name": "people_0", "count": 3, "kind": "KIND_MODEL"}]
    assert found["dynamic_batching"] == {"preferred_batch_size": [4], "max_queue_delay_microseconds": 1000}
    assert "model_warmup" not in found


@pytest.mark.parametrize("batch", [0, 1])
def test_without_batches_there_is_no_batcher(batch: int) -> None:
    found = changed(CONFIG, Knobs(1, batch, (), 1000))
    assert "dynamic_batching" not in found
    assert found["max_batch_size"] == 1


TABLE = """\
Model,Batch,Concurrency,Model Config Path,Instance Group,Max Batch Size,Satisfies Constraints,\
Throughput (infer/sec),p99 Latency (ms)
people,1,64,people_config_7,4:CPU,8,No,700.0,130.5
people,1,32,people_config_5,2:CPU,8,Yes,650.5,60.1
people,1,2,people_config_default,1:CPU,1,Yes,144.0,20.0

"""


def test_model_analyzers_choice_is_the_most_throughput_that_keeps_its_constraint() -> None:
    found = analyzer.measurements(TABLE)
    assert [one.passing for one in found] == [False, True, True]
    assert analyzer.chosen(found) == Knobs(2, 8)
    assert analyzer.chosen(found[:1]) == Knobs(4, 8)


def test_model_analyzer_that_measured_nothing_chose_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        analyzer.chosen([])


def test_what_is_not_model_analyzers_is_refused() -> None:
    with pytest.raises(ValueError, match="Model Analyzer"):
        analyzer.measurements("Model,Batch\npeople,1\n")


def _device(knobs: Knobs) -> Outcome:
    """A closed loop on a device of 8 + 4b ms with 32 requests in flight, two executions at once."""
    batch = min(knobs.max_batch_size, 32 // min(knobs.instances, 2))
    rate = min(knobs.instances, 2) * batch / (0.008 + 0.004 * batch)
    return Outcome(rate, 32 / rate)


def test_the_sweep_tries_all_and_leaves_the_best_few_to_the_ramp() -> None:
    found = sweep(_device, BOUND)
    assert found.probes == len(space.space())
    assert _device(found.chosen).throughput == max(_device(one).throughput for one in space.space())
    assert len(found.others) == 1


def test_aimd_moves_nothing_but_the_batch() -> None:
    flights = []

    def loaded(knobs: Knobs, requests: int) -> Outcome:
        flights.append(requests)
        return _device(knobs)

    found = clipper(loaded, 10.0)
    assert flights == [2 * one.max_batch_size for one in found.tried]
    assert found.chosen == Knobs(START.instances, aimd.LARGEST)
    assert {(one.instances, one.max_queue_delay_microseconds) for one in found.tried} == {(START.instances, 0)}


def test_aimd_looks_again_before_it_takes_a_batch_for_too_large() -> None:
    looks = iter([Outcome(10.0, 99.0)])
    found = clipper(lambda knobs, _: next(looks, _device(knobs)), 10.0)
    assert found.chosen == Knobs(START.instances, aimd.LARGEST)


def test_the_table_gives_each_its_share_and_the_sweep_the_best_of_its_few() -> None:
    met = Met(100, 1, 20)
    entries = [
        standings.Entry("ours", Search(Knobs(2, 16), 3, lost=2, seconds=50.0), 70.0, met),
        standings.Entry("other", None, 1.0, met, "no libcuda"),
        standings.Entry("sweep", Search(Knobs(2, 8), 64, (Knobs(2, 32),)), 200.0, met),
    ]
    reached = {START: 100.0, Knobs(2, 16): 380.0, Knobs(2, 8): 300.0, Knobs(2, 32): 400.0}
    start, ours, other, swept = standings.rows(entries, reached)
    assert (start["chosen"], start["share"]) == ("1 x 1", 0.25)
    assert (ours["share"], ours["lost"], ours["late"], ours["seconds"]) == (0.95, 3, 0.2, 50.0)
    assert other["error"] == "no libcuda"
    assert (swept["chosen"], swept["share"], swept["seconds"]) == ("2 x 32", 1.0, 200.0)


def test_what_never_came_stands_as_none() -> None:
    assert standings.told(Step(10.0, 0.0, math.inf)) == [10.0, 0.0, None]
