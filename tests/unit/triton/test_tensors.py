"""Where tensors lie in a region, and what their types are called."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.dataplane import Tensor
from edgedetector.triton.tensors import ALIGNMENT, Signature, UnknownDataTypeError, contents, datatype, layout

BYTES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "FP32": 4, "FP64": 8, "BF16": 2,
}  # fmt: skip

tensors = st.lists(
    st.builds(
        Tensor,
        name=st.uuids().map(str),
        dims=st.lists(st.sampled_from([-1, 1, 3, 7, 64]), min_size=1, max_size=3).map(tuple),
        data_type=st.sampled_from([*BYTES, "STRING", "TYPE_FP16"]),
    ),
    max_size=4,
).map(tuple)
signatures = st.builds(
    Signature, model=st.just("m"), inputs=tensors, outputs=tensors, max_batch_size=st.integers(0, 32)
)


@given(signatures, st.integers(1, 40))
def test_areas_are_aligned_and_do_not_touch(signature: Signature, batch: int) -> None:
    placed = layout(signature, batch)
    end = 0
    for area in (*placed.inputs, *placed.outputs):
        assert area.offset % ALIGNMENT == 0
        assert area.offset >= end
        end = area.offset + area.size
    assert end <= placed.size


@given(signatures, st.integers(1, 40))
def test_there_is_room_for_every_row_and_no_more_than_the_model_takes(signature: Signature, batch: int) -> None:
    placed = layout(signature, batch)
    most = signature.max_batch_size
    assert placed.rows == (min(batch, most) if most else 1)
    for tensor, area in zip((*signature.inputs, *signature.outputs), (*placed.inputs, *placed.outputs), strict=True):
        known = -1 not in tensor.dims and tensor.data_type != "STRING"
        assert area.fixed == known
        values = placed.rows * math.prod(tensor.dims) if known else 0
        assert area.size == values * BYTES.get(tensor.data_type.removeprefix("TYPE_"), 0)


@pytest.mark.parametrize("kind", BYTES)
def test_a_view_has_the_type_s_size_and_shape(kind: str) -> None:
    placed = layout(Signature("m", (Tensor("x", (3, 5), kind),), (), 4), 2)
    view = placed.inputs[0].view(bytearray(placed.size))
    assert (view.shape, view.itemsize) == ((2, 3, 5), BYTES[kind])
    view[...] = np.ones((), view.dtype)
    assert view.tobytes() == np.ones((2, 3, 5), view.dtype).tobytes()


def test_strings_are_bytes_in_the_protocol() -> None:
    assert datatype("STRING") == datatype("TYPE_STRING") == "BYTES"


@pytest.mark.parametrize("kind", ["", "FP8", "float32"])
def test_a_type_that_triton_lacks_is_refused_in_words(kind: str) -> None:
    with pytest.raises(UnknownDataTypeError, match="is not a data type of Triton"):
        layout(Signature("m", (Tensor("x", (1,), kind),), (), 1), 1)


@pytest.mark.parametrize("kind", [object, np.str_, np.bytes_])
@pytest.mark.parametrize("words", [["a", "longer"], [""], []])
def test_strings_of_every_kind_that_numpy_has_travel_alike(kind: type, words: list[str]) -> None:
    (area,) = layout(Signature("m", (Tensor("S", (-1,), "STRING"),), (), 4), 1).inputs
    sent = contents(area, np.array([words], kind))
    assert sent == b"".join(struct.pack("<I", len(word)) + word.encode() for word in words)


def test_characters_beyond_ascii_are_utf8() -> None:
    (area,) = layout(Signature("m", (Tensor("S", (1,), "STRING"),), (), 4), 1).inputs
    assert contents(area, np.array([["\u00fc"]])) == b"\x02\0\0\0\xc3\xbc"


def test_what_are_no_strings_is_refused() -> None:
    (area,) = layout(Signature("m", (Tensor("S", (1,), "STRING"),), (), 4), 1).inputs
    with pytest.raises(ValueError, match="input S: float64 holds no strings"):
        contents(area, np.zeros((1, 1)))
