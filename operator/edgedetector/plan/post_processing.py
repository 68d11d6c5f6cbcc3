"""Post-processing inside Triton: a model of its own, and an ensemble of the two, which alone the detector asks.

Triton hands the raw outputs from one to the other, so that they never leave it. The model keeps its own name and
configuration, and with them its metrics and its place on the accelerator; neither of the two knows of the other, so
that instances of each are changed as those of any model are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edgedetector.api import names
from edgedetector.api.edgedetector import DetectorSpec
from edgedetector.api.models import ModelSource, ModelSpec, PostProcessingSpec, TensorSpec, WarmupSpec
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.plan.triton_config import Step, render_ensemble

BACKEND: Final = "python"
MODEL_FILE: Final = "model.py"
MOST_BOXES: Final = 1024
"""Rows that the model gives at most: as many boxes as go into suppression in the detector (`decoders.CANDIDATES`), so
that what it finds does not depend on where it is done. 24 kB a frame."""
BUILTIN_OUTPUTS: Final = (
    TensorSpec("boxes", (MOST_BOXES, 4), "FP32"),
    TensorSpec("scores", (MOST_BOXES,), "FP32"),
    TensorSpec("classes", (MOST_BOXES,), "INT32"),
    TensorSpec("count", (1,), "INT32"),
)
# Decoders whose outputs are laid out alike.
_SAME_HEAD: Final = {"yolov11": "yolov8"}
# A name of the user's has no space in it.
_RAW: Final = "raw "


def outputs(post: PostProcessingSpec) -> tuple[TensorSpec, ...]:
    """Return what comes out of post-processing."""
    return BUILTIN_OUTPUTS if post.builtin else post.outputs


def model_of(model: ModelSpec, spec: DetectorSpec) -> ModelSpec | None:
    """Return the post-processing of a model as the model that it is to Triton; None if it has none.

    A source's takes all of the model's outputs, the built-in one the first, as the detector's decoders do.
    """
    post = model.post_processing
    if post is None:
        return None
    return ModelSpec(
        name=names.post_processing(model.name),
        source=post.source or ModelSource(),
        inputs=model.outputs[:1] if post.builtin else model.outputs,
        outputs=outputs(post),
        backend=post.backend or BACKEND,
        model_file=post.model_file or MODEL_FILE,
        max_batch_size=model.max_batch_size,
        # Python models take the largest batch into shared memory of their own and never give it back.
        warmup=WarmupSpec(enabled=False),
        parameters=_parameters(model, spec) if post.builtin else post.parameters,
    )


def on_processors(post: PostProcessingSpec) -> bool:
    """Tell whether it works on the host's processors whatever accelerator there is."""
    return (post.backend or BACKEND) == BACKEND


def instance_kind(post: ModelSpec, profile: AcceleratorProfile) -> str:
    """Return the kind of instances: a python model works on the CPU, whatever accelerator there is."""
    return "KIND_CPU" if post.backend == BACKEND else profile.spec.triton.instance_kind


def ensemble(model: ModelSpec, post: ModelSpec) -> str:
    """Return the config.pbtxt of the two, one behind the other."""
    raw = {tensor.name: _RAW + tensor.name for tensor in post.inputs}
    steps = (
        Step(model.name, {tensor.name: tensor.name for tensor in model.inputs}, raw),
        Step(post.name, raw, {tensor.name: tensor.name for tensor in post.outputs}),
    )
    return render_ensemble(replace(model, name=names.pipeline(model.name), outputs=post.outputs), steps)


def _parameters(model: ModelSpec, spec: DetectorSpec) -> dict[str, str]:
    decoder = model.decoder
    return {
        "confidence": repr(_least(model, spec)),
        "head": _SAME_HEAD.get(decoder.type, decoder.type),
        "iou": repr(decoder.iou),
        "labels": str(len(decoder.labels)),
        "model": model.name,
    }


def _least(model: ModelSpec, spec: DetectorSpec) -> float:
    """Return the lowest confidence that any camera asks for whose frames the model may get, as a smaller variant too.

    What is above a higher one is the same whether it is asked for before suppression or behind it, since only better
    boxes suppress a box.
    """
    answers = {model.name} | {one.name for one in spec.models if one.smaller_variant == model.name}
    cameras = (c for c in spec.cameras if not answers.isdisjoint(c.models or spec.usual_models))
    return min([model.decoder.confidence, *(c.confidence for c in cameras if c.confidence is not None)])
