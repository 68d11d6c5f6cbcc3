"""Two models side by side on one device, and what statistics show of them. It judges nothing."""

from __future__ import annotations

from edgedetector.tuning import batcher, together
from edgedetector.tuning.batcher import Run, Server
from edgedetector.tuning.evidence import ModelVisit, Range, StepVisit, Visit
from edgedetector.tuning.window import BatchTime, Knobs

NAMES = "first", "second"


def server(each: float = 0.004, largest: int = 4, instances: int = 1, part: float = 0.6) -> Server:
    seconds = [0.003 + each * size for size in range(1, largest + 1)]
    apart, alone = tuple((1 - part) * one for one in seconds), tuple(part * one for one in seconds)
    return Server(instances, apart, alone, prepare=batcher.PREPARE, way=batcher.WAY, gap=batcher.GAP)


def heavy() -> Server:
    return server(0.017, 8)


def light() -> Server:
    return server(0.002, 8)


def shown(servers: tuple[Server, ...], rates: tuple[float, ...]) -> Visit:
    """Return what statistics show of servers that serve these rates, or as much of them as they can."""
    runs = together.served(servers, rates, 2000)
    models = {name: _model(one, rate, run) for name, one, rate, run in zip(NAMES, servers, rates, runs, strict=True)}
    return Visit(models, 60.0, 1000.0, sum(run.device / run.end for run in runs), windows=6, spread=0.02)


def _model(one: Server, rate: float, run: Run) -> ModelVisit:
    sizes: dict[int, list[float]] = {}
    for size, seconds in run.executed:
        sizes.setdefault(size, []).append(seconds)
    batches = {size: BatchTime(len(all_), sum(all_) / len(all_)) for size, all_ in sorted(sizes.items())}
    told = run.passage(99)
    return ModelVisit(
        Knobs(one.instances, one.largest, post_processing=one.steps),
        batches,
        rate,
        len(run.latencies) / run.end,
        told.busy,
        latency=Range(0.95 * told.latency, told.latency, 1.05 * told.latency),
        step=_step(one, run) if one.steps else None,
    )


def _step(one: Server, run: Run) -> StepVisit:
    worked = sum(one.step[size - 1] for size, _ in run.executed)
    return StepVisit({1: BatchTime(100, one.step[0])}, min(1.0, worked / (one.steps * run.end)))
