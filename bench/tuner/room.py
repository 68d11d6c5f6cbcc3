"""The room that the tuner leaves on purpose, as it is in truth: which best it would have refused, had it known it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from judge import truth
from judge.harness import Story
from judge.report import Row
from judge.server import Server
from judge.sweep import STEADY

from edgedetector.tuning.safety import MARGIN, ROOM, SLOWER
from edgedetector.tuning.window import Configuration

BAR: Final = 0.95
"""Reached / best from which nobody asks what the best leaves."""
_ALIKE: Final = 1.02
"""Ratio of two latencies up to which one is no slower than the other."""
_KEPT: Final = 0.97
"""Share of the start's capacity that is as much room as there was."""


def leaves(server: Server, configuration: Configuration) -> bool:
    """Return whether a configuration leaves the room that `tuning.safety` asks of a step, at the most demand there is.

    Room below the latency limit, more of it where the start is quicker, and room above the demand, or the start's.
    """
    cameras, limit = truth.at(server, most=True), server.limits.latency
    found, start = (truth.load(server, one, cameras, STEADY).latency for one in (configuration, server.start))
    if found > MARGIN * limit or (found > _ALIKE * start and found > SLOWER * limit):
        return False
    demand = sum(count * rate for count, rate in cameras.values())
    capacity = truth.capacity(server, configuration)
    return capacity >= ROOM * demand or capacity >= _KEPT * truth.capacity(server, server.start)


def rows(stories: Sequence[Story]) -> list[Row]:
    """Return what was reached without the servers whose best leaves no such room, and how many these are."""
    near = [s for s in stories if s.best and s.ratio < BAR and not leaves(s.server, s.best.configuration)]
    ratios = [story.ratio for story in stories if story not in near]
    if not ratios:
        return []
    names = f", {len(near)} left out: {', '.join(story.server.name for story in near)}" if near else ""
    found = f"{statistics.median(ratios):.1%}, {min(ratios):.1%}{names}"
    return [Row("where the best leaves room", "-", found, met=True)]
