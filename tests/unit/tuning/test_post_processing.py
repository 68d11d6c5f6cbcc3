"""Post-processing inside Triton is a second station: what is learnt of it, offered, predicted, safe and said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tuning.test_record import full
from tests.unit.tuning.truths import EPOCH, MODEL, Truth, situation

from edgedetector.api import names
from edgedetector.api.wire import from_json, to_json
from edgedetector.tuning import allowed, footprint, post_processing, promise, resources, sentences, visits
from edgedetector.tuning.batcher import Server, capacity, passage
from edgedetector.tuning.candidates import candidates
from edgedetector.tuning.capacity import measured
from edgedetector.tuning.curve import learn
from edgedetector.tuning.decision import Kind, ProbeReport, Report
from edgedetector.tuning.evidence import ModelVisit, Prediction, Range, StepVisit, Visit
from edgedetector.tuning.gain import saturated
from edgedetector.tuning.known import Known, KnownModel
from edgedetector.tuning.lane import lanes
from edgedetector.tuning.post_processing import Line
from edgedetector.tuning.prediction import better, predict
from edgedetector.tuning.record import State, bounded, key
from edgedetector.tuning.safety import refusal
from edgedetector.tuning.signals import signals
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.trouble import contradiction
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import BatchTime, Knobs, ModelWindow, StepWindow, Window

TRUTH = Truth()
START = Knobs(1, 4, post_processing=1)
LIMITS = Limits(latency=0.3, memory=16e9, min_post_processing=1, max_post_processing=4)
WHERE = replace(situation(START, engine=Engine(4, fixed_batch=True), limits=LIMITS), coexisting=True)
BASE, IMAGE = 0.001, 0.019
"""Seconds of the post-processing in these tests: 50 images a second an instance, one by one."""


def boxes(size: int) -> float:
    return BASE + IMAGE * size


def seen(
    knobs: Knobs = START,
    *,
    rate: float = 48.0,
    demand: float = 90.0,
    latency: float | None = 0.2,
    host: float | None = 0.3,
    ended: float = EPOCH,
) -> Visit:
    """A visit in which the model has room and the post-processing has as much to do as the rate says."""
    sizes = (1, 2, 4)
    visit = TRUTH.visit(knobs, sizes=sizes, use=0.3, latency=latency, ended=ended)
    busy = min(1.0, rate * boxes(2) / 2 / knobs.post_processing)
    model = replace(
        visit.models[MODEL],
        rate=rate,
        demand=demand,
        step=StepVisit({size: BatchTime(500, boxes(size)) for size in sizes}, busy, boxes(2) * 1.5),
    )
    return replace(visit, models={MODEL: model}, host=host)


def expected(knobs: Knobs, *found: Visit, where: Situation = WHERE) -> Prediction:
    return predict({MODEL: knobs}, learn(found, where.engines), found, where, {MODEL: START})


# --- learnt


@given(st.floats(0.0001, 0.01), st.floats(0.0001, 0.05), st.sets(st.integers(1, 32), min_size=2, max_size=6))
def test_a_straight_line_is_found_again(fixed: float, each: float, sizes: set[int]) -> None:
    batches = {size: BatchTime(100, fixed + each * size) for size in sizes}
    model = ModelVisit(START, step=StepVisit(batches))
    lines = post_processing.learn(MODEL, [Visit({MODEL: model}, 60.0, EPOCH)])
    assert [post_processing.seconds(lines, 1, size) for size in (1, 7, 32)] == pytest.approx(
        [fixed + each * size for size in (1, 7, 32)], rel=1e-6
    )


def test_of_one_size_alone_others_are_told_nearly_in_proportion() -> None:
    model = ModelVisit(START, step=StepVisit({2: BatchTime(100, 0.02)}))
    lines = post_processing.learn(MODEL, [Visit({MODEL: model}, 60.0, EPOCH)])
    assert post_processing.seconds(lines, 1, 2) == pytest.approx(0.02)
    assert 0.01 < post_processing.seconds(lines, 1, 1) < 0.012
    assert 0.035 < post_processing.seconds(lines, 1, 4) < 0.04


@pytest.mark.parametrize(
    "batches",
    [{}, {1: BatchTime(9, 0.01)}, {1: BatchTime(99, math.nan)}, {0: BatchTime(99, 0.01)}, {1: BatchTime(99, 0.0)}],
)
def test_of_too_little_and_of_nonsense_nothing_is_known_and_nothing_is_changed(batches: dict[int, BatchTime]) -> None:
    found = seen()
    told = replace(found, models={MODEL: replace(found.models[MODEL], step=StepVisit(batches))})
    curves = learn([told], WHERE.engines)
    assert not curves.of(MODEL).steps
    assert {one[MODEL].post_processing for one in candidates({MODEL: START}, WHERE, curves)} == {1}


def test_where_nobody_tells_how_busy_the_host_is_twice_the_instances_may_be_half_as_quick() -> None:
    told, untold = {1: Line(BASE, IMAGE, host_known=True)}, {1: Line(BASE, IMAGE)}
    assert post_processing.seconds(untold, 2, 1, end="high", part=1.0) == pytest.approx(2 * boxes(1))
    assert post_processing.seconds(told, 2, 1, end="high", part=1.0) == pytest.approx(1.15 * boxes(1))
    for lines in (told, untold):
        assert post_processing.seconds(lines, 2, 1) == boxes(1)
        assert post_processing.seconds(lines, 2, 1, end="low", part=1.0) < boxes(1)


def test_what_was_seen_with_as_many_instances_counts() -> None:
    lines = {1: Line(0.0, 0.010), 2: Line(0.0, 0.015)}
    assert [post_processing.seconds(lines, count, 1) for count in (1, 2, 3)] == [0.010, 0.015, 0.015]


# --- offered


@given(
    now=st.integers(0, 6),
    least=st.integers(1, 3),
    room=st.integers(0, 4),
    counts=st.lists(st.integers(1, 4), min_size=1, unique=True),
)
def test_one_instance_more_or_fewer_is_offered_within_the_bounds(
    now: int, least: int, room: int, counts: list[int]
) -> None:
    limits = Limits(min_post_processing=least, max_post_processing=least + room)
    options = [Knobs(count, 4) for count in counts]
    found = list(
        post_processing.variants(iter(options), Knobs(1, 4, post_processing=now), limits, {1: Line(0.0, 0.01)})
    )
    assert len(set(found)) == len(found)
    assert {one.instances for one in found} == set(counts)
    for one in found:
        if now == 0:
            assert one.post_processing == 0, "what has none gets none"
        else:
            assert least <= one.post_processing <= least + room
            assert least <= now <= least + room or one.post_processing in {least, least + room}
            assert abs(one.post_processing - post_processing.kept(now, limits)) <= 1


def test_no_more_instances_are_offered_than_the_node_has_processors() -> None:
    visit = replace(seen(replace(START, post_processing=2)), processors=2.0)
    curves = learn([visit], WHERE.engines)
    now = {MODEL: replace(START, post_processing=2)}
    assert {one[MODEL].post_processing for one in candidates(now, WHERE, curves)} == {1, 2}
    large = learn([replace(visit, processors=3.0)], WHERE.engines)
    assert {one[MODEL].post_processing for one in candidates(now, WHERE, large)} == {1, 2, 3}


def test_instances_of_both_are_offered_together() -> None:
    curves = learn([seen()], WHERE.engines)
    found = {(one[MODEL].instances, one[MODEL].post_processing) for one in candidates({MODEL: START}, WHERE, curves)}
    assert {(1, 2), (2, 1), (2, 2), (4, 2)} <= found
    assert not {steps for _, steps in found} - {1, 2}


# --- predicted


def server(steps: int = 0, step_: tuple[float, ...] = (), *, instances: int = 1, interval: float = 0.2) -> Server:
    return Server(instances, (0.002,) * 4, (0.003, 0.005, 0.007, 0.009), interval=interval, steps=steps, step=step_)


@given(
    instances=st.integers(1, 3),
    steps=st.integers(1, 4),
    image=st.floats(0.001, 0.03),
    rate=st.floats(5.0, 400.0),
)
def test_frames_pass_both_stations_and_the_slower_one_bounds_them(
    instances: int, steps: int, image: float, rate: float
) -> None:
    taken = tuple(image * size for size in range(1, 5))
    both, alone = server(steps, taken, instances=instances), server(instances=instances)
    assert both.saturated == pytest.approx(min(alone.saturated, steps / image))
    there = passage(both, rate)
    assert there.latency >= 0.005 + image * 0.999, "an image needs both"
    # Of a run with 660 frames; what waits or is on its way at the end is served after it.
    left = 4 * (2 * instances + steps) + 0.2 * rate + 1
    assert 660 * (1.0 - there.skipped) <= 1.05 * both.saturated * 660 / rate + left
    assert capacity(both, 1.0) <= 1.02 * both.saturated


def test_a_frame_alone_takes_as_long_as_both_stations() -> None:
    assert passage(server(1, (0.010,) * 4), 0.0).latency == pytest.approx(0.005 + 0.010)
    assert passage(server(2, (0.010,) * 4), 1.0).latency == pytest.approx(0.005 + 0.010)


def test_a_second_instance_of_what_limits_doubles_the_capacity_until_the_model_limits() -> None:
    one, two, many = (
        expected(Knobs(1, 4, post_processing=count), seen(host=0.1)).models[MODEL].capacity for count in (1, 2, 12)
    )
    assert one.mean == pytest.approx(50.0, rel=0.1)
    assert two.mean == pytest.approx(100.0, rel=0.1)
    assert many.mean == pytest.approx(TRUTH.most(4, 1), rel=0.15)
    assert two.low > 1.3 * one.mean, "the processors have room, as is known"


def test_another_instance_of_a_model_that_does_not_limit_gains_nothing() -> None:
    found = seen()
    one, other = (expected(Knobs(count, 4, post_processing=1), found) for count in (1, 2))
    assert better(other, one, WHERE) < 0.03


def test_instances_for_which_the_processors_have_no_room_promise_little() -> None:
    found = seen(host=0.97)
    one, two = (expected(Knobs(1, 4, post_processing=count), found).models[MODEL] for count in (1, 2))
    assert two.capacity.mean < 1.1 * one.capacity.mean


def test_of_two_that_serve_alike_the_one_with_fewer_instances_is_better() -> None:
    found = seen(rate=10.0, demand=10.0, latency=0.04)
    lean, rich = (expected(Knobs(1, 1, post_processing=count), found) for count in (3, 4))
    same = replace(rich, models={MODEL: replace(rich.models[MODEL], capacity=lean.models[MODEL].capacity)})
    assert better(lean, same, WHERE) > 0
    assert promise._modesty({MODEL: Knobs(1, 1, post_processing=3)}) > promise._modesty(
        {MODEL: Knobs(1, 1, post_processing=4)}
    )


def test_time_in_post_processing_is_none_on_the_way() -> None:
    visit = seen()
    model = replace(visit.models[MODEL], request=0.010, exchange=0.012 + 1.5 * boxes(2))
    told = replace(visit, models={MODEL: model})
    (lane,) = lanes({MODEL: START}, learn([told], WHERE.engines), [told], WHERE)
    assert lane.way == pytest.approx(0.002)


def test_what_waits_for_post_processing_is_saturated() -> None:
    model = seen().models[MODEL]
    assert saturated(model)
    assert not saturated(replace(model, step=None))


# --- safe


def test_beyond_the_bounds_nothing_is_tried() -> None:
    narrow = replace(WHERE, limits=replace(LIMITS, max_post_processing=2))
    found = seen()
    present, more = expected(START, found), expected(Knobs(1, 4, post_processing=3), found)
    assert "3 instances of the post-processing of people are not within 1 to 2" in refusal(more, present, narrow)
    assert not allowed.within(more.configuration, narrow)
    assert allowed.within(more.configuration, WHERE)
    assert not allowed.within({MODEL: Knobs(1, 4)}, WHERE), "what is tuned stays tuned"


def test_post_processing_takes_no_memory_of_the_accelerator_and_some_of_shared_memory() -> None:
    careful = replace(WHERE, coexisting=False, in_place=False)
    before, after = {MODEL: START}, {MODEL: replace(START, post_processing=4)}
    assert not footprint.grows(after, before, careful), "the model is not loaded again"
    visit = replace(seen(), memory_used=1e9)
    used, change = footprint.memory(after, [visit], careful, visit)
    assert used == change == Range(1e9, 1e9, 1e9)
    engine = Engine(4, region=1e6, post_region=2e6, fixed_batch=True)
    told = replace(WHERE, engines={MODEL: engine})
    one, four = (resources.shared_memory(each, told) for each in (before, after))
    assert one == 3 * 4 * 1e6 + (1 << 20) + 4 * 2e6, "two requests for the instance, one for the post-processing"
    assert four == 6 * 4 * 1e6 + 4 * ((1 << 20) + 4 * 2e6)


def test_bounds_that_contradict_each_other_are_said_with_the_remedy() -> None:
    wrong = replace(WHERE, limits=replace(LIMITS, min_post_processing=5))
    assert "spec.tuning.bounds.postProcessingInstances" in contradiction(wrong)
    assert not contradiction(WHERE)
    assert not contradiction(situation()), "without any there are none"


# --- said and remembered


def test_the_line_says_what_changes() -> None:
    more = {MODEL: replace(START, post_processing=2)}
    assert sentences.change({MODEL: START}, more) == "people: post-processing 1 -> 2 instances"
    assert sentences.change(more, {MODEL: START}) == "people: post-processing 2 -> 1 instance"
    assert sentences.stated(more[MODEL]) == "1 instance, batches up to 4, post-processing with 2 instances"
    assert "post-processing" not in sentences.stated(Knobs(1, 4))


def window(executing: float = 0.9, *, knobs: Knobs = START, size: int = 2) -> Window:
    model = ModelWindow(
        knobs, demand=90.0, offered=90.0, rate=48.0, batches={2: BatchTime(240, 0.008)}, busy=0.3, request=0.01,
        exchange=0.05, latency=0.2, samples=400,
    )  # fmt: skip
    step_ = StepWindow(executing, 0.05, {size: BatchTime(240, boxes(size))})
    return Window("one", EPOCH, 10.0, {MODEL: model}, steps={names.post_processing(MODEL): step_})


def test_a_visit_remembers_what_its_windows_showed_of_the_step() -> None:
    first = visits.absorbed((), window(), EPOCH)
    (both,) = visits.absorbed(first, window(0.5, size=4), EPOCH + 10)
    found = both.models[MODEL].step
    assert found is not None
    assert (found.busy, found.request) == (pytest.approx(0.7), pytest.approx(0.05))
    assert sorted(found.batches) == [2, 4]
    kept = visits.begun_anew(both).models[MODEL].step
    assert kept is not None
    assert (sorted(kept.batches), kept.busy) == ([2, 4], 0.0), "what it takes is of the next trial too"
    assert both.processors is None, "nobody told"
    assert visits.merged(both, replace(window(), processors=4.0), EPOCH + 20).processors == 4.0
    two = visits.merged(None, window(1.8, knobs=replace(START, post_processing=2)), EPOCH)
    assert two.models[MODEL].busiest == pytest.approx(0.9)


def test_what_is_not_tuned_or_no_figure_is_not_remembered() -> None:
    assert visits.merged(None, window(knobs=Knobs(1, 4)), EPOCH).models[MODEL].step is None
    odd = replace(window(), steps={names.post_processing(MODEL): StepWindow(math.nan)})
    sound = visits.believable(odd)
    assert sound is not None
    assert (sound.steps, sound.models) == ({}, odd.models)


def test_records_without_the_field_come_back_and_models_without_post_processing_write_none() -> None:
    visit = visits.merged(None, window(), EPOCH)
    state = State(accepted={MODEL: START}, visits=(visit,))
    assert from_json(State, to_json(state)) == state
    plain = State(accepted={MODEL: Knobs(1, 4)}, visits=(visits.merged(None, window(knobs=Knobs(1, 4)), EPOCH),))
    text = to_json(plain)
    assert "postProcessing" not in text
    assert "step" not in text
    assert from_json(State, text) == plain
    assert key({MODEL: Knobs(1, 4)}) == "people=1/4/[]/0"
    assert key({MODEL: START}) == "people=1/4/[]/0/1"


@pytest.mark.parametrize("models", [1, 8])
def test_a_record_with_post_processing_stays_as_small(models: int) -> None:
    state = full(models, 128, 60)
    grown = tuple(
        replace(
            visit,
            models={
                name: replace(
                    model,
                    knobs=replace(model.knobs, post_processing=64),
                    step=StepVisit(model.batches, 0.123456, 0.0123456),
                )
                for name, model in visit.models.items()
            },
        )
        for visit in state.visits
    )
    less = bounded(replace(state, visits=grown, reference=grown[0], accepted=grown[-1].configuration))
    assert len(to_json(less)) < 100_000
    assert from_json(State, to_json(less)) == less
    assert less.visits[-1].configuration == less.accepted
    assert less.visits[-1].models[min(less.accepted)].step is not None


def test_the_memory_of_a_release_that_did_not_tune_it_costs_no_accepted_knob() -> None:
    """What it had found of the model serves on, and the search begins anew."""
    good = {MODEL: replace(START, instances=2)}
    former = State(spec="former", aims="former", accepted={MODEL: Knobs(2, 4)}, probes=3)
    state, decision = step(former, Report(("one",)), replace(WHERE, accepted=good), EPOCH)
    assert (state.accepted, state.probes, decision.kind) == (good, 0, Kind.WAIT)
    left = ProbeReport("old", "Running")
    _, decision = step(former, Report(("one",), probe=left), replace(WHERE, accepted=good), EPOCH)
    assert (decision.kind, decision.configuration) == (Kind.REVERT, good), "its trial is ended"


def test_a_model_without_post_processing_has_the_digests_that_it_had() -> None:
    """Of a former release's repr of start, engines, goal and limits."""
    plain = Situation({MODEL: Knobs(1, 4)}, {MODEL: Engine(4)})
    state, _ = step(State(), Report(()), plain, EPOCH)
    assert (state.spec, state.aims) == ("195abde5c3e2a2a0", "ef28635802a6ebef")


# --- told


def test_the_capacity_in_status_is_that_of_the_fuller_station() -> None:
    found = measured([window(0.96)], {MODEL: START}, 1, EPOCH)
    assert found is not None
    assert found.frames == pytest.approx(48.0 / 0.96, abs=0.1)


def test_a_diagnosis_counts_the_instances_in_force() -> None:
    known = Known(models={names.post_processing(MODEL): KnownModel(boxes_of=MODEL, instances=1)})
    shown = window(1.8, knobs=replace(START, post_processing=2))
    found = signals([shown], WHERE, known, ())
    assert found is not None
    (told,) = found.steps
    assert (told.instances, told.busy, told.tuned) == (2, pytest.approx(0.9), True)
