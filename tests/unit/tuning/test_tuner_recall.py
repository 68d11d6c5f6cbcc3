"""What was found is recalled, taken back or begun anew."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tuning.toy import FIRST, World, ran
from tests.unit.tuning.trials import ONE, SMALL, one, probing

from edgedetector.tuning import resting
from edgedetector.tuning.decision import Decision, Kind, ProbeReport, Report
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Goal
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import Knobs


def test_what_was_kept_and_then_breaks_the_objective_is_taken_back_at_once() -> None:
    world = World(ONE)
    state = State()
    while state.kept is None:
        state, _ = ran(world, SMALL, 2, state)
    kept = dict(state.accepted)
    world.device.slow = 15.0
    back: list[Decision] = []
    for _ in range(4):
        world.pass_(10.0)
        state, decision = step(state, world.report(state, 10.0), SMALL, world.now)
        world.apply(decision)
        back += [decision] if decision.kind is Kind.KEEP else []
    assert [decision.configuration for decision in back] == [ONE]
    assert "back to the former" in back[0].message
    assert state.accepted == ONE != kept


def test_a_traffic_level_that_comes_back_costs_no_trial() -> None:
    world = World(ONE, demand=40)
    state, _ = ran(world, SMALL, 600)
    world.demand = 80.0
    state, _ = ran(world, SMALL, 600, state)
    tried = len(world.tried)
    for demand in (40.0, 80.0, 40.0):
        world.demand = demand
        state, _ = ran(world, SMALL, 400, state)
        assert state.converged
    assert len(world.tried) == tried
    assert len(state.memory) >= 2


def test_the_best_of_a_traffic_level_is_recalled_in_one_step_and_judged_again() -> None:
    by_latency = replace(SMALL, goal=Goal.THROUGHPUT)
    world = World(ONE, demand=40)
    state, _ = ran(world, by_latency, 600)
    best = dict(state.accepted)
    low = replace(state, accepted=dict(ONE), converged=False, reference=None, kept=None)  # as if something undid it
    for pod in world.pods.values():
        pod.accepted = dict(ONE)
    state, decisions = ran(world, by_latency, 60, low)
    assert decisions[0][1].configuration == best
    assert decisions[0][1].kind is Kind.PROBE
    assert state.accepted == best


def test_a_server_that_becomes_slower_for_good_is_tuned_again() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 600)
    world.device.slow = 1.4
    while state.converged:
        state, _ = ran(world, SMALL, 10, state)
        assert world.now < FIRST + 600 + 180 + resting.STAYS
    assert "times as long" in state.resumed
    state, _ = ran(world, SMALL, 600, state)
    assert (state.converged, state.resumed) == (True, "")
    _, later = ran(world, SMALL, 3600, state)
    assert later == []


def test_another_specification_begins_anew_from_its_start() -> None:
    world = World(ONE)
    state = probing(world)
    other = replace(SMALL, start={"people": Knobs(2, 2)})
    state, decision = one(world, state, other)
    assert decision.kind is Kind.REVERT
    assert decision.configuration == other.start == state.accepted
    assert state.visits == ()


def test_narrower_bounds_bring_back_the_start() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 600)
    assert state.accepted["people"].instances > 1
    narrow = replace(SMALL, limits=replace(SMALL.limits, max_instances=1))
    state, decisions = ran(world, narrow, 300, state)
    assert decisions[0][1].kind is Kind.KEEP
    assert decisions[0][1].configuration == ONE
    assert all(each["people"].instances == 1 for each in world.tried[-1:]) or state.accepted["people"].instances == 1


def test_a_lost_record_goes_on_from_what_is_on_record_as_accepted() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 600)
    on_record = replace(SMALL, accepted=state.accepted)
    again, decisions = ran(world, on_record, 300)
    assert decisions == [] or decisions[0][1].kind is Kind.PROBE
    assert world.device.capacity(again.accepted["people"]) >= 0.95 * world.device.capacity(state.accepted["people"])
    unknown = probing(World(ONE))
    assert unknown.trial is not None
    report = Report(("pod-0",), (), ProbeReport(unknown.trial.id, "Running"))
    fresh, decision = step(State(), report, SMALL, FIRST)
    assert decision.kind is Kind.REVERT
    assert decision.configuration == fresh.accepted == ONE


def test_a_lost_decision_to_keep_is_said_again() -> None:
    world, state = World(ONE), State()
    lost = 0
    while not (lost and state.astray == 0.0 and world.pods["pod-0"].accepted == state.accepted):
        pause = 2.0 if state.trial else 10.0
        world.pass_(pause)
        state, decision = step(state, world.report(state, pause), SMALL, world.now)
        if decision.kind is Kind.KEEP and not lost:
            lost += 1
            continue
        world.apply(decision)
        assert world.now < FIRST + 300
    assert world.pods["pod-0"].accepted == state.accepted != ONE
