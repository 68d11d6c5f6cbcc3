"""What to do about one model, pure: what is wanted, what Triton says, what failed before -> one step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgedetector.api.dataplane import ModelServing

RETRY: Final = 30.0
"""Seconds after which a configuration that failed is tried again: its cause may have gone (a full disk, a slow mount),
and a load of a broken model costs up to seconds of CPU."""


class Step(Enum):
    """What to do next."""

    NOTHING = "nothing"
    WAIT = "wait"
    """Triton does not answer."""
    LOAD = "load"
    """Write the wanted file and load it."""
    RESTORE = "restore"
    """Nothing serves and the wanted file has failed: load the last one that worked."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One model as Triton and the pod's disk show it."""

    live: bool
    ready: bool = False
    differences: tuple[str, ...] = ()
    """Where the configuration in force is not what `wanted` asks for."""
    good: str | None = None
    """Text of the last config.pbtxt that was loaded and verified."""
    changed: bool = False
    """The source has other files than those that were copied for it."""
    instances: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A text that did not load."""

    config: str
    message: str
    at: float
    """Seconds, monotonic."""
    reason: str = ""
    """What is wrong with the files, if it is they."""


def step(wanted: ModelServing, seen: Seen, failure: Failure | None, now: float) -> Step:
    """Return what to do about a model now."""
    if not seen.live:
        return Step.WAIT
    # `good` as well, since a field that was dropped from the file shows in no difference.
    if seen.ready and not seen.differences and not seen.changed and seen.good == wanted.config:
        return Step.NOTHING
    if failure is None or failure.config != wanted.config or now - failure.at >= RETRY:
        return Step.LOAD
    if not seen.ready and seen.good is not None and seen.good != wanted.config:
        return Step.RESTORE
    return Step.NOTHING
