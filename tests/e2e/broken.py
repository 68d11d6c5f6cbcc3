"""What can be wrong with a detector that admission cannot see: each with what is said about it and how it is mended."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.node.localnode.settings import DEVICE, DEVICE_GROUP

import api
import cluster as driver
import sites
from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.cluster import kinds
from harness import poll

Object = dict[str, Any]

NAMESPACE = "conditions"
ABSENT, SHARED = "example.com/absent", "example.com/shared"
METRICS = "v1beta1.metrics.k8s.io"

TOLD_SECONDS = 240.0  # a dozen Tritons start at once on two cores

DIRECTORY = f"{driver.state_directory()}/{driver.NAME}/conditions-models"

OPENS_DEVICE = f"""
    def initialize(self, arguments):
        with open({DEVICE!r}, "rb"):
            pass
"""


@dataclass(frozen=True)
class Fault:
    """Something wrong with one detector, and how it is mended."""

    detector: Object
    condition: str
    reason: str
    words: tuple[str, ...]
    """Of the message: the cause, and what helps."""
    mend: Callable[[], None]
    beside: tuple[Object, ...] = ()
    """What is applied with the detector."""
    gating: bool = True
    """Whether it keeps detections from flowing."""
    healed: tuple[str, ...] = field(default=(c.READY,))
    """Conditions that hold afterwards."""

    @property
    def name(self) -> str:
        return str(self.detector["metadata"]["name"])


def profile(name: str, **changes: Any) -> Object:
    """A copy of the profile `cpu` with other fields of `spec` and `spec.triton`."""
    spec = copy.deepcopy((api.get(kinds.ACCELERATOR_PROFILE, "", "cpu") or {})["spec"])
    triton = changes.pop("triton", {})
    spec |= {**changes, "triton": spec["triton"] | triton}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorProfile",
        "metadata": {"name": f"{NAMESPACE}-{name}"},
        "spec": spec,
    }


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def detector(
    name: str, *cameras: Object, source: Object | None = None, own_profile: bool = False, **spec: Any
) -> Object:
    """A detector, by default without cameras: then it is Ready when its model is loaded."""
    obj = sites.detector(name, *cameras, profile=f"{NAMESPACE}-{name}" if own_profile else "cpu", **spec)
    # A dozen of them beside the demo, which asks for most of two cores.
    obj["spec"]["resources"] = {key: {"requests": {"cpu": "1m"}} for key in ("triton", "detector", "media")}
    if source is not None:
        obj["spec"]["models"][0]["source"] = source
    return obj


def apply(*objects: Object) -> None:
    """Server-side apply, without a process an object: there are dozens."""
    for obj in objects:
        query = [("fieldManager", NAMESPACE), ("force", "true")]
        api.request("PATCH", _path(obj), obj, "application/apply-patch+yaml", query)


def _path(obj: Object) -> str:
    others = {
        "Secret": kinds.Kind("v1", "Secret", "secrets"),
        "PersistentVolumeClaim": kinds.Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        "PersistentVolume": kinds.Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False),
    }
    kind = others.get(obj["kind"]) or kinds.of(obj["apiVersion"], obj["kind"])
    return kind.path(NAMESPACE, obj["metadata"]["name"])


def edit(name: str, spec: Object) -> Callable[[], None]:
    """Return what changes fields of a profile of ours."""
    return lambda: void(api.patch(kinds.ACCELERATOR_PROFILE, "", f"{NAMESPACE}-{name}", {"spec": spec}))


def void(_: Any) -> None:
    """Drop a value."""


def capacity(**wanted: str | None) -> None:
    """Give the node extended resources; None takes one away."""
    node = api.request("GET", "/api/v1/nodes")["items"][0]["metadata"]["name"]
    status = {"capacity": wanted, "allocatable": wanted}
    api.request("PATCH", f"/api/v1/nodes/{node}/status", {"status": status}, api.MERGE)


def metrics_api(service: str) -> None:
    """Say which Service answers for the metrics of pods."""
    body = {"spec": {"service": {"name": service, "namespace": "kube-system", "port": 443}}}
    api.request("PATCH", f"/apis/apiregistration.k8s.io/v1/apiservices/{METRICS}", body, api.MERGE)


def told(name: str, condition: str, reason: str, words: tuple[str, ...]) -> dict[str, tuple[str, str, str]]:
    """Wait until a detector's condition says so, and return all of its conditions."""

    def says(found: dict[str, tuple[str, str, str]]) -> bool:
        status, why, message = found.get(condition, ("", "", ""))
        return (status, why) == (c.FALSE, reason) and all(word in message for word in words)

    return poll(f"{name}: {condition} {reason} {words}", lambda: sites.conditions(NAMESPACE, name), says, TOLD_SECONDS)


def missing_profile() -> Fault:
    return Fault(
        detector("no-profile", own_profile=True),
        c.READY,
        c.REASON_PROFILE_NOT_FOUND,
        ("spec.acceleratorProfile", "conditions-no-profile", "create it or correct the name"),
        lambda: apply(profile("no-profile")),
    )


def missing_secrets() -> Fault:
    url = "rtsp://camera.demo:8554/vtest"
    cameras = (
        {"name": "gate", "url": url},
        {"name": "dock", "url": url, "credentialsSecretRef": {"name": "dock"}},
        {"name": "yard", "url": url, "credentialsSecretRef": {"name": "yard"}},
    )
    whole = {"username": "somebody", "password": "canary-password"}
    return Fault(
        detector("no-secret", *cameras),
        c.STREAMS_READY,
        c.REASON_SECRET_MISSING,
        ("2 of 3 cameras", "dock: Secret dock does not exist", "yard: Secret yard has no key password", "create it"),
        lambda: apply(sites.secret("dock", **whole), sites.secret("yard", **whole)),
        beside=(sites.secret("yard", username="somebody"),),
        healed=(c.READY, c.STREAMS_READY),
    )


def missing_claim() -> Fault:
    def mend() -> None:
        claim = {"accessModes": ["ReadOnlyMany"], "storageClassName": "", "resources": {"requests": {"storage": "1M"}}}
        apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "models"},
                "spec": claim | {"volumeName": NAMESPACE},
            }
        )
        told("no-claim", c.SERVER_READY, c.REASON_VOLUME_CLAIM_UNBOUND, ("not bound", "create a PersistentVolume"))
        apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": NAMESPACE},
                "spec": {
                    "accessModes": ["ReadOnlyMany"],
                    "capacity": {"storage": "1M"},
                    "hostPath": {"path": DIRECTORY},
                    "persistentVolumeReclaimPolicy": "Retain",
                },
            }
        )

    return Fault(
        detector("no-claim", source={"persistentVolumeClaim": {"claimName": "models"}}),
        c.SERVER_READY,
        c.REASON_VOLUME_CLAIM_MISSING,
        ("PersistentVolumeClaim models does not exist", "create it in this namespace"),
        mend,
    )


def missing_config_map() -> Fault:
    return Fault(
        detector("no-configmap", source={"configMap": {"name": "late"}}),
        c.SERVER_READY,
        c.REASON_CONFIG_MISSING,
        ("ConfigMap late does not exist", "create it in this namespace"),
        lambda: apply(config_map("late", **sites.model()["data"])),
    )


def missing_file() -> Fault:
    return Fault(
        detector("no-file", source={"configMap": {"name": "empty"}}),
        c.MODEL_READY,
        c.REASON_MODEL_FILE_MISSING,
        ("model any", "model.py", "put the file there"),
        lambda: apply(config_map("empty", **sites.model()["data"])),
        beside=(config_map("empty", readme="no model"),),
        healed=(c.READY, c.MODEL_READY),
    )


def large_file() -> Fault:
    return Fault(
        detector("large", own_profile=True),
        c.MODEL_READY,
        c.REASON_MODEL_TOO_LARGE,
        ("model any", "modelSizeLimit of AcceleratorProfile conditions-large"),
        edit("large", {"triton": {"modelSizeLimit": "500M"}}),
        beside=(profile("large", triton={"modelSizeLimit": "100"}),),
    )


def missing_image() -> Fault:
    usual = profile("")["spec"]["triton"]["image"]
    return Fault(
        detector("no-image", own_profile=True),
        c.SERVER_READY,
        c.REASON_IMAGE_PULL_FAILED,
        ('"edgedetector/none:1"', "correct the image in AcceleratorProfile conditions-no-image"),
        edit("no-image", {"triton": {"image": usual}}),
        beside=(profile("no-image", triton={"image": "edgedetector/none:1"}),),
    )


def refused_configuration() -> Fault:
    return Fault(
        detector("refused", own_profile=True),
        c.MODEL_READY,
        c.REASON_MODEL_LOAD_FAILED,
        ("model any: spec.models[any].backend:", "'nosuch'", "correct the model or its fields"),
        edit("refused", {"triton": {"backend": "python"}}),
        beside=(profile("refused", triton={"backend": "nosuch"}),),
    )


def missing_device() -> Fault:
    return Fault(
        detector("no-device", own_profile=True),
        c.SERVER_READY,
        c.REASON_ACCELERATOR_MISSING,
        (f"no node offers a free {ABSENT}", "start its device plugin"),
        lambda: capacity(**{ABSENT: "1"}),
        beside=(profile("no-device", resource={"name": ABSENT, "count": 1}),),
    )


def taken_device() -> Fault:
    return Fault(
        detector("taken", own_profile=True),
        c.SERVER_READY,
        c.REASON_ACCELERATOR_TAKEN,
        (f"{SHARED} is taken by EdgeDetector {NAMESPACE}/capped", "suspend or delete it"),
        lambda: capacity(**{SHARED: "4"}),
        beside=(profile("taken", resource={"name": SHARED, "count": 1}),),
    )


def closed_device() -> Fault:
    model = sites.model()["data"]["model.py"] + OPENS_DEVICE
    return Fault(
        detector("closed", own_profile=True, source={"configMap": {"name": "opens-device"}}),
        c.MODEL_READY,
        c.REASON_DEVICE_NOT_ACCESSIBLE,
        ("Permission denied", DEVICE, "supplementalGroups of AcceleratorProfile conditions-closed"),
        edit("closed", {"podSecurity": {"supplementalGroups": [DEVICE_GROUP]}}),
        beside=(profile("closed", runtimeClassName="denglin"), config_map("opens-device", **{"model.py": model})),
    )


def little_shared_memory() -> Fault:
    return Fault(
        detector("little", own_profile=True),
        c.MODEL_READY,
        c.REASON_SHARED_MEMORY_TOO_SMALL,
        ("model any", "sharedMemory of AcceleratorProfile conditions-little"),
        edit("little", {"triton": {"sharedMemory": "256Mi"}}),
        beside=(profile("little", triton={"sharedMemory": "64Ki"}),),
    )


def capped_replicas() -> Fault:
    def mend() -> None:
        capacity(**{SHARED: "4"})
        # Ten minutes later, as far as the operator can tell.
        note = {"metadata": {"annotations": {names.ANNOTATION_CAPPED: "2 since 2026-01-01T00:00:00Z"}}}
        api.patch(kinds.of("autoscaling/v2", "HorizontalPodAutoscaler"), NAMESPACE, "capped-triton", note)

    return Fault(
        detector("capped", own_profile=True, scaling={"minReplicas": 2, "maxReplicas": 3}),
        c.SCALING_READY,
        c.REASON_REPLICAS_CAPPED,
        ("no room for another replica", SHARED, "lower spec.scaling.maxReplicas"),
        mend,
        beside=(profile("capped", resource={"name": SHARED, "count": 1}),),
        gating=False,
        healed=(c.READY, c.SCALING_READY),
    )


def crashing_server() -> Fault:
    return Fault(
        detector("crashing", own_profile=True),
        c.SERVER_READY,
        c.REASON_CRASH_LOOPING,
        ("container triton", "kubectl logs --previous"),
        edit("crashing", {"triton": {"arguments": []}}),
        beside=(profile("crashing", triton={"arguments": ["--no-such-option"]}),),
    )


def dark_camera() -> Fault:
    deployment, service = sites.camera(driver.images("camera")["camera"], "dark")
    return Fault(
        detector("dark", {"name": "dark", "url": "rtsp://dark:8554/vtest"}),
        c.STREAMS_READY,
        c.REASON_CAMERAS_FAILING,
        ("1 of 1 camera", "dark:", "mend the camera, its network or its URL"),
        lambda: apply(deployment),
        beside=(service,),
        healed=(c.READY, c.STREAMS_READY),
    )


FAULTS: tuple[Callable[[], Fault], ...] = (
    missing_profile, missing_secrets, missing_claim, missing_config_map, missing_file, large_file, missing_image,
    refused_configuration, missing_device, taken_device, closed_device, little_shared_memory, capped_replicas,
    crashing_server, dark_camera,
)  # fmt: skip
NAMES = [fault.__name__ for fault in FAULTS]
