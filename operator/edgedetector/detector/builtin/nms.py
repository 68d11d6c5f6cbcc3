"""Non-maximum suppression as a model of Triton's python backend: a YOLO head's raw output in, finished boxes out.

This file is data: it is copied into Triton's model repository as `<model>/1/model.py`, where numpy is all that it has.
What it gives is what `edgedetector.detector.decoders` would make of the same output; a test holds the two together.

Contract
--------
Input, one, FP16 or FP32, of any name, by `head`:
    ``yolov8``   [4 + classes, anchors]: centre x, centre y, width, height in pixels, then a score a class (or yolov11).
    ``yolov5``   [anchors, 5 + classes]: the same four, objectness, a score a class.
Outputs (the decoder `none`); rows behind the count are zero:
    ``boxes``    FP32  [N, 4], x1, y1, x2, y2 in pixels of the model's input, best score first.
    ``scores``   FP32  [N].
    ``classes``  INT32 [N].
    ``count``    INT32 [1], how many rows count.
Parameters: ``head``, ``confidence`` (score from which a box counts), ``iou`` (overlap above which the weaker of two
boxes of a class is dropped), ``labels`` (number of classes, 0: not known), ``model`` (its name, for messages).

With a batch dimension every tensor has one more, in front. An instance is one process and uses one core.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

try:
    pb_utils: Any = importlib.import_module("triton_python_backend_utils")  # only inside Triton's python backend
except ImportError:
    pb_utils = None

# Values before the scores of the classes.
_HEADS: Final = {"yolov8": 4, "yolov5": 5}
# Scores are probabilities; the rest is rounding in FP16. A larger one is a logit: the model lacks its sigmoid.
_SCORE_LIMIT: Final = 1.01
# Boxes of the warm-up.
_WARM_UP: Final = 64


class RawOutputError(ValueError):
    """A raw output is not the head's."""


@dataclass(frozen=True)
class Rule:
    """What counts as a box."""

    head: str
    confidence: float
    iou: float
    most: int
    """Boxes that go into suppression, and that come out at most: the best by score."""
    labels: int = 0


@dataclass(frozen=True)
class Boxes:
    """Boxes of one picture."""

    corners: Array
    """float32 [N, 4]: x1, y1, x2, y2 in pixels."""
    scores: Array
    """float32 [N]."""
    classes: Array
    """int64 [N]."""

    def take(self, indices: Array) -> Boxes:
        """Return some of them."""
        return Boxes(self.corners[indices], self.scores[indices], self.classes[indices])


def detect(raw: Array, rule: Rule) -> Boxes:
    """Return the boxes of one picture, best first.

    Parameters
    ----------
    raw
        The head's output, float16 or float32, without batch dimension or with one of 1.

    Raises
    ------
    RawOutputError
        If it cannot be the head's output.
    """
    return suppress(_sound(_candidates(_matrix(raw, rule), rule)), rule)


def suppress(found: Boxes, rule: Rule) -> Boxes:
    """Return the boxes that overlap no better one of their class by more than `rule.iou`, best first.

    A box that is kept is held against all the weaker ones at once: the time grows with what is kept, and the memory
    with what there is.
    """
    best = found.take(np.argsort(-found.scores, kind="stable")[: rule.most])
    left, top, right, bottom = np.ascontiguousarray(best.corners.T, np.float64)
    areas = (right - left) * (bottom - top)
    kept = best.scores > 0
    for index in range(len(kept)):
        if kept[index]:
            behind = slice(index + 1, None)
            width = np.minimum(right[index], right[behind]) - np.maximum(left[index], left[behind])
            height = np.minimum(bottom[index], bottom[behind]) - np.maximum(top[index], top[behind])
            common = np.maximum(width, 0.0) * np.maximum(height, 0.0)
            overlaps = common > rule.iou * (areas[index] + areas[behind] - common)
            kept[behind] &= ~(overlaps & (best.classes[behind] == best.classes[index]))
    return best.take(np.flatnonzero(kept))


def pad(found: Boxes, rows: int) -> dict[str, Array]:
    """Return the four outputs of one picture."""
    count = min(len(found.scores), rows)
    outputs: dict[str, Array] = {
        "boxes": np.zeros((rows, 4), np.float32),
        "scores": np.zeros(rows, np.float32),
        "classes": np.zeros(rows, np.int32),
        "count": np.array([count], np.int32),
    }
    for name, values in (("boxes", found.corners), ("scores", found.scores), ("classes", found.classes)):
        outputs[name][:count] = values[:count]
    return outputs


def _matrix(raw: Array, rule: Rule) -> Array:
    """Return a row an anchor: four of the box, what else the head has, a score a class."""
    least = _HEADS[rule.head] + 1
    matrix = raw[0] if raw.ndim == 3 and raw.shape[0] == 1 else raw  # noqa: PLR2004 - a batch of 1 in the model's dims
    layout = "[4 + classes, anchors]" if rule.head == "yolov8" else "[anchors, 5 + classes]"
    if matrix.ndim != 2:  # noqa: PLR2004
        raise RawOutputError(f"decoder {rule.head} needs {layout}, got {raw.shape}")
    rows = matrix.T if rule.head == "yolov8" else matrix
    if rule.labels and rows.shape[0] == least - 1 + rule.labels != rows.shape[1]:
        raise RawOutputError(f"decoder {rule.head} needs {layout}, got {raw.shape}, which is transposed")
    if rows.shape[1] < least:
        raise RawOutputError(f"decoder {rule.head} needs {layout}, got {raw.shape}")
    return rows


def _candidates(rows: Array, rule: Rule) -> Boxes:
    # A NaN fails every comparison, so that it is kept here and dropped as no box.
    if rule.head == "yolov5":
        # No class can be likelier than that there is an object at all: few rows are left to look at.
        rows = rows[~(rows[:, 4] < rule.confidence)]
    values = rows.astype(np.float32)
    likeliest = values[:, _HEADS[rule.head] :]
    scores = likeliest.max(axis=1, initial=-np.inf)
    if rule.head == "yolov5":
        with np.errstate(invalid="ignore"):  # infinity times nothing
            scores = scores * values[:, 4]
    kept = np.flatnonzero(~(scores < rule.confidence))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        half = values[kept, 2:4] / 2
        corners = np.concatenate([values[kept, :2] - half, values[kept, :2] + half], axis=1)
    return Boxes(corners, scores[kept], likeliest[kept].argmax(axis=1))


def _sound(found: Boxes) -> Boxes:
    """Return what can be a box: finite and with an area."""
    finite = np.isfinite(found.corners).all(axis=1) & np.isfinite(found.scores)
    if (found.scores[finite] > _SCORE_LIMIT).any():
        raise RawOutputError(
            f"scores up to {found.scores[finite].max():.3g} are no probabilities: the model's last layer must be a"
            " sigmoid"
        )
    area = (found.corners[:, 2] > found.corners[:, 0]) & (found.corners[:, 3] > found.corners[:, 1])
    return found.take(np.flatnonzero(finite & area))


class TritonPythonModel:
    """What Triton's python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the configuration and work once, so that no first request is cold."""
        config = json.loads(args["model_config"])
        given = {key: value["string_value"] for key, value in config["parameters"].items()}
        rows = next(int(output["dims"][0]) for output in config["output"] if output["name"] == "scores")
        self.rule = Rule(
            given["head"], float(given["confidence"]), float(given["iou"]), rows, int(given.get("labels", 0))
        )
        self.batched = config["max_batch_size"] > 0
        self.input, self.model = config["input"][0]["name"], given.get("model", args["model_name"])
        some = np.random.default_rng(1).random((_WARM_UP, _HEADS[self.rule.head] + 1), np.float32)
        detect(some.T if self.rule.head == "yolov8" else some, self.rule)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request on its own: a bad one must not fail the others."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            raw = pb_utils.get_input_tensor_by_name(request, self.input).as_numpy()
            pictures = raw if self.batched else raw[np.newaxis]
            found = [pad(detect(picture, self.rule), self.rule.most) for picture in pictures]
            tensors = []
            for name in ("boxes", "scores", "classes", "count"):
                stacked = np.stack([outputs[name] for outputs in found])
                tensors.append(pb_utils.Tensor(name, stacked if self.batched else stacked[0]))
            return pb_utils.InferenceResponse(output_tensors=tensors)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this request's sender
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"model {self.model}: {error}"))
