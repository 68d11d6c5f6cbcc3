"""The resource AcceleratorProfile as a frozen value: all that is particular to a kind of accelerator, as data.

The classes have the shape of ``crds/edgedetector.dev_acceleratorprofiles.yaml``, field by field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self, cast

from edgedetector.api.decode import decode
from edgedetector.api.pods import EnvironmentVariable, Resources, Toleration
from edgedetector.api.quantities import Quantity
from edgedetector.api.verification import drivers_of, lapsed, verification_of

KIND: Final = "AcceleratorProfile"
PLURAL: Final = "acceleratorprofiles"

InstanceKind = Literal["KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL"]
Figure = Literal["utilization", "memoryUsed", "memoryFree", "memoryTotal", "temperature", "power", "pcieWidth"]
Unit = Literal[
    "ratio", "percent", "bytes", "kibibytes", "mebibytes", "megabytes", "celsius", "watts", "milliwatts", "lanes"
]  # fmt: skip
CapabilityName = Literal["instanceChangeInPlace", "coexistingReload", "memoryKnown", "hardwareDecode", "int8"]
FACTORS: Final[Mapping[Unit, float]] = {
    "ratio": 1.0,
    "percent": 0.01,
    "bytes": 1.0,
    "kibibytes": 1024.0,
    "mebibytes": 1024.0**2,
    "megabytes": 1e6,
    "celsius": 1.0,
    "watts": 1.0,
    "milliwatts": 0.001,
    "lanes": 1.0,
}
"""Factor from an exporter's unit to ours."""


@dataclass(frozen=True, slots=True)
class AcceleratorResource:
    """The extended resource that the vendor's device plugin gives to nodes; empty name: none is needed."""

    name: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class PodSecurity:
    """What the pod needs to open the device as a user other than root."""

    supplemental_groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TritonSpec:
    """The inference server of this accelerator."""

    image: str
    backend: str
    version: str = ""
    """Release of Triton, e.g. 23.07: what it can do differs by release."""
    arguments: tuple[str, ...] = ()
    environment: tuple[EnvironmentVariable, ...] = ()
    instance_kind: InstanceKind = "KIND_AUTO"
    model_file: str = ""
    """Name of a model's main file; ``{model}`` stands for the model's name."""
    compile_command: tuple[str, ...] = ()
    model_size_limit: Quantity = field(default_factory=lambda: Quantity("0"))
    """Bytes; 0: no limit."""
    shared_memory: Quantity = field(default_factory=lambda: Quantity("256Mi"))
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class MediaSpec:
    """The media server on nodes with this accelerator."""

    image: str
    arguments: tuple[str, ...] = ()
    input_templates: Mapping[str, str] = field(default_factory=dict)
    """Name -> ffmpeg input arguments with ``{input}``: the vendor's decoder flags."""
    input_template: str = ""
    """Which of them cameras use; empty: streams are passed through undecoded."""
    on_accelerator_node: bool = False
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class DecodingSpec:
    """How detectors decode streams. Hardware is used where the capability `hardwareDecode` is verified."""

    options: Mapping[str, str] = field(default_factory=dict)
    """FFmpeg's input options."""
    hardware: str = ""
    """Kind of device as FFmpeg names it, e.g. cuda or vaapi."""
    device: str = ""
    decoders: Mapping[str, str] = field(default_factory=dict)
    """Codec -> decoder by name, for hardware that FFmpeg has as decoders of their own."""
    on_accelerator: bool = False
    """It is Triton's own device, which the pod's runtime gives to the detector's container too."""
    environment: tuple[EnvironmentVariable, ...] = ()
    """What makes the runtime give the device to a container that does not request it."""
    resource: AcceleratorResource = field(default_factory=AcceleratorResource)
    """What the detector's container requests, where decoding is done elsewhere than on Triton's device."""


@dataclass(frozen=True, slots=True)
class ExporterFile:
    """A file that the exporter finds at `path`."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class ExistingExporter:
    """An exporter that somebody else runs: its pods."""

    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetricMapping:
    """One of our figures (`name`), the exporter's metric that holds it, and that metric's unit.

    Ours: utilization as a share of 1, memory in bytes, temperature in degrees Celsius, power in watts, pcieWidth in
    lanes that are in use.
    """

    name: Figure
    metric: str
    unit: Unit
    verified: bool = False

    @property
    def factor(self) -> float:
        """What the exporter's figure is multiplied by."""
        return FACTORS[self.unit]


@dataclass(frozen=True, slots=True)
class DriverVersion:
    """Where the exporter tells the driver's version: a label of one of its metrics."""

    metric: str
    label: str


@dataclass(frozen=True, slots=True)
class ExporterSpec:
    """The vendor's metrics exporter, one a node; `existing` or an `image` that the operator runs."""

    image: str = ""
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: tuple[EnvironmentVariable, ...] = ()
    port: int = 9400
    path: str = "/metrics"
    files: tuple[ExporterFile, ...] = ()
    privileged: bool = False
    run_as_user: int = 0
    linux_capabilities: tuple[str, ...] = ()
    """Added after all are dropped."""
    resources: Resources = field(default_factory=Resources)
    existing: ExistingExporter | None = None
    metrics: tuple[MetricMapping, ...] = ()
    driver_version: DriverVersion | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """What the accelerator's Triton can do. Only a verified capability is relied upon."""

    name: CapabilityName
    supported: bool = False
    verified: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class ProfileSpec:
    """`.spec` of an AcceleratorProfile."""

    triton: TritonSpec
    media: MediaSpec
    description: str = ""
    resource: AcceleratorResource = field(default_factory=AcceleratorResource)
    memory: Quantity = field(default_factory=lambda: Quantity("0"))
    """Bytes of one device, for exporters that do not tell; 0: not stated."""
    runtime_class_name: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    pod_security: PodSecurity = field(default_factory=PodSecurity)
    decoding: DecodingSpec = field(default_factory=DecodingSpec)
    exporter: ExporterSpec | None = None
    capabilities: tuple[Capability, ...] = ()

    def can(self, capability: str) -> bool:
        """Whether `capability` is supported and somebody has seen it work."""
        return any(item.name == capability and item.supported and item.verified for item in self.capabilities)

    @property
    def decodes_in_hardware(self) -> bool:
        """Whether detectors are to decode with what `decoding` names."""
        return self.can("hardwareDecode") and bool(self.decoding.hardware or self.decoding.decoders)

    @property
    def basis(self) -> str:
        """Digest of what a verification is about: another server or exporter, and it says nothing any more."""
        server, exporter = self.triton, self.exporter or ExporterSpec()
        parts = [
            [server.image, server.version, server.backend, server.instance_kind, *server.arguments],
            [[variable.name, variable.value] for variable in server.environment],
            [exporter.image, [[file.path, file.content] for file in exporter.files]],
            [[metric.name, metric.metric, metric.unit] for metric in exporter.metrics],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class AcceleratorProfile:
    """An AcceleratorProfile as the API server has it, or as it is shipped (then without `uid`)."""

    name: str
    uid: str
    generation: int
    spec: ProfileSpec
    deleting: bool = False

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Return the value of a Kubernetes object of kind AcceleratorProfile.

        What a verification has found, and which still counts, stands in the place of what the specification says of
        the same capabilities and figures.

        Raises
        ------
        InvalidSpecError
            If a field is missing or has a wrong type.
        """
        metadata = obj["metadata"]
        spec = decode(ProfileSpec, obj.get("spec") or {}, "spec")
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            generation=metadata.get("generation", 0),
            spec=_measured(spec, obj.get("status") or {}),
            deleting=metadata.get("deletionTimestamp") is not None,
        )


def _measured(spec: ProfileSpec, status: Mapping[str, Any]) -> ProfileSpec:
    """Return the specification with what was measured on the card in the place of what was written, where it counts."""
    verification = verification_of(status)
    if lapsed(verification, spec.basis, drivers_of(status)):
        return spec
    known = {found.name: found for found in verification.capabilities if found.verified}
    written = {one.name: one for one in spec.capabilities}
    capabilities = tuple(
        replace(
            written.get(name, Capability(name)),
            supported=known[name].supported if name in known else written[name].supported,
            verified=name in known or written[name].verified,
        )
        for name in (*written, *(cast("CapabilityName", one) for one in known if one not in written))
    )
    if spec.exporter is None:
        return replace(spec, capabilities=capabilities)
    figures = {found.name: found.supported for found in verification.metrics if found.verified}
    metrics = tuple(replace(one, verified=figures.get(one.name, one.verified)) for one in spec.exporter.metrics)
    return replace(spec, capabilities=capabilities, exporter=replace(spec.exporter, metrics=metrics))
