"""A site of one to three replicas, in closed formulas: what a configuration serves of a load, and what that costs.

Coarse where `judge.batcher` is exact: no request is followed, so that hours of several pods take a second. It says
nothing of how near to the best a tuner comes, and is for what must hold whatever the server is like: safety, an end,
rest.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import Final

from edgedetector.api.observation import bucket_of
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Knobs
from judge.device import MIB

MODEL: Final = "people"
PREPARE: Final = 0.001
"""Seconds from a decoded frame to its request."""
_SPREAD: Final = (
    (0.10, 0.20), (0.30, 0.20), (0.50, 0.20), (0.70, 0.20), (0.85, 0.10), (0.93, 0.05), (0.97, 0.03), (0.992, 0.02),
)  # fmt: skip
"""(quantile, share of the results it stands for): of the time that results wait, taken as exponential."""
_FULL: Final = 0.85
"""Load of a batch size from which larger batches form."""


@dataclass(frozen=True)
class Site:
    """What is true of it. Seconds of one execution, cores, bytes."""

    seed: int
    start: Knobs = field(default_factory=Knobs)
    base: float = 0.004
    image: float = 0.003
    way: float = 0.002
    """Of an execution outside the device."""
    contention: float = 0.0
    largest: int = 8
    cameras: int = 24
    rate: float = 5.0
    """Frames a second of a camera: its target."""
    least: float = 1.0
    """Its minimum."""
    decode: float = 0.004
    """Core seconds that a frame takes in the detector."""
    host: float = 0.002
    """Core seconds that an image takes in Triton."""
    cores: float = 8.0
    others: float = 0.5
    """Cores that somebody else uses."""
    request: float = 1.0
    """Cores that Triton's container asks for: the autoscaler's measure."""
    replicas: int = 1
    """To begin with, and at least."""
    most: int = 1
    """Replicas; more than `replicas`: there is an autoscaler."""
    limit: float = 0.060
    percentile: int = 95
    max_instances: int = 4
    longest_delay: int = 5000
    """Microseconds."""
    goal: Goal = Goal.THROUGHPUT
    memory: float = 8192 * MIB
    memory_shown: bool = True
    in_place: bool = False
    coexisting: bool = True
    noise: float = 0.02

    @property
    def situation(self) -> Situation:
        """Return what the tuner is told."""
        return Situation(
            start={MODEL: self.start},
            engines={MODEL: Engine(self.largest)},
            goal=self.goal,
            limits=Limits(
                latency=self.limit,
                percentile=self.percentile,
                memory=None if self.memory_shown else self.memory,
                max_instances=self.max_instances,
                max_queue_delay_microseconds=self.longest_delay,
            ),
            in_place=self.in_place,
            coexisting=self.coexisting,
        )

    def engine(self, size: int, instances: int) -> float:
        """Return the seconds of a batch on the device."""
        return (self.base + self.image * size) * (1.0 + self.contention * (instances - 1))

    def capacity(self, knobs: Knobs, size: int = 0) -> float:
        """Return the most images a second, in batches of `size`; 0: of the largest that is joined."""
        size = size or joined(knobs)
        engine = self.engine(size, knobs.instances)
        return size / max(engine, (engine + self.way) / knobs.instances)

    def memory_of(self, knobs: Knobs) -> float:
        """Return the bytes of the device that a configuration takes."""
        return 300 * MIB + knobs.instances * (250 * MIB + 10 * MIB * max(1, knobs.max_batch_size))


def joined(knobs: Knobs) -> int:
    """Return the largest batch that Triton joins."""
    size = max(1, knobs.max_batch_size)
    if knobs.preferred_batch_sizes and not knobs.max_queue_delay_microseconds:
        size = min(size, max(knobs.preferred_batch_sizes))
    return size


@dataclass(frozen=True, slots=True)
class Flow:
    """What comes of a steady load, each second."""

    rate: float
    """Images."""
    skipped: float
    """Share of the offered, 0 to 1."""
    batches: tuple[tuple[int, float, float], ...]
    """(size, executions, seconds of one)."""
    device: float
    """Share of the time that it works, 0 to 1."""
    queue: float
    """Seconds that a request waits."""
    request: float
    ages: tuple[tuple[int, float], ...]
    """(bucket, share of the results)."""
    late: float
    """99th percentile of the results' age, seconds."""


def flow(site: Site, knobs: Knobs, offered: float, slow: float = 1.0) -> Flow:
    """Return what comes of `offered` images a second, all of the device's times being `slow` times as long."""
    slower = replace(site, base=site.base * slow, image=site.image * slow)
    largest = joined(knobs)
    size = next((b for b in range(1, largest) if offered <= _FULL * slower.capacity(knobs, b)), largest)
    rate = min(offered, 0.98 * slower.capacity(knobs))
    mixed = _mixed(size, largest)
    images = sum(one * part for one, part in mixed)
    batches = tuple((one, rate * part / images, slower.engine(one, knobs.instances) + site.way) for one, part in mixed)
    device = sum(count * (seconds - site.way) for _, count, seconds in batches)
    execution = slower.engine(size, knobs.instances) + site.way
    over = offered > rate
    load = min(0.97, offered / slower.capacity(knobs, size))
    waits = 2.0 * execution if over else 0.5 * execution * load / (1.0 - load) / knobs.instances
    waits += 0.5 * knobs.max_queue_delay_microseconds * 1e-6 if size < largest else 0.0
    # Of a camera that is served less often than it has frames, the newest is taken: half an interval old.
    stale = 0.5 / site.rate if over else 0.0
    spread = [(PREPARE + execution + stale - waits * math.log(1.0 - share), part) for share, part in _SPREAD]
    return Flow(
        rate=rate,
        skipped=1.0 - rate / offered if over else 0.0,
        batches=batches,
        device=min(1.0, device),
        queue=waits,
        request=waits + execution,
        ages=tuple((bucket_of(age), part) for age, part in spread),
        late=spread[-1][0],
    )


def _mixed(size: int, largest: int) -> tuple[tuple[int, float], ...]:
    """Return the sizes of batches that come up, and the share of the executions of each."""
    found: dict[int, float] = {}
    for one, part in ((1, 0.15), (size, 0.60), (min(largest, size + 1), 0.25)):
        found[one] = found.get(one, 0.0) + part
    return tuple(found.items())


def small(one: Site) -> Site:
    """Return it with a tenth of the configurations to think about, for tests of which there are many."""
    start = replace(one.start, max_batch_size=min(2, one.start.max_batch_size), preferred_batch_sizes=())
    return replace(one, start=start, largest=2, max_instances=2, longest_delay=500)


def site(seed: int, replicas: int = 0) -> Site:
    """Return the site of a seed.

    Parameters
    ----------
    replicas
        That it begins with, 1 to 3; 0: drawn.
    """
    draw = random.Random(f"site {seed}")  # noqa: S311 - to be repeated, not secret
    drawn = draw.choice((1, 2, 2, 3))
    found = Site(
        seed=seed,
        base=draw.uniform(0.5, 5.0) * 1e-3,
        image=draw.uniform(1.5, 5.0) * 1e-3,
        way=draw.uniform(1.0, 8.0) * 1e-3,
        contention=draw.choice((0.0, 0.02, draw.uniform(0.1, 0.5))),
        largest=draw.choice((4, 8, 16)),
        rate=draw.choice((5.0, 5.0, 10.0)),
        decode=draw.uniform(0.001, 0.008),
        host=draw.uniform(0.0005, 0.004),
        cores=draw.choice((4.0, 8.0)),
        request=draw.choice((0.25, 0.5, 1.0)),
        replicas=replicas or drawn,
        goal=draw.choices((Goal.THROUGHPUT, Goal.LATENCY, Goal.EFFICIENCY), (80, 10, 10))[0],
        memory=draw.choice((2048, 8192)) * MIB,
        memory_shown=draw.random() < 0.7,
        in_place=draw.random() < 0.5,
    )
    largest = found.largest
    start = draw.choice((Knobs(1, 1), Knobs(1, 1), Knobs(1, 2), Knobs(1, largest), Knobs(1, largest, (), 100_000)))
    alone = found.way + found.base + found.image
    found = replace(found, start=start, limit=round(draw.uniform(4.0, 9.0) * alone + 0.01, 3))
    whole = found.capacity(start) * found.replicas * draw.choice((0.2, 0.4, 0.6, 0.8, 1.3))
    found = replace(found, cameras=max(2 * 3, round(whole / found.rate)))
    return replace(found, most=draw.choice((found.replicas, 3, 3)) if found.replicas < 3 else 3)
