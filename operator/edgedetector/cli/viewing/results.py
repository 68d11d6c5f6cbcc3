"""A result as an inference pod tells it: what of it a page needs, and nothing that is not what it should be. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 200
"""Boxes of a frame that are drawn, best first: more would hide the picture."""


@dataclass(frozen=True, slots=True)
class Box:
    """One object; `box` is x1, y1, x2, y2 in pixels of the frame."""

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Result:
    """What one model found in one frame of `width` x `height` pixels."""

    camera: str
    model: str
    width: int
    height: int
    pts: int | None
    """The frame's own time, in ticks of 1/90,000 s from some moment."""
    age: float
    """Seconds from the decoded frame to the result."""
    boxes: tuple[Box, ...]

    def told(self) -> dict[str, Any]:
        """Return what goes to a page, besides the camera."""
        found = [{"label": one.label, "score": one.score, "box": one.box} for one in self.boxes[:MOST]]
        return {"model": self.model, "width": self.width, "height": self.height, "detections": found}


def parse(event: Mapping[str, Any]) -> Result:
    """Return the result of a document of /events.

    Raises
    ------
    ValueError, TypeError, LookupError
        If it is none.
    """
    frame = event["frame"]
    if not isinstance(frame, Mapping):
        raise TypeError("a frame that is no object")
    pts = frame.get("pts")
    width, height, age = int(frame["width"]), int(frame["height"]), _finite(frame["ageSeconds"])
    if width <= 0 or height <= 0 or age < 0.0:
        raise ValueError("a frame without pixels, or a result before its frame")
    boxes = tuple(_box(one) for one in event["detections"])
    return Result(
        str(event["camera"]), str(event["model"]), width, height, None if pts is None else int(pts), age, boxes
    )


def _box(found: Mapping[str, Any]) -> Box:
    x1, y1, x2, y2 = (_finite(value) for value in found["box"])
    return Box(str(found["label"]), _finite(found["score"]), (x1, y1, x2, y2))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
