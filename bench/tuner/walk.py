"""A seeded walk through what tuning turns, and the ways in which a configuration comes into force and goes. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from edgedetector.plan.triton_config import Knobs

INSTANCES = (1, 2, 3, 4)
BATCHES = (1, 2, 4, 8)
PREFERRED: tuple[tuple[int, ...], ...] = ((), (2,), (4,), (2, 4), (2, 4, 8))
DELAYS = (0, 100, 1_000, 5_000)
"""Microseconds; the largest is the default bound of `spec.tuning.bounds.maxQueueDelay`."""
START = Knobs(2, (), 100, 4)


class Way(StrEnum):
    """What becomes of a configuration."""

    ACCEPTED = "accepted"
    """It is written as the accepted one."""
    KEPT = "kept"
    """It is tried, and accepted while it serves."""
    WITHDRAWN = "withdrawn"
    """It is tried, and the probe's document goes."""
    EXPIRED = "expired"
    """It is tried, and nobody renews it: the pod undoes it by itself."""

    @property
    def stays(self) -> bool:
        """Whether it is the accepted one afterwards."""
        return self in {Way.ACCEPTED, Way.KEPT}


_SHARES = {Way.ACCEPTED: 4, Way.KEPT: 3, Way.WITHDRAWN: 2, Way.EXPIRED: 1}
_KNOBS = ("instances", "max_batch_size", "preferred_batch_sizes", "max_queue_delay_microseconds")
_OFTEN = (4, 1, 2, 3)
"""A smaller largest batch waits for a second or more until clients keep to it, and so there are fewer of them."""
_NAMES = dict(zip(_KNOBS, ("instances", "max batch", "preferred sizes", "delay"), strict=True))


@dataclass(frozen=True)
class Step:
    """A configuration to bring into force, and what becomes of it."""

    knobs: Knobs
    way: Way


def walk(seed: int, start: Knobs = START) -> Iterator[Step]:
    """Yield steps without end, each from what the former one left; the same seed gives the same ones."""
    draw, present = random.Random(seed), start
    while True:
        step = Step(_turned(present, draw), draw.choices(list(_SHARES), list(_SHARES.values()))[0])
        yield step
        present = step.knobs if step.way.stays else present


def kind(before: Knobs, after: Knobs) -> str:
    """Return what is changed, in words; instances with their direction."""
    turned = [name for name in _KNOBS if getattr(before, name) != getattr(after, name)]
    if turned == ["instances"]:
        return "instances up" if after.instances > before.instances else "instances down"
    return " and ".join(_NAMES[name] for name in turned)


def _turned(present: Knobs, draw: random.Random) -> Knobs:
    """Return other knobs: one is turned, now and then two, and what does not fit any more goes with them."""
    while True:
        found = present
        for name in draw.choices(_KNOBS, _OFTEN, k=2 if draw.random() < 0.15 else 1):
            found = _with(found, name, draw)
        if found != present:
            return found


def _with(knobs: Knobs, name: str, draw: random.Random) -> Knobs:
    largest = knobs.max_batch_size or max(BATCHES)
    if name == "instances":
        return replace(knobs, instances=draw.choice(INSTANCES))
    if name == "max_queue_delay_microseconds":
        return replace(knobs, max_queue_delay_microseconds=draw.choice(DELAYS))
    if name == "preferred_batch_sizes":
        return replace(knobs, preferred_batch_sizes=_fitting(draw.choice(PREFERRED), largest))
    largest = draw.choice(BATCHES)
    return replace(knobs, max_batch_size=largest, preferred_batch_sizes=_fitting(knobs.preferred_batch_sizes, largest))


def _fitting(sizes: tuple[int, ...], largest: int) -> tuple[int, ...]:
    return tuple(size for size in sizes if size <= largest)
