"""What is known of models, cameras and profile without measuring: it sharpens a diagnosis and fits its remedy. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edgedetector.api import names
from edgedetector.api.edgedetector import CameraSpec
from edgedetector.api.models import ModelSpec, TensorSpec
from edgedetector.api.profile import ProfileSpec

BYTES: Final[Mapping[str, int]] = {
    "BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2,
    "UINT32": 4, "INT32": 4, "FP32": 4, "UINT64": 8, "INT64": 8, "FP64": 8,
}  # fmt: skip
"""Of an element, by Triton's names. Text has no fixed size."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One model of Triton. Zero and empty mean: not known."""

    data_type: str = ""
    """Of its first input, as Triton names it."""
    input_bytes: int = 0
    """An image."""
    output_bytes: int = 0
    """An image."""
    raw: bool = False
    """Its outputs are rows that still have to be sorted out (a YOLO head), not boxes."""
    boxes_of: str = ""
    """The model whose raw outputs this one turns into boxes: it is a step inside Triton, on the processors."""
    instances: int = 1
    """Of such a step."""
    smaller_variant: bool = False
    """Another model may take its place under overload."""


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that was not measured. None: not known."""

    models: Mapping[str, KnownModel] = field(default_factory=dict)
    exporter_tells_utilization: bool = True
    """Whether the profile maps that figure at all."""
    idle_substreams: int | None = None
    """Cameras that name a sub-stream and are detected on their main stream."""
    no_substream: int | None = None
    """Cameras that name none."""
    hardware_decoding: bool | None = None
    """Whether the accelerator decodes; None: it could not, or that is not known."""
    motion_gated: bool = False
    """Some camera leaves out frames in which nothing moves: what is offered is then less than demand by intent."""


def known(
    models: Iterable[ModelSpec],
    cameras: Iterable[CameraSpec] = (),
    profile: ProfileSpec | None = None,
) -> Known:
    """Return what specification and profile tell."""
    cameras = tuple(cameras)
    sub = [bool(camera.substream_url or camera.substream_url_secret_ref) for camera in cameras]
    metrics = profile.exporter.metrics if profile is not None and profile.exporter is not None else ()
    return Known(
        models={name: model for spec in models for name, model in _models(spec)},
        exporter_tells_utilization=profile is None or any(metric.name == "utilization" for metric in metrics),
        idle_substreams=sum(
            has and camera.detection_stream == "Main" for has, camera in zip(sub, cameras, strict=True)
        ),
        no_substream=len(sub) - sum(sub),
        hardware_decoding=_decodes(profile) if profile is not None else None,
        motion_gated=any(camera.motion_gate.enabled for camera in cameras),
    )


def _decodes(profile: ProfileSpec) -> bool | None:
    could = any(one.name == "hardwareDecode" and one.supported for one in profile.capabilities)
    return profile.decodes_in_hardware if could else None


def _models(spec: ModelSpec) -> list[tuple[str, KnownModel]]:
    model = KnownModel(
        data_type=spec.inputs[0].data_type if spec.inputs else "",
        input_bytes=_bytes(spec.inputs),
        output_bytes=_bytes(spec.outputs),
        raw=spec.post_processing is None and spec.decoder.type not in {"none", "ssd"},
        smaller_variant=bool(spec.smaller_variant),
    )
    if spec.post_processing is None:
        return [(spec.name, model)]
    step = KnownModel(boxes_of=spec.name, instances=spec.post_processing.instances)
    return [(spec.name, model), (names.post_processing(spec.name), step)]


def _bytes(tensors: Iterable[TensorSpec]) -> int:
    """Return the bytes of an image, 0 if one of the tensors has no fixed size."""
    tensors = tuple(tensors)
    if any(min(tensor.dims, default=1) < 1 or tensor.data_type not in BYTES for tensor in tensors):
        return 0
    return sum(math.prod(tensor.dims) * BYTES[tensor.data_type] for tensor in tensors)
