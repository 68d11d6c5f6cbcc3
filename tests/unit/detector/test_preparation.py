"""From a frame to a tensor, against plain arithmetic a pixel at a time."""

from __future__ import annotations

import math

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector.preparation import Normalisation, Preparation

DTYPES = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32}
IMAGENET = Normalisation(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def preparation(dims, kind="FP32", *, decoder="yolov8", preprocessing="unit", batch=8, **options) -> Preparation:
    model = DetectorModel("m", (Tensor("images", dims, kind),), (), Decoder(decoder), batch, preprocessing)
    return Preparation(model, **options)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 5000 + width).integers(0, 256, (height, width, 3), np.uint8)


def bilinear(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale as the textbook does, with pixel centres at halves: float [height, width, 3]."""
    out = np.zeros((height, width, 3))
    for y in range(height):
        fy = min(max((y + 0.5) * image.shape[0] / height - 0.5, 0), image.shape[0] - 1)
        for x in range(width):
            fx = min(max((x + 0.5) * image.shape[1] / width - 0.5, 0), image.shape[1] - 1)
            x0, y0 = int(fx), int(fy)
            x1, y1 = min(x0 + 1, image.shape[1] - 1), min(y0 + 1, image.shape[0] - 1)
            ax, ay = fx - x0, fy - y0
            rows = [image[yy, x0] * (1 - ax) + image[yy, x1] * ax for yy in (y0, y1)]
            out[y, x] = rows[0] * (1 - ay) + rows[1] * ay
    return out


def letterboxed(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The whole letterbox in pixel values: float [height, width, 3]."""
    scale = min(width / image.shape[1], height / image.shape[0])
    inner_width = min(width, max(1, round(image.shape[1] * scale)))
    inner_height = min(height, max(1, round(image.shape[0] * scale)))
    out = np.full((height, width, 3), 114.0)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    out[top : top + inner_height, left : left + inner_width] = bilinear(image, inner_width, inner_height)
    return out


SIDE = st.integers(1, 24)


@settings(deadline=None, max_examples=150)
@given(
    frame=st.tuples(SIDE, SIDE),
    target=st.tuples(st.integers(4, 24), st.integers(4, 24)),
    kind=st.sampled_from(sorted(DTYPES)),
    first=st.booleans(),
)
def test_a_letterbox_agrees_with_plain_arithmetic(frame, target, kind: str, first) -> None:
    image, (width, height) = noise(*frame), target
    prepared, _ = preparation((3, height, width) if first else (height, width, 3), kind).prepare(image)
    assert prepared.dtype == DTYPES[kind]
    found = (prepared[0].transpose(1, 2, 0) if first else prepared[0]).astype(float)
    values = found if kind == "UINT8" else found * 255
    # OpenCV's weights have 11 bits: within one grey level; FP16 adds an eighth.
    assert np.abs(values - letterboxed(image, width, height)).max() <= 1.2


@settings(deadline=None, max_examples=100)
@given(frame=st.tuples(SIDE, SIDE), kind=st.sampled_from(sorted(DTYPES)), first=st.booleans(), index=st.integers(0, 2))
def test_a_frame_written_into_a_batch_leaves_its_neighbours_and_nothing_of_what_was_there(
    frame, kind: str, first, index: int
) -> None:
    dims = (3, 16, 20) if first else (16, 20, 3)
    ready, image = preparation(dims, kind), noise(*frame)
    region = np.full((3, *dims), 77, DTYPES[kind])
    mapping = ready.prepare_into(region[index], image)
    expected, mapped = ready.prepare(image)
    assert mapping == mapped
    assert np.array_equal(region[index], expected[0])
    assert all((region[other] == 77).all() for other in range(3) if other != index)


def test_a_frame_is_written_into_memory_that_others_see() -> None:
    memory = bytearray(2 * 3 * 8 * 8 * 4)
    region = np.frombuffer(memory, np.float32).reshape(2, 3, 8, 8)
    preparation((3, 8, 8)).prepare_into(region[1], np.full((8, 8, 3), 255, np.uint8))
    assert np.frombuffer(bytes(memory), np.float32).tolist() == [0.0] * 192 + [1.0] * 192


@pytest.mark.parametrize("kind", ["FP16", "FP32"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("dims", [(3, 6, 6), (6, 6, 3)])
def test_each_channel_is_normalised_with_its_own_numbers(kind: str, colour: str, dims) -> None:
    normal = Normalisation(IMAGENET.scale, IMAGENET.mean, IMAGENET.deviation, colour)
    pixel = (200, 100, 50)
    prepared, _ = preparation(dims, kind, normalisation=normal).prepare(np.full((6, 6, 3), pixel, np.uint8))
    found = prepared[0, :, 2, 2] if dims[0] == 3 else prepared[0, 2, 2]
    expected = [(v / 255 - m) / d for v, m, d in zip(pixel, normal.mean, normal.deviation, strict=True)]
    assert found.tolist() == pytest.approx(expected if colour == "RGB" else expected[::-1], rel=2e-3)


@pytest.mark.parametrize(("kind", "exact"), [("FP32", 0.0), ("FP16", 2**-12)])
def test_dividing_by_255_is_as_exact_as_the_data_type(kind: str, exact: float) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    prepared, _ = preparation((3, 16, 16), kind).prepare(ramp)
    wanted = (np.arange(256) / 255).astype(np.float32)
    assert np.abs(prepared[0, 0].ravel().astype(np.float32) - wanted).max() <= exact


@pytest.mark.parametrize(("decoder", "fit", "inner"), [
    ("yolov8", None, (20, 10)), ("yolov5", None, (20, 10)), ("ssd", None, (20, 20)), ("none", None, (20, 20)),
    ("none", "letterbox", (20, 10)), ("yolov8", "stretch", (20, 20)),
])  # fmt: skip
def test_the_aspect_is_kept_where_the_model_was_trained_so(decoder: str, fit, inner) -> None:
    assert preparation((3, 20, 20), decoder=decoder, fit=fit).mapping(40, 20).inner == inner


def test_memory_of_another_shape_or_type_is_refused() -> None:
    ready = preparation((3, 8, 8))
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\) float32 holds no \(3, 8, 8\) float32"):
        ready.prepare_into(np.zeros((1, 3, 8, 8), np.float32), noise(8, 8))
    with pytest.raises(ValueError, match="float64 holds no"):
        ready.prepare_into(np.zeros((3, 8, 8)), noise(8, 8))


@settings(deadline=None, max_examples=100)
@given(
    frame=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    target=st.tuples(st.integers(32, 1280), st.integers(32, 1280)),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_point_of_the_frame_is_where_its_mapping_says(frame, target, corner) -> None:
    """Round trip through the pixels that are written: inside of the inner picture, and back within rounding."""
    mapping = preparation((3, target[1], target[0])).mapping(*frame)
    x, y = corner[0] * frame[0], corner[1] * frame[1]
    (box,) = mapping.to_input(np.array([[x, y, x, y]]))
    assert mapping.left - 1e-6 <= box[0] <= mapping.left + mapping.inner[0] + 0.5 + 1e-6
    assert mapping.top - 1e-6 <= box[1] <= mapping.top + mapping.inner[1] + 0.5 + 1e-6
    assert mapping.to_frame(box[np.newaxis])[0].tolist() == pytest.approx([x, y, x, y], abs=1e-6 * max(frame))


def test_a_drawn_box_is_found_where_it_was_drawn() -> None:
    """Geometry and pixels together, over frames whose letterbox rounds up, down and not at all."""
    for width, height in ((1280, 720), (641, 359), (333, 1000), (1919, 1079), (101, 121)):
        image = np.zeros((height, width, 3), np.uint8)
        drawn = (width // 4, height // 4, width // 2, height * 3 // 4)
        cv2.rectangle(image, drawn[:2], (drawn[2] - 1, drawn[3] - 1), (255, 255, 255), cv2.FILLED)
        prepared, mapping = preparation((3, 640, 640)).prepare(image)
        rows, columns = np.nonzero(prepared[0, 0] > 0.5)
        found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], float)
        tolerance = 1.5 / mapping.scale_x
        assert mapping.to_frame(found)[0].tolist() == pytest.approx(list(drawn), abs=tolerance)


@pytest.mark.parametrize("size", [(360, 640), (720, 1280)])
def test_a_yuv_frame_scaled_by_its_decoder_gives_nearly_the_same_tensor(size) -> None:
    grid = np.add.outer(np.arange(size[0]) * 200 // size[0], np.arange(size[1]) * 50 // size[1])
    picture = av.VideoFrame.from_ndarray(np.repeat(grid[:, :, None], 3, 2).astype(np.uint8), format="rgb24")
    picture = picture.reformat(format="yuv420p")
    ready = preparation((3, 320, 320))
    straight = np.zeros((3, 320, 320), np.float32)
    mapping = ready.render_into(
        straight,
        size[1],
        size[0],
        lambda width, height: picture.to_ndarray(format="rgb24", width=width, height=height, interpolation="BILINEAR"),
    )
    usual, expected = ready.prepare(picture.to_ndarray(format="rgb24"))
    assert mapping == expected
    assert math.isclose(np.abs(straight - usual[0]).max(), 0.0, abs_tol=4 / 255)
    assert np.ptp(straight) > 0.5
