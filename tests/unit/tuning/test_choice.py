"""What is tried next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judge import harness, servers
from tests.unit.tuning.truths import EPOCH, MODEL, Truth, situation

from edgedetector.tuning import choice, rescue, sentences
from edgedetector.tuning.decision import Kind
from edgedetector.tuning.evidence import ModelPrediction, Prediction, Range
from edgedetector.tuning.hindrance import ALIKE, FRAIL, hindrance
from edgedetector.tuning.lessons import Lesson
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Knobs

NOW, MORE = Knobs(1, 4), Knobs(2, 4)


def made(knobs: Knobs, low: float, mean: float) -> Prediction:
    latency = Range(0.01, 0.01, 0.01)
    return Prediction({MODEL: ModelPrediction(Range(low, mean, mean), latency, 0.5, 2.0, knobs, demand=50.0)})


@pytest.mark.parametrize(("low", "frail", "tried"), [(101, True, False), (101, False, True), (150, True, True)])
def test_where_a_change_back_would_break_the_objective_only_a_sure_gain_is_tried(
    low: float, *, frail: bool, tried: bool
) -> None:
    """100 images a second now: 200 are expected of the other, at least `low`."""
    offered = [({MODEL: MORE}, made(MORE, low, 200.0))]
    found = choice._most_promising(situation(NOW), made(NOW, 100.0, 100.0), offered, None, frail=frail)
    assert (found is not None) is tried


@pytest.mark.parametrize(("percentile", "frail"), [(99, True), (95, False)])
def test_a_pause_may_make_as_many_frames_late_as_the_objective_leaves(percentile: int, *, frail: bool) -> None:
    where = Situation({MODEL: NOW}, {}, limits=Limits(percentile=percentile))
    assert choice._frail([0.0, 0.2], where) is frail
    assert not choice._frail([], where)


def test_no_gain_is_sought_where_the_way_back_breaks_the_objective() -> None:
    """A device that is busy 99 % with small batches and hardly catches up with large ones (a cliff at six images)."""
    step, state = harness.ours()
    run = harness.Run(servers.server(1), step, state)
    while run.pod.clock.now < 120.0:
        run._tick()
    assert not [decision for _, decision in run.story.decisions if decision.kind is Kind.PROBE]
    assert not run._objective.broken


def overloaded(served: float, seconds: float) -> Prediction:
    """100 images a second are served now, at 0.4 s of the 0.1 s that are allowed."""
    model = ModelPrediction(
        Range(90.0, 100.0, 110.0), Range(seconds, seconds, seconds), 1.0, 4.0, MORE, demand=300.0, served=served
    )
    return Prediction({MODEL: model})


@pytest.mark.parametrize(
    ("served", "seconds", "tried", "helps"),
    [
        (98.0, 0.3, True, True),
        (94.0, 0.3, True, False),
        (94.0, 0.3, False, True),
        (90.0, 0.3, False, False),
        (60.0, 0.09, True, True),
    ],
)
def test_a_rescue_is_expected_to_serve_as_much_or_to_keep_the_objective(
    served: float, seconds: float, *, tried: bool, helps: bool
) -> None:
    now = overloaded(100.0, 0.4)
    assert rescue.helps(overloaded(served, seconds), now, situation(NOW, latency=0.1), tried=tried) is helps


def test_of_several_models_a_rescue_may_serve_less_where_the_one_that_starves_gets_more() -> None:
    def shared(first: float, second: float) -> Prediction:
        models = {name: overloaded(served, 0.3).models[MODEL] for name, served in (("a", first), ("b", second))}
        return Prediction(models)

    now, where = shared(120.0, 11.0), situation(NOW, latency=0.1)
    assert rescue.helps(shared(28.0, 28.0), now, where, tried=True)
    assert not rescue.helps(shared(90.0, 13.0), now, where, tried=True)
    assert not rescue.helps(overloaded(28.0, 0.3), overloaded(120.0, 0.4), where, tried=True)


def test_a_gain_is_less_where_what_is_like_it_disappointed() -> None:
    offered = [({MODEL: MORE}, made(MORE, 105.0, 110.0))]
    now, where = made(NOW, 100.0, 100.0), situation(NOW)
    alike, other = Lesson({MODEL: Knobs(2, 3)}, 0.15), Lesson({MODEL: Knobs(6, 1)}, 0.15)
    assert choice._most_promising(where, now, offered, None, frail=False, learnt=[other]) is not None
    assert choice._most_promising(where, now, offered, None, frail=False, learnt=[alike]) is None


def offered(step: Prediction, now: Prediction, *, frail: bool = False, looked: bool = True) -> str:
    full = [(step.configuration, step)]
    return hindrance(full, now, full if looked else [], now, situation(NOW, engine=Engine(8)), frail=frail)


def test_what_tuning_ends_with_names_the_step_that_promises_more_and_what_refuses_it() -> None:
    now = replace(made(NOW, 100.0, 100.0), memory=Range(4e8, 4e8, 4e8), memory_total=7e8)
    more = replace(made(MORE, 150.0, 160.0), memory=Range(6e8, 6e8, 6e8), change_memory=Range(7e8, 8.1e8, 8.12e8))
    more = replace(more, memory_total=7e8)
    why = "more is predicted of people: 1 -> 2 instances, but the change may need 812 MB of the accelerator's memory"
    for looked in (True, False):
        assert offered(more, now, looked=looked) == f"{why}, it has 700 MB"
    told = sentences.settled({MODEL: NOW}, None, now, situation(NOW), offered(more, now))
    assert told.endswith("; " + why + ", it has 700 MB")
    assert sentences.settled({MODEL: NOW}, None, now, situation(NOW)).endswith("promises clearly more")


def test_a_step_that_promises_hardly_more_is_not_worth_a_word() -> None:
    now = replace(made(NOW, 100.0, 100.0), memory_total=7e8)
    assert offered(made(MORE, 100.0, 105.0), now) == ""
    assert hindrance([], now, [], now, situation(NOW), frail=False) == ""


def test_a_step_that_is_safe_and_not_made_says_why() -> None:
    known = Range(4e8, 4e8, 4e8)
    now = replace(made(NOW, 100.0, 100.0), memory=known, memory_total=7e8)
    more = replace(made(MORE, 99.0, 160.0), memory=known, change_memory=known, memory_total=7e8)
    assert offered(more, now, frail=True).endswith(FRAIL)
    assert offered(more, now).endswith(ALIKE)


@pytest.mark.parametrize(("host", "said"), [(0.97, True), (0.3, False), (None, False)])
def test_where_the_processors_cannot_feed_more_that_is_what_tuning_ends_with(host: float | None, *, said: bool) -> None:
    """A device with room for twice as much, at 60 images a second that nearly take the node's processors."""
    seen = replace(Truth(0.008, 0.002).visit(Knobs(1, 1), use=0.6, latency=0.03, memory=6e8, total=8e9), host=host)
    where = situation(Knobs(1, 1), limits=Limits(0.1, max_instances=2), engine=Engine(8), coexisting=True)
    found = choice.choose(State(visits=(seen,), accepted={MODEL: Knobs(1, 1)}), where, EPOCH)
    assert isinstance(found, choice.Nothing) is said
    if isinstance(found, choice.Nothing):
        assert found.hindered == "what the host's processors, busy 97%, can feed leaves no step clearly more"


@pytest.mark.parametrize(("limit", "tried"), [(0.1, True), (0.07, False)])
def test_a_batch_that_was_never_seen_is_waited_for_where_its_worst_keeps_the_objective(
    limit: float, *, tried: bool
) -> None:
    """Frames in batches of two are expected to take 34 ms, 39 at most, and 81 should the second image cost thrice."""
    limits = Limits(limit, max_instances=1)
    where = situation(Knobs(1, 8), limits=limits, goal=Goal.EFFICIENCY, engine=Engine(8), coexisting=True)
    seen = Truth(0.008, 0.004).visit(Knobs(1, 8), use=0.45, latency=0.03, memory=6e8, total=8e9)
    found = choice.choose(State(visits=(seen,), accepted={MODEL: Knobs(1, 8)}), where, EPOCH)
    assert isinstance(found, choice.Choice) is tried
    if isinstance(found, choice.Choice):
        assert found.configuration[MODEL] == Knobs(1, 2, (), 5000)
