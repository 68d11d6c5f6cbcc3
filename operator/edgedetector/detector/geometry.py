"""Where pixels of a frame land in a model's input and back. Boxes are float arrays [N, 4]: x1, y1, x2, y2 in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A frame of `width` x `height` scaled by (`scale_x`, `scale_y`) and shifted by (`left`, `top`) into an input."""

    width: int
    height: int
    scale_x: float
    scale_y: float
    left: int = 0
    top: int = 0

    @property
    def inner(self) -> tuple[int, int]:
        """Width and height in pixels that the scaled frame covers, at least 1 x 1."""
        return max(1, round(self.width * self.scale_x)), max(1, round(self.height * self.scale_y))

    def to_input(self, boxes: FloatArray) -> FloatArray:
        """Return boxes of the frame in pixels of the input."""
        scale = np.array([self.scale_x, self.scale_y] * 2)
        mapped: FloatArray = boxes * scale + np.array([self.left, self.top] * 2)
        return mapped

    def to_frame(self, boxes: FloatArray) -> FloatArray:
        """Return boxes of the input in pixels of the frame, clipped to it."""
        scale = np.array([self.scale_x, self.scale_y] * 2)
        found = (boxes - np.array([self.left, self.top] * 2)) / scale
        limit = np.array([self.width, self.height] * 2, dtype=float)
        clipped: FloatArray = np.clip(found, 0.0, limit)
        return clipped


def stretch(width: int, height: int, to_width: int, to_height: int) -> Mapping:
    """Return the mapping that fills the input and does not keep the aspect; the identity if the sizes are equal."""
    return Mapping(width, height, to_width / width, to_height / height)


def letterbox(width: int, height: int, to_width: int, to_height: int) -> Mapping:
    """Return the mapping that keeps the aspect and centres the frame in the input, with borders on two sides.

    The scales are those of the whole pixels that the frame gets: with the one before rounding a box at the far edge of
    1280 x 854 in 320 x 320 came back 2 pixels off.
    """
    scale = min(to_width / width, to_height / height)
    inner_width = min(to_width, max(1, round(width * scale)))
    inner_height = min(to_height, max(1, round(height * scale)))
    left, top = (to_width - inner_width) // 2, (to_height - inner_height) // 2
    return Mapping(width, height, inner_width / width, inner_height / height, left, top)


def centre_to_corners(boxes: FloatArray) -> FloatArray:
    """Return boxes given as centre x, centre y, width, height as corners."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
