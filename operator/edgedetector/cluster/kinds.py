"""The kinds that the operator touches: a fixed list, so that RBAC can be one too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgedetector.api import names


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of the API server."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of the collection or, with a name, of the object."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{place}/{self.plural}{tail}"


EDGEDETECTOR: Final = Kind(names.API_VERSION, "EdgeDetector", "edgedetectors")
ACCELERATOR_PROFILE: Final = Kind(names.API_VERSION, "AcceleratorProfile", "acceleratorprofiles", namespaced=False)
POD: Final = Kind("v1", "Pod", "pods")
DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments")
CORE_EVENT: Final = Kind("v1", "Event", "events")
EVENT: Final = Kind("events.k8s.io/v1", "Event", "events")
JOB: Final = Kind("batch/v1", "Job", "jobs")
CRD: Final = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)

_CHILDREN: Final = (
    Kind("v1", "ConfigMap", "configmaps"),
    Kind("v1", "Service", "services"),
    Kind("apps/v1", "DaemonSet", "daemonsets"),
    DEPLOYMENT,
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    JOB,
    Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors"),
    Kind("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules"),
)

ALL: Final = {(k.api_version, k.kind): k for k in (EDGEDETECTOR, ACCELERATOR_PROFILE, POD, EVENT, CRD, *_CHILDREN)}

MONITORING_API: Final = "monitoring.coreos.com/v1"
OPTIONAL: Final = frozenset({"ServiceMonitor", "PrometheusRule"})


def of(api_version: str, kind: str) -> Kind:
    """Return the kind; KeyError for one that the operator has no business with."""
    return ALL[api_version, kind]
