"""What ends a trial, and what is learnt from it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.tuning.toy import Device, Pod, World, ran
from tests.unit.tuning.trials import ONE, SMALL, one, probing

from edgedetector.tuning.decision import Kind, ProbeReport
from edgedetector.tuning.record import State
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import LADDER, Knobs


def test_a_trial_in_which_a_request_fails_is_over_at_once_and_not_repeated() -> None:
    world = World(ONE, Device(fails_from=2))
    state, decisions = ran(world, SMALL, 900)
    reverts = [decision for _, decision in decisions if decision.kind is Kind.REVERT]
    assert reverts
    assert all("requests failed" in decision.message for decision in reverts)
    assert state.accepted["people"].instances == 1
    tried = [tuple(sorted(each.items())) for each in world.tried]
    assert len(tried) == len(set(tried))
    ends = [(at, decision.kind) for at, decision in decisions if decision.kind is not Kind.RENEW]
    for (begun, kind), (ended, end) in itertools.pairwise(ends):
        if kind is Kind.PROBE and end is Kind.REVERT:
            assert ended - begun <= 2.0, "one window"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda trial: ProbeReport(trial, "Failed", "out of memory on the device"), "out of memory on the device"),
        (lambda trial: ProbeReport(trial, "Expired"), "ended the trial"),
        (lambda _: ProbeReport("", ""), "does not know of the trial any more"),
        (lambda _: ProbeReport("other", "Running"), "does not know of the trial any more"),
    ],
)
def test_what_the_pod_says_of_a_trial_ends_it(answer: Callable[[str], ProbeReport], word: str) -> None:
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    state, decision = one(world, state, probe=answer(state.trial.id))
    assert decision.kind is Kind.REVERT
    assert word in decision.message
    assert decision.configuration == state.accepted == ONE


def test_what_did_not_load_is_denied_for_an_hour() -> None:
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    tried = state.trial.configuration
    state, _ = one(world, state, probe=ProbeReport(state.trial.id, "Failed", "out of memory on the device"))
    assert [denial.until - world.now for denial in state.denials] == [3600]
    state, _ = ran(world, SMALL, 3500, state)
    assert tried not in world.tried[1:]


def test_a_pod_that_goes_says_nothing_of_what_was_tried_in_it_and_the_same_is_tried_again() -> None:
    """A drained node, an eviction, a new template: another pod has taken its place."""
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    tried = dict(state.trial.configuration)
    world.pods = {"pod-new": Pod(dict(ONE))}
    state, decision = one(world, state, windows=())
    assert (decision.kind, state.denials) == (Kind.REVERT, ())
    assert "gone" in decision.message
    _, decisions = ran(world, SMALL, 120, state)
    assert (decisions[0][1].configuration, decisions[0][1].pod) == (tried, "pod-new")


def test_an_operator_that_was_away_says_nothing_of_what_was_tried_meanwhile() -> None:
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    tried = dict(state.trial.configuration)
    world.pass_(60.0)
    state, decision = one(world, state)
    assert (decision.kind, state.denials) == (Kind.REVERT, ())
    assert "not renewed in time" in decision.message
    _, decisions = ran(world, SMALL, 120, state)
    assert decisions[0][1].configuration == tried


@pytest.mark.parametrize("said", [None, ProbeReport("", "Expired")])
def test_a_pod_that_may_have_choked_on_a_configuration_denies_it_for_a_while(said: ProbeReport | None) -> None:
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    told = replace(said, id=state.trial.id) if said is not None else None
    decision = None
    while decision is None or decision.kind is not Kind.REVERT:
        state, decision = one(world, state, windows=(), probe=told)
    assert [denial.until - world.now for denial in state.denials] == [600]


def test_a_pod_that_is_gone_or_silent_ends_the_trial() -> None:
    world = World(ONE)
    state = probing(world)
    after, decision = one(world, state, pods=("pod-new",), probe=None)
    assert (decision.kind, after.trial) == (Kind.REVERT, None)
    assert "gone" in decision.message
    silent = state
    for _ in range(10):
        silent, decision = one(world, silent, windows=(), probe=None)
        if decision.kind is Kind.REVERT:
            break
    assert decision.kind is Kind.REVERT
    assert "does not answer" in decision.message
    assert silent.cooldown - world.now <= 35, "until its pod has surely ended it by itself"


def test_a_trial_that_the_pod_never_takes_up_is_over_after_half_a_minute() -> None:
    world = World(ONE)
    state = State()
    while state.trial is None:
        world.pass_(10.0)
        state, decision = step(state, world.report(state, 10.0), SMALL, world.now)  # the decision is lost
    begun = world.now
    while state.trial is not None:
        state, decision = one(world, state)
    assert decision.kind is Kind.REVERT
    assert world.now - begun <= 34


def test_the_ladder_moving_ends_a_trial() -> None:
    world = World(ONE)
    state = probing(world)
    world.disturbed = LADDER
    state, decision = one(world, state)
    assert decision.kind is Kind.REVERT
    assert LADDER in decision.message
    for _ in range(60):
        state, decision = one(world, state)
        assert decision.kind is not Kind.PROBE, "while the ladder moves nothing is tried"
    assert state.discarded >= 60


def test_moving_demand_ends_a_trial_without_a_denial() -> None:
    world = World(ONE)
    state = probing(world)
    world.demand *= 4
    for _ in range(3):
        state, decision = one(world, state)
        if decision.kind is Kind.REVERT:
            break
    assert decision.kind is Kind.REVERT
    assert "the demand moved" in decision.message
    assert state.denials == ()
    assert state.accepted == ONE


def test_a_slow_breach_of_the_objective_ends_a_trial_within_two_windows() -> None:
    world = World(ONE)
    state = probing(world)
    world.device.slow = 12.0
    states = []
    for _ in range(2):
        state, decision = one(world, state)
        states.append(decision.kind)
        if decision.kind is Kind.REVERT:
            break
    assert Kind.REVERT in states
    assert "latency objective" in decision.message


def test_what_harmed_in_its_first_window_is_learnt_from() -> None:
    world = World(ONE)
    state = probing(world, seconds=0.0)
    assert state.trial is not None
    tried = state.trial.configuration
    world.device.slow = 12.0
    for _ in range(3):
        state, decision = one(world, state)
        if decision.kind is Kind.REVERT:
            break
    assert decision.kind is Kind.REVERT
    (seen,) = [visit for visit in state.visits if visit.configuration == tried]
    assert seen.windows == 1, "the trial ended with its first window"
    assert seen.models["people"].batches


@pytest.mark.parametrize("slow", [0.5, 1.5])
def test_replicas_that_serve_on_are_the_control_of_a_trial(slow: float) -> None:
    """The whole box becomes quicker or slower as the trial begins: the past is no measure for it."""
    world = World(ONE, names=("pod-0", "pod-1"))
    state = probing(world, seconds=0.0)
    assert state.trial is not None
    assert state.trial.pod == "pod-1"
    world.device.slow = slow
    state, decisions = ran(world, SMALL, 70, state)
    end = next(decision for _, decision in decisions if decision.kind in {Kind.KEEP, Kind.REVERT})
    found = re.search(r"([0-9.]+) -> ([0-9.]+) images/s", end.message)
    assert found is not None, end.message
    assert float(found[1]) == pytest.approx(world.device.capacity(Knobs()), rel=0.15), "as it is now"
    assert all(pod.accepted == state.accepted for pod in world.pods.values())
