"""Whatever happens to the tuner, its record, its decisions and its pods: it ends on what is known to be good.

The operator is killed, decisions are lost, its record is lost or an old one comes back, reports come twice, pods
restart or forget, clocks jump, figures are garbage. A pod alone keeps that a trial ends when its time is over.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.tuning.toy import FIRST, Device, World, situation

from edgedetector.api.wire import from_json, to_json
from edgedetector.tuning import transitions
from edgedetector.tuning.allowed import within
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.record import State, key
from edgedetector.tuning.situation import Engine, Limits, Mode
from edgedetector.tuning.trial import LONGEST
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import LADDER, Knobs, Window

START = {"people": Knobs(1, 2)}
TOLD = situation(
    START,
    engines={"people": Engine(2)},
    limits=Limits(latency=0.2, memory=1.7e9, max_instances=2, max_queue_delay_microseconds=500),
)
SLACK = 2
"""Changes that only say again what is accepted, and such that the record which counted them was lost."""


class Tuning(RuleBasedStateMachine):
    """A tuner, a pod or two, and a world that does not wish them well."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(START)
        self.told = TOLD
        self.state = State()
        self.saved: list[State] = [State()]
        self.good = [START]
        self.begun = 0.0
        self.changes: list[float] = []
        self.lossless = True

    @initialize(
        slow=st.sampled_from([0.5, 1.0, 2.0]),
        contention=st.sampled_from([0.0, 0.4, 1.5]),
        pods=st.sampled_from([("pod-0",), ("pod-0", "pod-1")]),
        demand=st.sampled_from([5.0, 40.0, 150.0]),
        fails=st.sampled_from([99, 2]),
    )
    def begin(self, slow: float, contention: float, pods: tuple[str, ...], demand: float, fails: int) -> None:
        device = Device(slow=slow, contention=contention, fails_from=fails)
        self.world = World(START, device, demand, pods)

    @rule(
        steps=st.integers(1, 20), mode=st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.AUTO, Mode.RECOMMEND, Mode.FROZEN])
    )
    def go_on(self, steps: int, mode: Mode) -> None:
        """The driver does its work."""
        for _ in range(steps):
            self._step(replace(self.told, mode=mode))

    @rule(lost=st.booleans(), spoil=st.sampled_from(["", "nan", "negative", "empty", "none", "twice"]))
    def once(self, *, lost: bool, spoil: str) -> None:
        """A step whose decision is lost, or whose report is not what it should be."""
        self._step(self.told, lost=lost, spoil=spoil)

    @rule()
    def crash(self) -> None:
        """The operator is killed and its record is gone."""
        self.state, self.lossless = State(), False

    @rule(data=st.data())
    def come_back_old(self, data: st.DataObject) -> None:
        """An older record comes back."""
        self.state, self.lossless = data.draw(st.sampled_from(self.saved)), False

    @rule(seconds=st.sampled_from([5.0, 40.0, 4000.0]))
    def be_away(self, seconds: float) -> None:
        """Nobody decides anything for a while; the trial ends by itself."""
        self.world.pass_(seconds)

    @rule(factor=st.sampled_from([0.3, 0.8, 1.2, 3.0]))
    def move_demand(self, factor: float) -> None:
        self.world.demand = min(1000.0, max(1.0, self.world.demand * factor))

    @rule(factor=st.sampled_from([0.5, 1.3, 20.0]))
    def change_device(self, factor: float) -> None:
        self.world.device.slow = min(50.0, max(0.2, self.world.device.slow * factor))

    @rule(moving=st.booleans())
    def move_ladder(self, *, moving: bool) -> None:
        self.world.disturbed = LADDER if moving else ""

    @rule(name=st.sampled_from(["pod-0", "pod-1"]))
    def restart_pod(self, name: str) -> None:
        """It comes back with what is accepted and knows of no trial."""
        if pod := self.world.pods.get(name):
            pod.probe, pod.trial, pod.outcome = "", None, ""

    @precondition(lambda self: len(self.world.pods) > 1)
    @rule()
    def lose_pod(self) -> None:
        self.world.pods.pop("pod-1", None)

    @rule(jump=st.sampled_from([-5000.0, -1.0, 100_000.0]))
    def jump_clock(self, jump: float) -> None:
        self.world.now += jump
        self.changes = []

    def _step(self, told: Any, *, lost: bool = False, spoil: str = "") -> None:
        pause = 2.0 if self.state.trial is not None else 10.0
        self.world.pass_(pause)
        report = self.world.report(self.state, pause)
        if spoil == "none":
            report = replace(report, windows=(), probe=None)
        elif spoil == "twice":
            report = replace(report, windows=(*report.windows, *report.windows))
        elif spoil:
            report = replace(report, windows=tuple(spoiled(window, spoil) for window in report.windows))
        before = self.state
        self.state, decision = step(before, report, told, self.world.now)
        assert step(before, report, told, self.world.now) == (self.state, decision), "the same input, the same decision"
        self._look_at(before, decision, told)
        self.saved = [*self.saved[-5:], self.state]
        if not lost:
            self.world.apply(decision)
        else:
            self.lossless = False

    def _look_at(self, before: State, decision: Decision, told: Any) -> None:
        kind = decision.kind
        if kind in {Kind.PROBE, Kind.KEEP, Kind.REVERT, Kind.RECOMMEND}:
            assert decision.configuration is not None
            assert within(decision.configuration, told) or decision.configuration == START
            assert decision.message
        if kind is Kind.PROBE:
            assert told.mode is Mode.AUTO
            assert before.trial is None
            assert decision.pod in self.world.pods
            assert 0 < decision.ttl <= 60
            self.begun = self.world.now
        if kind is Kind.KEEP:
            tried = before.trial.configuration if before.trial else None
            former = before.kept.previous if before.kept else None
            assert decision.configuration in (tried, former, before.accepted, START)
            self.good.append(dict(decision.configuration or {}))
        if kind is Kind.REVERT:
            assert decision.configuration == self.state.accepted
            assert self.state.trial is None
            if before.accepted:
                assert decision.configuration == before.accepted, "as it was before the trial"
        if kind in {Kind.PROBE, Kind.REVERT}:
            self.changes.append(self.world.now)

    @invariant()
    def what_is_accepted_is_known_to_be_good(self) -> None:
        assert self.state.accepted in [*self.good, {}]
        for pod in self.world.pods.values():
            assert pod.accepted in self.good

    @invariant()
    def trials_are_bounded(self) -> None:
        if self.state.trial is not None and self.lossless and self.world.now >= self.begun:
            assert self.state.trial.ttl <= 30
            renewed = self.state.trial.renewed - self.state.trial.since
            assert renewed <= LONGEST

    @invariant()
    def changes_are_bounded(self) -> None:
        if self.lossless:
            recent = [at for at in self.changes if self.world.now - at < 3600]
            assert len(recent) <= transitions.BUDGET + SLACK

    @invariant()
    def the_record_is_small_and_comes_back(self) -> None:
        text = to_json(self.state)
        assert len(text) < 100_000
        assert from_json(State, text) == self.state

    def teardown(self) -> None:
        """The operator dies here: the pods end on what is accepted; and when it comes back, all agree on it."""
        self.world.pass_(61.0)
        for pod in self.world.pods.values():
            assert pod.trial is None
            assert pod.serves() in self.good
        self.world.disturbed = ""
        for _ in range(40):
            self._step(replace(self.told, mode=Mode.FROZEN))
        assert self.state.trial is None
        for pod in self.world.pods.values():
            assert key(pod.serves()) == key(self.state.accepted)


def spoiled(window: Window, how: str) -> Window:
    model = window.models["people"]
    if how == "empty":
        return replace(window, models={})
    worse = replace(model, rate=math.nan) if how == "nan" else replace(model, queue=-1.0)
    return replace(window, models={"people": worse})


Tuning.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestTuning = Tuning.TestCase


def test_a_machine_that_never_stops_finds_an_end_by_itself() -> None:
    """No drop, no fault: after convergence hours pass without a change, whatever the device is like."""
    for contention in (0.0, 0.5, 2.0):
        world, state = World(START, Device(contention=contention)), State()
        last = 0.0
        while world.now < FIRST + 5400:
            pause = 2.0 if state.trial else 10.0
            world.pass_(pause)
            state, decision = step(state, world.report(state, pause), TOLD, world.now)
            world.apply(decision)
            if decision.kind in {Kind.PROBE, Kind.KEEP, Kind.REVERT}:
                last = world.now
        assert state.converged
        assert last - FIRST < 900
