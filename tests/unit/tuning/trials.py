"""A toy server on which a trial runs, for tests of what the tuner does then."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tuning.toy import FIRST, World, ran, situation

from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import Knobs

ONE = {"people": Knobs()}


SMALL = situation(engines={"people": Engine(4)}, limits=Limits(latency=0.2, memory=16e9, max_instances=3))


def kinds(decisions: list[tuple[float, Decision]]) -> list[Kind]:
    return [decision.kind for _, decision in decisions if decision.kind != Kind.RENEW]


def probing(world: World, told: Situation = SMALL, seconds: float = 4.0) -> State:
    """Drive it until a trial has run for some seconds."""
    state = State()
    while state.trial is None:
        state, _ = ran(world, told, 10, state)
        assert world.now < FIRST + 120
    state, _ = ran(world, told, seconds, state)
    assert state.trial is not None
    return state


def one(world: World, state: State, told: Situation = SMALL, **changes: object) -> tuple[State, Decision]:
    """One step after two seconds, with a report that is changed a little."""
    world.pass_(2.0)
    report = replace(world.report(state, 2.0), **changes)  # type: ignore[arg-type]
    state, decision = step(state, report, told, world.now)
    world.apply(decision)
    return state, decision
