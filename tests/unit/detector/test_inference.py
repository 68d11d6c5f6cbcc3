"""From frame to input and from outputs to boxes, against independent arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector.inference import (
    Model,
    UnexpectedOutputError,
    UnsupportedModelError,
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


@pytest.mark.parametrize("dims", [(640, 640), (4, 640, 640), (1, 1, 3, 640, 640)])
def test_an_input_that_is_no_image_is_refused_in_words(dims: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedModelError, match="hold no RGB image"):
        people(dims)


def test_an_unknown_decoder_is_refused_in_words() -> None:
    config = DetectorModel("m", (Tensor("i", (3, 8, 8), "FP32"),), (), Decoder("detr"), 1)
    with pytest.raises(UnsupportedModelError, match="known are none, ssd, yolov5, yolov8"):
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


def test_a_data_type_that_holds_no_pixels_is_refused_in_words() -> None:
    config = DetectorModel("m", (Tensor("i", (3, 8, 8), "INT8"),), (), Decoder("none"), 1)
    with pytest.raises(UnsupportedModelError, match="data type INT8: known are FP16, FP32, UINT8"):
        Model(config)


def batch_of(*frames: np.ndarray) -> dict[str, np.ndarray]:
    return {"output0": np.stack(frames)}


def anchors(*columns: list[float], dtype: type = np.float32) -> np.ndarray:
    raw = np.zeros((6, 100), dtype)
    for index, column in enumerate(columns):
        raw[:, index] = column
    return raw


def test_each_frame_of_a_batch_gets_its_own_boxes_mapping_and_confidence() -> None:
    model = yolo()
    wide, tall = model.prepare(noise(720, 1280))[1], model.prepare(noise(640, 320))[1]
    frame = anchors([320, 320, 100, 50, 0.9, 0.1], [200, 320, 20, 20, 0.1, 0.3])
    found = model.decode_batch(batch_of(frame, frame, frame), (wide, tall, wide), (None, 0.2, 0.95))
    assert [[d.label for d in one.detections] for one in found] == [["c0"], ["c0", "c1"], []]
    assert found[0].detections[0].box == pytest.approx((540.0, 310.0, 740.0, 410.0))
    assert found[1].detections[0].box == pytest.approx((110.0, 295.0, 210.0, 345.0))


def test_a_batch_is_decoded_as_its_frames_are_alone() -> None:
    model, random = yolo(), np.random.default_rng(3)
    _, mapping = model.prepare(noise(480, 640))
    frames = [np.concatenate([random.uniform(50, 500, (4, 60)), random.uniform(0, 1, (2, 60))]) for _ in range(4)]
    together = model.decode_batch(batch_of(*frames), (mapping,) * 4)
    assert [one.detections for one in together] == [model.decode(batch_of(frame), mapping) for frame in frames]
    assert all(one.detections for one in together)


def test_an_output_for_another_number_of_frames_is_an_error() -> None:
    model = yolo()
    _, mapping = model.prepare(noise(8, 8))
    with pytest.raises(UnexpectedOutputError, match="output0: \\(3, 6, 100\\) holds no batch of 2 frames"):
        model.decode_batch(batch_of(*[anchors()] * 3), (mapping, mapping))
    with pytest.raises(UnexpectedOutputError, match="takes no batches, but was asked for 2 frames"):
        people(batch=0).decode_batch({}, (mapping, mapping))


def test_a_box_in_the_letterboxs_border_is_dropped_with_its_reason() -> None:
    model = yolo()
    _, mapping = model.prepare(noise(360, 640))
    (found,) = model.decode_batch(batch_of(anchors([320, 40, 50, 50, 0.9, 0.0])), (mapping,))
    assert (found.detections, found.dropped) == ((), {"Outside": 1})


def test_boxes_of_a_post_processing_model_are_those_of_decoder_none_in_the_letterbox_of_the_raw_one() -> None:
    """A pipeline inside Triton: raw outputs in, boxes of the input out. Both ways must tell the same."""
    raw = yolo()
    config = DetectorModel(
        "yolo-with-boxes", raw.config.inputs, NONE_OUTPUTS, Decoder("none", ("c0", "c1"), 0.4), 32, "unit"
    )
    piped, image = Model(config, fit="letterbox"), noise(720, 1280)
    inputs, mapping = raw.prepare(image)
    piped_inputs, piped_mapping = piped.prepare(image)
    assert np.array_equal(inputs["images"], piped_inputs["images"])
    assert piped_mapping == mapping
    outputs = padded([[270, 295, 370, 345], [90, 290, 110, 310]], [0.9, 0.7])
    expected = raw.decode(batch_of(anchors([320, 320, 100, 50, 0.9, 0], [100, 300, 20, 20, 0.7, 0])), mapping)
    assert piped.decode(outputs, piped_mapping) == expected
    assert len(expected) == 2


def test_an_ssd_of_any_size_gives_boxes_of_the_frame() -> None:
    config = DetectorModel("ssd", (Tensor("image", (-1, -1, 3), "UINT8"),), (), Decoder("ssd", ("", "person")), 1)
    model = Model(config)
    _, mapping = model.prepare(noise(200, 400))
    outputs = {
        "detection_boxes": np.array([[[0.25, 0.5, 0.75, 1.0]]], np.float32),
        "detection_scores": np.array([[0.8]], np.float32),
        "detection_classes": np.array([[1.0]], np.float32),
        "num_detections": np.array([1.0], np.float32),
    }
    (found,) = model.decode(outputs, mapping)
    assert (found.label, found.box) == ("person", (200.0, 50.0, 400.0, 150.0))
