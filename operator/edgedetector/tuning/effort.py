"""How much a choice may look at: a bound in numbers, so that the same input gives the same decision. Pure.

A look simulates all models side by side, and what may be changed multiplies with them. So of more than two models not
all is looked at that could be changed, but what could do most by a closed formula, where more throughput is wanted, and
in turn what changes each of them. The next choice, after a trial, begins from what that has shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from edgedetector.tuning.situation import Goal
from edgedetector.tuning.window import Configuration

Order = Callable[[Sequence[Configuration]], Sequence[Configuration]]
"""Gives what is offered in the order in which it is looked at where not all of it is."""
ALONE: Final = 4000
"""Short looks at one model, which is simulated by itself: all there are."""
LOOKS: Final = {Goal.THROUGHPUT: 1200, Goal.LATENCY: 2400, Goal.EFFICIENCY: 2400}
"""Short looks at several models, times the square of their number, since each costs more, too; for throughput each
finds a capacity. For two models they are enough for all there is."""
OF_EACH: Final = 3
"""Short looks at each of many models at least, so that none is passed over."""
FIRST: Final = 2 / 3
"""Of the looks, for what is one change away; the others are for what is come to from the best of it."""
FULL: Final = 12
"""Full predictions of what promises most,"""
FULL_TIMES: Final = 30
"""of several models times their number, where that is less,"""
FEWEST: Final = 4
"""and at least."""


@dataclass
class Effort:
    """What is left of it."""

    looks: int
    full: int
    cut: int = 0
    """Configurations that were not looked at."""
    _first: int = field(init=False)

    def __post_init__(self) -> None:
        self._first = round(self.looks * FIRST)

    def first(self, offered: Sequence[Configuration], ordered: Order) -> list[Configuration]:
        """Return what is looked at of what is one change away."""
        return self._taken(offered, ordered, self._first)

    def next(self, offered: Sequence[Configuration], ordered: Order) -> list[Configuration]:
        """Return what is looked at of what is further away."""
        return self._taken(offered, ordered, self.looks)

    def _taken(self, offered: Sequence[Configuration], ordered: Order, most: int) -> list[Configuration]:
        # In the order in which they are offered where all are looked at: it decides between equals.
        taken = list(offered) if len(offered) <= most else list(ordered(offered)[:most])
        self.cut += len(offered) - len(taken)
        self.looks -= len(taken)
        return taken


def effort(models: int, goal: Goal) -> Effort:
    """Return how much may be looked at."""
    if models <= 1:
        return Effort(ALONE, FULL)
    return Effort(max(OF_EACH * models, LOOKS[goal] // models**2), max(FEWEST, min(FULL, FULL_TIMES // models)))


def order(
    offered: Sequence[Configuration], present: Configuration, most: Callable[[Configuration], float] | None = None
) -> list[Configuration]:
    """Return what is offered in the order in which it is looked at where not all of it is.

    In turn of the models, what changes several of them counting as one more, each in the order in which it came.

    Parameters
    ----------
    most
        How much a configuration could do at most, cheaply told; then every other one is that with the most.
    """
    groups: dict[str, list[int]] = {}
    for index, one in enumerate(offered):
        changed = [name for name in one if one[name] != present.get(name)]
        groups.setdefault(changed[0] if len(changed) == 1 else "", []).append(index)
    turn = [index for each in zip_longest(*groups.values()) for index in each if index is not None]
    if most is None:
        return [offered[index] for index in turn]
    tops = [most(one) for one in offered]
    by_most = sorted(turn, key=lambda index: -tops[index])
    mixed = dict.fromkeys(index for both in zip(by_most, turn, strict=True) for index in both)
    return [offered[index] for index in mixed]
