"""The operator's figure for /dev/shm is what the pod's own code makes of the same configuration."""

from __future__ import annotations

import math
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.dataplane import ModelServing, ServingConfig, Tensor
from edgedetector.api.models import DataType, ModelSource, ModelSpec, PostProcessingSpec, TensorSpec
from edgedetector.detector.batching import Capacity, capacity
from edgedetector.plan.shared_memory import model_need, need
from edgedetector.triton.tensors import Signature, layout

tensors = st.builds(
    TensorSpec,
    st.just("x"),
    st.lists(st.sampled_from([-1, 1, 3, 84, 640]), min_size=1, max_size=3).map(tuple),
    st.sampled_from(get_args(DataType)),
)
models = st.builds(
    ModelSpec,
    st.just("people"),
    st.just(ModelSource()),
    st.tuples(tensors),
    st.lists(tensors, min_size=1, max_size=3).map(tuple),
    max_batch_size=st.integers(0, 32),
)


@st.composite
def served(draw: st.DrawFn, model: ModelSpec) -> ModelServing:
    preferred = st.lists(st.integers(1, 32), max_size=3).map(tuple)
    return ModelServing("people", draw(st.integers(1, 20)), draw(preferred), model.max_batch_size, 0, "")


@given(st.data())
def test_it_is_what_the_pod_takes_in_whole_pages(data: st.DataObject) -> None:
    model = data.draw(models)
    serving = data.draw(served(model))
    parts = [[Tensor(t.name, t.dims, t.data_type) for t in some] for some in (model.inputs, model.outputs)]
    signature = Signature("people", tuple(parts[0]), tuple(parts[1]), model.max_batch_size)
    room = capacity(serving)
    if any(dim < 0 for tensor in model.inputs for dim in tensor.dims) or "STRING" in model.inputs[0].data_type:
        room = Capacity(1, room.requests)  # as `dispatch._room` has it
    region = layout(signature, room.batch).size
    assert model_need(model, serving) == room.requests * math.ceil(region / 4096) * 4096


def test_models_add_up_and_one_that_is_not_served_needs_nothing() -> None:
    image = TensorSpec("image", (3, 640, 640), "FP32")
    people = ModelSpec("people", ModelSource(), (image,), (TensorSpec("o", (84, 8400), "FP32"),), max_batch_size=8)
    serving = ModelServing("people", 2, (), 8, 0, "")
    one = need([people], ServingConfig("", (serving,)))
    # 2 instances x 2 requests; 8 images a request, 4.9 MB in and 2.8 MB out for each, in FP32 and whole pages
    assert one == 2 * 2 * math.ceil(8 * (3 * 640 * 640 + 84 * 8400) * 4 / 4096) * 4096
    assert need([people, people], ServingConfig("", (serving,))) == 2 * one
    assert need([people], ServingConfig("")) == 0


def test_with_post_processing_boxes_leave_triton_and_raw_outputs_go_through_memory_within() -> None:
    image = TensorSpec("image", (640, 640, 3), "UINT8")
    post = PostProcessingSpec("NMS", instances=3)
    people = ModelSpec(
        "people",
        ModelSource(),
        (image,),
        (TensorSpec("o", (84, 8400), "FP32"),),
        max_batch_size=8,
        post_processing=post,
    )
    serving = ModelServing("people", 2, (), 8, 0, "")
    boxes, raw = 1024 * (16 + 4 + 4), 84 * 8400 * 4
    region = math.ceil((8 * (640 * 640 * 3 + boxes) + 64) / 4096) * 4096  # the counts take less than 64 bytes
    inner = math.ceil(((1 << 20) + 8 * (raw + boxes) + 64) / (1 << 20)) << 20
    found = ServingConfig("", (serving, ModelServing("people+postprocessing", 3, (), 8, 0, "")))
    assert need([people], found) == (2 * 2 + 3) * region + 3 * inner
