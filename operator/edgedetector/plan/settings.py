"""What planning needs to know besides the resources themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

KIND_SERVICE_MONITOR = "ServiceMonitor"
KIND_PROMETHEUS_RULE = "PrometheusRule"


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's own installation; constant while it runs."""

    operator_namespace: str
    detector_image: str
    image_replacements: Mapping[str, str] = field(default_factory=dict)
    """Exact image -> image, for mirrors, air-gapped sites and the emulator."""
    monitoring_labels: Mapping[str, str] = field(default_factory=dict)
    """Of all ServiceMonitors and PrometheusRules; an EdgeDetector's own `monitoring.labels` win."""
    runbooks: str = "docs/runbooks"
    """Where a page an alert is published; by default a path of the source repository, which may be anywhere."""
    image_registry: str = ""
    """Registry that has all images, in place of those that profiles name; empty: the ones that they name."""
    exporter_pull_secrets: tuple[str, ...] = ()
    """Secrets of the operator's namespace with which the exporters' images are pulled."""
    model_hosts: tuple[str, ...] = ()
    """Hosts from which model files may be fetched, besides Services of the detector's own namespace."""
    prometheus_namespaces: tuple[str, ...] = ("monitoring",)
    """Where a Prometheus may run that scrapes the pods."""
    network_policies: bool = True
    """Whether the operator makes NetworkPolicies at all, for exporters too."""
    dns_cidrs: tuple[str, ...] = ()
    """Name servers besides the cluster's own pods, e.g. a cache on each node (169.254.20.10/32)."""

    def image(self, image: str) -> str:
        """Return the image to run where a profile names `image`: an exact replacement wins and is taken as it is."""
        return self.image_replacements.get(image) or from_registry(image, self.image_registry)


def from_registry(image: str, registry: str) -> str:
    """Return the image as `registry` has it: under its own path, without the registry that it names itself.

    As the container tools see it, what stands before the first slash is a registry if it has a dot or a colon or is
    "localhost".
    """
    if not registry:
        return image
    head, slash, path = image.partition("/")
    named = slash and ("." in head or ":" in head or head == "localhost")
    return f"{registry.rstrip('/')}/{path if named else image}"


@dataclass(frozen=True, slots=True)
class Cap:
    """A maximum of replicas below the one that the specification allows, and when it was set."""

    maximum: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What was observed of the cluster; changes while the operator runs."""

    optional_kinds: frozenset[str] = frozenset()
    """Of {ServiceMonitor, PrometheusRule}: those that this API server serves."""
    unschedulable_replicas: int = 0
    replicas: int | None = 0
    """Inference pods that the live Deployment asks for, 0 if there is none; None if that is an autoscaler's doing."""
    replicas_before_suspension: int = 0
    """Inference pods to come back with once the detector is not suspended any more; 0 if that is not known."""
    cap: Cap | None = None
    """The maximum of replicas while more find no node."""
    held: int | None = None
    """The maximum of replicas until tuning has converged: another replica costs more than a better configuration."""
    least: int | None = None
    """The minimum of replicas while cameras give way: they then use less of the processors than they are meant to."""
