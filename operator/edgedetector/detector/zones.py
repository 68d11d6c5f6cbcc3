"""Parts of a camera's picture that count, that do not, or that are only watched."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Kind = Literal["include", "exclude", "watch"]

_CORNERS: Final = 3
_SMALLEST: Final = 5e-7
"""Area of a zone as a share of the picture: a four-thousandth of its width and height, below any camera's pixel."""


class InvalidZoneError(ValueError):
    """A zone is no polygon inside of the picture; the message says why."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon. An object is where it stands: at the middle of its box's lower edge.

    Raises
    ------
    InvalidZoneError
        If it has no name, fewer than three corners, no area, or corners outside of the picture.
    """

    name: str
    polygon: tuple[Point, ...]
    """Corners x, y as shares of the picture's width and height, 0 to 1; the last joins the first. Where it crosses
    itself, the even-odd rule says what is inside. Its border belongs to it."""
    kind: Kind = "include"
    """`include`: with one or more of these, objects elsewhere do not count. `exclude`: objects in it do not count,
    whatever else they are in. `watch`: does not decide, only tells who enters and leaves."""

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidZoneError("a zone needs a name")
        if len(self.polygon) < _CORNERS:
            raise InvalidZoneError(f"zone {self.name}: {len(self.polygon)} corners make no polygon")
        # A NaN is in no range either.
        if not all(0.0 <= value <= 1.0 for corner in self.polygon for value in corner):
            raise InvalidZoneError(f"zone {self.name}: corners are shares of the picture, 0 to 1")
        if cv2.contourArea(np.array(self.polygon, np.float32)) < _SMALLEST:
            raise InvalidZoneError(f"zone {self.name}: the polygon has no area")

    def holds(self, point: Point) -> bool:
        """Return whether a point, in shares of the picture, is inside or on the border."""
        return bool(cv2.pointPolygonTest(np.array(self.polygon, np.float32), point, measureDist=False) >= 0)


def foot(box: Box, width: int, height: int) -> Point:
    """Return where an object stands, in shares of a frame of `width` x `height` pixels."""
    return (box[0] + box[2]) / 2 / width, box[3] / height


def names_at(zones: Iterable[Zone], point: Point) -> tuple[str, ...]:
    """Return the zones that hold a point, those that exclude left out."""
    return tuple(zone.name for zone in zones if zone.kind != "exclude" and zone.holds(point))


def counts(zones: Iterable[Zone], point: Point) -> bool:
    """Return whether an object that stands at `point` counts."""
    every = tuple(zones)
    if not all(math.isfinite(value) for value in point):
        return False
    if any(zone.holds(point) for zone in every if zone.kind == "exclude"):
        return False
    included = [zone for zone in every if zone.kind == "include"]
    return not included or any(zone.holds(point) for zone in included)
