"""What may be true of a server, of which costs and sharing are known so far only: what the batcher model runs with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.tuning import batcher, post_processing, sharing
from edgedetector.tuning.batcher import Server
from edgedetector.tuning.curve import Curve
from edgedetector.tuning.nearness import steps
from edgedetector.tuning.sharing import Sharing
from edgedetector.tuning.window import Knobs

_LEFT: Final = 0.05
"""Share of the device's time that other models leave at least."""
_MOST_OFF: Final = 4.0
"""Factor by which the batcher model may be off where a server was overloaded."""
_BINDS: Final = 0.97
"""Share of the time in which a link carries images from which it is what limits them."""
_NOTHING: Final = 1e-9
"""Images a second that stand for none, so that worlds can be compared by their ratio."""


@dataclass(frozen=True, slots=True)
class Full:
    """What a model served with knobs that left it overloaded."""

    knobs: Knobs
    batch: int
    """Images in a batch at most."""
    demand: float
    rate: float
    """Images a second."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One model of a configuration, as it is at the present demand."""

    name: str
    knobs: Knobs
    curve: Curve
    demand: float
    taken: float = 0.0
    """Share of the device's time that the other models take."""
    way: float = batcher.WAY
    prepare: float = batcher.PREPARE
    interval: float = batcher.INTERVAL
    batch: int = 1
    """Images in a batch at most."""
    full: tuple[Full, ...] = ()
    """What it served where its instances were always at work."""


@dataclass(frozen=True, slots=True)
class World:
    """What may be true of a server: sharing, and costs by `part` of the way at the `end` of their intervals."""

    sharing: Sharing
    end: str = "mean"
    part: float = 0.0


def expected(model: Lane) -> World:
    """Return the world with everything as it is expected."""
    return World(model.curve.shared(model.knobs.instances))


def worlds(model: Lane) -> list[World]:
    """Return the world with costs as low as they may be, the expected one, and that with costs as high.

    What is not known of part, contention and costs are independent errors: their logarithms add in quadrature, so that
    none goes to its end where all are wide.
    """
    return [_end(model, "low"), expected(model), _end(model, "high")]


def _end(model: Lane, end: str) -> World:
    mean = expected(model).sharing
    part, contention = model.curve.part, model.curve.contention(model.knobs.instances)
    # Which end of these two is the slow one: after visits to several instances only, little sharing means that
    # executions alone take long.
    parts = [World(replace(mean, part=value)) for value in (part.low, part.high)]
    contentions = [World(replace(mean, contention=value)) for value in (contention.low, contention.high)]

    def most(world: World) -> float:
        return min(1 / _NOTHING, max(_NOTHING, _told(model, world).executed))

    choose = max if end == "low" else min
    ends = [choose(parts, key=most), choose(contentions, key=most), World(mean, end, 1.0)]
    off = [abs(math.log(most(world) / most(World(mean)))) for world in ends]
    way = math.hypot(*off) / sum(off) if sum(off) > 0.0 else 1.0
    return World(
        Sharing(
            mean.part + way * (ends[0].sharing.part - mean.part),
            mean.contention + way * (ends[1].sharing.contention - mean.contention),
        ),
        end,
        way,
    )


def between(world: World, mean: World, share: float) -> World:
    """Return the world that is a share of the way from the expected one to another."""
    return World(
        Sharing(
            mean.sharing.part + share * (world.sharing.part - mean.sharing.part),
            mean.sharing.contention + share * (world.sharing.contention - mean.sharing.contention),
        ),
        world.end,
        share * world.part,
    )


def server(model: Lane, world: World) -> Server:
    """Return what the batcher model serves with, in a world.

    What was served by an overloaded server says how long its executions really took from each other, whatever costs and
    sharing are: by as much the model is off there it is taken to be off nearby, less with each step away.
    """
    told = _told(model, world)
    if not model.full:
        return told
    near = min(reversed(model.full), key=lambda one: steps(model.knobs, one.knobs))
    there = _told(replace(model, knobs=near.knobs, batch=near.batch), world)
    off = min(_MOST_OFF, max(1.0 / _MOST_OFF, batcher.passage(there, near.demand).rate / near.rate))
    slower = off**0.5 ** steps(model.knobs, near.knobs)
    # What a link that is full carries is the same for all that cross it.
    link = told.link * (off if there.executed * there.link >= _BINDS else slower)
    return replace(
        told,
        apart=tuple(max(slower * seconds, link * size) for size, seconds in enumerate(told.apart, 1)),
        alone=tuple(slower * seconds for seconds in told.alone),
        link=link,
    )


def _told(model: Lane, world: World) -> Server:
    """Return the server as costs and sharing tell it."""
    knobs, curve, shared = model.knobs, model.curve, world.sharing
    parts = []
    for size in range(1, model.batch + 1):
        mean = curve.alone(size, shared)
        seconds = mean * (curve.alone(size, shared, world.end) / mean) ** world.part if world.part else mean
        parts.append(sharing.split(seconds, shared.part))
    left = max(_LEFT, 1.0 - model.taken)
    link = curve.crossing.mean + world.part * (getattr(curve.crossing, world.end) - curve.crossing.mean)
    count = knobs.post_processing if curve.steps else 0
    taken = (
        post_processing.seconds(curve.steps, count, size, end=world.end, part=world.part)
        for size in range(1, model.batch + 1 if count else 1)
    )
    return Server(
        instances=max(1, knobs.instances),
        apart=tuple(max(apart, link * size) for size, (apart, _) in enumerate(parts, 1)),
        alone=tuple(alone / left for _, alone in parts),
        link=link,
        contention=shared.contention,
        delay=max(0, knobs.max_queue_delay_microseconds) / 1e6,
        preferred=tuple(knobs.preferred_batch_sizes),
        gap=batcher.GAP,
        prepare=model.prepare,
        way=model.way,
        interval=model.interval,
        steps=count,
        step=tuple(taken),
    )
