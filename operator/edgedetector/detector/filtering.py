"""Which of the objects that a model found count for a camera."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgedetector.detector.detection import Detection
from edgedetector.detector.zones import Zone, counts, foot


@dataclass(frozen=True, slots=True)
class Filter:
    """What counts for one camera; by default everything."""

    confidence: float | None = None
    """Score from which an object counts; None: the model's own. Below the model's own it takes effect only if the
    frame is decoded with it (`confidences` of `Model.decode_batch`)."""
    classes: tuple[str, ...] = ()
    """Labels that count; empty: all."""
    zones: tuple[Zone, ...] = ()


def admits(rule: Filter, detection: Detection, width: int, height: int) -> bool:
    """Return whether an object in a frame of `width` x `height` pixels counts."""
    if rule.confidence is not None and detection.score < rule.confidence:
        return False
    if rule.classes and detection.label not in rule.classes:
        return False
    return counts(rule.zones, foot(detection.box, width, height))


def select(rule: Filter, detections: Iterable[Detection], width: int, height: int) -> tuple[Detection, ...]:
    """Return the objects of a frame of `width` x `height` pixels that count, in their order."""
    return tuple(detection for detection in detections if admits(rule, detection, width, height))
