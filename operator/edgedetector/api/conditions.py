"""Names of conditions and of their reasons, and a condition as a value.

The types follow kstatus: `Reconciling=True` reads as in progress, `Stalled=True` as failed, else `Ready` decides.
A terminal error of the user therefore has to set `Stalled`: `Ready=False` alone reads as in progress for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

READY: Final = "Ready"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
MODEL_READY: Final = "ModelReady"
SERVER_READY: Final = "ServerReady"
MEDIA_READY: Final = "MediaReady"
STREAMS_READY: Final = "StreamsReady"
SCALING_READY: Final = "ScalingReady"
MONITORING_READY: Final = "MonitoringReady"
SHARED_MEMORY_READY: Final = "SharedMemoryReady"
# Informational: these never gate Ready.
DEGRADED: Final = "Degraded"
TUNING_ACTIVE: Final = "TuningActive"
SPEC_SERVED: Final = "SpecServed"
OUTPUTS_DELIVERED: Final = "OutputsDelivered"

ALL_TYPES: Final = (
    READY,
    RECONCILING,
    STALLED,
    MODEL_READY,
    SERVER_READY,
    MEDIA_READY,
    STREAMS_READY,
    SCALING_READY,
    MONITORING_READY,
    SHARED_MEMORY_READY,
    DEGRADED,
    TUNING_ACTIVE,
    SPEC_SERVED,
    OUTPUTS_DELIVERED,
)

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"

# Ready, Reconciling, Stalled
REASON_DETECTING: Final = "Detecting"
REASON_PENDING: Final = "Pending"
REASON_PROGRESSING: Final = "Progressing"
REASON_RECONCILED: Final = "Reconciled"
REASON_RETRYING: Final = "Retrying"
REASON_SUSPENDED: Final = "Suspended"
REASON_INVALID_SPEC: Final = "InvalidSpec"
REASON_PROFILE_NOT_FOUND: Final = "ProfileNotFound"
REASON_INVALID_PROFILE: Final = "InvalidProfile"
REASON_INTERNAL_ERROR: Final = "InternalError"
REASON_APPLY_FAILED: Final = "ApplyFailed"
REASON_NAME_TAKEN: Final = "NameTaken"
# Children in general
REASON_AS_EXPECTED: Final = "AsExpected"
REASON_DISABLED: Final = "Disabled"
REASON_UNKNOWN: Final = "StateUnknown"
# ServerReady, MediaReady: workloads
REASON_ROLLING_OUT: Final = "RollingOut"
REASON_UNSCHEDULABLE: Final = "Unschedulable"
REASON_IMAGE_PULL_FAILED: Final = "ImagePullFailed"
REASON_CRASH_LOOPING: Final = "CrashLooping"
REASON_CONFIG_MISSING: Final = "ConfigMissing"
REASON_VOLUME_MISSING: Final = "VolumeMissing"
REASON_VOLUME_CLAIM_MISSING: Final = "VolumeClaimMissing"
REASON_VOLUME_CLAIM_UNBOUND: Final = "VolumeClaimUnbound"
REASON_ACCELERATOR_TAKEN: Final = "AcceleratorTaken"
REASON_ACCELERATOR_MISSING: Final = "AcceleratorMissing"
REASON_DEVICE_NOT_ACCESSIBLE: Final = "DeviceNotAccessible"
REASON_SHARED_MEMORY_TOO_SMALL: Final = "SharedMemoryTooSmall"
REASON_OUT_OF_MEMORY: Final = "OutOfMemory"
REASON_UNAVAILABLE: Final = "Unavailable"
# ModelReady
REASON_MODELS_LOADED: Final = "ModelsLoaded"
REASON_MODEL_LOADING: Final = "ModelLoading"
REASON_MODEL_LOAD_FAILED: Final = "ModelLoadFailed"
REASON_MODEL_FILE_MISSING: Final = "ModelFileMissing"
REASON_CHECKSUM_MISMATCH: Final = "ChecksumMismatch"
REASON_MODEL_TOO_LARGE: Final = "ModelTooLarge"
REASON_MODEL_FETCH_FAILED: Final = "ModelFetchFailed"
REASON_MODEL_HOST_NOT_ALLOWED: Final = "ModelHostNotAllowed"
REASON_MODEL_SOURCE_MISSING: Final = "ModelSourceMissing"
REASON_SERVING_CONFIG_DIFFERS: Final = "ServingConfigDiffers"
# StreamsReady
REASON_STREAMS_LIVE: Final = "StreamsLive"
REASON_NO_CAMERAS: Final = "NoCameras"
REASON_STREAMS_CONNECTING: Final = "StreamsConnecting"
REASON_CAMERAS_FAILING: Final = "CamerasFailing"
REASON_CAMERA_UNAUTHORIZED: Final = "CameraUnauthorized"
REASON_SECRET_MISSING: Final = "SecretMissing"  # noqa: S105 - a reason, no secret
# ScalingReady
REASON_SCALING_ACTIVE: Final = "ScalingActive"
REASON_METRICS_UNAVAILABLE: Final = "MetricsUnavailable"
REASON_CUSTOM_METRICS_UNAVAILABLE: Final = "CustomMetricsUnavailable"
REASON_FIGURE_UNKNOWN: Final = "FigureUnknown"
REASON_SCALING_FAILED: Final = "ScalingFailed"
REASON_REPLICAS_CAPPED: Final = "ReplicasCapped"
# MonitoringReady
REASON_MONITORING_CONFIGURED: Final = "MonitoringConfigured"
REASON_MONITORING_NOT_INSTALLED: Final = "MonitoringNotInstalled"
# Degraded
REASON_GIVING_WAY: Final = "GivingWay"
# OutputsDelivered
REASON_OUTPUTS_DELIVERED: Final = "OutputsDelivered"
REASON_OUTPUT_FAILING: Final = "OutputFailing"
# SharedMemoryReady
REASON_SHARED_MEMORY_UNAVAILABLE: Final = "SharedMemoryUnavailable"
# TuningActive, SpecServed
REASON_OFF: Final = "Off"
REASON_TUNING: Final = "Tuning"
REASON_CONVERGED: Final = "Converged"
REASON_RECOMMENDING: Final = "Recommending"
REASON_FROZEN: Final = "Frozen"
REASON_MEMORY_UNKNOWN: Final = "MemoryUnknown"
REASON_NOT_OBSERVED: Final = "NotObserved"
REASON_AWAITING_MODELS: Final = "AwaitingModels"
REASON_TUNING_HINDERED: Final = "TuningHindered"
REASON_RECORD_NOT_WRITTEN: Final = "RecordNotWritten"
REASON_NOT_SERVED_YET: Final = "NotServedYet"

# What can be wrong with a model's files: the pod finds it and says it, in its last words or in its state.
MODEL_FILE_REASONS: Final = frozenset(
    {
        REASON_MODEL_FILE_MISSING,
        REASON_CHECKSUM_MISMATCH,
        REASON_MODEL_TOO_LARGE,
        REASON_MODEL_FETCH_FAILED,
        REASON_MODEL_HOST_NOT_ALLOWED,
    }
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition without its times, which are the writer's business.

    `status` is True, False or Unknown, as text; `reason` is CamelCase; `message` is one line for people and holds
    no figure that changes at rest, since that would cause writes.
    """

    type: str
    status: str
    reason: str
    message: str = ""

    @property
    def is_true(self) -> bool:
        """Whether the condition holds."""
        return self.status == TRUE
