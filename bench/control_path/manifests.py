"""Objects of the experiment: one pod as the design has it, plus a container from which clients ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgedetector.api import names
from edgedetector.api.dataplane import DetectorConfig, ModelServing, Probe, ServingConfig
from edgedetector.api.wire import to_json

HERE = Path(__file__).parent
NAME = "echo"
MODEL = "echo"
SLOT = "bench.edgedetector.dev/slot"
"""Extended resource that stands for the only accelerator of the node."""

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_SHARED_MEMORY = "1Gi"
"""On 23.07 an instance of the python backend takes 64 MiB of it, and a reload holds old and new instances at once."""
_START = (
    "exec tritonserver --model-repository=/models --model-control-mode=explicit --exit-on-error=false "
    "--strict-readiness=false --allow-http=false --allow-grpc=true --grpc-port=8001 --metrics-port=8002 "
    # After a load that failed, 24.10 waits for a model that is not there: 30 s by default at every orderly end.
    "--exit-timeout-secs=5 "
    "--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:"
    f'admin="$$(cat {names.DIR_RUN}/{names.FILE_ADMIN_KEY})"'
)


def namespace(name: str) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def serving_config(name: str, **knobs: Any) -> ServingConfig:
    """Return a serving config with the model served with these knobs."""
    return ServingConfig(name, (serving(**knobs),))


def serving(
    instances: int = 1, preferred: tuple[int, ...] = (), delay: int = 100, backend: str = "python"
) -> ModelServing:
    text = f"""name: "{MODEL}"
backend: "{backend}"
max_batch_size: 8
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 16 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 16 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
dynamic_batching {{
  max_queue_delay_microseconds: {delay}
  {f"preferred_batch_size: {list(preferred)}" if preferred else ""}
}}
"""
    return ModelServing(MODEL, instances, preferred, 8, delay, text)


def config_maps(accepted: ServingConfig) -> list[dict[str, Any]]:
    detector = DetectorConfig(NAME, "", 1, "127.0.0.1:8001", "rtsp://127.0.0.1:8554")
    return [
        serving_map(accepted, None),
        _config_map(names.detector_config(NAME), {names.FILE_DETECTOR: to_json(detector)}),
        _config_map("model", {"model.py": (HERE / "model.py").read_text()}),
        _config_map("clients", {"clients.py": (HERE / "clients.py").read_text()}),
    ]


def serving_map(accepted: ServingConfig, probe: Probe | None) -> dict[str, Any]:
    data = {names.FILE_ACCEPTED: to_json(accepted)}
    if probe:
        data[names.FILE_PROBE] = to_json(probe)
    return _config_map(names.serving(NAME), data)


def deployment(images: dict[str, str], triton: str, *, replicas: int = 1, unavailable: int = 1) -> dict[str, Any]:
    """Return the Deployment; every pod takes the one slot of the node."""
    labels = {"app": NAME}
    rolling = {"maxSurge": 0, "maxUnavailable": unavailable}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": {"metadata": {"labels": labels}, "spec": _pod(images["detector"], images[triton])},
        },
    }


def _pod(detector: str, triton: str) -> dict[str, Any]:
    models, run = {"name": "models", "mountPath": names.DIR_MODELS}, {"name": "run", "mountPath": names.DIR_RUN}
    shared = {"name": "shm", "mountPath": "/dev/shm"}
    temporary = {"name": "tmp", "mountPath": "/tmp"}
    serving_mount = {"name": "serving", "mountPath": names.DIR_SERVING}
    source = {"name": "model", "mountPath": f"{names.DIR_SOURCES}/{MODEL}"}
    common = {"imagePullPolicy": "IfNotPresent", "securityContext": _RESTRICTED}
    field = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": names.USER,
            "runAsGroup": names.USER,
            "fsGroup": names.USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [
            {
                "name": names.CONTAINER_MODEL_REPOSITORY,
                "image": detector,
                "command": ["python", "-m", "edgedetector.detector", "prepare"],
                "volumeMounts": [models, run, serving_mount, source],
                **common,
            }
        ],
        "containers": [
            {
                "name": names.CONTAINER_TRITON,
                "image": triton,
                "command": ["/bin/sh", "-c", _START],
                "readinessProbe": {"grpc": {"port": names.PORT_TRITON_GRPC}, "periodSeconds": 1},
                "resources": {"limits": {SLOT: "1"}, "requests": {"cpu": "100m", SLOT: "1"}},
                "volumeMounts": [{**models, "readOnly": True}, {**run, "readOnly": True}, shared, temporary],
                **common,
            },
            {
                "name": names.CONTAINER_DETECTOR,
                "image": detector,
                "command": ["python", "-m", "edgedetector.detector", "run"],
                "env": [{"name": "POD_NAME", **field}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": names.PORT_DETECTOR}, "periodSeconds": 1},
                "volumeMounts": [
                    models,
                    run,
                    shared,
                    temporary,
                    serving_mount,
                    source,
                    {"name": "detector", "mountPath": names.DIR_DETECTOR},
                ],
                **common,
            },
            {
                "name": "clients",
                "image": detector,
                "command": ["sleep", "infinity"],
                "volumeMounts": [{"name": "clients", "mountPath": "/clients"}],
                **common,
            },
        ],
        "volumes": [
            {"name": "models", "emptyDir": {}},
            {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": _SHARED_MEMORY}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "serving", "configMap": {"name": names.serving(NAME)}},
            {"name": "detector", "configMap": {"name": names.detector_config(NAME)}},
            {"name": "model", "configMap": {"name": "model"}},
            {"name": "clients", "configMap": {"name": "clients"}},
        ],
    }


def _config_map(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
