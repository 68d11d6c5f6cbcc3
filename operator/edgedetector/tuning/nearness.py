"""How alike two configurations are: what was seen of one says less of another with each step away. Pure."""

from __future__ import annotations

import math
from typing import Final

from edgedetector.tuning.window import Configuration, Knobs

SHORT: Final = 1000.0
"""Microseconds of a queue delay that are as nothing beside the time of an execution."""
DELAY: Final = 0.25
"""Steps away for a doubled delay: a busy server forms its batches without it."""


def nearness(one: Configuration, other: Configuration) -> float:
    """Return how alike two configurations are, 0 to 1: half for an instance more or a doubled largest batch."""
    return 2.0 ** -sum(steps(knobs, other[name]) for name, knobs in one.items() if name in other)


def steps(one: Knobs, other: Knobs) -> float:
    """Return how many steps two knobs are apart."""
    sizes = abs(math.log2(max(1, one.joined) / max(1, other.joined)))
    waits = (SHORT + one.max_queue_delay_microseconds) / (SHORT + other.max_queue_delay_microseconds)
    counts = abs(one.instances - other.instances) + abs(one.post_processing - other.post_processing)
    return counts + sizes + DELAY * abs(math.log2(waits))
