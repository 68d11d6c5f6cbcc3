"""From windows to the figures that a diagnosis compares: means over the present configuration, NaN kept out. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from edgedetector.tuning.evidence import Visit
from edgedetector.tuning.known import Known, KnownModel
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import BatchTime, Configuration, Knobs, ModelWindow, StepWindow, Window

FEWEST_EXECUTIONS: Final = 10
"""Of a batch size, before its mean time counts in the curve. Chosen: the mean of ten spreads by a third of one."""
RARE: Final = 0.10
"""Share of all executions below which those of a batch size do not count: in a full server small batches are rare, and
they have waited for large ones of other instances. Chosen."""
NOT_A_RATIO: Final = 1.1
"""A share above this is no share but an exporter's mistake (a percentage taken for a ratio). Slightly above 1 are
rounding and clocks that differ."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Duration of an execution: ``fixed + each * images``, seconds."""

    fixed: float
    each: float
    seen: int = 0
    """Largest batch that it goes through; beyond it is drawn out."""

    def an_image(self, batch: float) -> float:
        """Seconds an image in batches of `batch`."""
        return self.fixed / max(1.0, batch) + self.each


@dataclass(frozen=True, slots=True)
class ModelSignals:
    """One model, means over the windows. Seconds and images a second; None: not known."""

    name: str
    knobs: Knobs
    known: KnownModel
    largest: int
    """Batch that the engine was compiled for, at least 1."""
    bytes: float
    """Inputs and outputs of an image; 0: not known."""
    demand: float
    offered: float
    rate: float
    skipped: float
    busy: float | None
    """Of an instance."""
    batch: float
    """Mean, at least 1."""
    execution: float | None
    copies: float
    """Share of an execution that input and output took, as far as the backend tells."""
    queue: float
    request: float | None
    exchange: float | None
    latency: float | None
    median: float | None
    curve: Curve | None
    more_instances_helped: bool | None
    """Whether the present number of instances, or a visited larger one, served more than fewer did; None: not tried."""

    @property
    def cap(self) -> int:
        """Largest batch that Triton joins now."""
        return self.knobs.joined

    @property
    def lost(self) -> float:
        """Share of what came to be inferred that was not."""
        short = 1.0 - self.rate / self.offered if self.offered > 0 else 0.0
        return min(1.0, max(0.0, short, self.skipped))

    @property
    def whole(self) -> float | None:
        """Median time of a frame, or the part of it that is known."""
        return self.median or self.exchange or self.request


@dataclass(frozen=True, slots=True)
class StepSignals:
    """A post-processing model inside Triton, means over the windows."""

    boxes_of: str
    """The model whose outputs it takes."""
    instances: int
    busy: float
    """Of an instance, 0 to 1."""
    request: float
    """Seconds."""
    tuned: bool = False
    """Its instances are a knob."""


@dataclass(frozen=True, slots=True)
class Signals:
    """A pod and its node."""

    models: tuple[ModelSignals, ...]
    steps: tuple[StepSignals, ...]
    utilization: float | None
    host: float | None
    processors: float | None
    """Of the node."""
    pcie_width: float | None
    transport: str
    degraded: float = 0.0
    """Rungs that the cameras are down, 0 where it is not known."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """The detector's CPU by stage, cores."""

    @property
    def rate(self) -> float:
        """Images a second, all models."""
        return sum(model.rate for model in self.models)

    @property
    def demand(self) -> float:
        """Frames a second that the cameras are meant to have, all models."""
        return sum(model.demand for model in self.models)

    @property
    def offered(self) -> float:
        """Frames a second that come to be inferred, all models."""
        return sum(model.offered for model in self.models)

    @property
    def cores(self) -> float:
        """The detector's CPU over all stages."""
        return sum(self.stages.values())

    @property
    def busiest(self) -> ModelSignals:
        """The model whose instances have the least room."""
        return max(self.models, key=lambda model: (model.busy or 0.0, model.rate, model.name))

    @property
    def active(self) -> float:
        """Share of the time that at least one instance executes, were they independent."""
        idle = math.prod((1.0 - (model.busy or 0.0)) ** max(1, model.knobs.instances) for model in self.models)
        return 1.0 - idle

    @property
    def bytes(self) -> float:
        """Of an image, mean over the models by their rates; 0: not known."""
        if self.rate <= 0 or any(model.bytes <= 0 for model in self.models if model.rate > 0):
            return 0.0
        return sum(model.bytes * model.rate for model in self.models) / self.rate

    def stage(self, *names: str) -> float:
        """Share of the detector's CPU that these stages take, 0 if it is not known."""
        return sum(self.stages.get(name, 0.0) for name in names) / self.cores if self.cores > 0 else 0.0


def signals(
    windows: Sequence[Window],
    situation: Situation,
    known: Known,
    visits: Sequence[Visit],
    configuration: Configuration | None = None,
) -> Signals | None:
    """Return the figures of a configuration, or of that in force last; None if no undisturbed window shows it."""
    usable = [window for window in windows if not window.disturbed and window.seconds > 0 and window.models]
    wanted = dict(configuration) if configuration is not None else _configuration(usable[-1]) if usable else {}
    present = [window for window in usable if _configuration(window) == wanted]
    if not present:
        return None
    return Signals(
        models=tuple(_model(name, present, situation, known, visits) for name in sorted(wanted)),
        steps=tuple(_steps(present, known)),
        utilization=_share(_mean(present, lambda window: window.utilization)),
        host=_share(_mean(present, lambda window: window.host)),
        processors=_mean(present, lambda window: window.processors),
        pcie_width=_mean(present, lambda window: window.pcie_width) or None,
        transport=present[-1].transport,
        degraded=_mean(present, lambda window: window.degraded) or 0.0,
        stages=_stages(present),
    )


def _configuration(window: Window) -> dict[str, Knobs]:
    return {name: model.knobs for name, model in window.models.items()}


def _model(
    name: str, windows: Sequence[Window], situation: Situation, known: Known, visits: Sequence[Visit]
) -> ModelSignals:
    def mean(get: Callable[[ModelWindow], float | None]) -> float | None:
        return _mean(windows, lambda window: get(window.models[name]))

    knobs, facts = windows[-1].models[name].knobs, known.models.get(name, KnownModel())
    engine = situation.engines.get(name)
    batches = _merged(window.models[name].batches for window in windows)
    executions, images, seconds, copies = _totals(batches)
    tensors = facts.input_bytes + facts.output_bytes if facts.input_bytes and facts.output_bytes else 0
    seen = [batches, *_seen(name, knobs, visits)]
    return ModelSignals(
        name=name, knobs=knobs, known=facts,
        largest=max(1, engine.largest_batch) if engine else 1,
        bytes=_finite(float(tensors or (engine.region if engine else 0.0))) or 0.0,
        demand=mean(lambda model: model.demand) or 0.0,
        offered=mean(lambda model: model.offered) or 0.0,
        rate=mean(lambda model: model.rate) or 0.0,
        skipped=min(1.0, mean(lambda model: model.skipped) or 0.0),
        busy=_share(mean(lambda model: model.busy)),
        batch=max(1.0, images / executions) if executions else 1.0,
        execution=seconds / executions if executions else None,
        copies=min(1.0, copies / seconds) if seconds > 0 else 0.0,
        queue=mean(lambda model: model.queue) or 0.0,
        request=mean(lambda model: model.request) or None,
        exchange=mean(lambda model: model.exchange) or None,
        latency=mean(lambda model: model.latency) or None,
        median=mean(lambda model: model.median) or None,
        curve=_fit(_merged(seen)),
        more_instances_helped=_helped(name, visits),
    )  # fmt: skip


def _steps(windows: Sequence[Window], known: Known) -> Iterator[StepSignals]:
    """Yield the steps that the specification knows: it says how many instances those have that are not tuned."""
    for name in sorted({name for window in windows for name in window.steps} & known.models.keys()):
        facts, mean = known.models[name], partial(_mean_of_step, windows, name)
        model = windows[-1].models.get(facts.boxes_of)
        tuned = model is not None and model.knobs.post_processing > 0
        count = model.knobs.post_processing if model is not None and tuned else max(1, facts.instances)
        busy = min(1.0, mean(lambda step: step.executing) / count)
        yield StepSignals(facts.boxes_of, count, busy, mean(lambda step: step.request), tuned=tuned)


def _mean_of_step(windows: Sequence[Window], name: str, get: Callable[[StepWindow], float]) -> float:
    return _mean(windows, lambda window: get(window.steps[name]) if name in window.steps else None) or 0.0


def _mean(windows: Sequence[Window], get: Callable[[Window], float | None]) -> float | None:
    """Return the mean by the windows' lengths, over those that know a figure that is finite and not negative."""
    known = [(value, window.seconds) for window in windows if (value := _finite(get(window))) is not None]
    total = sum(seconds for _, seconds in known)
    return sum(value * seconds for value, seconds in known) / total if total > 0 and math.isfinite(total) else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _share(value: float | None) -> float | None:
    return None if value is None or value > NOT_A_RATIO else min(1.0, value)


def _stages(windows: Sequence[Window]) -> dict[str, float]:
    names = sorted({name for window in windows for name in window.stages})
    means = {name: _mean(windows, lambda window, name=name: window.stages.get(name)) for name in names}  # type: ignore[misc]
    return {name: value for name, value in means.items() if value}


def _valid(size: int, time: BatchTime) -> bool:
    return (
        size >= 1 and time.executions > 0 and bool(_finite(time.seconds)) and _finite(time.share_of_copies) is not None
    )


def _merged(maps: Iterable[Mapping[int, BatchTime]]) -> dict[int, BatchTime]:
    """Return the times by batch size over several windows."""
    found: dict[int, BatchTime] = {}
    for batches in maps:
        for size, time in batches.items():
            if _valid(size, time):
                found[size] = _together(found[size], time) if size in found else time
    return found


def _together(one: BatchTime, other: BatchTime) -> BatchTime:
    executions = one.executions + other.executions
    seconds = (one.seconds * one.executions + other.seconds * other.executions) / executions
    copies = sum(time.share_of_copies * time.seconds * time.executions for time in (one, other))
    return BatchTime(executions, seconds, copies / (seconds * executions))


def _totals(batches: Mapping[int, BatchTime]) -> tuple[int, int, float, float]:
    """Return executions, images, their seconds, and those of input and output."""
    return (
        sum(time.executions for time in batches.values()),
        sum(size * time.executions for size, time in batches.items()),
        sum(time.seconds * time.executions for time in batches.values()),
        sum(time.seconds * time.share_of_copies * time.executions for time in batches.values()),
    )


def _seen(name: str, knobs: Knobs, visits: Sequence[Visit]) -> list[Mapping[int, BatchTime]]:
    """Return what visits with as many instances saw: their executions waited for each other as the present ones do."""
    models = [visit.models[name] for visit in visits if name in visit.models]
    return [model.batches for model in models if model.knobs.instances == knobs.instances]


def _fit(batches: Mapping[int, BatchTime]) -> Curve | None:
    """Return the straight line through the times, weighted by executions; None if only one batch size was seen."""
    points = [(size, time.seconds, time.executions) for size, time in batches.items()]
    least = max(FEWEST_EXECUTIONS, RARE * sum(count for _, _, count in points))
    points = [point for point in points if point[2] >= least]
    if len(points) < 2:  # noqa: PLR2004 - a line has two parameters
        return None
    weight = sum(count for _, _, count in points)
    size = sum(at * count for at, _, count in points) / weight
    time = sum(seconds * count for _, seconds, count in points) / weight
    spread = sum(count * (at - size) ** 2 for at, _, count in points)
    each = sum(count * (at - size) * (seconds - time) for at, seconds, count in points) / spread
    each = min(max(0.0, each), time / size)
    return Curve(fixed=max(0.0, time - each * size), each=each, seen=max(at for at, _, _ in points))


FULL_VISIT: Final = 0.85
"""Instances' busy share from which a visit shows what the configuration can do, not what was asked of it: the bound
on utilisation that a step of the tuner must keep."""
HELPED: Final = 1.05
"""Factor on the rate. Below it an instance more is within the noise of windows (a gain counts from 3 %)."""


def _helped(name: str, visits: Sequence[Visit]) -> bool | None:
    """Return whether of two visits at their limit, alike but for instances, the one with more served more."""
    seen = [visit.models[name] for visit in visits if name in visit.models]
    full = [model for model in seen if model.busy >= FULL_VISIT and _finite(model.rate)]
    pairs = [
        (few.rate, many.rate)
        for few in full
        for many in full
        if few.knobs.instances < many.knobs.instances
        and few.knobs == replace(many.knobs, instances=few.knobs.instances)
    ]
    return any(many >= HELPED * few for few, many in pairs) if pairs else None
