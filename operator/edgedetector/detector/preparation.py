"""From a frame to a model's input: letterbox, colour and normalisation, written where the input is wanted.

Why not ``cv2.dnn.blobFromImagesWithParams``, which does all three (OpenCV 4.11): its letterbox cuts the scaled size
where `geometry.letterbox` and the training side round it, so that boxes come back up to a pixel off; it fails on frames
that become less than a pixel wide; and its Python binding has no output argument, so that the tensor would be copied
once more into shared memory. Here the frame is scaled, its colours are parted, and one look-up a plane converts
and normalises at once, straight into the caller's memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from edgedetector.api.dataplane import DetectorModel, Tensor
from edgedetector.detector.detection import UnsupportedModelError
from edgedetector.detector.geometry import Mapping, letterbox, stretch

Image = npt.NDArray[np.uint8]
"""RGB, [height, width, 3]."""
Array = npt.NDArray[Any]
Fit = Literal["letterbox", "stretch"]
Render = Callable[[int, int], Image]
"""Gives a frame's pixels scaled to width and height."""

_BORDER: Final = 114
"""Grey of the letterbox's borders: what YOLO models are trained with (ultralytics, `LetterBox`)."""
_DTYPES: Final[dict[str, type[np.generic]]] = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32}
_CHANNELS: Final = 3
_RGB: Final = (0, 1, 2)
_BGR: Final = (2, 1, 0)
_STRETCHED: Final = frozenset({"none", "ssd"})
"""Decoders whose models are trained on frames of another aspect pressed into the input: `fixed_shape_resizer` of
TensorFlow's Object Detection API for SSD."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How pixel values 0 to 255 become numbers: ``(value * scale - mean) / deviation``, a channel each in RGB order."""

    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    colour: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels in the input."""


NORMALISATIONS: Final = {"none": Normalisation(), "unit": Normalisation(1.0 / 255.0)}
"""By the name that a model's `preprocessing` has."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an input tensor holds an image."""

    dtype: type[np.generic]
    channels_first: bool
    batched: bool
    """Whether the array needs a leading dimension for the batch."""
    height: int
    width: int
    """-1 where the model takes any size."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the input for a frame of `width` x `height`."""
        return width if self.width < 0 else self.width, height if self.height < 0 else self.height

    def shape(self, width: int, height: int) -> tuple[int, int, int]:
        """Return the shape of one image of the input, without batch, for a frame of `width` x `height`."""
        to_width, to_height = self.size(width, height)
        return (_CHANNELS, to_height, to_width) if self.channels_first else (to_height, to_width, _CHANNELS)


def layout_of(model: str, tensor: Tensor, *, batching: bool) -> Layout:
    """Return how a model's input holds an image.

    Raises
    ------
    UnsupportedModelError
        If it holds none, or in a data type that is not UINT8, FP16 or FP32.
    """
    dims = tensor.dims[1:] if len(tensor.dims) == 4 else tensor.dims  # noqa: PLR2004 - batch, and an image's three
    kind = tensor.data_type.removeprefix("TYPE_")
    if len(dims) != 3 or _CHANNELS not in (dims[0], dims[2]):  # noqa: PLR2004
        raise UnsupportedModelError(f"model {model}: input {tensor.name}: dims {list(tensor.dims)} hold no RGB image")
    if kind not in _DTYPES:
        known = ", ".join(sorted(_DTYPES))
        raise UnsupportedModelError(
            f"model {model}: input {tensor.name}: data type {tensor.data_type}: known are {known}"
        )
    # 3 in front wins: [3, H, 3] is an odd image, but every exporter puts channels first.
    first = dims[0] == _CHANNELS and tensor.format != "FORMAT_NHWC"
    height, width = (dims[1], dims[2]) if first else (dims[0], dims[1])
    return Layout(_DTYPES[kind], first, batching or len(tensor.dims) > len(dims), height, width)


class Preparation:
    """Fills one model's input with frames.

    Parameters
    ----------
    fit
        `letterbox` keeps the frame's aspect and pads; `stretch` fills the input. By default what models of this decoder
        are trained with; a model with raw outputs and a post-processing model behind it has decoder `none` and wants
        `letterbox`.
    normalisation
        By default the one that the model's `preprocessing` names. UINT8 inputs always get plain pixel values.

    Raises
    ------
    UnsupportedModelError
        If the model's input is no image.
    """

    def __init__(
        self, config: DetectorModel, *, fit: Fit | None = None, normalisation: Normalisation | None = None
    ) -> None:
        if len(config.inputs) != 1:
            raise UnsupportedModelError(f"model {config.name}: has {len(config.inputs)} inputs, an image model has one")
        self.name = config.inputs[0].name
        self.layout = layout_of(config.name, config.inputs[0], batching=config.max_batch_size > 0)
        normal = normalisation or NORMALISATIONS.get(config.preprocessing, NORMALISATIONS["none"])
        chosen: Fit = fit or ("stretch" if config.decoder.type in _STRETCHED else "letterbox")
        self._map = letterbox if chosen == "letterbox" else stretch
        self._order = _RGB if normal.colour == "RGB" else _BGR
        self._table = _table(self.layout.dtype, normal, self._order)
        self._border = _border(self._table)

    def mapping(self, width: int, height: int) -> Mapping:
        """Return where the pixels of a frame of `width` x `height` go."""
        return self._map(width, height, *self.layout.size(width, height))

    def prepare(self, image: Image) -> tuple[Array, Mapping]:
        """Return a new array for one frame, with a batch dimension of 1 if the model has one."""
        height, width = image.shape[:2]
        out: Array = np.empty(self.layout.shape(width, height), self.layout.dtype)
        mapping = self.prepare_into(out, image)
        return (out[np.newaxis] if self.layout.batched else out), mapping

    def prepare_into(self, out: Array, image: Image) -> Mapping:
        """Write one frame into `out`, an image of the input without batch dimension, and return where its pixels went.

        Parameters
        ----------
        out
            Array of `layout.shape` and `layout.dtype`, e.g. ``region[i]`` of a batch in shared memory. All of it is
            written, borders too, so that nothing remains of what was there.

        Raises
        ------
        ValueError
            If `out` has another shape or data type.
        """
        height, width = image.shape[:2]
        return self.render_into(out, width, height, lambda *size: _resize(image, size))

    def render_into(self, out: Array, width: int, height: int, render: Render) -> Mapping:
        """Write a frame of `width` x `height` into `out`, as `prepare_into`, from whatever can scale it.

        A decoder's frame in YUV becomes scaled RGB in one pass of swscale, and the frame in full size is never made:
        ``render=lambda w, h: picture.to_ndarray(format="rgb24", width=w, height=h, interpolation="BILINEAR")``.
        """
        layout = self.layout
        if out.shape != layout.shape(width, height) or out.dtype != layout.dtype:
            raise ValueError(f"{out.shape} {out.dtype} holds no {layout.shape(width, height)} {layout.dtype.__name__}")
        mapping = self.mapping(width, height)
        rows, columns = _span(mapping.top, mapping.inner[1]), _span(mapping.left, mapping.inner[0])
        scaled = render(*mapping.inner)
        if layout.channels_first:
            planes: Any = cv2.split(scaled)
            for index, channel in enumerate(self._order):
                table = np.ascontiguousarray(self._table[:, index])
                _surround(out[index], table[_BORDER], rows, columns)
                _look_up(planes[channel], table, out[index, rows, columns])
            return mapping
        _surround(out, self._border, rows, columns)
        ordered: Any = scaled if self._order == _RGB else cv2.cvtColor(scaled, cv2.COLOR_RGB2BGR)
        _look_up(ordered, self._table, out[rows, columns])
        return mapping


def _table(dtype: type[np.generic], normal: Normalisation, order: tuple[int, int, int]) -> Array:
    """Return [256, 3]: what becomes of each pixel value in each channel of the input."""
    values = np.repeat(np.arange(256.0)[:, np.newaxis], _CHANNELS, axis=1)
    if dtype is not np.uint8:
        values = (values * normal.scale - np.array(normal.mean)) / np.array(normal.deviation)
    table: Array = values[:, order].astype(dtype)
    return table


def _border(table: Array) -> Any:
    """Return what fills the borders of an image of three channels: one number where they have the same.

    NumPy broadcasts a pixel of three numbers by three at a time: to 320x320 that takes 50 times as long.
    """
    values = table[_BORDER]
    return values[0] if (values == values[0]).all() else values


def _span(start: int, length: int) -> slice:
    return slice(start, start + length)


def _surround(out: Array, border: Any, rows: slice, columns: slice) -> None:
    """Fill what lies outside of `rows` and `columns`."""
    out[: rows.start] = border
    out[rows.stop :] = border
    out[rows, : columns.start] = border
    out[rows, columns.stop :] = border


def _look_up(values: Array, table: Array, out: Array) -> None:
    """Write ``table[values]`` into `out`; the table is [256], or [256, 3] for an image of three channels."""
    if table.dtype == np.uint8:
        np.copyto(out, values)
        return
    written = cv2.LUT(values, table[np.newaxis], dst=out)
    if written is not out:  # OpenCV could not write through this view's strides, and made an array of its own.
        np.copyto(out, written)


def _resize(image: Image, size: tuple[int, int]) -> Image:
    if image.shape[1::-1] == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
