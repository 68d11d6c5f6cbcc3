"""Servers in closed form, and what a visit to them shows: the truth that the predictor is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgedetector.tuning.evidence import ModelVisit, Range, Visit
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import BatchTime, Knobs

MODEL = "people"
EPOCH = 1.8e9
ALONE = Knobs(1, 1)
COMPILED = Engine(32)


@dataclass(frozen=True)
class Truth:
    """A batch takes fixed + each * size seconds alone, of which `serial` is the device's alone."""

    fixed: float = 0.004
    each: float = 0.002
    serial: float = 0.8
    contention: float = 0.0
    cliff: int = 0
    """Largest size in fast memory; above it a batch takes twice as long; 0: none."""

    def alone(self, size: int) -> float:
        return (self.fixed + self.each * size) * (2.0 if self.cliff and size > self.cliff else 1.0)

    def together(self, size: int, instances: int) -> float:
        """Return the seconds of an execution with all instances always at work."""
        part = self.serial * (1 + self.contention * (instances - 1))
        return self.alone(size) * max(1 - self.serial + part, instances * part)

    def most(self, size: int, instances: int) -> float:
        """Return images a second at most."""
        return instances * size / self.together(size, instances)

    def visit(
        self,
        knobs: Knobs = ALONE,
        *,
        sizes: Sequence[int] = (1,),
        use: float = 0.6,
        executions: int = 2000,
        ended: float = EPOCH,
        latency: float | None = None,
        utilization: bool = True,
        memory: float | None = None,
        total: float | None = None,
        demand: float | None = None,
    ) -> Visit:
        """Return a visit whose executions were of `sizes`, equally often, with instances at work for `use` of the time.

        Executions are lengthened in proportion to how busy the others are, as in a closed network, and wait for them as
        long whatever their own size.
        """
        count = knobs.instances
        slower = 1 + self.serial * self.contention * (count - 1)
        wait = use * sum(self.together(size, count) - self.alone(size) * slower for size in sizes) / len(sizes)
        batches, device, images = {}, 0.0, 0.0
        for size in sizes:
            seconds = self.alone(size) * (1 + use * (slower - 1)) + wait
            batches[size] = BatchTime(executions, seconds)
            share = count * use / len(sizes) / seconds
            images += share * size
            device += share * self.alone(size) * self.serial * (1 + self.contention * (count - 1) * use)
        rate = demand if demand is not None else images
        seen = None if latency is None else Range(latency * 0.95, latency, latency * 1.05)
        model = ModelVisit(knobs, batches, demand=rate, rate=rate, busy=use, latency=seen)
        return Visit(
            {MODEL: model},
            seconds=60.0,
            ended=ended,
            utilization=min(1.0, device) if utilization else None,
            memory_used=memory,
            memory_total=total,
        )


def situation(
    start: Knobs = ALONE,
    *,
    latency: float = 0.1,
    goal: Goal = Goal.THROUGHPUT,
    engine: Engine = COMPILED,
    limits: Limits | None = None,
    in_place: bool = False,
    coexisting: bool = False,
) -> Situation:
    """Return a situation with one model."""
    return Situation(
        start={MODEL: start},
        engines={MODEL: engine},
        goal=goal,
        limits=limits or Limits(latency=latency),
        in_place=in_place,
        coexisting=coexisting,
    )
