"""Whose turn it is: fair queueing over cameras, with weights from their priorities.

Virtual time as in start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996, doi 10.1145/248156.248171) for a server
that works on several requests at once (SFQ(D): Jin, Chase and Kaur, SIGMETRICS 2004): a flow's frame gets the start tag
max(virtual time, finish tag of the flow's last served frame) and the finish tag start + 1 / weight; virtual time is the
largest start tag that was served. The smallest *finish* tag goes first, as in weighted fair queueing (Demers, Keshav
and Shenker, SIGCOMM 1989): by start tags a heavy flow waits behind one frame of every other, and here a round of all
cameras takes several batches, in which its frame goes stale.

Why this and not deficit round robin: no quantum to choose, a frame of a heavy flow that was idle goes first at once
rather than when its turn comes round, and the order does not depend on how many frames a batch takes. It needs neither
the service times nor the server's speed, on which the virtual time of weighted fair queueing itself depends.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

PRIORITY_RATIO: Final = 64
"""Weight of a priority over that of the next lower one in use.

A camera of the highest priority keeps its rate D as long as the server has D * (k + n / 64) for k such cameras and n
others: of 35 cameras the top one keeps it down to about 1.5 D. A lower priority still gets its part in 65.
"""
PRIORITY_LEVELS: Final = 3
"""Priorities told apart, from the highest; those below share the lowest weight.

With more, the lowest would get one frame in 64**3 beside a highest that is never satisfied: a starved camera.
"""
_UNIT: Final = 1 << 32
"""Service of one frame in virtual time at weight 1. Whole numbers: a float that has grown for weeks no longer tells
the small steps of heavy flows apart."""


def weights(priorities: Mapping[str, int]) -> dict[str, int]:
    """Return the weight of each camera from the order of the priorities in use; the numbers' distances mean nothing.

    So "lower gives way first" holds for 1 and 2 as for 10 and 1000, and all-equal cameras are equal.
    """
    ranks = {priority: rank for rank, priority in enumerate(sorted(set(priorities.values()), reverse=True))}
    return {name: PRIORITY_RATIO ** max(0, PRIORITY_LEVELS - 1 - ranks[p]) for name, p in priorities.items()}


@dataclass(slots=True)
class _Flow:
    cost: int
    """Of one frame in virtual time."""
    finish: int = 0
    start: int | None = None
    """Tag of the place in the queue; kept when its frame leaves unserved, for the flow had no service for it."""
    place: int = 0
    """Order of arrival, for equal tags."""
    waiting: bool = False


class FairQueue:
    """The order of service; a flow waits with at most one frame. Single-threaded, without a clock."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}
        self._virtual = 0
        self._places = 0

    def set_weights(self, wanted: Mapping[str, int]) -> tuple[str, ...]:
        """Make the flows those of `wanted`, with weights of 1 to 2**32; return those that had to leave waiting."""
        gone = tuple(name for name in self._flows if name not in wanted)
        left = tuple(name for name in gone if self._flows.pop(name).waiting)
        for name, weight in wanted.items():
            cost = max(1, _UNIT // max(1, weight))
            flow = self._flows.setdefault(name, _Flow(cost))
            flow.cost = cost
        return left

    def __contains__(self, flow: object) -> bool:
        return flow in self._flows

    def arrive(self, name: str) -> None:
        """Let a flow wait; one that waits already keeps its place."""
        flow = self._flows[name]
        flow.waiting = True
        if flow.start is None:
            flow.start = max(self._virtual, flow.finish)
            self._places += 1
            flow.place = self._places

    def leave(self, name: str) -> None:
        """Let a flow go without service; its next frame has the place of this one."""
        self._flows[name].waiting = False

    def first(self, count: int) -> list[str]:
        """Return the flows to serve next, up to `count`, in order."""
        waiting = (name for name, flow in self._flows.items() if flow.waiting)
        return heapq.nsmallest(count, waiting, key=self._turn)

    def serve(self, names: Iterable[str]) -> None:
        """Charge flows that wait for one frame each, in this order."""
        for name in names:
            flow = self._flows[name]
            start = self._virtual if flow.start is None else flow.start
            self._virtual = max(self._virtual, start)
            flow.finish = start + flow.cost
            flow.start = None
            flow.waiting = False

    def _turn(self, name: str) -> tuple[int, int]:
        flow = self._flows[name]
        return (flow.start or 0) + flow.cost, flow.place
