"""What passes by itself, or was tried in vain, makes the tuner change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.tuning.toy import FIRST, Device, World, ran, situation

from edgedetector.tuning import memory, rescue, resting, transitions
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.evidence import Prediction
from edgedetector.tuning.record import Best, State, Trial
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import Knobs

ONE = {"people": Knobs()}
SMALL = situation(engines={"people": Engine(4)}, limits=Limits(latency=0.2, memory=16e9, max_instances=3))
HOPELESS = replace(SMALL, limits=replace(SMALL.limits, latency=0.04))


def resumed(
    world: World, told: Situation, seconds: float, state: State, pause: float = 10.0
) -> tuple[State, list[float]]:
    """Let it run; return when tuning went on though it had converged."""
    found = []
    end = world.now + seconds
    while world.now < end:
        before = state.converged
        world.pass_(2.0 if state.trial else pause)
        state, decision = step(state, world.report(state, 2.0 if state.trial else pause), told, world.now)
        world.apply(decision)
        if before and not state.converged and state.trial is None:
            found.append(world.now)
    return state, found


@pytest.mark.parametrize("slow", [0.7, 1.4])
def test_a_neighbour_that_comes_and_goes_within_minutes_is_no_other_server(slow: float) -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 900)
    assert state.reference is not None
    for _ in range(6):
        world.device.slow = slow
        state, during = resumed(world, SMALL, 240, state)
        world.device.slow = 1.0
        state, after = resumed(world, SMALL, 240, state)
        assert during == after == []
    assert state.drifting == 0.0


def test_an_objective_that_is_broken_for_a_while_is_borne() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 1500)
    assert state.converged
    world.device.slow = 12.0
    state, _ = ran(world, SMALL, 200, state)
    assert state.suffering, "it is seen"
    world.device.slow = 1.0
    state, later = resumed(world, SMALL, 900, state)
    assert (later, state.suffering) == ([], 0.0)


def test_one_that_stays_broken_is_tuned_again() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 1500)
    world.device.slow = 12.0
    begun = world.now
    state, later = resumed(world, SMALL, 900, state)
    assert later
    assert resting.SUFFERS <= later[0] - begun <= resting.SUFFERS + 200


def test_what_was_broken_when_tuning_ended_is_tried_anew_ever_more_rarely() -> None:
    """Requests take longer than the objective with one image already; nothing else changes."""
    world = World(ONE, Device(fixed=0.08))
    state, _ = ran(world, HOPELESS, 200)
    assert state.hopeless
    _, later = resumed(world, HOPELESS, 3 * 86400, state, pause=60.0)
    pauses = [round((second - first) / 3600) for first, second in zip([FIRST, *later], later, strict=False)]
    assert pauses == [6, 12, 24, 24], "hours, a day at most"


@pytest.mark.parametrize(("vain", "hours"), [(0, 0.25), (1, 6), (2, 12), (3, 24), (9, 24)])
def test_patience_doubles_up_to_a_day(vain: int, hours: float) -> None:
    assert resting._patience(Best({}, ONE, FIRST, vain=vain)) == hours * 3600


def test_another_best_at_a_level_begins_with_fresh_hope() -> None:
    state = memory.remembered(State(accepted=ONE, level={"people": 1}), FIRST, converged=True, vain=3)
    state = memory.remembered(replace(state, accepted={"people": Knobs(2)}), FIRST, converged=False)
    known = memory.best(state)
    assert known is not None
    assert known.vain == 0


def test_where_the_demand_moves_with_each_trial_no_more_are_begun() -> None:
    world, state = World(ONE), State()
    begun: list[float] = []
    while world.now < FIRST + 2 * 3600:
        pause = 2.0 if state.trial else 10.0
        world.pass_(pause)
        world.demand = 150.0 if state.trial else 40.0
        state, decision = step(state, world.report(state, pause), SMALL, world.now)
        world.apply(decision)
        if decision.kind is Kind.PROBE:
            begun.append(world.now)
    assert len(begun) == resting.RESTLESS
    assert "each of the last 3 trials ended for what was not its own" in decision.message
    assert not state.converged, "another time it may be found"


@pytest.mark.parametrize(("limit", "hours", "waits"), [
    (1e-4, 0.9, True), (1e-4, 1.1, False), (1.0, 1.1, True), (1.0, 2.1, False),
])  # fmt: skip
def test_a_broken_objective_waits_less_long_for_trials_that_teach(limit: float, hours: float, *, waits: bool) -> None:
    """Three trials in a row ended since the demand moved, the last one so many hours ago."""
    world = World(ONE)
    state, _ = ran(world, SMALL, 20)
    now = world.now + 12 * 3600.0
    state = replace(state, futile=(now - hours * 3600.0,) * resting.RESTLESS)
    where = replace(SMALL, limits=replace(SMALL.limits, latency=limit))
    assert rescue.broken(state, where) is (limit < 1.0)
    assert (resting._held_back(state, where, now) is not None) is waits


def test_a_trial_that_ends_for_what_it_showed_is_a_new_beginning() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 20)
    state, decisions = ran(world, SMALL, 100, replace(state, futile=(FIRST, FIRST + 10)))
    assert any(ends(decision) for _, decision in decisions)
    assert state.futile == ()


def test_where_nobody_attends_the_trials_no_more_are_begun() -> None:
    """The operator is down for a minute after each has begun."""
    world, state = World(ONE), State()
    begun = 0
    while world.now < FIRST + 3600:
        world.pass_(60.0 if state.trial else 10.0)
        state, decision = step(state, world.report(state, 10.0), SMALL, world.now)
        world.apply(decision)
        begun += decision.kind is Kind.PROBE
    assert begun == resting.RESTLESS
    assert state.denials == (), "it was not for the configuration"


def ends(decision: Decision) -> bool:
    return decision.kind in {Kind.KEEP, Kind.REVERT}


@pytest.mark.parametrize(("tried", "begins"), [(0.0, True), (resting.TRIED - 1, True), (resting.TRIED, False)])
def test_after_five_minutes_of_trials_it_is_left_at_what_they_found(tried: float, *, begins: bool) -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 20)
    state, decisions = ran(world, SMALL, 40, replace(state, tried=tried))
    assert (Kind.PROBE in {decision.kind for _, decision in decisions}) is begins
    assert begins or state.converged


def test_the_seconds_of_all_trials_count() -> None:
    world = World(ONE)
    state, decisions = ran(world, SMALL, 600)
    begun = [at for at, decision in decisions if decision.kind is Kind.PROBE]
    ended = [at for at, decision in decisions if ends(decision)]
    assert state.tried == pytest.approx(sum(ended) - sum(begun))
    assert state.tried > 0


def test_an_hour_in_which_nobody_was_there_is_no_hour_of_trials() -> None:
    trial = Trial("t1", "a", {"people": Knobs(2)}, 1000.0, 1020.0, 30.0, {}, Prediction({}))
    state = State(accepted=ONE, trial=trial)
    assert transitions.reverted(state, trial, "gone", 1000.0 + 3600.0)[0].tried == 50.0
    assert transitions.reverted(state, trial, "no gain", 1040.0)[0].tried == 40.0


def test_a_trial_begins_when_it_is_chosen_and_not_when_one_began_to_choose() -> None:
    trial = Trial("t1", "a", {"people": Knobs(2)}, 1000.0, 1000.0, 30.0, {}, Prediction({}))
    found = transitions.dated(State(accepted=ONE, trial=trial), 1045.0).trial
    assert found == replace(trial, since=1045.0, renewed=1045.0)
    assert transitions.dated(State(), 1045.0) == State()
