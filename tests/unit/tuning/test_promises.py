"""What is promised of any server, any words and any figures: it ends, it stays within bounds, and it goes back.

That no step asks for more memory than there is stands in `test_resources`, what outlasts crashes in
`test_tuner_properties`, and what a person is told of each in `test_tuning_adversity`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tuning.toy import Device, World, ran, situation

from edgedetector.tuning.allowed import within
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Engine, Goal, Limits
from edgedetector.tuning.trouble import contradiction
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import BatchTime, Knobs, Window

START = {"people": Knobs(1, 2)}
TOLD = situation(
    START,
    engines={"people": Engine(4)},
    limits=Limits(latency=0.2, memory=8e9, max_instances=3, max_queue_delay_microseconds=500),
)
CHANGES = {Kind.PROBE, Kind.KEEP, Kind.REVERT}
DEVICES = st.builds(
    Device,
    fixed=st.floats(0.0005, 0.03),
    each=st.floats(0.0005, 0.02),
    contention=st.floats(0.0, 2.0),
    noise=st.sampled_from([0.0, 0.01, 0.03]),
    fails_from=st.sampled_from([99, 2, 3]),
)
ANYTHING = st.floats() | st.sampled_from([0.0, -0.0, -1.0, 1e300, -1e300, 1e-300])
NUMBERLESS = st.sampled_from([math.nan, math.inf, -math.inf, -1.0])


def changes(decisions: list[tuple[float, Decision]]) -> list[Decision]:
    return [decision for _, decision in decisions if decision.kind in CHANGES]


@settings(max_examples=4, deadline=None)
@given(device=DEVICES, demand=st.floats(1.0, 300.0), goal=st.sampled_from(Goal), seed=st.integers(0, 99))
def test_on_any_server_it_ends_and_then_changes_nothing(device: Device, demand: float, goal: Goal, seed: int) -> None:
    """It has converged, or says why it cannot tune; steady traffic gives it no reason to begin anew."""
    told = replace(TOLD, goal=goal)
    world = World(START, device, demand, seed=seed)
    state, _ = ran(world, told, 1800)
    assert state.converged or state.trouble
    assert state.trial is None
    state, decisions = ran(world, told, 1800, state)
    assert changes(decisions) == []


@settings(max_examples=8, deadline=None)
@given(device=DEVICES, demand=st.floats(1.0, 300.0), after=st.floats(0.0, 60.0), slow=st.sampled_from([1.0, 0.5, 20.0]))
def test_a_change_that_is_taken_back_leaves_all_pods_as_they_were(
    device: Device, demand: float, after: float, slow: float
) -> None:
    """Whatever ends a trial, here a server that changes in it, or somebody who freezes tuning at any moment of it."""
    world = World(START, device, demand, names=("pod-0", "pod-1"))
    state = State()
    for _ in range(60):
        before = dict(state.accepted) or START
        state, decisions = ran(world, TOLD, 2, state)
        if any(decision.kind is Kind.PROBE for _, decision in decisions):
            break
    else:
        return  # nothing is worth a trial on this server
    world.device = replace(device, slow=device.slow * slow)
    state, decisions = ran(world, TOLD, after, state)
    if state.trial is not None:
        world.pass_(2.0)
        state, decision = step(state, replace(world.report(state, 2.0), refused="it cannot be loaded"), TOLD, world.now)
        world.apply(decision)
        assert decision.kind is Kind.REVERT
        assert state.trial is None
    kept = [decision for _, decision in decisions if decision.kind is Kind.KEEP]
    if not kept:
        assert state.accepted == before
    assert {str(pod.serves()) for pod in world.pods.values()} == {str(dict(state.accepted))}


LIMITS = st.builds(
    Limits,
    latency=ANYTHING,
    percentile=st.integers(-5, 200),
    accelerator=ANYTHING | st.floats(0.1, 1.0),
    host=ANYTHING | st.floats(0.1, 1.0),
    memory=st.none() | ANYTHING,
    min_instances=st.integers(-2, 5),
    max_instances=st.integers(-2, 9),
    max_queue_delay_microseconds=st.integers(-5, 10_000),
)
SOUND = st.builds(
    Limits,
    latency=st.floats(1e-6, 10.0),
    accelerator=st.floats(0.05, 1.0),
    host=st.floats(0.05, 1.0),
    memory=st.none() | st.floats(1.0, 1e12),
    min_instances=st.integers(1, 3),
    max_instances=st.integers(3, 6),
    max_queue_delay_microseconds=st.integers(0, 10_000),
)


@cache
def probing() -> tuple[World, State]:
    """A trial that runs; to be copied."""
    world, state = World(START), State()
    while state.trial is None:
        state, _ = ran(world, TOLD, 2, state)
    return world, state


@settings(max_examples=25, deadline=None)
@given(limits=LIMITS | SOUND, mode=st.sampled_from(["begin", "trial"]))
def test_whatever_is_asked_for_it_is_kept_or_said_to_be_wrong_with_the_remedy(limits: Limits, mode: str) -> None:
    world, state = copy.deepcopy(probing()) if mode == "trial" else (World(START), State())
    told = replace(TOLD, limits=limits)
    before = dict(state.accepted)
    state, decisions = ran(world, told, 60, state)
    for _, decision in decisions:
        assert decision.configuration is not None or decision.kind is Kind.RENEW
        if decision.kind is Kind.PROBE or (decision.kind is Kind.KEEP and decision.configuration != START):
            assert within(decision.configuration or {}, told)
    if wrong := contradiction(told):
        assert state.trouble == wrong
        assert any(word in wrong for word in ("correct ", "state ", "name "))
        assert {decision.kind for _, decision in decisions} <= {Kind.REVERT}, "only a trial that runs is ended"
        assert state.accepted == (before or {})
        assert state.trial is None


@settings(max_examples=8, deadline=None)
@given(fixed=st.floats(0.01, 0.2), share=st.floats(1e-6, 0.5), demand=st.floats(1.0, 50.0))
def test_an_objective_below_what_one_image_takes_changes_nothing_and_names_the_remedy(
    fixed: float, share: float, demand: float
) -> None:
    device = Device(fixed=fixed, each=0.001)
    told = replace(TOLD, limits=replace(TOLD.limits, latency=share * fixed))
    state, decisions = ran(
        World({"people": Knobs(1, 1)}, device, demand), replace(told, start={"people": Knobs(1, 1)}), 300
    )
    assert changes(decisions) == []
    assert "spec.tuning.objective.latency.max" in state.trouble


ESSENTIAL = ("demand", "offered", "rate", "busy", "queue", "request", "skipped")
OPTIONAL = ("latency", "median", "exchange")
OF_THE_BOX = ("utilization", "host", "memory_used", "memory_total", "shared_memory_free")


def spoilt(window: Window, box: dict[str, float], **model: Any) -> Window:
    return replace(window, models={name: replace(one, **model) for name, one in window.models.items()}, **box)  # type: ignore[arg-type]


def told_so(how: Any, seconds: int = 300) -> tuple[State, list[Decision]]:
    """Let it run on windows of which each is spoilt by `how`."""
    world, state, found = World(START), State(), []
    for _ in range(seconds // 10):
        world.pass_(2.0 if state.trial is not None else 10.0)
        report = world.report(state, 10.0)
        report = replace(report, windows=tuple(how(window) for window in report.windows))
        state, decision = step(state, report, TOLD, world.now)
        world.apply(decision)
        found.append(decision)
    return state, [decision for decision in found if decision.kind is not Kind.WAIT]


@settings(max_examples=30, deadline=None)
@given(field=st.sampled_from(ESSENTIAL), figure=NUMBERLESS)
def test_a_figure_that_cannot_be_changes_nothing_and_is_said_with_the_remedy(field: str, figure: float) -> None:
    state, decisions = told_so(lambda window: spoilt(window, {}, **{field: figure}))
    assert decisions == []
    assert "see GET /observation" in state.trouble
    assert state.visits == ()


@settings(max_examples=10, deadline=None)
@given(batches=st.dictionaries(st.integers(-1, 4), st.builds(BatchTime, st.integers(-2, 0), NUMBERLESS), max_size=3))
def test_statistics_that_are_missing_or_cannot_be_change_nothing_and_are_said_with_the_remedy(
    batches: dict[int, BatchTime],
) -> None:
    state, decisions = told_so(lambda window: spoilt(window, {}, batches=batches))
    assert decisions == []
    assert "statistics" in state.trouble if not batches else "see GET /observation" in state.trouble


@settings(max_examples=6, deadline=None)
@given(
    box=st.dictionaries(st.sampled_from(OF_THE_BOX), ANYTHING),
    model=st.dictionaries(st.sampled_from(OPTIONAL), ANYTHING),
)
def test_garbage_of_an_exporter_leads_to_nothing_that_is_out_of_bounds(
    box: dict[str, float], model: dict[str, float]
) -> None:
    _, decisions = told_so(lambda window: spoilt(window, box, **model), 200)
    for decision in decisions:
        if decision.kind in {Kind.PROBE, Kind.KEEP}:
            assert within(decision.configuration or {}, TOLD) or decision.configuration == START
        assert "nan" not in decision.message


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_figures_in_any_window_raise_nothing_and_lead_nowhere_out_of_bounds(data: st.DataObject) -> None:
    def how(window: Window) -> Window:
        if data.draw(st.booleans()):
            return window
        model = data.draw(st.dictionaries(st.sampled_from([*ESSENTIAL, *OPTIONAL]), ANYTHING, max_size=3))
        box = data.draw(st.dictionaries(st.sampled_from([*OF_THE_BOX, "start", "seconds"]), ANYTHING, max_size=2))
        return spoilt(window, box, **model)

    state, decisions = told_so(how, 80)
    for decision in decisions:
        assert decision.configuration is None or within(decision.configuration, TOLD) or decision.configuration == START
    assert within(state.accepted, TOLD) or state.accepted == START
