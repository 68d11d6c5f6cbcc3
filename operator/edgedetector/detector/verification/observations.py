"""What a test of a profile has seen, as values; `judge` says what that means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one request of the load."""

    at: float
    """Seconds, monotonic."""
    problem: str = ""
    """Why it failed; empty: it was answered."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time under load."""

    seconds: float
    answered: int = 0
    failed: int = 0
    gap: float = 0.0
    """Longest time in it without an answer, seconds; all of it if there was none."""
    problem: str = ""
    """Of the first request that failed."""


def stretch(answers: Iterable[Answer], begin: float, end: float) -> Stretch:
    """Return what happened from `begin` to `end`, seconds on the clock of the answers."""
    found = sorted((one for one in answers if begin <= one.at <= end), key=lambda one: one.at)
    good = [one.at for one in found if not one.problem]
    failed = [one.problem for one in found if one.problem]
    edges = [begin, *good, end]
    gap = max(later - earlier for earlier, later in pairwise(edges))
    return Stretch(end - begin, len(good), len(failed), gap, next(iter(failed), ""))


def together(stretches: Sequence[Stretch]) -> Stretch:
    """Return several stretches as one; the longest gap is the longest of any."""
    return Stretch(
        sum(one.seconds for one in stretches),
        sum(one.answered for one in stretches),
        sum(one.failed for one in stretches),
        max((one.gap for one in stretches), default=0.0),
        next((one.problem for one in stretches if one.problem), ""),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """A load of the model's configuration under load."""

    before: int
    """Instances."""
    after: int
    seconds: float
    """That the load took."""
    kept: bool | None = None
    """Whether Triton's statistics went on (in place) or began anew (a whole reload); None: that could not be told."""
    refused: str = ""
    """Triton's words, if it did not load."""
    stretch: Stretch = field(default_factory=lambda: Stretch(0.0))
    """From the load's begin until a moment after its end."""
    begun: float = 0.0
    ended: float = 0.0
    """Seconds, monotonic: between them old and new instances may have been there at once."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of the exporter."""

    at: float
    """Seconds, monotonic."""
    figures: Mapping[str, Sequence[float]]
    """Our name -> a value for each device, in our units."""


@dataclass(frozen=True, slots=True)
class Observations:
    """All of it."""

    model: str
    triton: str
    user: int
    quiet: Stretch
    """Without changes, in all at least as long as those of the changes."""
    changes: tuple[Change, ...] = ()
    """Of the number of instances, one after the other from 1."""
    reload: Change | None = None
    """Of everything, with the same number of instances."""
    shared: str | None = None
    """Why no memory can be shared with Triton; empty: it can; None: nobody tried."""
    readings: tuple[Reading, ...] = ()
    drivers: tuple[str, ...] = ()
    """Versions that the exporter named."""
