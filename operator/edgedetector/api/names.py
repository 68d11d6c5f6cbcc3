"""Names, labels, ports and paths on which the operator, the pods and the tests agree.

One place, because each of these is read by a process other than the one that writes it.
"""

from __future__ import annotations

import hashlib
from typing import Final

GROUP: Final = "edgedetector.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
FIELD_MANAGER: Final = "edgedetector"

# Every child carries both: prune lists by label, then checks the owner's UID.
LABEL_DETECTOR: Final = f"{GROUP}/detector"
LABEL_PROFILE: Final = f"{GROUP}/accelerator-profile"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_PART_OF: Final = "app.kubernetes.io/part-of"
MANAGED_BY: Final = "edgedetector"
OPERATOR: Final = "edgedetector-operator"  # LABEL_NAME of the operator's pods, as the chart sets it
PART_OF: Final = "edgedetector"  # LABEL_PART_OF of all that the chart makes

# With the value "true" on a pod of the detector's namespace: a NetworkPolicy lets it ask Triton for inferences.
LABEL_TRITON_CLIENT: Final = f"{GROUP}/triton-client"

# With the value "true" on a pod of any namespace: a NetworkPolicy lets it ask for events, where a token guards them.
LABEL_EVENTS_CLIENT: Final = f"{GROUP}/events-client"

# A pod annotation that changes makes the kubelet refresh ConfigMap volumes in 0.2 s instead of 60-80 s.
ANNOTATION_REFRESH: Final = f"{GROUP}/refresh"

# How many inference pods a suspended detector comes back with, on their Deployment.
ANNOTATION_REPLICAS: Final = f"{GROUP}/replicas-before-suspension"

# Of how streams are decoded, on inference pods: what they read once, so that a change replaces them.
ANNOTATION_DECODING: Final = f"{GROUP}/decoding"

# On inference pods of a detector with post-processing: those of a former release know nothing of it, and are replaced.
ANNOTATION_POST_PROCESSING: Final = f"{GROUP}/post-processing"

# On an EdgeDetector: any new text has its profile's capabilities tested on the card, with its models. On the Job that
# does it: the text that asked for it.
ANNOTATION_VERIFY: Final = f"{GROUP}/verify-profile"

# To what the maximum of replicas was lowered and when, on their autoscaler.
ANNOTATION_CAPPED: Final = f"{GROUP}/capped"

# On an EdgeDetector, set by its user to FROZEN: nothing is tried, and what serves stays.
ANNOTATION_TUNING: Final = f"{GROUP}/tuning"
FROZEN: Final = "Frozen"

# On an EdgeDetector, set by its user: any new text has tuning look anew, while what was found serves on.
ANNOTATION_RETUNE: Final = f"{GROUP}/retune"
MAX_RETUNE: Final = 256
"""Characters of such a text that count: it goes on record."""

COMPONENT_TRITON: Final = "triton"
COMPONENT_MEDIA: Final = "media"
COMPONENT_EXPORTER: Final = "exporter"
COMPONENT_VERIFICATION: Final = "verification"

CONTAINER_TRITON: Final = "triton"
CONTAINER_DETECTOR: Final = "detector"
CONTAINER_MODEL_REPOSITORY: Final = "model-repository"
CONTAINER_MODEL_FETCH: Final = "model-fetch"
CONTAINER_GO2RTC: Final = "go2rtc"
CONTAINER_MEDIA_CONFIG: Final = "config"
CONTAINER_EXPORTER: Final = "exporter"

PORT_TRITON_GRPC: Final = 8001
PORT_TRITON_METRICS: Final = 8002
PORT_DETECTOR: Final = 9090  # /metrics, /state, /observation, /healthz
PORT_DETECTOR_EVENTS: Final = 9091  # /events, /snapshot/...: personal data, on loopback unless a token guards them
PORT_GO2RTC_API: Final = 1984
PORT_GO2RTC_RTSP: Final = 8554
PORT_MEDIA_VIDEO: Final = 1986  # /video/STREAM_ID of the media pod: personal data, on loopback
PORT_EXPORTER: Final = 9400

PATH_VIDEO: Final = "/video/"
# Asked for by that port, since no page of another origin can send it unasked.
HEADER_VIEW: Final = "X-EdgeDetector"
HEADER_VIEW_VALUE: Final = "view"

# One user in both containers of the Triton pod: shared memory files are created with mode 0600.
USER: Final = 10001

DIR_SERVING: Final = "/etc/edgedetector/serving"
DIR_DETECTOR: Final = "/etc/edgedetector/detector"
DIR_MEDIA: Final = "/etc/edgedetector/media"
DIR_MODELS: Final = "/models"
DIR_SOURCES: Final = "/sources"  # /sources/<model>/: what the user's model source holds, read-only
DIR_FETCHED: Final = "/fetched"  # model files that came over HTTPS, each under its SHA-256 digest
DIR_FETCH_REPORT: Final = "/run/model-fetch"  # memory volume: what the fetching container says to the detector
DIR_AUTHORITIES: Final = "/etc/edgedetector/authorities"  # /etc/edgedetector/authorities/<model>/ca.crt
DIR_RUN: Final = "/run/edgedetector"  # memory volume shared by the containers of the Triton pod
DIR_GO2RTC: Final = "/run/go2rtc"  # memory volume of the media pod
DIR_SECRETS: Final = "/secrets"  # /secrets/<secret name>/<key>
DIR_SPOOL: Final = "/var/spool/edgedetector"  # events that wait for the webhook's server

FILE_ACCEPTED: Final = "accepted.json"  # keys of ConfigMap NAME-serving
FILE_PROBE: Final = "probe.json"
FILE_RECORD: Final = "record.json"  # keys of ConfigMap NAME-tuning
FILE_STATE: Final = "state.json"
FILE_DETECTOR: Final = "detector.json"  # key of ConfigMap NAME-detector
FILE_MEDIA: Final = "media.json"  # key of ConfigMap NAME-media
FILE_FETCH_REPORT: Final = "problems.json"  # in DIR_FETCH_REPORT
FILE_AUTHORITY: Final = "ca.crt"
FILE_LEAVING: Final = "leaving"  # in DIR_RUN: the detector is told to end; then after how many seconds Triton may
VARIABLE_VERIFICATION: Final = "VERIFICATION"  # what the test of a profile is to do, as JSON
FILE_TERMINATION_LOG: Final = "dev/termination-log"  # below the root: a container's last words
FILE_TRACING: Final = "tracing"  # in DIR_RUN: Triton's trace or verbose log may be on
FILE_TRACE: Final = "/dev/shm/edgedetector-trace"  # noqa: S108 - a dot and a number behind it: what Triton has traced
FILE_ADMIN_KEY: Final = "admin-key"  # in DIR_RUN, mode 0600

KEY_USERNAME: Final = "username"  # keys of Secrets
KEY_PASSWORD: Final = "password"  # noqa: S105 - the name of a key
KEY_TOKEN: Final = "token"  # noqa: S105 - the name of a key
KEY_SIGNATURE: Final = "key"

# Triton's --grpc-restricted-protocol=...:admin=KEY is answered by this gRPC header.
RESTRICTED_PROTOCOL_HEADER: Final = "triton-grpc-protocol-admin"


def triton(detector: str) -> str:
    """Deployment, Service and HPA of the inference pods."""
    return f"{detector}-triton"


def replicas(detector: str) -> str:
    """Headless Service through which replicas find each other."""
    return f"{detector}-replicas"


def media(detector: str) -> str:
    """Deployment, Service and ConfigMap of the media server."""
    return f"{detector}-media"


def serving(detector: str) -> str:
    """ConfigMap with the serving configuration."""
    return f"{detector}-serving"


def tuning(detector: str) -> str:
    """ConfigMap with what tuning has found; no pod reads it."""
    return f"{detector}-tuning"


def detector_config(detector: str) -> str:
    """ConfigMap with the data plane's configuration."""
    return f"{detector}-detector"


def verification(detector: str) -> str:
    """Job that tests a profile's capabilities with the detector's models, and its NetworkPolicy."""
    return f"{detector}-verify"


def exporter(profile: str) -> str:
    """DaemonSet, Service and ServiceMonitor of a profile's exporter, in the operator's namespace."""
    return f"edgedetector-exporter-{profile}"


def stream(camera: str) -> str:
    """Opaque stream id of a camera in go2rtc.

    go2rtc's redactor replaces a secret's text everywhere in its JSON, keys included, so an id must
    not be able to contain anything that a user could also choose as a password.
    """
    return "s" + hashlib.sha256(camera.encode()).hexdigest()[:16]


ENSEMBLE: Final = "ensemble"
"""Triton's platform of models one behind the other."""
POST_PROCESSING: Final = "+postprocessing"
PIPELINE: Final = "+pipeline"
"""No model's own name has a plus."""


def post_processing(model: str) -> str:
    """Model in Triton that makes boxes of a model's raw outputs."""
    return f"{model}{POST_PROCESSING}"


def pipeline(model: str) -> str:
    """Ensemble in Triton of a model and its post-processing: what the detector asks."""
    return f"{model}{PIPELINE}"


def model_field(served: str) -> str:
    """Field of the specification that a model in Triton comes from."""
    model, plus, _ = served.partition("+")
    return f"spec.models[{model}]" + (".postProcessing" if plus else "")
