"""What all may choose from, what trying one of them gives, and which is best. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from edgedetector.tuning.window import Knobs

INSTANCES = (1, 2, 3, 4)
BATCHES = (1, 2, 4, 8, 16, 32)
DELAYS = (0, 1000, 5000)
"""Microseconds."""
START = Knobs(1, 1)
"""One instance, no batching: what nobody has tuned."""


@dataclass(frozen=True)
class Outcome:
    """What a configuration gave under a load."""

    throughput: float
    """Answers a second."""
    latency: float
    """Their 99th percentile, seconds; infinite: there were none."""
    failed: int = 0


def space() -> tuple[Knobs, ...]:
    """Return every configuration; where nothing is batched, there is nothing that a delay could wait for."""
    return tuple(
        Knobs(instances, batch, (), delay)
        for instances, batch, delay in product(INSTANCES, BATCHES, DELAYS)
        if batch > 1 or delay == 0
    )


def nearest(instances: int, batch: int, delay: int) -> Knobs:
    """Return the configuration with these values; without batches the one without a delay."""
    return Knobs(instances, batch, (), delay if batch > 1 else 0)


def score(outcome: Outcome, bound: float) -> float:
    """Return what is to become largest: the throughput within the bound, else by how much the bound is broken, below 0.

    So the first that keeps the bound beats all that do not, and one that nearly keeps it those that do not at all.

    Parameters
    ----------
    bound
        Seconds that the 99th percentile may take.
    """
    if outcome.latency <= bound and not outcome.failed:
        return outcome.throughput
    return -max(outcome.latency / bound, float(outcome.failed))


def best(tried: Mapping[Knobs, Outcome], bound: float) -> Knobs:
    """Return the best of what was tried; of equals the one with fewer instances and smaller batches."""
    return first(tried, bound, 1)[0]


def first(tried: Mapping[Knobs, Outcome], bound: float, count: int) -> tuple[Knobs, ...]:
    """Return the so many best, the best first."""
    return tuple(sorted(tried, key=lambda one: (-score(tried[one], bound), one))[:count])


def flights(capacity: float, bound: float, share: float = 0.4) -> int:
    """Return how many requests in flight are the same load for all: what `capacity` answers in a share of the bound.

    By Little's law a server of that capacity then takes that share of the bound in the mean, and a slower one longer;
    the 99th percentile is about twice the mean, since executions and arrivals do not keep step.

    Parameters
    ----------
    capacity
        Images a second.
    """
    return max(1, round(share * bound * capacity))


def shown(knobs: Knobs) -> str:
    """Return a configuration as a table shows it: instances x batch, and the delay if there is one."""
    delay = f" {knobs.max_queue_delay_microseconds / 1e3:g} ms" if knobs.max_queue_delay_microseconds else ""
    liked = f" {list(knobs.preferred_batch_sizes)}" if knobs.preferred_batch_sizes else ""
    return f"{knobs.instances} x {max(1, knobs.max_batch_size)}{liked}{delay}"


def distinct(chosen: Iterable[Knobs]) -> tuple[Knobs, ...]:
    """Return each once, in their order: what two chose alike is measured once."""
    return tuple(dict.fromkeys(chosen))
