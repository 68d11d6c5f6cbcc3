"""What the tuner does in the situations that it is made for, on a toy server."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tuning.toy import Device, World, ran
from tests.unit.tuning.trials import ONE, SMALL, kinds, one, probing

from edgedetector.tuning.decision import Kind
from edgedetector.tuning.situation import Engine
from edgedetector.tuning.window import Knobs


def test_it_climbs_in_a_few_trials_and_then_changes_nothing_for_hours() -> None:
    world = World(ONE)
    state, decisions = ran(world, SMALL, 600)
    assert state.converged
    assert len(world.tried) <= 4
    # How near the best that is, servers with a queue judge (`judge`); the toy tells no utilisation to know sharing by.
    assert world.device.capacity(state.accepted["people"]) >= 2 * world.device.capacity(Knobs(1, 1))
    state, later = ran(world, SMALL, 3 * 3600, state)
    assert later == []
    assert all(pod.serves() == state.accepted for pod in world.pods.values())
    keeps = [decision.message for _, decision in decisions if decision.kind is Kind.KEEP]
    assert all("images/s (predicted" in told and "kept" in told and "ms of 200" in told for told in keeps)


def test_the_same_input_gives_the_same_decisions() -> None:
    first, second = (ran(World(ONE, seed=7), SMALL, 300) for _ in range(2))
    assert first == second


def test_a_delay_that_waits_for_nobody_is_cured_first() -> None:
    start = {"people": Knobs(1, 4, (), 100_000)}
    world = World(start, demand=10)
    told = replace(SMALL, start=start)
    state, decisions = ran(world, told, 120)
    first = decisions[0][1]
    assert first.kind is Kind.PROBE
    assert "queue delay 100 ms -> " in first.message
    assert "wait for a delay" in first.message
    assert state.accepted["people"].max_queue_delay_microseconds <= 5000
    assert state.cured


def test_batches_that_cost_the_same_written_differently_are_not_tried() -> None:
    world = World({"people": Knobs(1, 1)}, Device(contention=1.5))
    told = replace(SMALL, start={"people": Knobs(1, 1)}, engines={"people": Engine(1)})
    state, decisions = ran(world, told, 200)
    assert {"people": Knobs(1, 0)} not in world.tried
    assert {"people": Knobs(1, 1, (), 1000)} not in world.tried
    assert state.converged
    assert kinds(decisions).count(Kind.PROBE) <= 2


def test_a_pod_that_cannot_load_what_is_accepted_ends_a_trial_and_takes_no_start_back() -> None:
    world = World(ONE, names=("pod-0", "pod-1"))
    state, decision = one(world, probing(world), refused="pod-0 cannot load people so: out of memory")
    assert (decision.kind, decision.configuration, state.denials) == (Kind.REVERT, ONE, ())
    assert "pod-0 cannot load people" in decision.message
    for _ in range(60):
        state, decision = one(world, state, refused="pod-0 cannot load people so: out of memory")
        assert decision.kind is not Kind.KEEP, "there is nothing else that was proven"
