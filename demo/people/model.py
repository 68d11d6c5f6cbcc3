"""The demo's people detector: OpenCV's HOG detector as a model of Triton's python backend.

It needs no weights file (the trained SVM is part of OpenCV), so the demo runs without a model hub. One file, because a
ConfigMap or a volume delivers it as `<repository>/people/1/model.py`. Accuracy is that of a 2005 method; the point is
that real frames give real, reproducible boxes.

Contract
--------
Input
    ``image``    UINT8 [H, W, 3], RGB, full range; H and W are the model's configured dims (demo: 576 x 768).
Outputs (decoder type ``none``: non-maximum suppression is in the model)
    ``boxes``    FP32  [64, 4], xyxy in pixels of the input, clipped to it, highest score first.
    ``scores``   FP32  [64], the SVM's margin squashed to (0, 1); not a probability.
    ``classes``  INT32 [64], always 0 (person).
    ``count``    INT32 [1], how many leading rows of the other three are detections; rows behind are zero.

With ``max_batch_size`` > 0 every tensor has a leading batch dimension; a batch is worked through image by image, so it
costs what its images cost one by one. Single-threaded and without randomness: equal frames give equal answers.
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

try:
    pb_utils: Any = importlib.import_module("triton_python_backend_utils")  # only inside Triton's python backend
except ImportError:
    pb_utils = None

MAX_DETECTIONS: Final = 64
PERSON: Final = 0

# Pixels of the detection window's step: 8 is the descriptor's block stride, the finest step that costs no extra cells.
STRIDE: Final = (8, 8)
# Ratio between pyramid levels. On the demo video 1.05 finds no more people than 1.1 (3.6 a frame) for twice the time.
SCALE: Final = 1.1
# SVM margin from which a window counts; with 0.3 hardly a tree or lamp post of the demo video is left.
MINIMUM_MARGIN: Final = 0.3
# Overlap (intersection over union) above which the weaker of two boxes is dropped.
MAXIMUM_OVERLAP: Final = 0.35
# The descriptor was trained with about 16 pixels of margin around a person in a 64 x 128 window.
MARGIN_X: Final = 16 / 64
MARGIN_Y: Final = 16 / 128
# A HOG window is 64 x 128: nothing can be found in a smaller picture, and OpenCV asserts.
MINIMUM_HEIGHT: Final = 128
MINIMUM_WIDTH: Final = 64

_hog: cv2.HOGDescriptor | None = None


def detect(frame: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Find people in one picture.

    Parameters
    ----------
    frame
        UINT8 [H, W, 3], RGB.

    Returns
    -------
    tuple
        Boxes FP32 [N, 4], xyxy in pixels, and scores FP32 [N] in (0, 1), highest first, N <= 64.

    Raises
    ------
    ValueError
        If the frame is no RGB picture of at least 64 x 128 pixels.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:  # noqa: PLR2004 - RGB has three channels
        raise ValueError(f"expected a UINT8 picture [H, W, 3], got {frame.dtype} {list(frame.shape)}")
    height, width = frame.shape[:2]
    if height < MINIMUM_HEIGHT or width < MINIMUM_WIDTH:
        raise ValueError(
            f"a picture must be at least {MINIMUM_WIDTH} x {MINIMUM_HEIGHT} pixels, got {width} x {height}"
        )
    picture = np.ascontiguousarray(frame[:, :, ::-1])  # OpenCV's channel order; ties between channels depend on it
    windows, margins = _detector().detectMultiScale(
        picture, hitThreshold=MINIMUM_MARGIN, winStride=STRIDE, scale=SCALE, groupThreshold=0
    )
    if len(windows) == 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    return _suppress(np.asarray(windows, np.float32), np.asarray(margins, np.float32).reshape(-1), width, height)


def _suppress(
    windows: npt.NDArray[np.float32], margins: npt.NDArray[np.float32], width: int, height: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Drop overlapping windows [N, 4] (x, y, w, h) and return boxes and scores as `detect` does."""
    # Ties are broken by position, so that the order does not hang on how OpenCV walked the pyramid.
    order = np.lexsort((windows[:, 3], windows[:, 1], windows[:, 0], -margins))
    windows, margins = windows[order], margins[order]
    kept = cv2.dnn.NMSBoxes(windows.tolist(), margins.tolist(), MINIMUM_MARGIN, MAXIMUM_OVERLAP)
    keep = np.asarray(kept, np.int64).reshape(-1)[:MAX_DETECTIONS]
    x, y, w, h = windows[keep].T
    boxes = np.stack([x + MARGIN_X * w, y + MARGIN_Y * h, x + w - MARGIN_X * w, y + h - MARGIN_Y * h], axis=1)
    limits = np.array([width, height, width, height], np.float32)
    scores = 1.0 / (1.0 + np.exp(-margins[keep]))
    return np.clip(boxes, 0, limits).astype(np.float32), scores.astype(np.float32)


def _detector() -> cv2.HOGDescriptor:
    """Return this process's descriptor, made on first use."""
    global _hog  # noqa: PLW0603 - OpenCV's detector takes 10 ms to make and is stateless between calls
    if _hog is None:
        cv2.setNumThreads(1)  # an instance is one core, so that Triton's instance count means what it says
        _hog = cv2.HOGDescriptor()
        _hog.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))
    return _hog


def pad(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]
) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int32]]:
    """Return the four output tensors of one picture, padded with zeros to 64 rows."""
    count = len(boxes)
    padded_boxes, padded_scores = np.zeros((MAX_DETECTIONS, 4), np.float32), np.zeros(MAX_DETECTIONS, np.float32)
    padded_boxes[:count], padded_scores[:count] = boxes, scores
    return {
        "boxes": padded_boxes,
        "scores": padded_scores,
        "classes": np.full(MAX_DETECTIONS, PERSON, np.int32),
        "count": np.array([count], np.int32),
    }


class TritonPythonModel:
    """What Triton's python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make the detector and run it once, so that no first request is cold."""
        config = json.loads(args["model_config"])
        self.batched = config["max_batch_size"] > 0
        height, width = (int(size) for size in config["input"][0]["dims"][:2])
        detect(np.zeros((max(height, MINIMUM_HEIGHT), max(width, MINIMUM_WIDTH), 3), np.uint8))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request on its own: one bad frame must not fail the others of its batch."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
            answers = [pad(*detect(image)) for image in (images if self.batched else images[np.newaxis])]
            tensors = []
            for name in ("boxes", "scores", "classes", "count"):
                stacked = np.stack([answer[name] for answer in answers])
                tensors.append(pb_utils.Tensor(name, stacked if self.batched else stacked[0]))
            return pb_utils.InferenceResponse(output_tensors=tensors)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this request's sender
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"people: {error}"))
