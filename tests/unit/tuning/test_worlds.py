"""What an overloaded server served tells how long executions really take from each other, there and nearby."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tuning.truths import EPOCH, MODEL, Truth, situation

from edgedetector.tuning import batcher
from edgedetector.tuning.curve import learn
from edgedetector.tuning.evidence import ModelVisit, Range, Visit
from edgedetector.tuning.lane import lanes, late
from edgedetector.tuning.nearness import nearness, steps
from edgedetector.tuning.prediction import predict
from edgedetector.tuning.sharing import Company, doubt
from edgedetector.tuning.situation import Limits
from edgedetector.tuning.window import BatchTime, Knobs
from edgedetector.tuning.worlds import Full, Lane, expected, server, worlds

WANTED = 400.0
"""Images a second, more than any of these servers can do."""
SEEN = Knobs(2, 4)


def lane(knobs: Knobs, visits: list[Visit]) -> Lane:
    where = replace(situation(), cameras=32)
    return lanes({MODEL: knobs}, learn(visits, where.engines, where.cameras_of_each()), visits, where)[0]


def told(one: Lane, *, full: tuple[Full, ...] = ()) -> list[float]:
    """Return the images a second that an overloaded server is told to serve, at the least, expected and most costs."""
    one = replace(one, full=full)
    return [batcher.passage(server(one, world), WANTED).rate for world in worlds(one)]


def shown(rate: float) -> tuple[Full, ...]:
    return (Full(SEEN, 4, WANTED, rate),)


@given(
    st.builds(Truth, fixed=st.floats(0.010, 0.030), each=st.floats(0.008, 0.020), serial=st.floats(0.4, 1.0)),
    st.floats(0.6, 1.6),
)
def test_what_an_overloaded_server_served_is_what_it_is_told_to_serve(truth: Truth, off: float) -> None:
    """Though costs and sharing as they were learnt say something else."""
    visits = [truth.visit(Knobs(1, 1), use=1.0, demand=WANTED)]
    there = lane(SEEN, visits)
    rate = off * told(there)[1]
    assert told(there, full=shown(rate)) == pytest.approx([rate] * 3, rel=0.12)


def test_with_each_step_away_it_counts_for_half() -> None:
    visits = [Truth(0.02, 0.01, 0.8).visit(Knobs(1, 1), use=1.0, demand=WANTED)]
    rate = told(lane(SEEN, visits))[1] / 1.44
    times = []
    for knobs in (Knobs(2, 4), Knobs(2, 8), Knobs(2, 16)):
        here = lane(knobs, visits)
        seconds = (server(replace(here, full=full), expected(here)).alone[0] for full in (shown(rate), ()))
        times.append(next(seconds) / next(seconds))
    assert times == pytest.approx([1.44, 1.2, 1.095], rel=0.02)
    assert nearness({MODEL: SEEN}, {MODEL: Knobs(2, 16)}) == 0.25
    assert steps(SEEN, SEEN) == 0.0


def test_a_link_that_is_full_carries_no_more_for_others() -> None:
    """Emulated KS20 on x1: 43 images a second with two instances, and with four instances and batches of four."""
    visits = [Truth(0.020, 0.0095, 0.3).visit(Knobs(1, 1), use=1.0, demand=WANTED)]
    crossing = 0.0190
    far = lane(Knobs(4, 4), visits)
    far = replace(far, curve=replace(far.curve, crossing=type(far.curve.crossing)(crossing, crossing, crossing)))
    assert server(far, expected(far)).executed == pytest.approx(1 / crossing, rel=0.01)
    there = replace(far, full=(Full(Knobs(2, 1), 1, WANTED, 43.3),))
    assert server(there, expected(there)).executed == pytest.approx(43.3, rel=0.02)


def test_only_what_was_overloaded_for_a_while_is_taken_for_what_can_be_served() -> None:
    truth = Truth(0.02, 0.01, 0.8)
    full = replace(truth.visit(SEEN, sizes=[4], use=1.0), windows=5)
    model = replace(full.models[MODEL], demand=2.0 * full.models[MODEL].rate)
    busy = replace(full, models={MODEL: model})
    assert [one.rate for one in lane(SEEN, [busy]).full] == [model.rate]
    for other in (full, replace(busy, windows=1), replace(busy, models={MODEL: replace(model, busy=0.8)})):
        assert lane(SEEN, [other]).full == ()


def overloaded(knobs: Knobs, seconds: float, rate: float, latency: float, ended: float) -> Visit:
    """Return a visit of a model that always executes its largest batch, which takes so long."""
    spread = Range(0.99 * latency, latency, 1.01 * latency)
    model = ModelVisit(
        knobs, {knobs.max_batch_size: BatchTime(700, seconds)}, demand=99.2, rate=rate, busy=1.0, latency=spread
    )
    return Visit({MODEL: model}, 60.0, ended, utilization=0.66 * knobs.instances**0.5, windows=30, spread=0.01)


WHERE = replace(situation(limits=Limits(latency=0.9)), cameras=32)
ALONE = overloaded(Knobs(1, 1), 0.0225, 43.0, 0.38, EPOCH + 60)
SIX = overloaded(Knobs(2, 6), 0.1504, 79.8, 0.653, EPOCH)
"""As seed 1 showed them on a real Triton."""


def test_latencies_of_an_overloaded_server_are_told_from_the_nearest_that_was_measured() -> None:
    """Though what serves was seen last: two instances with batches of four took 552 ms, and with eight 722."""
    for size, real in ((4, 0.552), (8, 0.722)):
        found = predict({MODEL: Knobs(2, size)}, learn((SIX, ALONE), WHERE.engines), (SIX, ALONE), WHERE)
        assert found.models[MODEL].latency.mean == pytest.approx(real, rel=0.08)


def test_what_an_overloaded_server_gives_up_anyway_is_not_the_fault_of_a_pause() -> None:
    """Else nothing would be tried that is not sure: a tenth of a second's frames may be late at a 99th percentile."""
    one = lane(Knobs(1, 1), [ALONE])
    assert late(one, [ALONE], WHERE, 0.06) <= 0.1
    assert late(one, [ALONE], WHERE, 0.9) > 0.1


def test_who_waits_for_his_like_waits_as_long() -> None:
    company = Company(instances=2, others=1.0, mean=0.15)
    found = [doubt(0.05, company, alike) for alike in (0.0, 0.5, 1.0)]
    assert found == pytest.approx([0.075, 0.0575, 0.005])


def test_an_accelerator_that_always_had_work_has_no_more_of_it_without_a_queue_delay() -> None:
    """A simulated server: 100 ms of delay were left, since 90 % were expected where it takes 78 % with or without."""
    delayed = Knobs(1, 32, max_queue_delay_microseconds=100_000)
    spread = Range(0.904, 0.908, 0.911)
    model = ModelVisit(delayed, {32: BatchTime(618, 0.209)}, demand=210.0, rate=152.8, busy=0.996, latency=spread)
    visits = [Visit({MODEL: model}, 120.0, EPOCH, utilization=0.784, windows=13, spread=0.01)]
    where = replace(situation(delayed, latency=0.073), cameras=105)
    curves = learn(visits, where.engines, where.cameras_of_each())
    found = predict({MODEL: Knobs(1, 32)}, curves, visits, where).utilization
    assert found is not None
    assert 0.78 <= found.mean < 0.87
