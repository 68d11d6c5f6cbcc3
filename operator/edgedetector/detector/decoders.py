"""From a model's outputs to boxes: the heads that are known, and suppression of the weaker of two that overlap.

====== ==================================================================================================== ==========
head   outputs, each with or without a leading batch dimension, FP16 or FP32                                classes
====== ==================================================================================================== ==========
yolov8 the first: [4 + classes, anchors]; centre x, centre y, width, height in pixels of the input, then a  from 0
       score a class (also yolov11)
yolov5 the first: [anchors, 5 + classes]; the same four, objectness, a score a class                        from 0
ssd    detection_boxes [N, 4] (ymin, xmin, ymax, xmax as shares of the input), detection_scores [N],        the
       detection_classes [N], optionally num_detections [1] (TensorFlow's Object Detection API); or a       model's:
       single output [1, N, 7] or [N, 7] (image, class, score, xmin, ymin, xmax, ymax; image -1 ends the    TF's 1 is
       list: OpenVINO's DetectionOutput)                                                                    labels[1]
none   boxes [N, 4] (x1, y1, x2, y2 in pixels of the input), scores [N], classes [N], optionally count [1]  from 0
====== ==================================================================================================== ==========

Suppression is part of an `ssd` model and of a `none` one; a post-processing model inside Triton is a `none`.
What is no box (not finite, without area) is dropped and counted by reason; what cannot be the head's output at all is
an `UnexpectedOutputError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edgedetector.api.dataplane import DetectorModel
from edgedetector.detector.detection import UnexpectedOutputError
from edgedetector.detector.geometry import centre_to_corners

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
Head = Callable[[DetectorModel, Outputs, "Request"], "Boxes"]

CANDIDATES: Final = 1024
"""Boxes of a frame that go into suppression, the best by score: its time grows with their square, and an overloaded
or broken model must not stop the stage. torchvision's detectors keep 1000 (`topk_candidates`)."""
_SCORE_LIMIT: Final = 1.01
"""Scores are probabilities; the rest is rounding in FP16. A larger one is a logit: the model lacks its sigmoid."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """What a head gave for one frame."""

    corners: Array
    """[N, 4] float32: x1, y1, x2, y2 in pixels of the input."""
    scores: Array
    """[N] float32."""
    classes: Array
    """[N] int64."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows above the confidence that were no boxes, by reason: `NotFinite`, `NoArea`, `TooMany`."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a head for one frame."""

    confidence: float
    """Score from which a box counts."""
    width: int
    height: int
    """Of the input that the frame was put in, in pixels."""


def decode(model: DetectorModel, outputs: Outputs, request: Request) -> Boxes:
    """Return the boxes of one frame, from outputs without batch dimension; in no particular order.

    Raises
    ------
    UnexpectedOutputError
        If the outputs are not what the head needs.
    """
    return HEADS[model.decoder.type](model, outputs, request)


def unbatch(model: DetectorModel, outputs: Outputs, frames: int) -> tuple[dict[str, Array], ...]:
    """Return the outputs of each of a batch's frames, as views without batch dimension.

    Raises
    ------
    UnexpectedOutputError
        If an output does not hold this many frames.
    """
    for name, array in outputs.items():
        if array.dtype.kind not in "fiub":
            raise UnexpectedOutputError(f"model {model.name}: output {name}: {array.dtype} holds no numbers")
    if model.max_batch_size == 0:
        if frames != 1:
            raise UnexpectedOutputError(f"model {model.name}: takes no batches, but was asked for {frames} frames")
        return (dict(outputs),)
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != frames:
            raise UnexpectedOutputError(
                f"model {model.name}: output {name}: {array.shape} holds no batch of {frames} frames"
            )
    return tuple({name: array[index] for name, array in outputs.items()} for index in range(frames))


def _yolov8(model: DetectorModel, outputs: Outputs, request: Request) -> Boxes:
    raw = _matrix(model, outputs, rows=True, least=5, layout="[4 + classes, anchors]")
    values = raw.astype(np.float32, copy=False)
    strongest = values[4:].max(axis=0, initial=-np.inf)
    # A NaN fails every comparison, so that it is looked for here and dropped below, with its reason.
    kept = np.flatnonzero(~(strongest < request.confidence))
    classes = values[4:, kept].argmax(axis=0)
    return _suppressed(model, _sound(model, Boxes(_corners(values[:4, kept].T), strongest[kept], classes)))


def _yolov5(model: DetectorModel, outputs: Outputs, request: Request) -> Boxes:
    raw = _matrix(model, outputs, rows=False, least=6, layout="[anchors, 5 + classes]")
    # No class can be likelier than that there is an object at all: few rows are left to look at.
    likely = raw[~(raw[:, 4] < request.confidence)].astype(np.float32)
    classes = likely[:, 5:].argmax(axis=1)
    with np.errstate(invalid="ignore"):  # infinity times nothing; dropped by `_sound`
        scores = likely[:, 4] * likely[np.arange(len(likely)), 5 + classes]
    kept = ~(scores < request.confidence)
    return _suppressed(model, _sound(model, Boxes(_corners(likely[kept, :4]), scores[kept], classes[kept])))


def _ssd(model: DetectorModel, outputs: Outputs, request: Request) -> Boxes:
    if "detection_boxes" not in outputs and len(outputs) == 1:
        shares, scores, classes = _detection_output(model, next(iter(outputs.values())))
    else:
        shares, scores, classes = _lists(
            model, outputs, ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
        )
        shares = shares[:, [1, 0, 3, 2]]
    size = np.array([request.width, request.height] * 2, np.float32)
    return _above(model, shares.astype(np.float32) * size, scores, classes, request)


def _none(model: DetectorModel, outputs: Outputs, request: Request) -> Boxes:
    corners, scores, classes = _lists(model, outputs, ("boxes", "scores", "classes", "count"))
    return _above(model, corners, scores, classes, request)


HEADS: Final[dict[str, Head]] = {"none": _none, "ssd": _ssd, "yolov5": _yolov5, "yolov8": _yolov8}
"""By the name that a model's decoder has."""


def _matrix(model: DetectorModel, outputs: Outputs, *, rows: bool, least: int, layout: str) -> Array:
    """Return the first output as a matrix whose rows (or columns) are a box's values, `least` or more of them."""
    if not outputs:
        raise UnexpectedOutputError(f"model {model.name}: no outputs")
    raw = next(iter(outputs.values()))
    matrix = raw[0] if raw.ndim == 3 and raw.shape[0] == 1 else raw  # noqa: PLR2004 - a batch of 1 in the model's dims
    if matrix.ndim != 2 or matrix.shape[0 if rows else 1] < least:  # noqa: PLR2004
        raise UnexpectedOutputError(f"model {model.name}: decoder {model.decoder.type} needs {layout}, got {raw.shape}")
    values, others = matrix.shape if rows else matrix.shape[::-1]
    expected = least - 1 + len(model.decoder.labels)
    if model.decoder.labels and others == expected != values:
        raise UnexpectedOutputError(
            f"model {model.name}: decoder {model.decoder.type} needs {layout}, got {raw.shape}, which is transposed"
        )
    return matrix


def _lists(model: DetectorModel, outputs: Outputs, names: tuple[str, str, str, str]) -> tuple[Array, Array, Array]:
    """Return boxes [n, 4], scores [n] and classes [n] of outputs by name, cut to the count if there is one."""
    missing = [name for name in names[:3] if name not in outputs]
    if missing:
        raise UnexpectedOutputError(
            f"model {model.name}: decoder {model.decoder.type} needs an output {missing[0]!r}, got {sorted(outputs)}"
        )
    boxes, scores, classes = (outputs[name] for name in names[:3])
    length = scores.size
    if boxes.size != 4 * length or classes.size != length:
        raise UnexpectedOutputError(
            f"model {model.name}: {names[0]} {boxes.shape}, {names[1]} {scores.shape} and {names[2]} {classes.shape} "
            "are not of one length"
        )
    count = min(length, _count(model, outputs[names[3]])) if names[3] in outputs else length
    return boxes.reshape(-1, 4)[:count], scores.reshape(-1)[:count], classes.reshape(-1)[:count]


def _count(model: DetectorModel, array: Array) -> int:
    if array.size != 1 or not np.isfinite(array).all() or array.reshape(-1)[0] < 0:
        raise UnexpectedOutputError(f"model {model.name}: {array.reshape(-1)[:3].tolist()} is no number of boxes")
    return int(array.reshape(-1)[0])


def _detection_output(model: DetectorModel, raw: Array) -> tuple[Array, Array, Array]:
    if raw.ndim == 0 or raw.shape[-1] != 7:  # noqa: PLR2004 - image, class, score, four corners
        raise UnexpectedOutputError(
            f"model {model.name}: decoder ssd needs detection_boxes, detection_scores and detection_classes, or one "
            f"output [N, 7]; got one of {raw.shape}"
        )
    rows = raw.reshape(-1, 7)
    end = np.flatnonzero(rows[:, 0] < 0)
    rows = rows[: end[0]] if len(end) else rows
    return rows[:, 3:], rows[:, 2], rows[:, 1]


def _above(model: DetectorModel, corners: Array, scores: Array, classes: Array, request: Request) -> Boxes:
    kept = ~(scores < request.confidence)
    return _sound(model, Boxes(corners[kept].astype(np.float32), scores[kept].astype(np.float32), classes[kept]))


def _corners(centres: Array) -> Array:
    with np.errstate(invalid="ignore"):  # infinity less infinity; dropped by `_sound`
        return centre_to_corners(centres)


def _sound(model: DetectorModel, found: Boxes) -> Boxes:
    """Return what can be a box; the rest is counted by reason."""
    finite = (
        np.isfinite(found.corners).all(axis=1) & np.isfinite(found.scores) & np.isfinite(found.classes.astype(float))
    )
    if (found.scores[finite] > _SCORE_LIMIT).any():
        raise UnexpectedOutputError(
            f"model {model.name}: scores up to {found.scores[finite].max():.3g} are no probabilities: "
            "the model's last layer must be a sigmoid"
        )
    area = (found.corners[:, 2] > found.corners[:, 0]) & (found.corners[:, 3] > found.corners[:, 1])
    kept = finite & area
    reasons = {"NotFinite": int((~finite).sum()), "NoArea": int((finite & ~area).sum())}
    dropped = {reason: count for reason, count in reasons.items() if count}
    return Boxes(found.corners[kept], found.scores[kept], found.classes[kept].astype(np.int64), dropped)


def _suppressed(model: DetectorModel, found: Boxes) -> Boxes:
    best = suppress(found.corners, found.scores, found.classes, model.decoder.iou)
    surplus = len(found.scores) - CANDIDATES
    dropped = {**found.dropped, **({"TooMany": surplus} if surplus > 0 else {})}
    return Boxes(found.corners[best], found.scores[best], found.classes[best], dropped)


def suppress(
    corners: Array, scores: Array, classes: Array, iou: float, *, candidates: int = CANDIDATES
) -> npt.NDArray[np.intp]:
    """Return the indices that survive non-maximum suppression within each class, best first.

    Parameters
    ----------
    corners
        [N, 4], finite: x1, y1, x2, y2.
    iou
        Overlap above which the weaker of two boxes of a class is dropped.
    candidates
        Only this many are looked at, the best by score.
    """
    if len(corners) == 0:
        return np.empty(0, np.intp)
    sizes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float64)
    # OpenCV keeps classes apart by moving each by the largest coordinate, which lets them touch where others are
    # negative (4.11, `NMSBoxesBatched`): so none is.
    sizes[:, :2] -= sizes[:, :2].min(axis=0)
    # One call a frame: over a whole batch, its time would grow with the square of all frames' boxes.
    # OpenCV takes arrays too; its stubs know only of sequences.
    strengths: Any = scores.astype(np.float64)
    kinds: Any = classes.astype(np.int32)
    kept = cv2.dnn.NMSBoxesBatched(sizes, strengths, kinds, 0.0, iou, top_k=candidates)
    return np.asarray(kept, dtype=np.intp).reshape(-1)
