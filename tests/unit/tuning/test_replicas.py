"""Several replicas under one tuner: cameras are never shared out quite evenly, and one of them may not hear."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from tests.unit.tuning.toy import FIRST, World, ran
from tests.unit.tuning.trials import ONE, SMALL, probing

from edgedetector.tuning.decision import Kind
from edgedetector.tuning.record import State, Trial
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import Knobs, Window

THREE = ("pod-a", "pod-b", "pod-c")


@dataclass
class Uneven(World):
    """Its pods have shares of the demand of their own."""

    shares: dict[str, float] = field(default_factory=dict)

    def window(self, name: str, seconds: float) -> Window:
        mean = self.demand
        self.demand = mean * self.shares[name]
        try:
            return super().window(name, seconds)
        finally:
            self.demand = mean


def uneven() -> Uneven:
    """Three pods; the one with the last name has the fewest cameras."""
    return Uneven(ONE, names=THREE, shares={"pod-a": 1.1, "pod-b": 1.4, "pod-c": 0.5})


def test_replicas_with_different_shares_of_the_cameras_are_tuned_by_the_one_with_the_most() -> None:
    world = uneven()
    state, decisions = ran(world, SMALL, 1200)
    probes = [decision.pod for _, decision in decisions if decision.kind is Kind.PROBE]
    assert probes
    assert set(probes) == {"pod-b"}
    assert state.converged
    assert state.demand["people"] > 1.35 * world.demand
    assert not any("demand moved" in decision.message for _, decision in decisions)


def test_no_trial_begins_while_a_pod_that_neither_answers_nor_hears_may_still_run_the_last_one() -> None:
    world = World(ONE, names=("pod-a", "pod-b"))
    state = probing(world)
    assert state.trial is not None
    pod, ended, end = state.trial.pod, False, world.now + 180
    while world.now < end:
        pause = 2.0 if state.trial else 10.0
        world.pass_(pause)
        report = world.report(state, pause)
        others = tuple(window for window in report.windows if window.pod != pod)
        state, decision = step(state, replace(report, windows=others, probe=None), SMALL, world.now)
        if decision.kind is Kind.RENEW:
            world.apply(decision)  # the last that reaches it
        ended = ended or decision.kind is Kind.REVERT
        if ended and decision.kind is Kind.PROBE:
            break
    assert decision.kind is Kind.PROBE
    assert decision.pod != pod
    assert world.now >= world.pods[pod].deadline
    assert world.pods[pod].trial is None


def tried(world: World) -> Trial:
    """Return a trial that has gone on for a few windows."""
    state = State()
    for _ in range(60):
        if state.trial is not None and state.trial.windows >= 5:
            return state.trial
        pause = 2.0 if state.trial else 10.0
        world.pass_(pause)
        state, decision = step(state, world.report(state, pause), SMALL, world.now)
        world.apply(decision)
    pytest.fail("nothing was tried")


def test_a_replica_with_another_load_is_no_control() -> None:
    assert tried(uneven()).control is None
    assert tried(Uneven(ONE, names=THREE, shares=dict.fromkeys(THREE, 1.0))).control is not None


def test_while_one_replica_of_several_serves_something_else_nothing_is_tried_and_it_is_said_again() -> None:
    for astray in THREE:
        world = Uneven(ONE, names=THREE, shares=dict.fromkeys(THREE, 1.0))
        world.pods[astray].trial = {"people": Knobs(2, 8)}
        world.pods[astray].deadline = world.now + 200.0
        _, decisions = ran(world, SMALL, 100)
        at, decision = decisions[0]
        assert (decision.kind, decision.configuration) == (Kind.KEEP, ONE)
        assert 30 <= at - FIRST <= 50
