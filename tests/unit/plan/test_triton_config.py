"""config.pbtxt, parsed again by the protocol buffer that Triton itself uses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.models import ModelSource, ModelSpec, TensorSpec, WarmupSpec
from edgedetector.plan.triton_config import Knobs, render

DATA_TYPES = [name.removeprefix("TYPE_") for name, number in model_config_pb2.DataType.items() if number > 0]
KINDS = ["KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL"]

# Anything that JSON can carry; a lone surrogate is no text and cannot be stored by the API server.
TEXT = st.text(min_size=1, max_size=40)
TENSORS = st.builds(
    TensorSpec,
    name=TEXT,
    dims=st.lists(st.one_of(st.just(-1), st.integers(1, 1 << 20)), min_size=1, max_size=8).map(tuple),
    data_type=st.sampled_from(DATA_TYPES),
    format=st.sampled_from(["NONE", "NHWC", "NCHW"]),
)


def unique(tensors: list[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple({tensor.name: tensor for tensor in tensors}.values())


MODELS = st.builds(
    ModelSpec,
    name=TEXT,
    source=st.just(ModelSource()),
    inputs=st.lists(TENSORS, min_size=1, max_size=4).map(unique),
    outputs=st.lists(TENSORS, min_size=1, max_size=4).map(unique),
    max_batch_size=st.sampled_from([0, 1, 4, 32]),
    warmup=st.builds(
        WarmupSpec,
        enabled=st.booleans(),
        data=st.sampled_from(["Zero", "Random"]),
        variable_dimension=st.integers(1, 4096),
    ),
    parameters=st.dictionaries(TEXT, st.text(max_size=80), max_size=4),
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[ModelSpec, Knobs]:
    """A model, and knobs that fit it."""
    model = draw(MODELS)
    largest = draw(st.none() | st.integers(0, 40))
    sizes = st.integers(1, max(Knobs(max_batch_size=largest).largest(model), 1))
    knobs = Knobs(
        max_batch_size=largest,
        instances=draw(st.integers(1, 64)),
        preferred_batch_sizes=tuple(sorted(draw(st.sets(sizes, max_size=4)))),
        max_queue_delay_microseconds=draw(st.integers(0, 10_000_000)),
    )
    return model, knobs


def parsed(model: ModelSpec, knobs: Knobs, *, backend: str = "python", kind: str = "KIND_CPU", file: str = "f") -> Any:
    text = render(model, knobs, backend=backend, instance_kind=kind, model_file=file)
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@given(cases(), TEXT, TEXT, st.sampled_from(KINDS))
def test_every_text_of_the_user_comes_out_as_it_went_in(
    case: tuple[ModelSpec, Knobs], backend: str, file: str, kind: str
) -> None:
    model, knobs = case
    config = parsed(model, knobs, backend=backend, kind=kind, file=file)
    assert (config.name, config.backend, config.default_model_filename) == (model.name, backend, file)
    assert {key: value.string_value for key, value in config.parameters.items()} == dict(model.parameters)
    for wanted, found in ((model.inputs, config.input), (model.outputs, config.output)):
        assert [(t.name, model_config_pb2.DataType.Name(t.data_type), tuple(t.dims)) for t in found] == [
            (t.name, f"TYPE_{t.data_type}", t.dims) for t in wanted
        ]
    kinds = model_config_pb2.ModelInstanceGroup.Kind
    assert [(group.count, kinds.Name(group.kind)) for group in config.instance_group] == [(knobs.instances, kind)]


@given(cases())
def test_batching_is_what_the_knobs_say_and_absent_without_a_batch_dimension(case: tuple[ModelSpec, Knobs]) -> None:
    model, knobs = case
    config = parsed(model, knobs)
    assert config.max_batch_size == knobs.largest(model) <= model.max_batch_size
    assert (config.max_batch_size == 0) == (model.max_batch_size == 0), "0 would take the batch dimension away"
    if model.max_batch_size == 0:
        assert not config.HasField("dynamic_batching")
        return
    assert tuple(config.dynamic_batching.preferred_batch_size) == knobs.preferred_batch_sizes
    assert config.dynamic_batching.max_queue_delay_microseconds == knobs.max_queue_delay_microseconds


@given(cases())
def test_the_warmup_covers_one_frame_and_the_largest_batch_that_is_waited_for(case: tuple[ModelSpec, Knobs]) -> None:
    model, knobs = case
    config = parsed(model, knobs)
    if not model.warmup.enabled:
        assert not config.model_warmup
        return
    sizes = [sample.batch_size for sample in config.model_warmup]
    assert sizes[0] == 1
    if knobs.largest(model) > 1:
        assert max(sizes) == max(knobs.preferred_batch_sizes, default=knobs.largest(model))
    else:
        assert sizes == [1]
    for sample in config.model_warmup:
        assert set(sample.inputs) == {tensor.name for tensor in model.inputs}
        for tensor in model.inputs:
            found = sample.inputs[tensor.name]
            assert all(dim > 0 for dim in found.dims)
            assert len(found.dims) == len(tensor.dims)
            random = model.warmup.data == "Random" and tensor.data_type != "STRING"
            assert (found.random_data, found.zero_data) == (random, not random)


@given(cases(), st.integers(1, 1000))
def test_a_preferred_size_above_the_maximal_batch_is_an_error_that_names_the_field(
    case: tuple[ModelSpec, Knobs], excess: int
) -> None:
    model, knobs = case
    model = replace(model, max_batch_size=max(model.max_batch_size, 1))
    knobs = replace(knobs, preferred_batch_sizes=(*knobs.preferred_batch_sizes, model.max_batch_size + excess))
    with pytest.raises(InvalidSpecError, match=r"(?s)^spec\.serving\.preferredBatchSizes: .* raise maxBatchSize$"):
        parsed(model, knobs)


def test_a_text_that_looks_like_a_template_is_text() -> None:
    model = ModelSpec(
        name='{{ 7 * 7 }}"\n}',
        source=ModelSource(),
        inputs=(TensorSpec("{% raw %}", (1,), "FP32"),),
        outputs=(TensorSpec("\\", (1,), "FP32"),),
    )
    config = parsed(model, Knobs())
    assert (config.name, config.input[0].name, config.output[0].name) == ('{{ 7 * 7 }}"\n}', "{% raw %}", "\\")
