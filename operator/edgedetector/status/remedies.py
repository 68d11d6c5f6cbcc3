"""What helps against each thing that somebody has to mend: the end of a condition's message. Pure.

A reason without an entry says what helps in its own words, or needs nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Final

from edgedetector.api import conditions as c

# $profile stands for the name of the detector's AcceleratorProfile.
REMEDIES: Final[Mapping[str, str]] = {
    c.REASON_APPLY_FAILED: "allow it (RBAC, quota, Pod Security) or correct the field that the words name",
    c.REASON_INTERNAL_ERROR: "report it with the operator's log",
    # Workloads
    c.REASON_UNSCHEDULABLE: "free or add such a node, or correct nodeSelector and requests",
    c.REASON_IMAGE_PULL_FAILED: (
        "correct the image in AcceleratorProfile $profile, bring it to the node, or name its registry's Secret in"
        " spec.imagePullSecrets"
    ),
    c.REASON_CRASH_LOOPING: "kubectl logs --previous has the rest",
    c.REASON_CONFIG_MISSING: "create it in this namespace or correct its name in spec.models",
    c.REASON_VOLUME_MISSING: "mend the volume or correct the claim in spec.models",
    c.REASON_VOLUME_CLAIM_MISSING: "create it in this namespace or correct claimName in spec.models",
    c.REASON_VOLUME_CLAIM_UNBOUND: "create a PersistentVolume that fits it, or correct its storage class",
    c.REASON_UNAVAILABLE: "kubectl describe the pod or ReplicaSet, and mend what it names",
    c.REASON_OUT_OF_MEMORY: "raise the memory limit in spec.resources or that of AcceleratorProfile $profile",
    c.REASON_ACCELERATOR_TAKEN: "suspend or delete it, add an accelerator, or use another acceleratorProfile",
    c.REASON_ACCELERATOR_MISSING: "add such a node, start its device plugin, or use another acceleratorProfile",
    c.REASON_DEVICE_NOT_ACCESSIBLE: (
        "add the group that owns the device to spec.podSecurity.supplementalGroups of AcceleratorProfile $profile"
    ),
    c.REASON_SHARED_MEMORY_TOO_SMALL: "raise spec.triton.sharedMemory of AcceleratorProfile $profile",
    c.REASON_SHARED_MEMORY_UNAVAILABLE: (
        "raise spec.triton.sharedMemory of AcceleratorProfile $profile, or correct spec.triton.version to its Triton's"
        " release"
    ),
    # Models
    c.REASON_MODEL_LOAD_FAILED: "correct the model or its fields in spec.models",
    c.REASON_MODEL_SOURCE_MISSING: "correct source in spec.models",
    c.REASON_MODEL_FILE_MISSING: "put the file there, or correct source or modelFile in spec.models",
    c.REASON_CHECKSUM_MISMATCH: "correct sha256 in spec.models or the file at its URL",
    c.REASON_MODEL_TOO_LARGE: "use a smaller model, or raise spec.triton.modelSizeLimit of AcceleratorProfile $profile",
    c.REASON_MODEL_FETCH_FAILED: "mend the server or correct source.http.url in spec.models",
    c.REASON_MODEL_HOST_NOT_ALLOWED: "use a host that the operator allows, or have an administrator allow this one",
    # Cameras
    c.REASON_CAMERAS_FAILING: "mend the camera, its network or its URL",
    c.REASON_CAMERA_UNAUTHORIZED: "correct the user name and password in the camera's Secret",
    c.REASON_SECRET_MISSING: "create it, with that key, in this namespace or correct its name in the specification",
    # Outputs
    c.REASON_OUTPUT_FAILING: (
        "mend the server or correct spec.outputs; the webhook's events wait on disk as far as there is room, others are"
        " lost meanwhile"
    ),
    # Tuning
    c.REASON_MEMORY_UNKNOWN: (
        "state it as spec.memory of AcceleratorProfile $profile or as spec.tuning.bounds.acceleratorMemory"
    ),
    c.REASON_NOT_OBSERVED: (
        "restart inference pods of a former release (kubectl rollout restart), or let the operator reach their port"
        " 9090"
    ),
    c.REASON_TUNING_HINDERED: "until then what serves stays as it is",
    c.REASON_RECORD_NOT_WRITTEN: "remove a ConfigMap NAME-tuning that is not the operator's, or allow it (RBAC, quota)",
    # Scaling and monitoring
    c.REASON_METRICS_UNAVAILABLE: "install or mend metrics-server; until then the number of replicas stays as it is",
    c.REASON_CUSTOM_METRICS_UNAVAILABLE: (
        "install or mend an adapter that serves it from Prometheus (docs/scaling.md), or remove it from"
        " spec.scaling.metrics; until then no replica is taken away"
    ),
    c.REASON_FIGURE_UNKNOWN: (
        "add utilization to spec.exporter.metrics of AcceleratorProfile $profile, or remove it from"
        " spec.scaling.metrics"
    ),
    c.REASON_SCALING_FAILED: "kubectl describe the HorizontalPodAutoscaler; the number of replicas stays as it is",
    c.REASON_REPLICAS_CAPPED: "add room or lower spec.scaling.maxReplicas; another replica is tried again by itself",
    c.REASON_MONITORING_NOT_INSTALLED: (
        "install the Prometheus Operator or set spec.monitoring.enabled to false; they are created as soon as they are"
        " served"
    ),
}


def told(reason: str, message: str, **names: str) -> str:
    """Return the message with what helps behind it."""
    remedy = REMEDIES.get(reason, "")
    # Of the remedy alone, and never of the message, which quotes others.
    filled = Template(remedy).substitute({"profile": "in use", **names}) if remedy else ""
    return f"{message.rstrip('. ')}; {filled}" if filled and filled not in message else message
