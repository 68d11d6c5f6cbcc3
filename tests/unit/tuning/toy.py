"""A toy server for the tuner's tests: closed formulae with a little noise, no queueing theory. It judges nothing.

It keeps what pods keep by themselves: a trial ends when its time is over, whatever the operator does.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgedetector.tuning.decision import Decision, Kind, ProbeReport, Report
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import BatchTime, Knobs, ModelWindow, Window

Config = dict[str, Knobs]
FIRST = 1_800_000_000.0


@dataclass
class Device:
    """Seconds of an execution: (fixed + each * size) * (1 + contention * others at work) * slow."""

    fixed: float = 0.004
    each: float = 0.004
    contention: float = 0.3
    slow: float = 1.0
    noise: float = 0.01
    fails_from: int = 99
    """Instances from which requests fail."""

    def seconds(self, size: int, instances: int, load: float = 1.0) -> float:
        return (self.fixed + self.each * size) * (1 + self.contention * (instances - 1) * load) * self.slow

    def capacity(self, knobs: Knobs) -> float:
        size = largest(knobs)
        return knobs.instances * size / self.seconds(size, knobs.instances)


def largest(knobs: Knobs) -> int:
    size = max(1, knobs.max_batch_size)
    if knobs.preferred_batch_sizes and not knobs.max_queue_delay_microseconds:
        size = min(size, max(knobs.preferred_batch_sizes))
    return size


@dataclass
class Pod:
    """What a pod serves, and the trial that it runs until its time is over."""

    accepted: Config
    probe: str = ""
    trial: Config | None = None
    deadline: float = 0.0
    outcome: str = ""

    def serves(self) -> Config:
        return self.trial if self.trial is not None else self.accepted


@dataclass
class World:
    """Pods that apply what reaches them, and windows of what they serve."""

    start: Config
    device: Device = field(default_factory=Device)
    demand: float = 40.0
    names: tuple[str, ...] = ("pod-0",)
    seed: int = 1
    now: float = FIRST
    pods: dict[str, Pod] = field(default_factory=dict)
    disturbed: str = ""
    tried: list[Config] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.pods = {name: Pod(dict(self.start)) for name in self.names}

    def apply(self, decision: Decision) -> None:
        """Do what the driver and the pods would."""
        match decision.kind:
            case Kind.PROBE:
                assert decision.configuration is not None
                self.tried.append(dict(decision.configuration))
                pod = self.pods[decision.pod]
                pod.probe, pod.trial, pod.outcome = decision.probe, dict(decision.configuration), "Running"
                pod.deadline = self.now + decision.ttl
            case Kind.RENEW:
                pod = self.pods[decision.pod]
                if pod.probe == decision.probe and pod.outcome == "Running":
                    pod.deadline = self.now + decision.ttl
            case Kind.KEEP | Kind.REVERT:
                assert decision.configuration is not None
                for pod in self.pods.values():
                    pod.accepted = dict(decision.configuration)
                    pod.probe, pod.trial, pod.outcome = "", None, ""

    def pass_(self, seconds: float) -> None:
        """Let time pass; trials end whose time is over."""
        self.now += seconds
        for pod in self.pods.values():
            if pod.trial is not None and self.now >= pod.deadline:
                pod.trial, pod.outcome = None, "Expired"

    def report(self, state: State, seconds: float) -> Report:
        """Return what the driver would tell of the last seconds."""
        windows = tuple(self.window(name, seconds) for name in self.pods)
        probe = None
        if state.trial is not None:
            pod = self.pods.get(state.trial.pod)
            probe = ProbeReport(pod.probe, pod.outcome) if pod else None
        else:
            running = [pod for pod in self.pods.values() if pod.outcome == "Running"]
            probe = ProbeReport(running[0].probe, "Running") if running else None
        return Report(tuple(self.pods), windows, probe)

    def window(self, name: str, seconds: float) -> Window:
        models = {model: self._model(knobs, seconds) for model, knobs in self.pods[name].serves().items()}
        return Window(name, self.now - seconds, seconds, models, memory_used=4e8, disturbed=self.disturbed)

    def _model(self, knobs: Knobs, seconds: float) -> ModelWindow:
        capacity = self.device.capacity(knobs)
        rate = min(self.demand, capacity)
        load = min(0.98, self.demand / capacity)
        top = largest(knobs)
        sizes = {1, min(top, 2), top} if load > 0.9 else {1, min(top, 2)}
        share = {size: (0.7 if size == 1 else 0.3) for size in sizes}
        images = sum(size * part for size, part in share.items())
        batches = {
            size: BatchTime(
                max(1, round(rate * seconds * part / images)),
                self.device.seconds(size, knobs.instances, load) * self.random.gauss(1, self.device.noise),
            )
            for size, part in share.items()
        }
        longest = self.device.seconds(max(sizes), knobs.instances, load)
        delay = knobs.max_queue_delay_microseconds / 1e6
        queue = delay * 0.6 + longest * load**3
        latency = (queue + longest) * 1.5 * self.random.gauss(1, self.device.noise * 3)
        failed = 1 if knobs.instances >= self.device.fails_from else 0
        return ModelWindow(
            knobs=knobs, demand=self.demand, offered=self.demand, rate=rate, failed=failed, batches=batches,
            busy=load, queue=queue, request=queue + longest, latency=latency, median=latency * 0.6, samples=200,
        )  # fmt: skip


def situation(start: Mapping[str, Knobs] | None = None, **changes: object) -> Situation:
    begin = dict(start or {"people": Knobs()})
    engines = {name: Engine(8) for name in begin}
    return replace(Situation(begin, engines, limits=Limits(latency=0.2, memory=16e9), coexisting=True), **changes)  # type: ignore[arg-type]


def ran(
    world: World, told: Situation, seconds: float, state: State | None = None
) -> tuple[State, list[tuple[float, Decision]]]:
    """Let the tuner drive the world for a while; return its state and what it decided other than to wait."""
    state = State() if state is None else state
    end = world.now + seconds
    decisions: list[tuple[float, Decision]] = []
    while world.now < end:
        pause = 2.0 if state.trial is not None else 10.0
        world.pass_(pause)
        state, decision = step(state, world.report(state, pause), told, world.now)
        if decision.kind != Kind.WAIT:
            decisions.append((world.now, decision))
        world.apply(decision)
    return state, decisions
