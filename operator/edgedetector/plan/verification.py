"""The test of a profile on the card: a Job with the inference pod of an EdgeDetector, without cameras and outputs.

Triton is a sidecar in it: it ends with the test, which is the only container that counts.
"""

from __future__ import annotations

from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import AcceleratorMetric
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.verification import DriverLabel, Task
from edgedetector.api.wire import to_json
from edgedetector.plan import network, outputs, triton
from edgedetector.plan.common import detector_labels, detector_metadata
from edgedetector.plan.dataplane import exporter_url
from edgedetector.plan.settings import Settings

DEADLINE: Final = 1200
"""Seconds from when the pod has a node until it counts as failed: 300 for Triton's first start, up to 600 to fetch
models, and some minutes of test. Of the pod and not of the Job, whose clock runs while the card is taken."""
KEPT: Final = 86_400
"""Seconds for which a finished Job waits for an operator that is down; without the Job the test would be run again."""


def verification_children(
    detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings, request: str
) -> tuple[dict[str, Any], ...]:
    """Return Job NAME-verify, and the wall around its pod.

    Parameters
    ----------
    request
        Value of the annotation that asks for it.
    """
    policy = network.verification_policy(detector, profile, settings)
    return (*((policy,) if policy else ()), job(detector, profile, settings, request))


def job(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings, request: str) -> dict[str, Any]:
    """Return Job NAME-verify. It is never changed once it is there: the API server lets nobody change its template."""
    metadata = detector_metadata(detector, names.verification(detector.name), names.COMPONENT_VERIFICATION)
    metadata["labels"][names.LABEL_PROFILE] = profile.name
    metadata["annotations"] = {names.ANNOTATION_VERIFY: request}
    labels = {**detector_labels(detector, names.COMPONENT_VERIFICATION), names.LABEL_PROFILE: profile.name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT,
            "template": {"metadata": {"labels": labels}, "spec": _pod(detector, profile, settings, request)},
        },
    }


def task(profile: AcceleratorProfile, settings: Settings, request: str) -> Task:
    """Return what the test is to do."""
    exporter = profile.spec.exporter
    driver = exporter.driver_version if exporter else None
    return Task(
        request=request,
        basis=profile.spec.basis,
        exporter=exporter_url(profile, settings),
        metrics=tuple(AcceleratorMetric(one.name, one.metric, one.factor) for one in exporter.metrics)
        if exporter
        else (),
        driver=DriverLabel(driver.metric, driver.label) if driver else DriverLabel(),
    )


def _pod(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings, request: str) -> dict[str, Any]:
    pod = triton.pod(detector, profile, settings)
    server, detecting = pod["containers"]
    # Without the class of the detector's pods: a test must not drive anybody's cameras from a card.
    rest = {key: value for key, value in pod.items() if key != "priorityClassName"}
    secrets = {volume["name"] for volume in outputs.volumes(detector)}
    return {
        **rest,
        "initContainers": [*pod["initContainers"], {**server, "restartPolicy": "Always"}],
        "containers": [_program(detecting, secrets, task(profile, settings, request))],
        "volumes": [volume for volume in pod["volumes"] if volume["name"] not in secrets],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE,
    }


def _program(detecting: dict[str, Any], secrets: set[str], what: Task) -> dict[str, Any]:
    """Return the container of the test: the detector's, without ports and probes, outputs and a device for decoding."""
    kept = {key: detecting[key] for key in ("name", "image", "imagePullPolicy", "securityContext")}
    return {
        **kept,
        "command": ["python", "-m", "edgedetector.detector", "verify"],
        "env": [{"name": names.VARIABLE_VERIFICATION, "value": to_json(what)}],
        "resources": {
            kind: {name: value for name, value in values.items() if "/" not in name}
            for kind, values in detecting["resources"].items()
        },
        "volumeMounts": [mount for mount in detecting["volumeMounts"] if mount["name"] not in secrets],
    }
