"""What is done to which request: the writes of an undisturbed run, times the faults. Pure.

A write is known by the step of the scenario in which it comes, by what it does to which object, and by how often that
has come before in this step. A number would not do, since two workers of the operator may change places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

# What a ReplicaSet or a DaemonSet adds to a pod's name, and the operator to an Event's.
_RANDOM_PARTS = (
    re.compile(r"(?<=/pods/)(.+?)(-[a-z0-9]{6,10})?-[a-z0-9]{5}(?=/|\Z)"),
    re.compile(r"(?<=/events/)(.+)\.[a-f0-9]{16}(?=/|\Z)"),
)


class Fault(StrEnum):
    """What happens to a write. Every fault strikes once."""

    KILL_BEFORE = "kill before the write"
    KILL_COMMITTED = "kill after the commit, reply lost"
    KILL_REPLIED = "kill after the reply"
    LOST = "commit, reply lost, no kill"
    CONFLICT = "409"
    PATIENCE = "429"
    BROKEN = "500"
    GONE = "410"

    @property
    def kills(self) -> bool:
        """Whether the operator dies of it."""
        return self in KILLS

    @property
    def commits(self) -> bool:
        """Whether the write reaches the API server."""
        return self in {Fault.KILL_COMMITTED, Fault.KILL_REPLIED, Fault.LOST}

    @property
    def status(self) -> int:
        """What the proxy answers instead of the API server; 0: it does not answer itself."""
        return int(self.value) if self.value.isdecimal() else 0


KILLS = frozenset({Fault.KILL_BEFORE, Fault.KILL_COMMITTED, Fault.KILL_REPLIED})


@dataclass(frozen=True, slots=True, order=True)
class Write:
    """One write of the scenario."""

    step: str
    what: str
    """Method and path, without the random parts of names."""
    nth: int = 1
    """Which of those in this step, from 1."""

    def __str__(self) -> str:
        return f"{self.step}: {self.what}" + (f" ({self.nth})" if self.nth > 1 else "")


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One fault at one write."""

    write: Write
    fault: Fault

    def __str__(self) -> str:
        return f"{self.write} [{self.fault}]"


Plan = Callable[[Write], Fault | None]
"""Asked once about every write, in the order in which they come."""


def undisturbed(_write: Write) -> None:
    """Do nothing to any write."""


def what(method: str, path: str) -> str:
    """Return what a request does, in the same words in every run."""
    for pattern in _RANDOM_PARTS:
        path = pattern.sub(lambda match: f"{match[1]}-*", path)
    return f"{method} {path}"


class Counting:
    """Gives every write of a run its name."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}

    def __call__(self, step: str, method: str, path: str) -> Write:
        """Return the write; the next one to the same place in this step gets the next number."""
        done = what(method, path)
        self._seen[step, done] = nth = self._seen.get((step, done), 0) + 1
        return Write(step, done, nth)


def cases(writes: Iterable[Write], faults: Iterable[Fault] = tuple(Fault)) -> tuple[Case, ...]:
    """Return every fault at every write."""
    wanted = tuple(faults)
    return tuple(Case(write, fault) for write in dict.fromkeys(writes) for fault in wanted)


def sample(every: Iterable[Case], share: int, offset: int = 0) -> tuple[Case, ...]:
    """Return every write with every `share`-th of its faults, starting elsewhere with each write.

    So no write goes untried and, from `share` writes on, neither does a fault.
    """
    found: list[Case] = []
    of_write: dict[Write, list[Case]] = {}
    for case in every:
        of_write.setdefault(case.write, []).append(case)
    for number, of_one in enumerate(of_write.values()):
        found += [case for index, case in enumerate(of_one) if (index + number + offset) % share == 0]
    return tuple(found)


def rounds(wanted: Iterable[Case], steps: Iterable[str]) -> tuple[tuple[Case, ...], ...]:
    """Share the cases out to as few runs of the scenario as possible, at most one a step.

    Since a step begins only when the last one has ended as it would have undisturbed, the cases of a run do not touch
    each other.
    """
    queues = {step: [case for case in wanted if case.write.step == step] for step in tuple(steps)}
    length = max((len(queue) for queue in queues.values()), default=0)
    return tuple(tuple(queue[number] for queue in queues.values() if number < len(queue)) for number in range(length))


class Once:
    """The plan of a round: each fault strikes once at its write."""

    def __init__(self, of_round: Iterable[Case]) -> None:
        self._waiting = {case.write: case.fault for case in of_round}

    def __call__(self, write: Write) -> Fault | None:
        """Return what happens to this write."""
        return self._waiting.pop(write, None)

    @property
    def missed(self) -> tuple[Write, ...]:
        """The writes that have not come."""
        return tuple(self._waiting)


class Storm:
    """Every write of the scenario meets the fault the first time it comes.

    With a kill the operator gets one write further each time it is started. A write that comes again because its reply
    was lost, or because it was not made, is let through.
    """

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.struck: set[tuple[str, str]] = set()

    def __call__(self, write: Write) -> Fault | None:
        """Return what happens to this write."""
        if (write.step, write.what) in self.struck:
            return None
        self.struck.add((write.step, write.what))
        return self._fault
