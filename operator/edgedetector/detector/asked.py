"""What a camera is asked to give up, what that means for its models, and what it tells of pressure in return. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """What a camera is asked to give now."""

    ceiling: float | None = None
    """Most frames a second; None: the ladder takes nothing."""
    keyframes_only: bool = False
    suspended: bool = False
    sentence: str = ""
    """What it gives up and why; empty: nothing."""
    rungs: int = 0
    substream: bool = False
    """Read the sub-stream in place of the main one."""
    variants: frozenset[str] = frozenset()
    """Smaller models that take the place of those whose variants they are."""

    def fewer(self, target: float) -> bool:
        """Return whether it is to give fewer frames a second than its target."""
        return self.suspended or self.keyframes_only or (self.ceiling is not None and self.ceiling < target)


@dataclass(frozen=True, slots=True)
class Sample:
    """A result, as far as it tells of pressure."""

    at: float
    """Seconds, monotonic."""
    arrived: float
    """Of its frame."""
    age: float
    """Age of the result over the interval between frames that are asked for."""
    objects: int
    """Boxes before the camera's own rules, if suppression on the CPU had to compare them; else 0."""


def served_by(
    models: Iterable[str], variants: Mapping[str, str], used: frozenset[str] = frozenset()
) -> dict[str, tuple[str, ...]]:
    """Return which models get a camera's frames now, and of which of the camera's models each is the answer.

    Parameters
    ----------
    models
        Names of the camera's models.
    variants
        The smaller variant by the name of the model, where there is one.
    used
        The variants that take part now.
    """
    served: dict[str, tuple[str, ...]] = {}
    for model in models:
        variant = variants.get(model, "")
        name = variant if variant in used else model
        served[name] = (*served.get(name, ()), model)
    return served
