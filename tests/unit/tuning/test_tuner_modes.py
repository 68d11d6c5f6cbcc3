"""What may not be changed is not: modes, bounds, budgets, turns."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.unit.tuning.toy import FIRST, Device, World, ran
from tests.unit.tuning.trials import ONE, SMALL, kinds, one, probing

from edgedetector.tuning import resting
from edgedetector.tuning.decision import Kind
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Limits, Mode
from edgedetector.tuning.tuner import step


def test_recommend_says_what_auto_would_do_and_touches_nothing() -> None:
    world = World(ONE)
    told = replace(SMALL, mode=Mode.RECOMMEND)
    _, decisions = ran(world, told, 300)
    assert set(kinds(decisions)) == {Kind.RECOMMEND}
    last = decisions[-1][1]
    assert last.configuration is not None
    assert last.configuration != ONE
    assert last.prediction is not None
    assert "predicted" in last.message
    assert len({decision.configuration["people"] for _, decision in decisions if decision.configuration}) <= 3
    assert world.tried == []


@pytest.mark.parametrize("mode", [Mode.FROZEN, Mode.RECOMMEND])
def test_freezing_ends_a_running_trial_and_then_nothing_is_changed(mode: Mode) -> None:
    world = World(ONE)
    state = probing(world)
    frozen = replace(SMALL, mode=mode)
    state, decision = one(world, state, frozen)
    assert decision.kind is Kind.REVERT
    assert state.denials == ()
    tried = len(world.tried)
    state, decisions = ran(world, frozen, 300, state)
    assert set(kinds(decisions)) <= {Kind.RECOMMEND}
    assert len(world.tried) == tried
    _, decisions = ran(world, SMALL, 300, state)
    assert Kind.PROBE in kinds(decisions), "resumed"


@pytest.mark.parametrize(
    ("limits", "remedy"),
    [
        (Limits(min_instances=3, max_instances=2), "spec.tuning.bounds.instances"),
        (Limits(min_instances=0), "spec.tuning.bounds.instances.min"),
        (Limits(latency=math.nan), "spec.tuning.objective.latency.max"),
        (Limits(latency=0.0), "spec.tuning.objective.latency.max"),
        (Limits(percentile=100), "spec.tuning.objective.latency.percentile"),
        (Limits(max_queue_delay_microseconds=-1), "spec.tuning.bounds.maxQueueDelay"),
        (Limits(accelerator=0.0), "spec.tuning.headroom.accelerator"),
        (Limits(host=math.nan), "spec.tuning.headroom.cpu"),
        (Limits(memory=-1.0), "memory"),
    ],
)
def test_contradictory_words_change_nothing_and_name_the_remedy(limits: Limits, remedy: str) -> None:
    world = World(ONE)
    state, decisions = ran(world, replace(SMALL, limits=limits), 120)
    assert decisions == []
    assert remedy in state.trouble
    state, decision = one(world, probing(World(ONE)), replace(SMALL, limits=limits))
    assert decision.kind is Kind.REVERT, "and a running trial is over"


def test_an_objective_that_nothing_can_keep_is_said_with_the_remedy() -> None:
    world = World(ONE, Device(fixed=0.08))
    told = replace(SMALL, limits=replace(SMALL.limits, latency=0.04))
    state, decisions = ran(world, told, 200)
    assert decisions == []
    assert "spec.tuning.objective.latency.max" in state.trouble
    assert state.converged, "more replicas are what is left"


def test_another_objective_takes_back_that_the_former_could_not_be_kept() -> None:
    world = World(ONE, Device(fixed=0.08))
    state, _ = ran(world, replace(SMALL, limits=replace(SMALL.limits, latency=0.04)), 200)
    assert state.hopeless
    state, _ = one(world, state, replace(SMALL, limits=replace(SMALL.limits, latency=4.0)))
    assert (state.trouble, state.hopeless) == ("", "")


def test_the_hours_budget_of_changes_is_kept() -> None:
    """Every trial fails for another reason than the configuration, so that nothing is denied."""
    world, state = World(ONE), State()
    changes: list[float] = []
    while world.now < FIRST + 3900:
        pause = 2.0 if state.trial else 10.0
        world.pass_(pause)
        world.demand = 150.0 if state.trial else 40.0
        state, decision = step(state, world.report(state, pause), SMALL, world.now)
        world.apply(decision)
        if decision.kind in {Kind.PROBE, Kind.REVERT, Kind.KEEP}:
            changes.append(world.now)
    assert changes
    for at in changes:
        assert sum(1 for other in changes if at <= other < at + 3600) <= resting.transitions.BUDGET


def test_a_choice_waits_for_its_turn_and_nothing_is_lost_by_it() -> None:
    world, state = World(ONE), State()
    waiting = replace(SMALL, may_choose=False)
    due = []
    for _ in range(12):
        world.pass_(10.0)
        state, decision = step(state, world.report(state, 10.0), waiting, world.now)
        assert decision.kind is Kind.WAIT
        due.append(decision.due)
    assert due == sorted(due), "once it is due it stays so"
    world.pass_(10.0)
    report = world.report(state, 10.0)
    assert step(state, report, waiting, world.now)[1].due
    assert step(state, report, SMALL, world.now)[1].kind is Kind.PROBE
