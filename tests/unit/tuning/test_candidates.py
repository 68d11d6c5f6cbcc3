"""Which configurations are offered: all within bounds, none twice, and delays and preferred sizes only for a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tuning.truths import MODEL, Truth, situation

from edgedetector.tuning.candidates import around, candidates, reaches_out, within
from edgedetector.tuning.curve import Curves, learn
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Knobs

LIMITS = st.builds(
    Limits,
    min_instances=st.integers(0, 3),
    max_instances=st.integers(1, 6),
    max_queue_delay_microseconds=st.sampled_from([-1, 0, 500, 5000, 100_000]),
)
ENGINES = st.builds(Engine, st.sampled_from([0, 1, 3, 8, 32]), st.sampled_from([(), (4,), (1, 6, 24)]))
KNOBS = st.builds(
    Knobs, st.integers(0, 8), st.integers(0, 64), st.sampled_from([(), (2, 4, 8)]), st.sampled_from([0, 1000, 100_000])
)


def knobs(now: Knobs, where: Situation, curves: Curves | None = None) -> list[Knobs]:
    return [one[MODEL] for one in candidates({MODEL: now}, where, curves or Curves())]


@given(KNOBS, LIMITS, ENGINES, st.sampled_from(list(Goal)))
def test_every_one_is_within_all_bounds_new_and_not_the_present(
    now: Knobs, limits: Limits, engine: Engine, goal: Goal
) -> None:
    found = knobs(now, situation(limits=limits, engine=engine, goal=goal))
    assert len(set(found)) == len(found)
    assert now not in found
    for one in found:
        assert max(1, limits.min_instances) <= one.instances <= max(1, limits.min_instances, limits.max_instances)
        assert 0 <= one.max_batch_size <= max(0, engine.largest_batch)
        assert 0 <= one.max_queue_delay_microseconds <= max(0, limits.max_queue_delay_microseconds)
        assert all(1 <= size <= one.max_batch_size for size in one.preferred_batch_sizes)
        assert one == within(one, engine, limits)


@given(KNOBS, LIMITS, ENGINES)
def test_larger_bounds_never_offer_less(now: Knobs, limits: Limits, engine: Engine) -> None:
    wider = Limits(
        min_instances=limits.min_instances,
        max_instances=limits.max_instances + 1,
        max_queue_delay_microseconds=limits.max_queue_delay_microseconds * 2,
    )
    few, many = (len(knobs(now, situation(limits=one, engine=engine))) for one in (limits, wider))
    assert many >= few


def test_all_counts_and_powers_of_two_are_offered() -> None:
    found = {(one.instances, one.max_batch_size) for one in knobs(Knobs(1, 1), situation(engine=Engine(24)))}
    assert found | {(1, 1)} >= {(count, size) for count in range(1, 5) for size in (1, 2, 4, 8, 16, 24)}


def test_preferred_sizes_come_with_a_delay_only() -> None:
    found = knobs(Knobs(1, 1), situation(engine=Engine(24, (1, 6, 24))))
    liked = [one for one in found if one.preferred_batch_sizes]
    assert {one.preferred_batch_sizes for one in liked} == {(6,), (6, 24)}
    assert all(one.max_queue_delay_microseconds > 0 for one in liked)


def test_without_a_reason_no_preferred_size_is_offered() -> None:
    truth = Truth()
    curves = learn([truth.visit(Knobs(1, 8), sizes=[1, 2, 4, 8])], {MODEL: Engine(8)})
    assert not any(one.preferred_batch_sizes for one in knobs(Knobs(1, 8), situation(engine=Engine(8)), curves))


def test_a_measured_dip_becomes_a_largest_batch() -> None:
    truth = Truth(cliff=3)
    curves = learn([truth.visit(Knobs(1, 8), sizes=[1, 3, 4, 8])], {MODEL: Engine(8)})
    found = knobs(Knobs(1, 8), situation(engine=Engine(8)), curves)
    assert any(one.max_batch_size == 3 and not one.preferred_batch_sizes for one in found)


def test_preferred_sizes_of_the_start_can_be_left() -> None:
    found = knobs(Knobs(1, 8, (2, 4), 1000), situation(engine=Engine(8)))
    assert Knobs(1, 8) in found
    assert Knobs(2, 8, (2, 4), 1000) in found


def test_only_where_efficiency_is_wanted_long_delays_are_offered() -> None:
    limits = Limits(max_queue_delay_microseconds=50_000)
    longest = {
        goal: max(
            one.max_queue_delay_microseconds
            for one in knobs(Knobs(1, 8), situation(limits=limits, engine=Engine(8), goal=goal))
        )
        for goal in Goal
    }
    assert longest == {Goal.EFFICIENCY: 50_000, Goal.THROUGHPUT: 5000, Goal.LATENCY: 0}


@pytest.mark.parametrize(("goal", "largest"), [(Goal.THROUGHPUT, 6), (Goal.EFFICIENCY, 8)])
def test_a_longer_delay_comes_with_batches_that_were_seen_or_the_next_size(goal: Goal, largest: int) -> None:
    """It makes them come up at the present load: one of 8 beyond a cliff at 6 took 80 ms of 76 at once.

    So one size at a time, bounded (`reaches_out`), and only where waiting can be what is wanted.
    """
    curves = learn([Truth().visit(Knobs(2, 16), sizes=[1, 2, 4, 6])], {MODEL: Engine(16)})
    where = situation(engine=Engine(16), goal=goal)
    waiting = [one for one in knobs(Knobs(2, 16), where, curves) if one.max_queue_delay_microseconds > 0]
    assert max(one.max_batch_size for one in waiting) == largest
    assert any(one.max_batch_size == 16 for one in knobs(Knobs(1, 8), where, curves))


@pytest.mark.parametrize(
    ("step", "out"),
    [
        (Knobs(1, 4, (), 1000), False),
        (Knobs(1, 6, (), 1000), True),
        (Knobs(1, 6), False),
        (Knobs(1, 8, (2, 4), 1000), True),
    ],
)
def test_a_step_reaches_out_that_waits_for_more_than_was_seen(step: Knobs, *, out: bool) -> None:
    curves = learn([Truth().visit(Knobs(1, 8), sizes=[1, 2, 4])], {MODEL: Engine(8)})
    assert reaches_out({MODEL: step}, {MODEL: Knobs(1, 8)}, curves) is out
    assert not reaches_out({MODEL: step}, {MODEL: Knobs(1, 8, (), 1000)}, curves)
    assert not reaches_out({MODEL: step}, {MODEL: Knobs(1, 8)}, Curves())


def test_a_fixed_batch_stays() -> None:
    found = knobs(Knobs(1, 4), situation(engine=Engine(8, fixed_batch=True)))
    assert {one.max_batch_size for one in found} == {4}


def test_of_two_models_one_changes_or_both_alike_or_an_instance_is_handed_over() -> None:
    start = {"first": Knobs(2, 1), "second": Knobs(1, 1)}
    where = Situation(start, {"first": Engine(4), "second": Engine(4)})
    found = list(candidates(start, where, Curves()))
    assert {"first": Knobs(1, 1), "second": Knobs(2, 1)} in found
    both = [one for one in found if one["first"] != start["first"] and one["second"] != start["second"]]
    alike = [one for one in both if one["first"] == one["second"]]
    assert {"first": Knobs(2, 4), "second": Knobs(2, 4)} in alike
    assert [one for one in both if one not in alike] == [{"first": Knobs(1, 1), "second": Knobs(2, 1)}]


def test_an_engine_without_a_batch_dimension_has_no_batches() -> None:
    assert {one.max_batch_size for one in knobs(Knobs(1, 0), situation(engine=Engine(0)))} == {0}


def test_around_one_of_several_each_model_is_changed_by_itself() -> None:
    start = {"first": Knobs(2, 1), "second": Knobs(1, 4, (), 2000)}
    where = Situation(start, {"first": Engine(4), "second": Engine(8)}, limits=Limits(max_instances=3))
    found = list(around(start, start, where, Curves()))
    assert all((one["first"] == start["first"]) != (one["second"] == start["second"]) for one in found)
    assert {"first": Knobs(3, 4), "second": start["second"]} in found
    assert {"first": start["first"], "second": Knobs(2, 8, (), 2000)} in found
    assert {"first": start["first"], "second": Knobs(2, 1)} in found
    for one in found:
        assert all(one[name] == within(one[name], where.engines[name], where.limits) for name in one)


def test_around_one_of_several_post_processing_keeps_its_instances() -> None:
    start = {"first": Knobs(2, 1, post_processing=2), "second": Knobs(1, 4)}
    where = Situation(start, {"first": Engine(4), "second": Engine(8)}, limits=Limits(max_post_processing=3))
    assert {one["first"].post_processing for one in around(start, start, where, Curves())} == {2}


def test_a_delay_that_was_chosen_in_prediction_joins_no_larger_batches_than_were_seen() -> None:
    """What serves waits for nobody; only a step towards it does, of which larger batches are offered then."""
    where = situation(Knobs(), limits=Limits(max_instances=1), goal=Goal.EFFICIENCY, engine=Engine(32))
    curves = learn([Truth(0.008, 0.004).visit(Knobs(), use=0.4)], where.engines)
    step = {MODEL: Knobs(1, 2, (), 1000)}
    assert {one[MODEL].max_batch_size for one in around(step, where.start, where, curves)} == {1}


def test_a_delay_that_serves_joins_no_larger_batches_than_it_may_already_or_than_were_seen() -> None:
    waits = Knobs(1, 2, (), 1000)
    where = situation(waits, limits=Limits(max_instances=1), goal=Goal.EFFICIENCY, engine=Engine(32))
    curves = learn([Truth(0.008, 0.004).visit(waits, sizes=(1, 2), use=0.4)], where.engines)
    found = [one[MODEL] for one in candidates(where.start, where, curves)]
    assert max(one.max_batch_size for one in found if one.max_queue_delay_microseconds > 0) == 3
    assert max(one.max_batch_size for one in found) == 32
