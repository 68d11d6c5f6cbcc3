"""How long nothing came, in stretches of a run. Pure; times are seconds of one monotonic clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

Stretch = tuple[float, float]
"""From, to."""


@dataclass(frozen=True, slots=True)
class Result:
    """One camera's result."""

    at: float
    camera: str
    age: float
    """Milliseconds from the decoded frame to its result."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing came for so long."""

    since: float
    seconds: float


def gaps(times: Sequence[float], stretches: Iterable[Stretch]) -> list[Gap]:
    """Return the gaps between two results of which the first lies in a stretch.

    What a change causes begins while it is made, even where it ends later. A stretch in which nothing came at all is
    one gap, from its beginning to the next result.

    Parameters
    ----------
    times
        Of the results, ascending.
    """
    found: list[Gap] = []
    for begin, end in stretches:
        first, last = bisect_left(times, begin), bisect_right(times, end)
        inside = list(times[first : last + 1])  # and the one after
        if first == last:
            inside = [begin, *inside]
        found += [Gap(one, other - one) for one, other in pairwise(inside)]
    return found


def longest(found: Iterable[Gap]) -> float:
    """Return the longest gap in seconds; 0 without any."""
    return max((gap.seconds for gap in found), default=0.0)


def of_each_camera(results: Sequence[Result], stretches: Sequence[Stretch]) -> list[Gap]:
    """Return the gaps between two results of the same camera, of all cameras."""
    times: dict[str, list[float]] = {}
    for result in results:
        times.setdefault(result.camera, []).append(result.at)
    return [gap for own in times.values() for gap in gaps(own, stretches)]


def seconds_of(stretches: Iterable[Stretch]) -> float:
    """Return how long they are together."""
    return sum(end - begin for begin, end in stretches)


def within(results: Iterable[Result], stretches: Sequence[Stretch]) -> list[Result]:
    """Return the results that came in a stretch."""
    return [result for result in results if any(begin <= result.at <= end for begin, end in stretches)]
