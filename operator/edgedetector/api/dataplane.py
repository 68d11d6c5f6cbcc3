"""Values that the operator and its pods exchange as JSON, through ConfigMaps and over HTTP.

The operator writes `ServingConfig`, `Probe`, `DetectorConfig` and `MediaConfig`; the pods write `DetectorState` and,
when they cannot go on, `LastWords`.
Every value round-trips: ``from_json(type(x), to_json(x)) == x`` (`edgedetector.api.wire`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgedetector.api.wire import LEFT_OUT


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A model file that the pod fetches over HTTPS and keeps under its digest."""

    target: str
    """Path below the model's directory, e.g. 1/model.plan."""
    url: str = field(repr=False)
    sha256: str
    lookup: str = ""
    """Name to resolve for the connection; empty: the host is neither a Service of the namespace nor on the operator's
    list."""
    own_authority: bool = False
    """Trust the certificates in DIR_AUTHORITIES/<model>/ alone, not the public ones."""


@dataclass(frozen=True, slots=True)
class ModelServing:
    """What one model is served with: the knobs, and the complete file rendered from them.

    The pod writes `config` as it is and never merges: with a config that lacks fields every request fails.
    """

    name: str
    instances: int
    preferred_batch_sizes: tuple[int, ...]
    max_batch_size: int
    max_queue_delay_microseconds: int
    config: str
    """Complete text of Triton's config.pbtxt."""
    files: dict[str, str] = field(default_factory=dict)
    """Target path below the model's directory -> path below /sources/<model>/, e.g. {"1/model.plan": "people.plan"}."""
    platform: str = ""
    """`names.ENSEMBLE`: other models one behind the other, without a file and without instances of its own."""
    fetched: tuple[FetchedFile, ...] = ()
    """Files that do not lie in /sources; at most one so far."""
    size_limit: int = 0
    """Bytes of all files together that the accelerator can take; 0: no limit is known."""
    builtin: str = field(default="", metadata=LEFT_OUT)
    """Its main file is one that the pod itself brings, of this name; empty: it is not."""


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """The serving configuration that is accepted: restarted pods come back with it."""

    id: str
    """Content hash: equal ids mean equal configurations."""
    models: tuple[ModelServing, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """A serving configuration on trial in one pod, undone by that pod when its time is over."""

    id: str
    pod: str
    ttl_seconds: float
    renewal: int
    """Raised by the operator to prolong the trial by another `ttl_seconds`, counted by the pod from when it sees it."""
    serving: ServingConfig


@dataclass(frozen=True, slots=True)
class Tensor:
    """A model input or output: dims without the batch dimension, -1 for a variable one; Triton's data type names."""

    name: str
    dims: tuple[int, ...]
    data_type: str
    format: str = ""


@dataclass(frozen=True, slots=True)
class Decoder:
    """How outputs become boxes."""

    type: str = "none"
    """`yolov8`, `yolov5`, `ssd`, or `none`: NMS is in the model, which gives boxes [N,4] xyxy in input pixels,
    scores [N], classes [N] and count [1]."""
    labels: tuple[str, ...] = ()
    confidence: float = 0.4
    iou: float = 0.5


@dataclass(frozen=True, slots=True)
class DetectorModel:
    """A model as the data plane sees it."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    decoder: Decoder
    max_batch_size: int
    preprocessing: str = "none"
    """`none`: the frame as uint8 RGB, resized to the input's dims; `unit`: divided by 255 as float."""
    served_as: str = field(default="", metadata=LEFT_OUT)
    """What Triton is asked for; empty: the model itself. Outputs and decoder are of what is asked for."""
    smaller_variant: str = field(default="", metadata=LEFT_OUT)
    """Name of the model that takes its place under overload; empty: none does."""


@dataclass(frozen=True, slots=True)
class FrameRate:
    """Frames inferred a second."""

    minimum: float = 1.0
    target: float = 5.0
    maximum: float = 15.0


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of a camera's picture."""

    name: str
    polygon: tuple[tuple[float, ...], ...]
    """Corners x, y in shares of the picture, 0 to 1."""
    kind: str = "include"
    """`include`, `exclude` or `watch`."""


@dataclass(frozen=True, slots=True)
class MotionGate:
    """Whether frames in which nothing moves are left out, and for how many seconds at most."""

    enabled: bool = False
    interval: float = 10.0


@dataclass(frozen=True, slots=True)
class DetectorCamera:
    """A camera as the data plane sees it: a stream of the media server, never the camera itself."""

    name: str
    stream: str
    models: tuple[str, ...]
    frame_rate: FrameRate = field(default_factory=FrameRate)
    priority: int = 0
    confidence: float | None = None
    """Score from which an object counts; None: the decoder's."""
    classes: tuple[str, ...] = ()
    zones: tuple[Zone, ...] = ()
    motion_gate: MotionGate = field(default_factory=MotionGate)
    substream: str = field(default="", metadata=LEFT_OUT)
    """A stream of the same scene in fewer pixels, read under overload; empty: none, or `stream` is it already."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """What gives way under overload. Seconds."""

    enabled: bool = True
    steps: tuple[str, ...] = ()
    """Names as in `spec.degradation.steps`, least harmful first."""
    protected_priority: int = 100
    react_after: float = 3.0
    recover_after: float = 30.0
    accelerator_headroom: float = 0.2
    cpu_headroom: float = 0.15


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """An MQTT broker. Secrets are named, never carried: they are mounted at /secrets/<name>/, possibly missing."""

    url: str = field(default="", repr=False)
    """Empty: none."""
    prefix: str = ""
    """All topics begin with this."""
    discovery: str = ""
    """Home Assistant's prefix; empty: no discovery."""
    qos: int = 0
    snapshots: bool = False
    credentials_secret: str = ""
    ca_secret: str = ""


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """An HTTP server that takes events."""

    url: str = field(default="", repr=False)
    """Empty: none."""
    timeout_seconds: float = 2.0
    token_secret: str = ""
    signature_secret: str = ""
    spool_bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class EventsConfig:
    """Events and pictures of the pod itself."""

    stdout: bool = False
    token_secret: str = ""
    """Empty: they are served on loopback alone."""


@dataclass(frozen=True, slots=True)
class OutputsConfig:
    """Where detections go."""

    mqtt: MqttConfig = field(default_factory=MqttConfig)
    webhook: WebhookConfig = field(default_factory=WebhookConfig)
    events: EventsConfig = field(default_factory=EventsConfig)


@dataclass(frozen=True, slots=True)
class Decoding:
    """How streams are opened and decoded: the profile's `decoding`, as far as it may be used."""

    options: dict[str, str] = field(default_factory=dict)
    """FFmpeg's input options, above the detector's own."""
    hardware: str = ""
    """Kind of device that decodes, as FFmpeg names it; empty: software."""
    device: str = ""
    """Which of them; empty: the first."""
    decoders: dict[str, str] = field(default_factory=dict)
    """Codec -> decoder by name."""


@dataclass(frozen=True, slots=True)
class AcceleratorMetric:
    """One of our figures, by name and in units of `profile.MetricMapping`, and where it comes from."""

    name: str
    metric: str
    factor: float = 1.0
    """What the exporter's figure is multiplied by."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Where the accelerator's figures are to be had, those of this node's devices."""

    url: str = ""
    """Empty: nowhere."""
    metrics: tuple[AcceleratorMetric, ...] = ()
    driver_metric: str = field(default="", metadata=LEFT_OUT)
    """The exporter's metric of which a label is the driver's version; empty: none is."""
    driver_label: str = field(default="", metadata=LEFT_OUT)


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """Content of detector.json."""

    detector: str
    namespace: str
    generation: int
    """metadata.generation of the EdgeDetector from which this was made."""
    triton_url: str
    media_url: str
    """rtsp://host:port of the media server; a camera is read at media_url/stream."""
    replicas_host: str = ""
    """Name of the headless Service that lists the replicas; empty: this replica serves every camera."""
    models: tuple[DetectorModel, ...] = ()
    cameras: tuple[DetectorCamera, ...] = ()
    suspended: bool = False
    degradation: Degradation = field(default_factory=Degradation)
    outputs: OutputsConfig = field(default_factory=OutputsConfig)
    decoding: Decoding = field(default_factory=Decoding)
    accelerator: Accelerator = field(default_factory=Accelerator)


@dataclass(frozen=True, slots=True)
class MediaCamera:
    """A stream of the media server.

    Exactly one of `url` and `url_secret` is given. Secrets are named, never carried.
    """

    stream: str
    url: str = ""
    url_secret: str = ""
    url_secret_key: str = "url"  # noqa: S105 - the name of a key
    credentials_secret: str = ""
    """Secret with the keys `username` and `password`, mounted at /secrets/<name>/, possibly missing."""
    input_template: str = ""
    camera: str = ""
    """Name of the camera, for people and metrics; the stream's id says nothing."""
    role: str = ""
    """`main` or `sub`: which of the camera's streams it is."""


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """Content of media.json."""

    generation: int
    cameras: tuple[MediaCamera, ...] = ()
    arguments: tuple[str, ...] = ()
    ffmpeg: dict[str, str] = field(default_factory=dict)
    """Named input templates of the accelerator profile."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """What the pod's Triton really serves."""

    name: str
    state: str
    """Loading, Ready or Failed."""
    message: str = ""
    serving_id: str = ""
    instances: int = 0
    reason: str = ""
    """One of `conditions.MODEL_FILE_REASONS` where a file is what is wrong; else empty."""


@dataclass(frozen=True, slots=True)
class LastWords:
    """What a container writes to /dev/termination-log, as JSON, when it ends for want of something."""

    reason: str
    """Reason of the condition that tells of it, e.g. one of `conditions.MODEL_FILE_REASONS`."""
    message: str
    """One line that names the model, what is wrong and what helps; no value that could hold a credential."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """Where a camera stands. Ages and rates live in metrics, since status must not change at rest."""

    name: str
    state: str
    """Connecting, Live, Stalled, Failing, Unauthorized or Suspended."""
    reason: str = ""
    message: str = ""
    since: str = ""
    """RFC 3339, UTC, of the last change of `state`."""
    detecting: bool = False
    """A frame of this camera was inferred in the last ten seconds."""
    degraded: str = ""
    """What it gives up under overload and why, in a sentence; empty: nothing."""


@dataclass(frozen=True, slots=True)
class OutputState:
    """Whether an output delivers. Without figures, since status must not change at rest."""

    name: str
    """mqtt, webhook or stdout."""
    ok: bool = True
    reason: str = ""
    """Reason of the condition that tells of it, if it is not ok."""
    message: str = ""
    """Without any secret, and without the URL, which may hold one."""


@dataclass(frozen=True, slots=True)
class DetectorState:
    """Answer of GET /state of the detector container."""

    generation: int
    """Generation of the detector.json in force."""
    accepted_id: str
    """Id of the accepted serving config that is in force or, during a probe, that will be restored."""
    probe_id: str = ""
    probe_outcome: str = ""
    """Running, Expired, Failed or empty."""
    models: tuple[ModelState, ...] = ()
    cameras: tuple[CameraState, ...] = ()
    outputs: tuple[OutputState, ...] = ()
    """Those that are configured."""
    transport: str | None = None
    """Why tensors travel in messages although they should lie in shared memory; empty: they lie where they should;
    None, of a pod of a former release: not said."""
    driver: str = field(default="", metadata=LEFT_OUT)
    """Version of the accelerator's driver on this node, as its exporter names it; empty: not known."""
