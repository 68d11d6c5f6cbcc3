"""Tensors of a model as bytes: data types, and where each lies in the memory of one request."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tritonclient.utils import serialize_byte_tensor, triton_to_np_dtype

from edgedetector.api.dataplane import Tensor

Array = npt.NDArray[Any]

ALIGNMENT: Final = 64
"""Bytes: a cache line of x86-64 and arm64, and enough for every vector instruction that prepares an input."""


class UnknownDataTypeError(ValueError):
    """A tensor has a data type that Triton does not have."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives: dims without the batch dimension, which there is if `max_batch_size` > 0."""

    model: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int


@dataclass(frozen=True, slots=True)
class Area:
    """Where one tensor lies."""

    name: str
    datatype: str
    """As Triton's protocol names it: FP32, UINT8, BYTES, ..."""
    shape: tuple[int, ...]
    """With the batch dimension if the model has one, for as many rows as a request can have."""
    offset: int
    """Bytes from the start of the region; a multiple of `ALIGNMENT`."""
    fixed: bool
    """Whether the size is known beforehand. A tensor of variable dims or of strings travels in the message."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return numpy's type for a value."""
        return np.dtype(triton_to_np_dtype(self.datatype))

    @property
    def size(self) -> int:
        """Return bytes; 0 if not `fixed`."""
        return math.prod(self.shape) * self.dtype.itemsize if self.fixed else 0

    def view(self, memory: Any) -> Array:
        """Return the tensor in a region's memory."""
        return np.frombuffer(memory, self.dtype, math.prod(self.shape), self.offset).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where all tensors of one request lie in its region."""

    model: str
    inputs: tuple[Area, ...]
    outputs: tuple[Area, ...]
    rows: int
    """Images a request can have."""
    batched: bool
    size: int
    """Bytes of the region; 0 if every tensor travels in the message."""


def layout(signature: Signature, batch: int) -> Layout:
    """Place inputs, then outputs, one behind the other.

    Parameters
    ----------
    batch
        Rows for which there shall be room; a model without batch dimension has one, and none more than its maximum.

    Raises
    ------
    UnknownDataTypeError
        If a tensor's data type is not Triton's.
    """
    batched = signature.max_batch_size > 0
    rows = max(1, min(batch, signature.max_batch_size)) if batched else 1
    lead = (rows,) if batched else ()
    inputs, end = _place(signature.inputs, lead, 0)
    outputs, end = _place(signature.outputs, lead, end)
    return Layout(signature.model, inputs, outputs, rows, batched, end)


def _place(tensors: Iterable[Tensor], lead: tuple[int, ...], offset: int) -> tuple[tuple[Area, ...], int]:
    areas = []
    for tensor in tensors:
        kind = datatype(tensor.data_type)
        fixed = kind != "BYTES" and all(dim > 0 for dim in tensor.dims)
        area = Area(tensor.name, kind, (*lead, *tensor.dims), offset, fixed)
        areas.append(area)
        offset += -(-area.size // ALIGNMENT) * ALIGNMENT
    return tuple(areas), offset


def datatype(data_type: str) -> str:
    """Return the protocol's name of a data type as the resources and config.pbtxt write it.

    Raises
    ------
    UnknownDataTypeError
        If it is not one of Triton's.
    """
    name = data_type.removeprefix("TYPE_")
    name = "BYTES" if name == "STRING" else name
    if triton_to_np_dtype(name) is None:
        raise UnknownDataTypeError(f"{data_type} is not a data type of Triton")
    return name


def contents(area: Area, array: Array) -> bytes:
    """Return an array as it travels in the message.

    Raises
    ------
    ValueError
        If it is of another data type than the tensor.
    """
    if area.datatype == "BYTES":
        if array.dtype.kind not in "OSU":
            raise ValueError(f"input {area.name}: {array.dtype} holds no strings")
        if array.size == 0:  # which the library returns as an array without an item
            return b""
        # It takes bytes and objects, but none of numpy's own strings of characters.
        return bytes(serialize_byte_tensor(array.astype(object) if array.dtype.kind == "U" else array).item())
    if array.dtype != area.dtype:
        raise ValueError(f"input {area.name}: {array.dtype} is not {area.datatype}")
    return array.tobytes()
