"""What goes wrong while a fleet is tuned: drawn from a seed, or by hypothesis in tests/unit/judge. Pure values."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DISTURBED: Final = 1500.0
"""Seconds in which interruptions begin."""
MOST: Final = 8
"""Interruptions a run."""


class Fault(StrEnum):
    """What goes wrong."""

    BEFORE_WRITE = "the operator is killed before its next write"
    AFTER_WRITE = "the operator is killed after its next write"
    KILLED = "the operator is killed"
    MEMORY_LOST = "the tuner's memory is lost"
    RECORD_LOST = "the record is deleted"
    RECORD_OLD = "an older record is put back"
    POD_REPLACED = "a pod is replaced"
    DETECTOR = "a detector restarts"
    TRITON = "a Triton restarts"
    RELOADED = "somebody else loads the model"
    RESET = "counters begin anew, in another epoch"
    WENT_BACK = "counters begin anew in the same epoch"
    SILENT = "a pod does not answer"
    KUBELET = "a kubelet is down"
    EXPORTER = "the exporter is away"
    SLOWER = "a device is slower for a while"
    DEMAND = "cameras come or go"
    SCALED = "somebody asks for another number of replicas"


WHEREVER: Final = frozenset({
    Fault.BEFORE_WRITE, Fault.AFTER_WRITE, Fault.KILLED, Fault.MEMORY_LOST, Fault.RECORD_LOST, Fault.RECORD_OLD,
    Fault.DEMAND, Fault.SCALED,
})  # fmt: skip
"""Those that are of no single pod."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """One of them."""

    fault: Fault
    at: float
    """Seconds since the beginning; where `trial` is not 0, since that trial was decided on."""
    trial: int = 0
    """Number of the trial in which it comes, from 1; 0: at any time. One that never comes is none."""
    lasts: float = 10.0
    """Seconds."""
    canary: bool = True
    """Of the pods, the one on trial if there is one; otherwise one of the others if there are some."""
    share: float = 1.0
    """By which the cameras or the device's times are multiplied, or the replicas asked for."""

    def __str__(self) -> str:
        when = f"{self.at:.0f} s into trial {self.trial}" if self.trial else f"at {self.at:.0f} s"
        return f"{self.fault} {when} for {self.lasts:.0f} s"


def drawn(seed: int) -> tuple[Interruption, ...]:
    """Return the interruptions of a seed, five of six in the middle of a trial or soon after."""
    draw = random.Random(f"interruptions {seed}")  # noqa: S311 - to be repeated, not secret
    return tuple(_one(draw) for _ in range(draw.randint(2, MOST)))


def _one(draw: random.Random) -> Interruption:
    trial = draw.choice((0, 1, 1, 2, 2, 3))
    return Interruption(
        draw.choice(tuple(Fault)),
        at=round(draw.uniform(0.0, 45.0 if trial else DISTURBED)),
        trial=trial,
        lasts=round(draw.choice((3.0, draw.uniform(3.0, 30.0), draw.uniform(30.0, 300.0)))),
        canary=draw.random() < 0.6,
        share=draw.choice((0.5, 0.75, 1.3, 2.0)),
    )
