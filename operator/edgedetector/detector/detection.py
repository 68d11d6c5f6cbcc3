"""What a model found in a frame, and how it can fail to tell."""

from __future__ import annotations

from dataclasses import dataclass


class UnsupportedModelError(ValueError):
    """The data plane cannot feed or read a model; the message says what it would take."""


class UnexpectedOutputError(ValueError):
    """A model answered with tensors of another shape than its decoder needs."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object in a frame."""

    label: str
    score: float
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the frame."""
