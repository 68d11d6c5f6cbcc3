"""What is known of a box from its specification."""

from dataclasses import replace

from edgedetector.api import names
from edgedetector.api.edgedetector import CameraSpec
from edgedetector.api.models import DecoderSpec, ModelSource, ModelSpec, PostProcessingSpec, TensorSpec
from edgedetector.tuning.known import KnownModel, known


def test_bytes_decoder_and_steps_come_from_the_specification():
    spec = ModelSpec(
        name="people", source=ModelSource(),
        inputs=(TensorSpec("images", (3, 640, 640), "FP16"),), outputs=(TensorSpec("output0", (84, 8400), "FP16"),),
        decoder=DecoderSpec(type="yolov8"),
    )  # fmt: skip
    inside = replace(spec, name="cars", post_processing=PostProcessingSpec(builtin="NMS", instances=3))

    models = known([spec, inside]).models

    assert models["people"] == KnownModel("FP16", 2 * 3 * 640 * 640, 2 * 84 * 8400, raw=True)
    assert not models["cars"].raw
    assert models[names.post_processing("cars")] == KnownModel(boxes_of="cars", instances=3)


def test_a_tensor_without_a_fixed_size_makes_the_bytes_unknown():
    spec = ModelSpec("m", ModelSource(), (TensorSpec("i", (3, -1, -1), "FP16"),), (TensorSpec("o", (1,), "STRING"),))

    assert known([spec]).models["m"] == KnownModel("FP16")


def test_sub_streams_that_lie_idle_are_counted():
    cameras = [
        CameraSpec("a", url="rtsp://a/1", substream_url="rtsp://a/2", detection_stream="Main"),
        CameraSpec("b", url="rtsp://b/1", substream_url="rtsp://b/2"),
        CameraSpec("c", url="rtsp://c/1"),
    ]

    facts = known([], cameras)

    assert (facts.idle_substreams, facts.no_substream) == (1, 1)
