"""A frame with its boxes, for people."""

from __future__ import annotations

import numpy as np

from edgedetector.detector.detection import Detection
from edgedetector.detector.events import Result
from edgedetector.detector.picture import annotate


def result(model: str, width: int, height: int, *boxes: tuple[float, float, float, float]) -> Result:
    """What a model found in a black frame."""
    black = np.zeros((height, width, 3), np.uint8)
    found = tuple(Detection("person", 0.9, box) for box in boxes)
    return Result("gate", model, width, height, lambda: black, 0, 0.0, 0.0, 0.0, found)


def test_a_box_of_a_larger_frame_lies_where_it_would_in_this_one() -> None:
    small = result("people", 640, 360)
    of_large = annotate([small, result("cars", 1920, 1080, (1200, 600, 1500, 900))])
    of_same = annotate([small, result("cars", 640, 360, (400, 200, 500, 300))])
    assert np.array_equal(of_large, of_same)
    assert of_large[250, 398:403].any(), "the left edge"
