"""From frame to input and from outputs to boxes, against independent arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector.inference import (
    Model,
    UnexpectedOutputError,
    UnsupportedModelError,
    suppress,
)

NONE_OUTPUTS = (
    Tensor("boxes", (64, 4), "FP32"),
    Tensor("scores", (64,), "FP32"),
    Tensor("classes", (64,), "INT32"),
    Tensor("count", (1,), "INT32"),
)


def people(dims: tuple[int, ...] = (576, 768, 3), *, batch: int = 4, confidence: float = 0.0) -> Model:
    decoder = Decoder("none", ("person",), confidence)
    return Model(DetectorModel("people", (Tensor("image", dims, "UINT8"),), NONE_OUTPUTS, decoder, batch))


def yolo(kind: str = "FP32", *, preprocessing: str = "unit", classes: int = 2) -> Model:
    decoder = Decoder("yolov8", tuple(f"c{n}" for n in range(classes)), 0.4, 0.5)
    inputs = (Tensor("images", (3, 640, 640), kind),)
    outputs = (Tensor("output0", (4 + classes, 8400), kind),)
    return Model(DetectorModel("yolo", inputs, outputs, decoder, 32, preprocessing))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def padded(boxes: list[list[float]], scores: list[float]) -> dict[str, np.ndarray]:
    count = len(boxes)
    outputs = {"boxes": np.zeros((1, 64, 4), np.float32), "scores": np.zeros((1, 64), np.float32)}
    outputs["boxes"][0, :count], outputs["scores"][0, :count] = np.array(boxes).reshape(-1, 4), scores
    return {**outputs, "classes": np.zeros((1, 64), np.int32), "count": np.array([[count]], np.int32)}


def test_a_frame_of_the_models_size_arrives_bit_for_bit() -> None:
    image = noise(576, 768)
    inputs, _ = people().prepare(image)
    assert inputs["image"].shape == (1, 576, 768, 3)
    assert np.array_equal(inputs["image"][0], image)


@pytest.mark.parametrize("dims", [(-1, -1, 3), (3, -1, -1)])
def test_a_model_of_variable_size_gets_the_frame_as_it_is(dims: tuple[int, ...]) -> None:
    image = noise(40, 30)
    tensor = people(dims).prepare(image)[0]["image"][0]
    assert np.array_equal(tensor if dims[-1] == 3 else tensor.transpose(1, 2, 0), image)


def test_boxes_of_a_resized_frame_are_in_pixels_of_the_frame() -> None:
    model = people()
    inputs, mapping = model.prepare(noise(1152, 384))
    assert inputs["image"].shape == (1, 576, 768, 3)
    (found,) = model.decode(padded([[100, 100, 200, 300]], [0.9]), mapping)
    assert (found.label, found.box) == ("person", (50.0, 200.0, 100.0, 600.0))


def test_only_count_rows_count_and_the_best_comes_first() -> None:
    model = people(confidence=0.5)
    outputs = padded([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]], [0.6, 0.4, 0.9])
    outputs["scores"][0, 10] = 1.0
    _, mapping = model.prepare(noise(576, 768))
    assert [round(d.score, 3) for d in model.decode(outputs, mapping)] == [0.9, 0.6]


def test_a_model_without_batch_dimension_gets_none() -> None:
    model = people(batch=0)
    inputs, mapping = model.prepare(noise(576, 768))
    assert inputs["image"].shape == (576, 768, 3)
    outputs = {name: array[0] for name, array in padded([[1, 2, 3, 4]], [0.5]).items()}
    assert model.decode(outputs, mapping)[0].box == (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(("kind", "dtype"), [("FP32", np.float32), ("FP16", np.float16), ("TYPE_FP16", np.float16)])
def test_a_yolo_input_is_letterboxed_channels_first_and_divided_by_255(kind: str, dtype: type) -> None:
    image = np.full((360, 640, 3), (255, 0, 51), np.uint8)
    tensor = yolo(kind).prepare(image)[0]["images"]
    assert (tensor.shape, tensor.dtype) == ((1, 3, 640, 640), dtype)
    assert tensor[0, :, 320, 320].tolist() == pytest.approx([1.0, 0.0, 0.2], abs=1e-3)
    assert tensor[0, :, 10, 10].tolist() == pytest.approx([114 / 255] * 3, abs=1e-3)


def test_a_model_that_normalises_itself_gets_plain_values() -> None:
    image = np.full((640, 640, 3), 200, np.uint8)
    assert yolo(preprocessing="none").prepare(image)[0]["images"].max() == 200.0


def test_yolo_boxes_are_decoded_suppressed_and_mapped_to_the_frame() -> None:
    model = yolo()
    _, mapping = model.prepare(noise(720, 1280))
    raw = np.zeros((1, 6, 8400), np.float32)
    raw[0, :, 0] = [320, 320, 100, 50, 0.9, 0.1]
    raw[0, :, 1] = [322, 321, 100, 50, 0.8, 0.1]  # the same object, weaker
    raw[0, :, 2] = [320, 320, 100, 50, 0.1, 0.7]  # another class at the same place
    raw[0, :, 3] = [100, 300, 20, 20, 0.39, 0.1]  # too weak
    found = model.decode({"output0": raw}, mapping)
    assert [(d.label, round(d.score, 3)) for d in found] == [("c0", 0.9), ("c1", 0.7)]
    assert found[0].box == pytest.approx((540.0, 310.0, 740.0, 410.0))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    left, top = np.maximum(one[:2], other[:2])
    right, bottom = np.minimum(one[2:], other[2:])
    inner = max(0.0, right - left) * max(0.0, bottom - top)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return inner / (sum(areas) - inner)


def plain_nms(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, limit: float) -> set[int]:
    """The textbook's greedy suppression, in plain Python."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(classes[i] != classes[k] or iou(boxes[i], boxes[k]) <= limit for k in kept):
            kept.append(int(i))
    return set(kept)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 40))
def test_suppression_agrees_with_the_textbook(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    corner, size = random.uniform(0, 100, (count, 2)), random.uniform(5, 60, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    scores, classes = random.uniform(0.5, 1.0, count), random.integers(0, 3, count)
    kept = suppress(boxes, scores, classes, 0.4, 0.5)
    assert set(kept.tolist()) == plain_nms(boxes, scores, classes, 0.5)


@pytest.mark.parametrize("dims", [(640, 640), (4, 640, 640), (1, 1, 3, 640, 640)])
def test_an_input_that_is_no_image_is_refused_in_words(dims: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedModelError, match="hold no RGB image"):
        people(dims)


def test_an_unknown_decoder_is_refused_in_words() -> None:
    config = DetectorModel("m", (Tensor("i", (3, 8, 8), "FP32"),), (), Decoder("detr"), 1)
    with pytest.raises(UnsupportedModelError, match="known are none, yolov8"):
        Model(config)


def test_outputs_of_another_model_are_an_error_and_no_crash() -> None:
    _, mapping = people().prepare(noise(8, 8))
    with pytest.raises(UnexpectedOutputError, match="needs an output 'boxes'"):
        people().decode({"output0": np.zeros((1, 6, 10))}, mapping)
    with pytest.raises(UnexpectedOutputError, match="needs \\[4 \\+ classes"):
        yolo().decode({"output0": np.zeros((1, 3, 10))}, mapping)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (2160, 3840)])
def test_odd_frames_pass(size: tuple[int, int]) -> None:
    for model in (people(), yolo()):
        inputs, mapping = model.prepare(noise(*size))
        assert all(array.size for array in inputs.values())
        assert mapping.width == size[1]
