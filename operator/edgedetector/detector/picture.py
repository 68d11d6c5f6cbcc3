"""A frame with its boxes, for people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import cv2
import numpy as np

from edgedetector.detector.events import Result
from edgedetector.detector.inference import Detection, Image

Colour = tuple[int, int, int]

# RGB; light enough for dark text, and far apart for eyes that confuse red and green (after Okabe and Ito).
_PALETTE: Final[tuple[Colour, ...]] = (
    (86, 180, 233),
    (240, 228, 66),
    (230, 159, 0),
    (0, 200, 150),
    (204, 121, 167),
    (255, 140, 80),
)
_INK: Final[Colour] = (16, 20, 24)
_FONT: Final = cv2.FONT_HERSHEY_DUPLEX
_QUALITY: Final = 90


def annotate(results: Sequence[Result]) -> Image:
    """Return the frame of the first result with the boxes of all, and a line that says what one sees.

    The newest results of two models may be of frames of different sizes, while a camera goes from a stream to another.
    """
    first = results[0]
    canvas = first.image.copy()
    scale = max(0.35, canvas.shape[0] / 1200)
    for result in results:
        across, down = first.width / result.width, first.height / result.height
        for detection in reversed(result.detections):
            x1, y1, x2, y2 = detection.box
            _box(canvas, replace(detection, box=(x1 * across, y1 * down, x2 * across, y2 * down)), scale)
    _caption(canvas, _text(results), scale)
    return canvas


def jpeg(image: Image) -> bytes:
    """Return an RGB image as JPEG."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"no JPEG of an image of shape {image.shape}")
    return bytes(data)


def _text(results: Sequence[Result]) -> str:
    first = results[0]
    captured = datetime.fromtimestamp(first.captured, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    count = sum(len(result.detections) for result in results)
    models = ", ".join(f"{result.model} {result.inference * 1000:.0f} ms" for result in results)
    return f"{first.camera}  |  {captured}  |  {count} found  |  {models}"


def _colour(label: str) -> Colour:
    return _PALETTE[hashlib.blake2b(label.encode(), digest_size=1).digest()[0] % len(_PALETTE)]


def _box(canvas: Image, detection: Detection, scale: float) -> None:
    colour = _colour(detection.label)
    left, top, right, bottom = (round(value) for value in detection.box)
    thickness = max(2, round(3 * scale))
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, thickness, cv2.LINE_AA)
    text = f"{detection.label} {detection.score:.2f}"
    (width, height), base = cv2.getTextSize(text, _FONT, scale, 1)
    pad = max(2, round(5 * scale))
    tall = height + base + 2 * pad
    # Above the box, or inside it where the picture ends.
    y = top - tall if top >= tall else top
    x = max(0, min(left, canvas.shape[1] - width - 2 * pad))
    cv2.rectangle(canvas, (x, y), (x + width + 2 * pad, y + tall), colour, cv2.FILLED)
    cv2.putText(canvas, text, (x + pad, y + height + pad), _FONT, scale, _INK, 1, cv2.LINE_AA)


def _caption(canvas: Image, text: str, scale: float) -> None:
    (_, height), base = cv2.getTextSize(text, _FONT, scale, 1)
    pad = max(2, round(8 * scale))
    tall = min(canvas.shape[0], height + base + 2 * pad)
    strip: Any = canvas[-tall:]
    strip[:] = (strip * 0.35 + np.array(_INK) * 0.65).astype(np.uint8)
    cv2.putText(canvas, text, (pad, canvas.shape[0] - base - pad), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
