"""What is tried next."""

from __future__ import annotations

import pytest
from judge import harness, servers
from tests.unit.tuning.truths import EPOCH, MODEL, Truth, situation

from edgedetector.tuning import choice
from edgedetector.tuning.decision import Kind
from edgedetector.tuning.evidence import ModelPrediction, Prediction, Range
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
