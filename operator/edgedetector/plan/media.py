"""The media server: one pod that holds the only session to each camera."""

from __future__ import annotations

from typing import Any

from edgedetector.api import names
from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.api.edgedetector import CameraSpec, EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.wire import to_json
from edgedetector.go2rtc import container
from edgedetector.plan.common import (
    RESTRICTED,
    config_map,
    detector_labels,
    detector_metadata,
    detector_selector,
    environment,
    merged_environment,
    pod_security_context,
    present,
    requests,
    resources,
)
from edgedetector.plan.dataplane import camera_streams
from edgedetector.plan.settings import Settings


def media_map(detector: EdgeDetector, profile: AcceleratorProfile) -> dict[str, Any]:
    """Return ConfigMap NAME-media. It names Secrets and carries none."""
    return config_map(
        detector_metadata(detector, names.media(detector.name), names.COMPONENT_MEDIA),
        {names.FILE_MEDIA: to_json(media_config(detector, profile))},
        "spec.cameras",
        "give some of the cameras to another EdgeDetector, or put long addresses into Secrets (urlSecretRef)",
    )


def media_config(detector: EdgeDetector, profile: AcceleratorProfile) -> MediaConfig:
    """Return the content of media.json."""
    media = profile.spec.media
    cameras = [stream for camera in detector.spec.cameras for stream in _streams(camera, media.input_template)]
    return MediaConfig(
        generation=detector.generation,
        cameras=tuple(cameras),
        arguments=media.arguments,
        ffmpeg=dict(media.input_templates),
    )


def deployment(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> dict[str, Any]:
    """Return Deployment NAME-media. A new pod starts before the old one ends, so that detectors reconnect at once."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": detector_metadata(detector, names.media(detector.name), names.COMPONENT_MEDIA),
        "spec": {
            "replicas": 0 if detector.suspend else 1,
            "selector": {"matchLabels": detector_selector(detector, names.COMPONENT_MEDIA)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 2,
            "template": {
                "metadata": {"labels": detector_labels(detector, names.COMPONENT_MEDIA)},
                "spec": _pod(detector, profile, settings),
            },
        },
    }


def service(detector: EdgeDetector) -> dict[str, Any]:
    """Return Service NAME-media: streams, and the state that the config container serves read-only."""
    ports = {"rtsp": names.PORT_GO2RTC_RTSP, "api": names.PORT_GO2RTC_API}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": detector_metadata(detector, names.media(detector.name), names.COMPONENT_MEDIA),
        "spec": {
            "selector": detector_selector(detector, names.COMPONENT_MEDIA),
            "ports": [
                {"name": name, "port": port, "targetPort": port, "protocol": "TCP"} for name, port in ports.items()
            ],
        },
    }


def _pod(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> dict[str, Any]:
    spec = detector.spec
    device = profile.spec
    config = media_config(detector, profile)
    secrets = container.secret_names(config)
    sidecar = container.config(settings.detector_image, secrets=secrets)
    server = container.server(
        settings.image(device.media.image), ffmpeg=container.needs_ffmpeg(config), arguments=config.arguments
    )
    sidecar |= {"resources": resources(requests("10m", "64Mi")), "securityContext": dict(RESTRICTED)}
    server |= {
        "resources": resources(spec.resources.media, device.media.resources, requests("50m", "64Mi")),
        "securityContext": dict(RESTRICTED),
    }
    placed = device.media.on_accelerator_node
    if placed and device.decoding.on_accelerator and container.needs_ffmpeg(config):
        # Triton's container has requested the device: this one gets at it as the detector's does.
        server["env"] = merged_environment(environment(device.decoding.environment), server["env"])
    return present(
        initContainers=[sidecar],
        containers=[server],
        volumes=container.volumes(names.media(detector.name), secrets),
        securityContext=pod_security_context(device.pod_security.supplemental_groups if placed else ()),
        runtimeClassName=device.runtime_class_name if placed else "",
        nodeSelector={**(device.node_selector if placed else {}), **spec.node_selector},
        tolerations=[
            toleration.manifest() for toleration in (*(device.tolerations if placed else ()), *spec.tolerations)
        ],
        priorityClassName=spec.priority_class_name,
        imagePullSecrets=[{"name": reference.name} for reference in spec.image_pull_secrets],
        # Nothing to finish: consumers reconnect, and a session held longer only delays the camera's next one.
        terminationGracePeriodSeconds=5,
    ) | {"automountServiceAccountToken": False, "enableServiceLinks": False}


def _streams(camera: CameraSpec, template: str) -> tuple[MediaCamera, ...]:
    credentials = camera.credentials_secret_ref.name if camera.credentials_secret_ref else ""
    sources = ((camera.url, camera.url_secret_ref), (camera.substream_url, camera.substream_url_secret_ref))
    return tuple(
        MediaCamera(
            stream=stream,
            url=url,
            url_secret=secret.name if secret else "",
            url_secret_key=secret.key if secret else "url",
            credentials_secret=credentials,
            input_template=template,
            camera=camera.name,
            role=role,
        )
        for stream, role, (url, secret) in zip(camera_streams(camera), ("main", "sub"), sources, strict=False)
    )
