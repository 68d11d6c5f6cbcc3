"""A model of an EdgeDetector as a frozen value: where its files come from, its tensors, and what becomes of them.

Like `edgedetector.api.edgedetector`, the classes have the shape of the definition, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# Triton's names without their prefixes TYPE_ and FORMAT_.
DataType = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BF16", "STRING",
]  # fmt: skip
Format = Literal["NONE", "NHWC", "NCHW"]
DecoderType = Literal["none", "yolov8", "yolov11", "yolov5", "ssd"]
Preprocessing = Literal["none", "unit"]
WarmupData = Literal["Zero", "Random"]
BuiltinModel = Literal["", "NMS"]


@dataclass(frozen=True, slots=True)
class KeyToPath:
    """A key of a ConfigMap, and the relative path at which the model's source has it."""

    key: str
    path: str


@dataclass(frozen=True, slots=True)
class ConfigMapSource:
    """Model files in a ConfigMap; without `items` each key is a file of its own name."""

    name: str
    items: tuple[KeyToPath, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimSource:
    """Model files in a directory of a volume; `path` is relative to the volume's root."""

    claim_name: str
    path: str = ""
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class ConfigMapKey:
    """One key of a ConfigMap of the same namespace."""

    name: str
    key: str = "ca.crt"


@dataclass(frozen=True, slots=True)
class HttpSource:
    """One model file, fetched by the pod; `sha256` in lower-case hexadecimal digits."""

    url: str = field(repr=False)
    sha256: str
    ca_config_map: ConfigMapKey | None = None
    """Certificates to trust instead of the public authorities."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's files come from: exactly one of the three."""

    config_map: ConfigMapSource | None = None
    persistent_volume_claim: ClaimSource | None = None
    http: HttpSource | None = None


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output: dims without the batch dimension, -1 for a variable one; data type as Triton names it."""

    name: str
    dims: tuple[int, ...]
    data_type: DataType
    format: Format = "NONE"


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """How outputs become boxes; `confidence` and `iou` between 0 and 1."""

    type: DecoderType = "none"
    labels: tuple[str, ...] = ()
    confidence: float = 0.4
    iou: float = 0.5


@dataclass(frozen=True, slots=True)
class WarmupSpec:
    """Requests that Triton runs before it calls a model loaded."""

    enabled: bool = True
    data: WarmupData = "Zero"
    variable_dimension: int = 1
    """Stands in for each dimension of -1."""


@dataclass(frozen=True, slots=True)
class PostProcessingSpec:
    """A model inside Triton that takes a model's raw outputs and gives boxes: exactly one of `builtin` and `source`.

    The rest but `instances` belongs to a source; empty texts mean Triton's python backend and model.py.
    """

    builtin: BuiltinModel = ""
    source: ModelSource | None = None
    outputs: tuple[TensorSpec, ...] = ()
    backend: str = ""
    model_file: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    instances: int = 1


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model; empty texts mean: as the accelerator profile says."""

    name: str
    source: ModelSource
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    backend: str = ""
    model_file: str = ""
    decoder: DecoderSpec = field(default_factory=DecoderSpec)
    post_processing: PostProcessingSpec | None = None
    preprocessing: Preprocessing = "none"
    max_batch_size: int = 0
    warmup: WarmupSpec = field(default_factory=WarmupSpec)
    parameters: Mapping[str, str] = field(default_factory=dict)
    smaller_variant: str = ""
    """Name of the model that takes its place under overload."""
