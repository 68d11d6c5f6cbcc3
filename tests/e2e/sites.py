"""What a test puts into a namespace of its own: cameras, some that ask for a password, and detectors that cost little.

The model answers one box and computes nothing: a camera costs no more than its decoding.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

import api
import cluster as driver
import demo as demo_driver
from edgedetector import plan
from edgedetector.api import names
from edgedetector.cluster import kinds
from harness import poll

Object = dict[str, Any]

CAMERA: Final = "camera"
"""A camera without a password: rtsp://camera:8554/vtest and /mirrored, 10 frames a second."""
STANDING_KINDS: Final = tuple(kind for kind in plan.CHILD_KINDS if kind[1] != "Job")
"""Kinds of the children that every detector may have: a Job is there for as long as a test of the profile is."""
KEYFRAME_SECONDS: Final = 1.0
"""Interval of the video's keyframes; see images/encode-videos."""

_MODEL: Final = """
import time

import numpy as np
import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(utils.get_input_tensor_by_name(request, "image").as_numpy()) for request in requests]

    def _answer(self, images):
        count = len(images)
        time.sleep(SECONDS_AN_IMAGE * count)
        values = {
            "boxes": np.tile(np.array([[[1, 1, 9, 9]]], np.float32), (count, 1, 1)),
            "scores": np.full((count, 1), 0.9, np.float32),
            "classes": np.zeros((count, 1), np.int32),
            "count": np.ones((count, 1), np.int32),
        }
        return utils.InferenceResponse([utils.Tensor(name, value) for name, value in values.items()])
"""


def namespace(name: str) -> None:
    """Make an empty namespace that enforces Pod Security `restricted`, after that of an interrupted run is gone."""
    driver.kubectl("delete", "namespace", name, "--ignore-not-found")
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(demo_driver.namespace_object(name)))


def model(seconds: float = 0.0) -> Object:
    """Return the ConfigMap with the model; each image takes it so long, as if another device computed."""
    text = _MODEL.replace("SECONDS_AN_IMAGE", str(seconds))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "any-model"}, "data": {"model.py": text}}


def camera(image: str, name: str = CAMERA, *, user: str = "", password: str = "") -> tuple[Object, Object]:
    """Return Deployment and Service of a camera; with a user it asks everybody for name and password."""
    command = ["go2rtc", "-config", "/etc/go2rtc.yaml"]
    if user:
        command += ["-config", json.dumps({"rtsp": {"username": user, "password": password}})]
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "camera",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "ports": [{"name": "rtsp", "containerPort": 8554}],
        "readinessProbe": {"tcpSocket": {"port": "rtsp"}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"name": "rtsp", "port": 8554, "targetPort": "rtsp"}]},
    }
    return deployment, service


def secret(name: str, **values: str) -> Object:
    """Return a Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def detector(name: str, *cameras: Object, profile: str = "cpu", **spec: Any) -> Object:
    """Return an EdgeDetector that asks for next to nothing; each camera at one frame a second unless it says more."""
    little = {"requests": {"cpu": "30m", "memory": "64Mi"}}
    tensors = (("boxes", [1, 4], "FP32"), ("scores", [1], "FP32"), ("classes", [1], "INT32"), ("count", [1], "INT32"))
    any_model = {
        "name": "any",
        "source": {"configMap": {"name": "any-model"}},
        "maxBatchSize": 4,
        "inputs": [{"name": "image", "dims": [48, 64, 3], "dataType": "UINT8"}],
        "outputs": [{"name": n, "dims": dims, "dataType": kind} for n, dims, kind in tensors],
        "decoder": {"type": "none", "labels": ["anything"]},
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "EdgeDetector",
        "metadata": {"name": name},
        "spec": {
            "acceleratorProfile": profile,
            "models": [any_model],
            "cameras": [{"frameRate": {"target": 1}, **entry} for entry in cameras],
            "resources": {"triton": little, "detector": little, "media": little},
            # The tests keep the node busier than any box should be; those of the ladder switch it on.
            "degradation": {"enabled": False},
            "tuning": {"mode": "Off"},  # what a test says of writes and of what serves is about that test alone
            **spec,
        },
    }


def conditions(namespace: str, name: str) -> dict[str, tuple[str, str, str]]:
    """Return status, reason and message of each condition that counts for the present generation."""
    obj = api.get(kinds.EDGEDETECTOR, namespace, name) or {}
    status = obj.get("status") or {}
    if status.get("observedGeneration") != obj.get("metadata", {}).get("generation"):
        return {}
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status.get("conditions") or ()}


def cameras(namespace: str, name: str) -> dict[str, Object]:
    """Return what the status says of each camera."""
    status = (api.get(kinds.EDGEDETECTOR, namespace, name) or {}).get("status") or {}
    return {entry["name"]: entry for entry in status.get("cameras") or ()}


def wait_ready(namespace: str, name: str, seconds: float = 240.0) -> float:
    """Wait until detections flow for the present generation and return how long that took."""
    started = time.monotonic()
    poll(
        f"{namespace}/{name} Ready",
        lambda: conditions(namespace, name),
        lambda found: found.get("Ready", ("",))[0] == "True",
        seconds,
    )
    return time.monotonic() - started


def change(namespace: str, name: str, **spec: Any) -> None:
    """Change fields of a detector's specification."""
    api.patch(kinds.EDGEDETECTOR, namespace, name, {"spec": spec})


def selector(detector_name: str, component: str = "") -> str:
    """Return the label selector for the pods of a detector, of one component or of all."""
    of_component = f",{names.LABEL_COMPONENT}={component}" if component else ""
    return f"{names.LABEL_DETECTOR}={detector_name}{of_component}"


def pods(namespace: str, detector_name: str, component: str = "") -> list[Object]:
    """Return the pods of a detector that nobody has deleted, of one component or of all."""
    found = api.items(kinds.POD, namespace, selector(detector_name, component))
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def marks(namespace: str, detector_name: str, component: str = "") -> dict[str, tuple[int, ...]]:
    """Return UID -> how often each container was started again: equal before and after if nothing was touched."""
    found = {}
    for pod in pods(namespace, detector_name, component):
        status = pod["status"]
        containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        found[pod["metadata"]["uid"]] = tuple(container["restartCount"] for container in containers)
    return found


def touched(before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return of these marks the pods in which a container was started again; an autoscaler may take pods away.

    Raises
    ------
    AssertionError
        If no pod is left of those that were there before.
    """
    assert before.keys() & after.keys(), "no pod is the one that it was"
    return {uid: after[uid] for uid, counts in before.items() if after.get(uid, counts) != counts}
