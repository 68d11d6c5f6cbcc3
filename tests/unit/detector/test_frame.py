"""From a decoder's planes to pixels."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from hypothesis import example, given
from hypothesis import strategies as st

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector.frame import Frame, Scaler
from edgedetector.detector.motion import shrink
from edgedetector.detector.preparation import Preparation


def gradient(width: int, height: int) -> np.ndarray:
    """A smooth picture: brighter to the right in red, downwards in green."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    image[..., 2] = 128
    return image


def frame(image: np.ndarray, form: str = "yuv420p") -> Frame:
    return Frame(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=form, threads=1), 0, 0.0, 0.0)


@given(width=st.integers(1, 300), height=st.integers(1, 200), to=st.tuples(st.integers(1, 300), st.integers(1, 200)))
@example(width=255, height=1, to=(1, 64))
def test_a_frame_of_any_size_is_scaled_to_any_size(width: int, height: int, to: tuple[int, int]) -> None:
    made = frame(np.full((height, width, 3), (200, 100, 50), np.uint8), "yuv444p")
    scaled = Scaler().render(made.picture, *to)
    assert scaled.shape == (to[1], to[0], 3)
    assert np.abs(scaled.astype(int) - (200, 100, 50)).max() <= 4  # two roundings, to YUV and back


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "nv12", "yuv422p", "rgb24", "gray"])
def test_scaling_from_yuv_gives_what_scaling_the_pixels_gives(form: str) -> None:
    made = frame(gradient(640, 360), form)
    expected = av.VideoFrame.from_ndarray(made.image(), format="rgb24").to_ndarray(width=320, height=180, threads=1)
    assert np.abs(Scaler().render(made.picture, 320, 180).astype(int) - expected).mean() < 2


@pytest.mark.parametrize("standard", [Colorspace.ITU601, Colorspace.ITU709])
def test_a_frame_that_is_scaled_keeps_the_colours_that_its_stream_states(standard: Colorspace) -> None:
    made = frame(np.full((360, 640, 3), (200, 60, 30), np.uint8))
    made.picture.colorspace = standard
    scaled = Scaler().render(made.picture, 320, 180).astype(int)
    # swscale rounds coarsely: of the BT.601 colour above it makes (200, 58, 29).
    assert np.abs(scaled - made.image()[0, 0]).max() <= 3


def test_a_scaler_serves_frames_of_changing_sizes() -> None:
    scaler = Scaler()
    for width, height in [(640, 360), (64, 48), (640, 360), *((2 * n, 2 * n) for n in range(1, 30))]:
        assert scaler.of(frame(gradient(width, height)))(32, 24).shape == (24, 32, 3)


def test_pixels_outlive_their_frame_and_are_not_overwritten_by_the_next() -> None:
    scaler = Scaler()
    first = scaler.render(frame(np.full((48, 64, 3), 50, np.uint8)).picture, 32, 24)
    before = first.copy()
    scaler.render(frame(np.full((48, 64, 3), 200, np.uint8)).picture, 32, 24)
    assert np.array_equal(first, before)


@pytest.mark.parametrize("dtype", ["UINT8", "FP32"])
@pytest.mark.parametrize("dims", [(3, 96, 96), (96, 96, 3)])
def test_a_model_is_filled_from_yuv_as_from_pixels(dtype: str, dims: tuple[int, ...]) -> None:
    config = DetectorModel("any", (Tensor("image", dims, dtype),), (), Decoder("yolov8", ("x",), 0.5), 0)
    preparation = Preparation(config)
    made = frame(gradient(640, 360))
    out = np.empty(preparation.layout.shape(640, 360), preparation.layout.dtype)
    mapping = preparation.render_into(out, made.width, made.height, Scaler().of(made))
    expected, same = preparation.prepare(made.image())
    assert mapping == same
    close = np.abs(out.astype(float) - expected.reshape(out.shape)) / (255 if dtype == "FP32" and out.max() > 1 else 1)
    assert close.mean() < (2 if dtype == "UINT8" else 2 / 255)


@pytest.mark.parametrize(("form", "shared"), [("yuv420p", True), ("nv12", True), ("gray", True), ("rgb24", False)])
def test_the_luma_plane_is_the_picture_in_grey_and_cannot_be_written(form: str, shared) -> None:
    made = frame(gradient(640, 360), form)
    luma = made.luma()
    assert luma.shape == (360, 640)
    assert luma.flags.writeable is not shared  # the decoder's own memory, or a copy
    grey = made.picture.to_ndarray(format="gray", threads=1).astype(int)
    # The plane may be of limited range, 16 to 235.
    assert np.corrcoef(luma.ravel(), grey.ravel())[0, 1] > 0.999
    assert shrink(luma).shape == (54, 96)


def test_a_plane_of_ten_bits_becomes_one_of_eight() -> None:
    luma = frame(np.full((48, 64, 3), 255, np.uint8), "yuv420p10le").luma()
    assert luma.shape == (48, 64)
    assert luma.dtype == np.uint8
    assert luma.min() >= 230


def test_conversions_start_no_threads() -> None:
    """FFmpeg's scaler would start one for each CPU, with every frame."""
    cv2.setNumThreads(1)  # as the detector does for the whole process
    made = frame(gradient(1920, 1080))
    before = len(list(Path("/proc/self/task").iterdir()))
    scaler = Scaler()
    kept = [scaler.render(made.picture, 640, 360), made.image(), made.luma()]
    assert len(list(Path("/proc/self/task").iterdir())) == before
    assert len(kept) == 3
