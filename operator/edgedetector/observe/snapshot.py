"""What one pass saw of a detector's children: one frozen value, from which status is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgedetector.api.dataplane import DetectorState
from edgedetector.go2rtc.state import MediaState
from edgedetector.plan.settings import Cap


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pod does not run, in the scheduler's or the kubelet's words.

    The message holds nothing that changes while the problem stays the same: no back-off times, no pod names.
    """

    reason: str
    message: str
    lacking: tuple[str, ...] = ()
    """Extended resources of which the scheduler finds no free one."""


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a detector."""

    name: str
    uid: str
    component: str
    node: str = ""
    ip: str = ""
    ready: bool = False
    leaving: bool = False
    ready_since: str = ""
    """RFC 3339, UTC; empty while the pod is not ready."""
    unschedulable_since: str = ""
    """RFC 3339, UTC; empty while the pod has a node."""
    problem: Problem | None = None
    running: frozenset[str] = frozenset()
    """Names of the containers that run."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or DaemonSet as its controller reports it."""

    name: str
    current: bool
    """The controller has seen the present generation."""
    desired: int
    updated: int
    available: int
    total: int = 0
    """Pods of any generation that nobody has deleted yet."""
    failure: str = ""
    """Why no pods can be made at all (quota, Pod Security admission), in the controller's words."""

    @property
    def rolled_out(self) -> bool:
        """Whether every desired pod is of the present generation and available, and no older one is left."""
        complete = self.updated >= self.desired and self.available >= self.desired
        return self.uniform and complete

    @property
    def uniform(self) -> bool:
        """Whether all pods are of the present generation."""
        return self.current and self.total <= self.updated

    @property
    def serves(self) -> bool:
        """Whether all pods are of the present generation and one of them at least is available."""
        return self.uniform and self.available > 0


@dataclass(frozen=True, slots=True)
class ScalerCondition:
    """A condition of the HorizontalPodAutoscaler: status is True, False or Unknown."""

    status: str
    reason: str
    message: str
    since: str = ""
    """RFC 3339, UTC, of the last change of `status`."""


@dataclass(frozen=True, slots=True)
class Scaler:
    """A HorizontalPodAutoscaler as its controller reports it."""

    conditions: Mapping[str, ScalerCondition] = field(default_factory=dict)
    maximum: int | None = None
    """Replicas that it may go up to: fewer than the specification says where more find no place."""
    cap: Cap | None = None
    """What the maximum was lowered to, and when."""
    unread: tuple[str, ...] = ()
    """Figures of `custom.metrics.k8s.io` or `external.metrics.k8s.io` that it asked for and did not get, by name."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Children, pods and what the pods say of themselves, at one moment."""

    workloads: Mapping[str, Workload] = field(default_factory=dict)
    """By name of the Deployment."""
    scaler: Scaler | None = None
    pods: tuple[PodView, ...] = ()
    states: Mapping[str, DetectorState] = field(default_factory=dict)
    """Answers of /state by pod name; a pod that did not answer is absent."""
    media: MediaState | None = None
    served: frozenset[str] = frozenset()
    """Optional kinds that the API server serves."""
    documents: Mapping[str, str] = field(default_factory=dict)
    """Of the ConfigMaps that the pods read, those of the last plan: key -> JSON text."""
    holders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Resource that a pod waits for -> other EdgeDetectors that hold some of it, namespace/name, sorted."""

    def of(self, component: str) -> tuple[PodView, ...]:
        """Return the pods of a component that nobody has deleted."""
        return tuple(pod for pod in self.pods if pod.component == component and not pod.leaving)
