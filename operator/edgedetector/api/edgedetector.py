"""The resource EdgeDetector as a frozen value.

The classes have the shape of ``crds/edgedetector.dev_edgedetectors.yaml``, field by field (a test compares them), and
the same defaults, so that a resource stored before a default existed parses to what the API server would give now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, Self, get_args

from edgedetector.api import names, rules
from edgedetector.api.decode import decode
from edgedetector.api.models import ModelSpec
from edgedetector.api.pods import LocalObject, Resources, Toleration
from edgedetector.api.quantities import Fraction, Quantity

KIND: Final = "EdgeDetector"
PLURAL: Final = "edgedetectors"

TuningMode = Literal["Auto", "Recommend", "Off"]
TuningGoal = Literal["Throughput", "Latency", "Efficiency"]
DegradationStep = Literal["ReduceFrameRate", "UseSubstream", "KeyframesOnly", "PauseCameras"]
ZoneKind = Literal["Include", "Exclude", "Watch"]
DetectionStream = Literal["Substream", "Main"]
ScalingFigure = Literal["Demand", "QueueTime", "AcceleratorUtilization"]
MetricType = Literal["External", "Pods"]
STEPS: Final[tuple[DegradationStep, ...]] = get_args(DegradationStep)
"""In order, least harmful first."""


@dataclass(frozen=True, slots=True)
class ModelCacheSpec:
    """A volume that keeps fetched model files for a pod's successors."""

    claim_name: str


@dataclass(frozen=True, slots=True)
class ServingSpec:
    """Where tuning starts; with tuning off, how every model is served."""

    instances: int = 1
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One key of a Secret of the same namespace."""

    name: str
    key: str = "url"


@dataclass(frozen=True, slots=True)
class FrameRateSpec:
    """Frames inferred a second; the minimum is 1 or the target if that is lower, the maximum the target.

    A camera rises above its target only where that is asked for: a box that was sized for the target stays within it.
    """

    target: float = 5.0
    minimum: float | None = None
    maximum: float | None = None

    @property
    def range(self) -> tuple[float, float]:
        """The minimum and the maximum in force."""
        low = min(1.0, self.target) if self.minimum is None else self.minimum
        high = self.target if self.maximum is None else self.maximum
        return low, high


@dataclass(frozen=True, slots=True)
class ZoneSpec:
    """A part of the picture that alone counts, that does not count, or that is only watched."""

    name: str
    polygon: tuple[tuple[float, ...], ...]
    """Corners x, y in shares of the picture's width and height, 0 to 1, from its upper left. Not as objects: an
    unquoted key `y` is a truth value in YAML 1.1."""
    kind: ZoneKind = "Include"

    @property
    def area(self) -> float:
        """Area as a share of the picture (the shoelace formula); what crosses itself counts with both signs."""
        corners = zip(self.polygon, (*self.polygon[1:], *self.polygon[:1]), strict=True)
        return abs(sum(one[0] * two[1] - two[0] * one[1] for one, two in corners)) / 2


@dataclass(frozen=True, slots=True)
class MotionGateSpec:
    """Whether frames in which nothing moves are left out, and for how long at most."""

    enabled: bool = False
    interval: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera; `models` and `classes` empty: all. Higher `priority` is degraded later."""

    name: str
    url: str = field(default="", repr=False)
    url_secret_ref: SecretKey | None = None
    substream_url: str = field(default="", repr=False)
    substream_url_secret_ref: SecretKey | None = None
    credentials_secret_ref: LocalObject | None = None
    detection_stream: DetectionStream = "Substream"
    """Which stream detection reads where there are two; of the main one, overload takes it to the sub-stream."""
    models: tuple[str, ...] = ()
    frame_rate: FrameRateSpec = field(default_factory=FrameRateSpec)
    priority: int = 0
    confidence: float | None = None
    """Absent: the decoder's."""
    classes: tuple[str, ...] = ()
    zones: tuple[ZoneSpec, ...] = ()
    motion_gate: MotionGateSpec = field(default_factory=MotionGateSpec)


@dataclass(frozen=True, slots=True)
class LatencyObjective:
    """From the frame in the detector to its result."""

    percentile: int = 99
    max: timedelta = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """What is to become better, and what tuning must keep meanwhile."""

    goal: TuningGoal = "Throughput"
    latency: LatencyObjective = field(default_factory=LatencyObjective)


@dataclass(frozen=True, slots=True)
class HeadroomSpec:
    """Shares that tuning leaves free. Source of the defaults: the reference deployment's rules."""

    accelerator: Fraction = field(default_factory=lambda: Fraction(0.2))
    cpu: Fraction = field(default_factory=lambda: Fraction(0.15))


@dataclass(frozen=True, slots=True)
class InstanceBounds:
    """Model instances a replica may have, per model."""

    min: int = 1
    max: int = 4


@dataclass(frozen=True, slots=True)
class BoundsSpec:
    """What tuning may choose from."""

    instances: InstanceBounds = field(default_factory=InstanceBounds)
    max_queue_delay: timedelta = timedelta(milliseconds=5)
    accelerator_memory: Quantity = field(default_factory=lambda: Quantity("0"))
    """Bytes of the accelerator that may be in use where its exporter does not tell its size; 0: as the profile says."""
    post_processing_instances: InstanceBounds | None = None
    """Of each model's post-processing; None: as `instances`."""

    @property
    def of_post_processing(self) -> InstanceBounds:
        """Instances that a replica may have of a model's post-processing."""
        return self.post_processing_instances or self.instances


@dataclass(frozen=True, slots=True)
class TuningSpec:
    """What tuning may do, must keep, leaves free and may choose from."""

    mode: TuningMode = "Auto"
    objective: ObjectiveSpec = field(default_factory=ObjectiveSpec)
    headroom: HeadroomSpec = field(default_factory=HeadroomSpec)
    bounds: BoundsSpec = field(default_factory=BoundsSpec)


@dataclass(frozen=True, slots=True)
class MetricTarget:
    """What a replica is to have of a figure."""

    average_value: Quantity | None = None
    """None: the figure's default, `plan.scaling.TARGETS`."""


@dataclass(frozen=True, slots=True)
class ScalingMetric:
    """A figure of ours that the autoscaler reads through an adapter."""

    name: ScalingFigure
    type: MetricType = "External"
    """The HorizontalPodAutoscaler's: from external.metrics.k8s.io by detector, or custom.metrics.k8s.io by pod."""
    target: MetricTarget = field(default_factory=MetricTarget)


@dataclass(frozen=True, slots=True)
class ScalingSpec:
    """Replicas of the inference pod; an autoscaler exists when the maximum is above the minimum."""

    min_replicas: int = 1
    max_replicas: int = 1
    target_cpu_utilization: int = 80
    """Percent of a container's CPU request; of one core for a detector container whose request nobody states."""
    metrics: tuple[ScalingMetric, ...] = ()
    """Followed beside the CPU: the one that asks for most replicas counts."""


@dataclass(frozen=True, slots=True)
class DegradationSpec:
    """The ladder on overload; steps in order, least harmful first."""

    enabled: bool = True
    steps: tuple[DegradationStep, ...] = STEPS
    protected_priority: int = 100
    """Cameras with this priority or a higher one are never paused."""
    react_after: timedelta = timedelta(seconds=3)
    recover_after: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class DiscoverySpec:
    """Whether Home Assistant finds the counts by itself, and below which topic it looks."""

    enabled: bool = True
    prefix: str = "homeassistant"


@dataclass(frozen=True, slots=True)
class MqttOutput:
    """Detections to an MQTT broker; the Secret holds username and password, the CA Secret ca.crt."""

    url: str = field(repr=False)
    topic_prefix: str = "edgedetector"
    qos: int = 0
    discovery: DiscoverySpec = field(default_factory=DiscoverySpec)
    snapshots: bool = False
    """Send a picture of each object that comes. Personal data, hence off."""
    credentials_secret_ref: LocalObject | None = None
    ca_secret_ref: LocalObject | None = None


@dataclass(frozen=True, slots=True)
class SpoolSpec:
    """What waits on disk for a receiver that does not answer; the oldest is dropped first."""

    size_limit: Quantity = field(default_factory=lambda: Quantity("16Mi"))


@dataclass(frozen=True, slots=True)
class WebhookOutput:
    """Detections as HTTP POST requests: key `token` of one Secret is sent, key `key` of the other signs."""

    url: str = field(repr=False)
    timeout: timedelta = timedelta(seconds=2)
    token_secret_ref: LocalObject | None = None
    signature_secret_ref: LocalObject | None = None
    spool: SpoolSpec = field(default_factory=SpoolSpec)


@dataclass(frozen=True, slots=True)
class EventsOutput:
    """Events and pictures of the pod itself: on loopback, unless the Secret's key `token` is asked for."""

    stdout: bool = False
    token_secret_ref: LocalObject | None = None


@dataclass(frozen=True, slots=True)
class OutputsSpec:
    """Where detections go, besides metrics."""

    mqtt: MqttOutput | None = None
    webhook: WebhookOutput | None = None
    events: EventsOutput = field(default_factory=EventsOutput)


@dataclass(frozen=True, slots=True)
class MonitoringSpec:
    """ServiceMonitor and PrometheusRule; `labels` are added to both, for Prometheus' selectors."""

    enabled: bool = True
    scrape_interval: timedelta = timedelta(seconds=10)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Destinations:
    """What a policy lets through besides what addresses say by themselves."""

    cidrs: tuple[str, ...] = ()
    """Ranges for destinations that are given by name or in a Secret; empty: any but loopback and link-local ones."""
    ports: tuple[int, ...] = ()
    """TCP ports besides those of the addresses, e.g. the port of the pods behind a Service."""


@dataclass(frozen=True, slots=True)
class NetworkPolicySpec:
    """NetworkPolicies of the pods: everything is denied but what they need."""

    enabled: bool = True
    cameras: Destinations = field(default_factory=Destinations)
    models: Destinations = field(default_factory=Destinations)


@dataclass(frozen=True, slots=True)
class ContainerResources:
    """Requests and limits by container, over those of the profile and the operator's defaults."""

    triton: Resources = field(default_factory=Resources)
    detector: Resources = field(default_factory=Resources)
    media: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """`.spec`, written by the user alone."""

    accelerator_profile: str
    models: tuple[ModelSpec, ...]
    model_cache: ModelCacheSpec | None = None
    serving: ServingSpec = field(default_factory=ServingSpec)
    cameras: tuple[CameraSpec, ...] = ()
    tuning: TuningSpec = field(default_factory=TuningSpec)
    scaling: ScalingSpec = field(default_factory=ScalingSpec)
    degradation: DegradationSpec = field(default_factory=DegradationSpec)
    outputs: OutputsSpec = field(default_factory=OutputsSpec)
    monitoring: MonitoringSpec = field(default_factory=MonitoringSpec)
    network_policy: NetworkPolicySpec = field(default_factory=NetworkPolicySpec)
    resources: ContainerResources = field(default_factory=ContainerResources)
    image_pull_secrets: tuple[LocalObject, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    priority_class_name: str = ""
    suspend: bool = False

    @property
    def usual_models(self) -> tuple[str, ...]:
        """Names of the models for cameras that name none: all but those that stand in for others under overload."""
        variants = {model.smaller_variant for model in self.models}
        return tuple(model.name for model in self.models if model.name not in variants)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of the cameras, in order."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def main_stream_cameras(self) -> frozenset[str]:
        """Names of the cameras whose detection reads the main stream though they may have another."""
        return frozenset(camera.name for camera in self.cameras if camera.detection_stream == "Main")


@dataclass(frozen=True, slots=True)
class EdgeDetector:
    """An EdgeDetector as the API server has it."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: DetectorSpec
    deleting: bool = False
    frozen: bool = False
    """The user wants tuning to leave everything as it is for now (`names.ANNOTATION_TUNING`)."""
    retune: str = ""
    """Text with which the user last asked for tuning anew (`names.ANNOTATION_RETUNE`); empty: never."""
    created: str = ""
    """RFC 3339, UTC."""

    @property
    def suspend(self) -> bool:
        """Whether the user wants nothing to run."""
        return self.spec.suspend

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Return the value of a Kubernetes object of kind EdgeDetector.

        Raises
        ------
        InvalidSpecError
            If a field is missing, has a wrong type, or contradicts another one.
        """
        metadata = obj["metadata"]
        annotations = metadata.get("annotations") or {}
        spec = decode(DetectorSpec, obj.get("spec") or {}, "spec")
        rules.check(spec)
        return cls(
            name=metadata["name"],
            namespace=metadata.get("namespace", "default"),
            uid=metadata.get("uid", ""),
            generation=metadata.get("generation", 0),
            spec=spec,
            deleting=metadata.get("deletionTimestamp") is not None,
            frozen=annotations.get(names.ANNOTATION_TUNING) == names.FROZEN,
            retune=annotations.get(names.ANNOTATION_RETUNE, "")[: names.MAX_RETUNE],
            created=metadata.get("creationTimestamp") or "",
        )
