"""The vendor's metrics exporter: one pod a node, per profile, in the operator's namespace."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.profile import AcceleratorProfile, ExporterSpec
from edgedetector.plan.common import (
    config_map,
    environment,
    field_environment,
    present,
    profile_metadata,
    profile_selector,
    requests,
    resources,
)
from edgedetector.plan.settings import Settings

ANNOTATION_FILES: Final = f"{names.GROUP}/files"
LABEL_NODE: Final = "node"
LABEL_ACCELERATOR_PROFILE: Final = "accelerator_profile"


def file_map(profile: AcceleratorProfile, exporter: ExporterSpec, settings: Settings) -> dict[str, Any] | None:
    """Return the ConfigMap with the exporter's files, absent without any."""
    if not exporter.files:
        return None
    return config_map(
        profile_metadata(profile, settings.operator_namespace),
        {_key(file.path): file.content for file in exporter.files},
        "spec.exporter.files",
        "put the files into the exporter's image",
    )


def daemon_set(profile: AcceleratorProfile, exporter: ExporterSpec, settings: Settings) -> dict[str, Any]:
    """Return the DaemonSet. It is the only workload outside Pod Security `restricted`: exporters open devices."""
    template_metadata: dict[str, Any] = {"labels": profile_metadata(profile, settings.operator_namespace)["labels"]}
    if exporter.files:
        # A file mounted by itself never follows its ConfigMap: only a new pod reads the new content.
        content = json.dumps(sorted((file.path, file.content) for file in exporter.files))
        template_metadata["annotations"] = {ANNOTATION_FILES: hashlib.sha256(content.encode()).hexdigest()[:16]}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": profile_metadata(profile, settings.operator_namespace),
        "spec": {
            "selector": {"matchLabels": profile_selector(profile)},
            "revisionHistoryLimit": 2,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {"metadata": template_metadata, "spec": _pod(profile, exporter, settings)},
        },
    }


def service(profile: AcceleratorProfile, exporter: ExporterSpec, settings: Settings) -> dict[str, Any]:
    """Return the Service through which Prometheus finds the exporters, and a detector that of its own node."""
    port = {"name": "metrics", "port": names.PORT_EXPORTER, "targetPort": exporter.port, "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": profile_metadata(profile, settings.operator_namespace),
        "spec": {"selector": profile_selector(profile), "ports": [port], "internalTrafficPolicy": "Local"},
    }


def service_monitor(profile: AcceleratorProfile, exporter: ExporterSpec, settings: Settings) -> dict[str, Any]:
    """Return the ServiceMonitor; every series gets the node and the profile as labels, by which rules join them."""
    endpoint = {
        "port": "metrics",
        "path": exporter.path,
        "interval": "10s",
        "relabelings": [
            {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": LABEL_NODE},
            {"targetLabel": LABEL_ACCELERATOR_PROFILE, "replacement": profile.name},
        ],
    }
    metadata = profile_metadata(profile, settings.operator_namespace)
    metadata["labels"] = {**settings.monitoring_labels, **metadata["labels"]}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": profile_selector(profile)}, "endpoints": [endpoint]},
    }


def _pod(profile: AcceleratorProfile, exporter: ExporterSpec, settings: Settings) -> dict[str, Any]:
    device = profile.spec
    container = present(
        name=names.CONTAINER_EXPORTER,
        image=settings.image(exporter.image),
        imagePullPolicy="IfNotPresent",
        command=list(exporter.command),
        args=list(exporter.arguments),
        # Exporters by node name: a figure of another node's device would be worse than none.
        env=[
            *field_environment(NODE_NAME="spec.nodeName"),
            *environment(tuple(variable for variable in exporter.environment if variable.name != "NODE_NAME")),
        ],
        ports=[{"name": "metrics", "containerPort": exporter.port, "protocol": "TCP"}],
        readinessProbe={
            "httpGet": {"path": exporter.path, "port": "metrics"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
        },
        resources=resources(exporter.resources, requests("20m", "64Mi")),
        securityContext=_security_context(exporter),
        volumeMounts=[
            {"name": "files", "mountPath": file.path, "subPath": _key(file.path), "readOnly": True}
            for file in exporter.files
        ],
    )
    files = {"name": "files", "configMap": {"name": names.exporter(profile.name)}}
    return present(
        containers=[container],
        volumes=[files] if exporter.files else [],
        runtimeClassName=device.runtime_class_name,
        nodeSelector=dict(device.node_selector),
        tolerations=[toleration.manifest() for toleration in device.tolerations],
        imagePullSecrets=[{"name": name} for name in settings.exporter_pull_secrets],
        terminationGracePeriodSeconds=5,
    ) | {"automountServiceAccountToken": False, "enableServiceLinks": False}


def _security_context(exporter: ExporterSpec) -> dict[str, Any]:
    if exporter.privileged:
        return {"privileged": True}
    return {
        "runAsUser": exporter.run_as_user,
        "allowPrivilegeEscalation": bool(exporter.linux_capabilities),
        "capabilities": present(drop=["ALL"], add=list(exporter.linux_capabilities)),
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _key(path: str) -> str:
    """Key of a file in the ConfigMap: two files of one name in different directories must not share one."""
    return f"{hashlib.sha256(path.encode()).hexdigest()[:8]}-{path.rsplit('/', 1)[-1]}"
