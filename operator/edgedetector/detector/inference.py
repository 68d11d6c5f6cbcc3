"""From a frame to a model's input, and from its outputs to boxes in pixels of the frame."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edgedetector.api.dataplane import DetectorModel, Tensor
from edgedetector.detector.geometry import Mapping, centre_to_corners, letterbox, stretch

Image = npt.NDArray[np.uint8]
"""RGB, [height, width, 3]."""
Array = npt.NDArray[Any]

_BORDER: Final = 114
"""Grey of the letterbox's borders: what YOLO models are trained with (ultralytics, `LetterBox`)."""
_DTYPES: Final[dict[str, type[np.generic]]] = {
    "UINT8": np.uint8,
    "INT8": np.int8,
    "FP16": np.float16,
    "FP32": np.float32,
}


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


@dataclass(frozen=True, slots=True)
class _Layout:
    """How an input tensor holds an image."""

    dtype: type[np.generic]
    channels_first: bool
    batched: bool
    """Whether the array needs a leading dimension of 1."""
    height: int
    width: int
    """-1 where the model takes any size."""


class Model:
    """The data plane's side of one model.

    Raises
    ------
    UnsupportedModelError
        If input or decoder are of a kind that is not known here.
    """

    def __init__(self, config: DetectorModel) -> None:
        if config.decoder.type not in _DECODERS:
            known = ", ".join(sorted(_DECODERS))
            raise UnsupportedModelError(f"model {config.name}: decoder {config.decoder.type}: known are {known}")
        if len(config.inputs) != 1:
            raise UnsupportedModelError(f"model {config.name}: has {len(config.inputs)} inputs, an image model has one")
        self.config = config
        self.name = config.name
        self.outputs = tuple(tensor.name for tensor in config.outputs)
        self._input = config.inputs[0].name
        self._layout = _layout(config.name, config.inputs[0], batching=config.max_batch_size > 0)
        self._decode = _DECODERS[config.decoder.type]

    def prepare(self, image: Image) -> tuple[dict[str, Array], Mapping]:
        """Return the input tensors for one frame, and where its pixels went."""
        height, width = image.shape[:2]
        to_width = width if self._layout.width < 0 else self._layout.width
        to_height = height if self._layout.height < 0 else self._layout.height
        boxed = self.config.decoder.type != "none"
        mapping = (letterbox if boxed else stretch)(width, height, to_width, to_height)
        return {self._input: self._tensor(_place(image, mapping, to_width, to_height))}, mapping

    def decode(self, outputs: Dictionary[str, Array], mapping: Mapping) -> tuple[Detection, ...]:
        """Return what the model found, best first.

        Raises
        ------
        UnexpectedOutputError
            If the outputs are not what the decoder needs.
        """
        boxes, scores, classes = self._decode(self.config, outputs)
        boxes = mapping.to_frame(boxes.astype(np.float64))
        order = np.argsort(-scores, kind="stable")
        labels = self.config.decoder.labels
        return tuple(Detection(_label(labels, int(classes[i])), float(scores[i]), _corners(boxes[i])) for i in order)

    def _tensor(self, placed: Image) -> Array:
        layout = self._layout
        tensor: Array = placed
        if layout.dtype is not np.uint8:
            tensor = placed.astype(np.float32)
            if self.config.preprocessing == "unit":
                tensor /= 255.0
            tensor = tensor.astype(layout.dtype, copy=False)
        if layout.channels_first:
            tensor = tensor.transpose(2, 0, 1)
        return np.ascontiguousarray(tensor[np.newaxis] if layout.batched else tensor)


def _layout(model: str, tensor: Tensor, *, batching: bool) -> _Layout:
    dims = tensor.dims[1:] if len(tensor.dims) == 4 else tensor.dims  # noqa: PLR2004 - batch, and an image's three
    kind = tensor.data_type.removeprefix("TYPE_")
    if len(dims) != 3 or 3 not in (dims[0], dims[2]):  # noqa: PLR2004
        raise UnsupportedModelError(f"model {model}: input {tensor.name}: dims {list(tensor.dims)} hold no RGB image")
    if kind not in _DTYPES:
        raise UnsupportedModelError(f"model {model}: input {tensor.name}: data type {tensor.data_type}")
    # 3 in front wins: [3, H, 3] is an odd image, but every exporter puts channels first.
    first = dims[0] == 3 and tensor.format != "FORMAT_NHWC"  # noqa: PLR2004
    height, width = (dims[1], dims[2]) if first else (dims[0], dims[1])
    return _Layout(_DTYPES[kind], first, batching or len(tensor.dims) > len(dims), height, width)


def _place(image: Image, mapping: Mapping, width: int, height: int) -> Image:
    """Return the frame scaled into an image of width x height."""
    inner = mapping.inner
    scaled = image if inner == (mapping.width, mapping.height) else _resize(image, inner)
    if inner == (width, height):
        return scaled
    placed = np.full((height, width, 3), _BORDER, np.uint8)
    placed[mapping.top : mapping.top + inner[1], mapping.left : mapping.left + inner[0]] = scaled
    return placed


def _resize(image: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _decode_none(config: DetectorModel, outputs: Dictionary[str, Array]) -> tuple[Array, Array, Array]:
    """NMS was done in the model: boxes [N,4], scores [N], classes [N], and count [1] if N is a fixed maximum."""
    found = {name: array[0] if config.max_batch_size > 0 else array for name, array in outputs.items()}
    try:
        boxes, scores, classes = found["boxes"], found["scores"], found["classes"]
    except KeyError as error:
        raise UnexpectedOutputError(f"model {config.name}: decoder none needs an output {error}") from None
    count = int(found["count"].reshape(-1)[0]) if "count" in found else len(scores)
    boxes, scores, classes = boxes.reshape(-1, 4)[:count], scores.reshape(-1)[:count], classes.reshape(-1)[:count]
    keep = scores >= config.decoder.confidence
    return boxes[keep], scores[keep], classes[keep]


def _decode_yolov8(config: DetectorModel, outputs: Dictionary[str, Array]) -> tuple[Array, Array, Array]:
    """Decode [4 + classes, anchors]: centre x, centre y, width, height in pixels of the input, then a score a class."""
    raw = next(iter(outputs.values()))
    raw = raw[0] if raw.ndim == 3 else raw  # noqa: PLR2004 - batch, values, anchors
    if raw.ndim != 2 or raw.shape[0] < 5:  # noqa: PLR2004 - a box and at least one class
        raise UnexpectedOutputError(
            f"model {config.name}: decoder yolov8 needs [4 + classes, anchors], got {raw.shape}"
        )
    rows = raw.T.astype(np.float32, copy=False)
    classes = rows[:, 4:].argmax(axis=1)
    scores = rows[np.arange(len(rows)), 4 + classes]
    keep = scores >= config.decoder.confidence
    corners, scores, classes = centre_to_corners(rows[keep, :4]), scores[keep], classes[keep]
    best = suppress(corners, scores, classes, config.decoder.confidence, config.decoder.iou)
    return corners[best], scores[best], classes[best]


def suppress(boxes: Array, scores: Array, classes: Array, confidence: float, iou: float) -> npt.NDArray[np.intp]:
    """Return the indices that survive non-maximum suppression within each class; boxes are corners [N,4]."""
    if len(boxes) == 0:
        return np.empty(0, np.intp)
    sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        sizes.astype(float).tolist(), scores.astype(float).tolist(), classes.astype(int).tolist(), confidence, iou
    )
    return np.asarray(kept, dtype=np.intp).reshape(-1)


_DECODERS: Final = {"none": _decode_none, "yolov8": _decode_yolov8}


def _label(labels: tuple[str, ...], index: int) -> str:
    return labels[index] if 0 <= index < len(labels) else f"class{index}"


def _corners(box: Array) -> tuple[float, float, float, float]:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])
