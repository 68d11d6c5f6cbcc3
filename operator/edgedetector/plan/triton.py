"""The inference pods: Triton and the detector beside it, and their Services."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.dataplane import Decoding
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile, TritonSpec
from edgedetector.api.wire import to_json
from edgedetector.plan import outputs, scaling, sources
from edgedetector.plan.common import (
    COMPONENT_REPLICAS,
    RESTRICTED,
    counting_shared_memory,
    detector_labels,
    detector_metadata,
    detector_selector,
    environment,
    field_environment,
    memory_volume,
    merged_environment,
    pod_security_context,
    present,
    requests,
    resources,
)
from edgedetector.plan.dataplane import decoding
from edgedetector.plan.settings import Facts, Settings

EXIT_SECONDS: Final = 10
# HTTP is off and the rest of the control API needs a key that only this pod has: whoever can load a python model can
# run code. `$$(` is Kubernetes' escape for `$(`. Strict readiness is off because a model that loads would take the pod
# out of the Services. The exit time-out is shorter than the pod's grace: after a load that failed, Triton 24.10 waits
# all of it for a model that is not there.
_START: Final = (
    "exec tritonserver "
    f"--model-repository={names.DIR_MODELS} --model-control-mode=explicit --exit-on-error=false "
    f"--strict-readiness=false --exit-timeout-secs={EXIT_SECONDS} --allow-http=false "
    f"--allow-grpc=true --grpc-port={names.PORT_TRITON_GRPC} "
    f"--allow-metrics=true --metrics-port={names.PORT_TRITON_METRICS} "
    "--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:"
    f'admin="$$(cat {names.DIR_RUN}/{names.FILE_ADMIN_KEY})" "$@"'
)
# What is sent after a pod was told to end still needs its Triton: the detector serves its cameras until the other
# replicas have them (8 s at most), and clients of the Service do not know yet. Both containers are told at once, so
# Triton's waits: as long as the detector's says that it is leaving (an empty file), and then until the second that it
# names. If it does not leave, Triton alone is started again, and nobody waits. With the exit time-out it fits the
# pod's grace.
DRAIN_SECONDS: Final = 10
GRACE_SECONDS: Final = 30
DRAIN: Final = f"""\
sleep 1; leaving={names.DIR_RUN}/{names.FILE_LEAVING}; [ -e "$leaving" ] || exit 0
waited=1
while [ "$waited" -lt {DRAIN_SECONDS} ]; do
  [ -s "$leaving" ] && read -r least <"$leaving" && [ "$waited" -ge "$least" ] && exit 0
  sleep 1 || exit 0
  waited=$((waited + 1))
done
"""
# Since this release memory of clients is refused unless it is allowed; an older server does not know the option.
_CLIENT_SHM_RELEASE: Final = "26.04"
_CLIENT_SHM: Final = "--allow-client-shm=true"
# Seen: 23.07 is told the file of its traces when one is wanted, 24.10 at its start alone. An older server than that is
# told nothing here, since one without tracing would not start with it, nor is one whose profile tells it itself.
# Nothing is traced until somebody wants it.
_TRACE_FILE_RELEASE: Final = "24.10"
_TRACE_CONFIG: Final = "--trace-config"
_TRACE_FILE: Final = f"{_TRACE_CONFIG}=triton,file={names.FILE_TRACE}"
_STARTUP_SECONDS: Final = 300  # the first start of a vendor's server reads gigabytes of libraries from a slow disk

_MODELS: Final = {"name": "models", "mountPath": names.DIR_MODELS}
_RUN: Final = {"name": "run", "mountPath": names.DIR_RUN}
_SHM: Final = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108 - where Triton and its clients share memory
_SERVING: Final = {"name": "serving", "mountPath": names.DIR_SERVING, "readOnly": True}
_DETECTOR: Final = {"name": "detector", "mountPath": names.DIR_DETECTOR, "readOnly": True}


def deployment(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings, facts: Facts) -> dict[str, Any]:
    """Return Deployment NAME-triton."""
    spec: dict[str, Any] = {
        "selector": {"matchLabels": detector_selector(detector, names.COMPONENT_TRITON)},
        # No surge: the only accelerator is taken by the pod that is to be replaced. A replica that cannot be
        # scheduled counts as unavailable and would use up the 1, so that nothing would ever be replaced.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1 + facts.unschedulable_replicas},
        },
        "revisionHistoryLimit": 2,
        "template": {
            "metadata": present(
                labels=detector_labels(detector, names.COMPONENT_TRITON),
                annotations={**_decoding_note(profile), **_post_processing_note(detector)},
            ),
            "spec": pod(detector, profile, settings),
        },
    }
    replicas = scaling.replicas(detector, facts)
    if replicas is not None:
        spec["replicas"] = replicas
    metadata = detector_metadata(detector, names.triton(detector.name), names.COMPONENT_TRITON)
    if detector.suspend and facts.replicas_before_suspension:
        # In the same write as the 0, so that no crash in between can lose it.
        metadata["annotations"] = {names.ANNOTATION_REPLICAS: str(facts.replicas_before_suspension)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": spec,
    }


def service(detector: EdgeDetector) -> dict[str, Any]:
    """Return Service NAME-triton."""
    ports = {
        "grpc": names.PORT_TRITON_GRPC,
        "metrics": names.PORT_TRITON_METRICS,
        "detector": names.PORT_DETECTOR,
        **({"events": names.PORT_DETECTOR_EVENTS} if outputs.served(detector) else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": detector_metadata(detector, names.triton(detector.name), names.COMPONENT_TRITON),
        "spec": {
            "selector": detector_selector(detector, names.COMPONENT_TRITON),
            "ports": [_service_port(name, port) for name, port in ports.items()],
        },
    }


def replicas_service(detector: EdgeDetector) -> dict[str, Any]:
    """Return headless Service NAME-replicas: not ready pods too, since replicas decide themselves who is alive."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": detector_metadata(detector, names.replicas(detector.name), COMPONENT_REPLICAS),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": detector_selector(detector, names.COMPONENT_TRITON),
            "ports": [_service_port("detector", names.PORT_DETECTOR)],
        },
    }


def pod(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> dict[str, Any]:
    """Return the specification of an inference pod: of its containers Triton comes first, then the detector."""
    spec = detector.spec
    device = profile.spec
    return present(
        initContainers=[_model_repository(detector, settings), *sources.fetcher(detector, settings)],
        containers=[_triton(detector, profile, settings), _detector(detector, profile, settings)],
        volumes=_volumes(detector, profile),
        securityContext=pod_security_context(device.pod_security.supplemental_groups),
        runtimeClassName=device.runtime_class_name,
        nodeSelector={**device.node_selector, **spec.node_selector},
        tolerations=[toleration.manifest() for toleration in (*device.tolerations, *spec.tolerations)],
        priorityClassName=spec.priority_class_name,
        imagePullSecrets=[{"name": reference.name} for reference in spec.image_pull_secrets],
        terminationGracePeriodSeconds=GRACE_SECONDS,
    ) | {"automountServiceAccountToken": False, "enableServiceLinks": False}


def _decoding_note(profile: AcceleratorProfile) -> dict[str, str]:
    """Return the annotation by which pods follow a profile whose decoding changes; software has none."""
    found = decoding(profile)
    if found == Decoding():
        return {}
    digest = hashlib.sha256(to_json(found).encode()).hexdigest()[:16]
    return {names.ANNOTATION_DECODING: digest}


def _post_processing_note(detector: EdgeDetector) -> dict[str, str]:
    """Return the annotation by which pods of a former release, which would ask the model itself, are replaced."""
    used = any(model.post_processing for model in detector.spec.models)
    return {names.ANNOTATION_POST_PROCESSING: "true"} if used else {}


def _model_repository(detector: EdgeDetector, settings: Settings) -> dict[str, Any]:
    return {
        "name": names.CONTAINER_MODEL_REPOSITORY,
        "image": settings.detector_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "edgedetector.detector", "prepare"],
        "resources": resources(requests("10m", "64Mi")),
        "securityContext": dict(RESTRICTED),
        "volumeMounts": [_MODELS, _RUN, _SERVING, *sources.mounts(detector)],
    }


def _triton(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> dict[str, Any]:
    triton = profile.spec.triton
    asked = resources(detector.spec.resources.triton, triton.resources, requests("500m", "512Mi"))
    limits = counting_shared_memory(asked, triton.shared_memory)
    if profile.spec.resource.name:
        accelerator = {profile.spec.resource.name: str(profile.spec.resource.count)}
        limits["limits"] = {**limits.get("limits", {}), **accelerator}
        limits["requests"] = {**limits["requests"], **accelerator}
    health = {"grpc": {"port": names.PORT_TRITON_GRPC}, "timeoutSeconds": 5}
    return present(
        name=names.CONTAINER_TRITON,
        image=settings.image(triton.image),
        imagePullPolicy="IfNotPresent",
        command=["/bin/sh", "-c", _START, "tritonserver"],
        args=[*_arguments(triton), *triton.arguments],
        env=environment(triton.environment),
        ports=[_port("grpc", names.PORT_TRITON_GRPC), _port("metrics", names.PORT_TRITON_METRICS)],
        startupProbe={**health, "periodSeconds": 1, "failureThreshold": _STARTUP_SECONDS},
        readinessProbe={**health, "periodSeconds": 5, "failureThreshold": 3},
        livenessProbe={**health, "periodSeconds": 10, "failureThreshold": 6},
        lifecycle={"preStop": {"exec": {"command": ["/bin/sh", "-c", DRAIN]}}},
        resources=limits,
        securityContext=dict(RESTRICTED),
        volumeMounts=[
            {**_MODELS, "readOnly": True},
            {**_RUN, "readOnly": True},
            _SHM,
            {"name": "triton-tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of this container alone
        ],
    )


def _arguments(triton: TritonSpec) -> list[str]:
    """Return what a release needs told; releases are YY.MM, which compare as text."""
    told = any(argument.startswith(_TRACE_CONFIG) for argument in triton.arguments)
    since = [(_CLIENT_SHM_RELEASE, _CLIENT_SHM), *([] if told else [(_TRACE_FILE_RELEASE, _TRACE_FILE)])]
    return [argument for release, argument in since if triton.version >= release]


def _detector(detector: EdgeDetector, profile: AcceleratorProfile, settings: Settings) -> dict[str, Any]:
    health = {"httpGet": {"path": "/healthz", "port": "detector"}, "timeoutSeconds": 5}
    asked = resources(detector.spec.resources.detector, requests("100m", "256Mi"))
    asked, variables = _for_decoding(asked, profile)
    own = field_environment(POD_NAME="metadata.name", POD_NAMESPACE="metadata.namespace", POD_IP="status.podIP")
    return {
        "name": names.CONTAINER_DETECTOR,
        "image": settings.detector_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "edgedetector.detector", "run"],
        "env": merged_environment(variables, own),
        "ports": [
            _port("detector", names.PORT_DETECTOR),
            *([_port("events", names.PORT_DETECTOR_EVENTS)] if outputs.served(detector) else []),
        ],
        "startupProbe": {**health, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**health, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**health, "periodSeconds": 10, "failureThreshold": 6},
        "resources": counting_shared_memory(asked, profile.spec.triton.shared_memory),
        "securityContext": dict(RESTRICTED),
        "volumeMounts": [
            _MODELS,
            _RUN,
            _SHM,
            _SERVING,
            _DETECTOR,
            {"name": "detector-tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of this container alone
            *sources.mounts(detector),
            *outputs.mounts(detector),
        ],
    }


def _for_decoding(asked: dict[str, Any], profile: AcceleratorProfile) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the detector container's resources and variables with what hardware decoding needs.

    A device plugin gives a device to the one container that requests it, and a second request is a second device. So
    where Triton's own device decodes, only Triton's container requests it, and the pod's runtime gives it to this one
    too, by the profile's variables. A device of another kind, or a share of one, is requested here.
    """
    if not profile.spec.decodes_in_hardware:
        return asked, []
    spec = profile.spec.decoding
    if spec.resource.name and not spec.on_accelerator:
        device = {spec.resource.name: str(spec.resource.count)}
        asked = {**asked, **{kind: {**asked.get(kind, {}), **device} for kind in ("requests", "limits")}}
    return asked, environment(spec.environment)


def _volumes(detector: EdgeDetector, profile: AcceleratorProfile) -> list[dict[str, Any]]:
    return [
        {"name": "models", "emptyDir": {}},
        memory_volume("run", "16Mi"),
        memory_volume("shm", str(profile.spec.triton.shared_memory)),
        {"name": "triton-tmp", "emptyDir": {}},
        {"name": "detector-tmp", "emptyDir": {}},
        {"name": "serving", "configMap": {"name": names.serving(detector.name)}},
        {"name": "detector", "configMap": {"name": names.detector_config(detector.name)}},
        *sources.volumes(detector),
        *outputs.volumes(detector),
    ]


def _port(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "containerPort": port, "protocol": "TCP"}


def _service_port(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
