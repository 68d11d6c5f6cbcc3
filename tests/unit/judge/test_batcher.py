"""The simulated batcher against what is known of queues, and against what Triton is known to do."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.batcher import Batching, Model, Request
from judge.calibration import Sleeper
from judge.clients import ClosedLoop, OpenLoop, poisson
from judge.events import Clock


def served(
    batching: Batching, arrivals: list[tuple[float, int]], base: float = 0.010, image: float = 0.0
) -> tuple[list[tuple[float, int, int]], Model]:
    """Return (answered at, number, size) in order of the answers."""
    clock = Clock()
    model = Model("m", batching, Sleeper(base, image), clock)
    answers: list[tuple[float, int, int]] = []
    for number, (when, size) in enumerate(arrivals):
        request = Request(size, lambda one: answers.append((clock.now, one.tag, one.size)), tag=number)
        clock.at(when, model.enqueue, request)
    clock.run(1e6)
    return answers, model


def sizes(model: Model) -> dict[int, int]:
    return {size: int(count) for size, (count, _) in model.counters.batches.items()}


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_mean_wait_of_random_arrivals_at_one_constant_server_is_pollaczek_and_khinchines(load: float) -> None:
    clock, service = Clock(), 0.010
    model = Model("m", Batching(1, 1), Sleeper(service, 0.0), clock)
    OpenLoop(clock, model.enqueue, poisson(load / service, random.Random(1)))
    clock.run(600.0)
    wait = model.counters.queue / model.counters.requests
    assert wait == pytest.approx(load * service / (2 * (1 - load)), rel=0.05)


@pytest.mark.parametrize("instances", [1, 2, 4])
def test_random_arrivals_at_many_servers_wait_less_than_at_one_as_fast(instances: int) -> None:
    clock, service, load = Clock(), 0.010, 0.7
    model = Model("m", Batching(instances, 1), Sleeper(service, 0.0), clock)
    OpenLoop(clock, model.enqueue, poisson(load * instances / service, random.Random(2)))
    clock.run(300.0)
    single = load * service / (2 * (1 - load))
    wait = model.counters.queue / model.counters.requests
    assert wait == pytest.approx(single, rel=0.1) if instances == 1 else wait < single / instances


@given(
    instances=st.integers(1, 4),
    batch=st.sampled_from([1, 2, 4, 8]),
    base=st.floats(0.002, 0.02),
    image=st.floats(0.0005, 0.005),
)
@settings(max_examples=12)
def test_a_closed_loop_with_enough_in_flight_gets_the_rate_of_full_batches(
    instances: int, batch: int, base: float, image: float
) -> None:
    clock = Clock()
    model = Model("m", Batching(instances, batch), Sleeper(base, image), clock)
    loop = ClosedLoop(clock, model.enqueue, 4 * instances * batch)
    clock.run(1.0)
    warm = len(loop.latencies)
    clock.run(6.0)
    full = instances * batch / (base + image * batch)
    assert (len(loop.latencies) - warm) / 5.0 == pytest.approx(full, rel=0.05)


@given(flights=st.integers(1, 24), way=st.floats(0.0, 0.01), batch=st.sampled_from([1, 4, 8]))
@settings(max_examples=12)
def test_littles_law_holds_in_a_closed_loop(flights: int, way: float, batch: int) -> None:
    clock = Clock()
    model = Model("m", Batching(2, batch), Sleeper(0.008, 0.002), clock)
    loop = ClosedLoop(clock, model.enqueue, flights, way=way)
    clock.run(20.0)
    mean = sum(loop.latencies) / len(loop.latencies)
    assert len(loop.latencies) / 20.0 * mean == pytest.approx(flights, rel=0.03)


requests = st.lists(st.tuples(st.floats(0.0, 0.2), st.integers(1, 4)), min_size=1, max_size=60)
configurations = st.builds(
    Batching,
    instances=st.integers(1, 3),
    max_batch=st.sampled_from([4, 6, 8, 16]),
    preferred=st.sampled_from([(), (2,), (4,), (2, 4), (1, 3)]),
    delay=st.sampled_from([0.0, 0.001, 0.005, 0.05]),
)


@given(configuration=configurations, arrivals=requests)
@settings(max_examples=100)
def test_every_request_is_answered_once_and_in_a_batch_that_may_be(
    configuration: Batching, arrivals: list[tuple[float, int]]
) -> None:
    answers, model = served(configuration, arrivals)
    assert Counter(number for _, number, _ in answers) == Counter(range(len(arrivals)))
    assert max(sizes(model)) <= configuration.max_batch
    assert sum(size * count for size, count in sizes(model).items()) == sum(size for _, size in arrivals)
    assert model.waiting == model.running == 0


@given(configuration=configurations, arrivals=requests)
@settings(max_examples=100)
def test_nobody_waits_longer_than_the_delay_for_an_instance_that_is_free(
    configuration: Batching, arrivals: list[tuple[float, int]]
) -> None:
    alone = [arrivals[0]]
    answers, _ = served(configuration, alone)
    assert answers[0][0] <= alone[0][0] + configuration.delay + 0.010 + 1e-9


def test_without_a_delay_the_largest_preferred_size_is_a_hard_cap() -> None:
    _, model = served(Batching(1, 8, (4,)), [(0.0, 1)] * 33)
    assert max(sizes(model)) == 4


def test_with_a_delay_what_waited_exceeds_the_preferred_size() -> None:
    _, model = served(Batching(1, 8, (4,), 0.001), [(number * 1e-4, 1) for number in range(60)])
    assert max(sizes(model)) == 8


def test_requests_that_come_while_an_instance_works_are_one_batch() -> None:
    _, model = served(Batching(1, 8), [(0.0, 1), *((0.001 + 1e-4 * number, 1) for number in range(6))])
    assert sizes(model) == {1: 1, 6: 1}


def test_batches_are_prepared_ahead_so_what_comes_later_does_not_fill_them() -> None:
    # Of three requests of 3 images, two do not go into a batch of 4: both are prepared while the first is executed, and
    # the single image that comes last still fits into the newest, but not into the older one.
    _, model = served(Batching(1, 4), [(0.0, 3), (0.001, 3), (0.002, 3), (0.003, 1)])
    assert sizes(model) == {3: 2, 4: 1}


def test_only_twice_as_many_batches_as_instances_are_prepared() -> None:
    # Preferred size 1: each request is a batch of its own as soon as it is prepared; what waits in the queue is not.
    clock = Clock()
    model = Model("m", Batching(1, 4, (1,)), Sleeper(1.0, 0.0), clock)
    for _ in range(6):
        model.enqueue(Request(1, lambda _: None))
    assert len(model._ready) == 2
    assert len(model._queue) == 3


def test_a_lone_request_waits_for_the_delay() -> None:
    answers, _ = served(Batching(1, 8, (), 0.005), [(1.0, 1)])
    assert answers[0][0] == pytest.approx(1.015)


def test_a_preferred_size_ends_the_delay() -> None:
    answers, model = served(Batching(1, 8, (2,), 0.100), [(1.0, 1), (1.001, 1)])
    assert [when for when, _, _ in answers] == pytest.approx([1.011, 1.011])
    assert sizes(model) == {2: 1}


def test_without_batching_requests_are_executed_as_they_came() -> None:
    _, model = served(Batching(2, 0), [(0.0, 3), (0.0, 1), (0.0, 1)])
    assert sizes(model) == {3: 1, 1: 2}


def test_instances_that_are_taken_away_finish_what_they_do() -> None:
    clock = Clock()
    model = Model("m", Batching(3, 1), Sleeper(0.010, 0.0), clock)
    loop = ClosedLoop(clock, model.enqueue, 6)
    clock.at(0.5, lambda _: model.resize(1))
    clock.run(0.5)
    before = len(loop.latencies)
    clock.run(1.5)
    assert before == pytest.approx(150, abs=4)
    assert len(loop.latencies) - before == pytest.approx(100, abs=4)
    assert model.running == 1
