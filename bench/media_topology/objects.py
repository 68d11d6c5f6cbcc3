"""Kubernetes objects of the experiment. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

from edgedetector.api import names
from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.api.wire import to_json
from edgedetector.go2rtc import container

NAMESPACE = "media-topology"
SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
# Without a request, a pod gets next to nothing of a processor that others want too.
REQUESTS = {"requests": {"cpu": "2m", "memory": "16Mi"}}
HELPER_REQUESTS = {"requests": {"cpu": "100m", "memory": "64Mi"}}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": names.USER,
    "runAsGroup": names.USER,
    "fsGroup": names.USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class Images:
    detector: str
    go2rtc: str


@dataclass(frozen=True)
class Camera:
    """A camera of the site: path camN of the stand-in, with a Secret of its own unless `secret` is empty."""

    number: int
    secret: str
    query: str = ""

    @property
    def name(self) -> str:
        return f"cam{self.number}"

    def media(self) -> MediaCamera:
        url = f"rtsp://camera.{NAMESPACE}:8554/{self.name}{self.query}"
        return MediaCamera(names.stream(self.name), url=url, credentials_secret=self.secret)


@dataclass(frozen=True)
class Group:
    """Cameras that share a media pod."""

    name: str
    cameras: tuple[Camera, ...]
    generation: int = 1

    def with_cameras(self, *cameras: Camera) -> Group:
        return replace(self, cameras=cameras, generation=self.generation + 1)

    def secrets(self) -> tuple[str, ...]:
        return container.secret_names(self.config())

    def config(self) -> MediaConfig:
        return MediaConfig(self.generation, tuple(camera.media() for camera in self.cameras))


def camera(number: int) -> Camera:
    return Camera(number, f"camera-{number}")


def secret(name: str, password: str) -> dict[str, Any]:
    return _object("v1", "Secret", name) | {"stringData": {"username": "admin", "password": password}}


def namespace() -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def helper(name: str, image: str, command: str, files: dict[str, bytes], ports: dict[str, int]) -> list[dict[str, Any]]:
    """Return a pod that runs one of the experiment's scripts, with its Service."""
    labels = {"app": name}
    spec = {
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": name,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "securityContext": SECURITY,
                "resources": HELPER_REQUESTS,
                "command": ["/bin/sh", "-c", command],
                "readinessProbe": {"tcpSocket": {"port": next(iter(ports.values()))}, "periodSeconds": 1},
                "volumeMounts": [{"name": "scripts", "mountPath": "/scripts"}],
            }
        ],
        "volumes": [{"name": "scripts", "configMap": {"name": name}}],
    }
    pod = _object("v1", "Pod", name)
    pod["metadata"]["labels"] = labels
    return [
        _object("v1", "ConfigMap", name)
        | {"binaryData": {key: base64.b64encode(value).decode() for key, value in files.items()}},
        pod | {"spec": spec},
        _service(name, labels, ports),
    ]


def media(group: Group, images: Images) -> list[dict[str, Any]]:
    """Return a media pod as the operator makes it: its containers are the product's own."""
    name = names.media(group.name)
    config = group.config()
    secrets = container.secret_names(config)
    labels = {"group": group.name, "app": "media"}
    parts = [container.config(images.detector, secrets=secrets), container.server(images.go2rtc)]
    for part in parts:
        part["securityContext"] = SECURITY
        part["resources"] = REQUESTS
    spec = {
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "initContainers": parts[:1],
        "containers": parts[1:],
        "volumes": container.volumes(name, secrets),
    }
    deployment = _object("apps/v1", "Deployment", name) | {
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        }
    }
    ports = {"rtsp": names.PORT_GO2RTC_RTSP, "api": names.PORT_GO2RTC_API}
    return [
        _object("v1", "ConfigMap", name) | {"data": {names.FILE_MEDIA: to_json(config)}},
        deployment,
        _service(name, labels, ports),
    ]


def target(group: Group, item: Camera) -> str:
    """URL at which a reader finds a camera's stream."""
    return f"rtsp://{names.media(group.name)}.{NAMESPACE}:{names.PORT_GO2RTC_RTSP}/{names.stream(item.name)}"


def _service(name: str, labels: dict[str, str], ports: dict[str, int]) -> dict[str, Any]:
    spec = {"selector": labels, "ports": [{"name": key, "port": port} for key, port in ports.items()]}
    return _object("v1", "Service", name) | {"spec": spec}


def _object(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}}
