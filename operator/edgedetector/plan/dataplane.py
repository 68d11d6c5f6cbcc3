"""What the data plane is told: ConfigMap NAME-detector."""

from __future__ import annotations

from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import (
    Accelerator,
    AcceleratorMetric,
    Decoder,
    Decoding,
    Degradation,
    DetectorCamera,
    DetectorConfig,
    DetectorModel,
    FrameRate,
    MotionGate,
    Tensor,
    Zone,
)
from edgedetector.api.edgedetector import CameraSpec, DetectorSpec, EdgeDetector
from edgedetector.api.models import ModelSpec, TensorSpec
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.wire import to_json
from edgedetector.plan import outputs, post_processing
from edgedetector.plan.common import COMPONENT_DETECTOR, config_map, detector_metadata
from edgedetector.plan.settings import Settings

# Decoders whose outputs are laid out alike.
_SAME_HEAD: Final = {"yolov11": "yolov8"}


def detector_map(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> dict[str, Any]:
    """Return ConfigMap NAME-detector."""
    return config_map(
        detector_metadata(detector, names.detector_config(detector.name), COMPONENT_DETECTOR),
        {names.FILE_DETECTOR: to_json(detector_config(detector, profile, settings))},
        "spec",
        "give some of the cameras and models to another EdgeDetector",
    )


def detector_config(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> DetectorConfig:
    """Return the content of detector.json."""
    spec = detector.spec
    several = spec.scaling.max_replicas > 1
    return DetectorConfig(
        detector=detector.name,
        namespace=detector.namespace,
        generation=detector.generation,
        triton_url=f"127.0.0.1:{names.PORT_TRITON_GRPC}",
        media_url=f"rtsp://{names.media(detector.name)}.{detector.namespace}.svc:{names.PORT_GO2RTC_RTSP}",
        replicas_host=f"{names.replicas(detector.name)}.{detector.namespace}.svc" if several else "",
        models=tuple(_model(model) for model in spec.models),
        cameras=tuple(_camera(camera, spec.usual_models) for camera in spec.cameras),
        suspended=spec.suspend,
        degradation=_degradation(spec),
        outputs=outputs.config(detector),
        decoding=decoding(profile),
        accelerator=_accelerator(profile, settings),
    )


def decoding(profile: AcceleratorProfile) -> Decoding:
    """Return how streams are decoded. A capability that nobody has seen work is not used: that is software."""
    spec = profile.spec.decoding
    options = dict(spec.options)
    if not profile.spec.decodes_in_hardware:
        return Decoding(options=options)
    return Decoding(options=options, hardware=spec.hardware, device=spec.device, decoders=dict(spec.decoders))


def camera_streams(camera: CameraSpec) -> tuple[str, ...]:
    """Return the stream ids of a camera in the media server: the main stream, and the sub-stream if there is one.

    A slash cannot be part of a camera's name, so no two cameras share an id.
    """
    main = names.stream(camera.name)
    if camera.substream_url or camera.substream_url_secret_ref:
        return main, names.stream(f"{camera.name}/sub")
    return (main,)


def _camera(camera: CameraSpec, usual_models: tuple[str, ...]) -> DetectorCamera:
    minimum, maximum = camera.frame_rate.range
    main, *sub = camera_streams(camera)
    # The sub-stream where there is one: decoding it costs a quarter of the main stream's processor time.
    stream, smaller = (main, sub) if camera.detection_stream == "Main" else ((sub or [main])[0], [])
    return DetectorCamera(
        name=camera.name,
        stream=stream,
        substream="".join(smaller),
        models=camera.models or usual_models,
        frame_rate=FrameRate(minimum=minimum, target=camera.frame_rate.target, maximum=maximum),
        priority=camera.priority,
        confidence=camera.confidence,
        classes=camera.classes,
        zones=tuple(Zone(zone.name, zone.polygon, zone.kind.lower()) for zone in camera.zones),
        motion_gate=MotionGate(camera.motion_gate.enabled, camera.motion_gate.interval.total_seconds()),
    )


def exporter_url(profile: AcceleratorProfile, settings: Settings) -> str:
    """Return where the exporter of a pod's own node answers; empty where somebody else runs it, without our Service."""
    exporter = profile.spec.exporter
    if exporter is None or not exporter.image:
        return ""
    return (
        f"http://{names.exporter(profile.name)}.{settings.operator_namespace}.svc:{names.PORT_EXPORTER}{exporter.path}"
    )


def _accelerator(profile: AcceleratorProfile, settings: Settings) -> Accelerator:
    """Return where the figures of ladder and tuner are; an exporter that somebody else runs has no Service."""
    exporter = profile.spec.exporter
    if exporter is None or not exporter.image:
        return Accelerator()
    # A figure that nobody has compared with the device must not take a picture from anyone, nor guide the tuner.
    metrics = (one for one in exporter.metrics if one.verified)
    driver = exporter.driver_version
    return Accelerator(
        exporter_url(profile, settings),
        tuple(AcceleratorMetric(one.name, one.metric, one.factor) for one in metrics),
        driver_metric=driver.metric if driver else "",
        driver_label=driver.label if driver else "",
    )


def _degradation(spec: DetectorSpec) -> Degradation:
    wanted, headroom = spec.degradation, spec.tuning.headroom
    return Degradation(
        enabled=wanted.enabled,
        steps=tuple(wanted.steps),
        protected_priority=wanted.protected_priority,
        react_after=wanted.react_after.total_seconds(),
        recover_after=wanted.recover_after.total_seconds(),
        accelerator_headroom=float(headroom.accelerator),
        cpu_headroom=float(headroom.cpu),
    )


def _model(model: ModelSpec) -> DetectorModel:
    decoder, post = model.decoder, model.post_processing
    return DetectorModel(
        name=model.name,
        inputs=tuple(_tensor(tensor) for tensor in model.inputs),
        outputs=tuple(_tensor(tensor) for tensor in (post_processing.outputs(post) if post else model.outputs)),
        decoder=Decoder(
            # Of a builtin finished boxes come out.
            type="none" if post and post.builtin else _SAME_HEAD.get(decoder.type, decoder.type),
            labels=decoder.labels,
            confidence=decoder.confidence,
            iou=decoder.iou,
        ),
        max_batch_size=model.max_batch_size,
        preprocessing=model.preprocessing,
        served_as=names.pipeline(model.name) if post else "",
        smaller_variant=model.smaller_variant,
    )


def _tensor(tensor: TensorSpec) -> Tensor:
    shape = "" if tensor.format == "NONE" else f"FORMAT_{tensor.format}"
    return Tensor(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type, format=shape)
