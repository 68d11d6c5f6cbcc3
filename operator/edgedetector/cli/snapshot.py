"""What was seen of EdgeDetectors and of the cluster around them, at one moment: one frozen value.

All that is told, diagnosed and packed is a function of it, and everything in it can be missing: who may not read nodes
still learns what the rest says. What could not be read is no absence but a `Gap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from edgedetector.api import names
from edgedetector.api.dataplane import DetectorState
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.observation import Observation
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.trace import Trace
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.go2rtc.state import MediaState

T = TypeVar("T")

Object = Mapping[str, Any]
Reference = tuple[str, str]
"""Kind and name of an object in the detector's namespace."""

_EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be looked at."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes a second that the media server receives, by stream, measured over `seconds`."""

    seconds: float
    streams: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Bytes a second of all streams."""
        return sum(self.streams.values())


@dataclass(frozen=True, slots=True)
class Subject:
    """One EdgeDetector and all that is its."""

    obj: Object
    profile: Object | None = None
    """Its AcceleratorProfile; None: there is none, or it could not be read (`Cluster.profiles` says which)."""
    children: tuple[Object, ...] = ()
    pods: tuple[Object, ...] = ()
    events: tuple[Object, ...] = ()
    """Those about it, its children and its pods."""
    states: Mapping[str, DetectorState] = field(default_factory=dict)
    """Pod -> what its detector container answers."""
    observations: Mapping[str, Observation] = field(default_factory=dict)
    """Pod -> its counters."""
    metrics: Mapping[str, str] = field(default_factory=dict)
    """Pod -> what its detector container tells Prometheus, as text."""
    traces: Mapping[str, Trace] = field(default_factory=dict)
    """Pod -> the last trace of its requests."""
    media: MediaState | None = None
    traffic: Traffic | None = None
    existing: Mapping[Reference, bool] = field(default_factory=dict)
    """What the specification names -> whether it is there; absent: not known."""

    @property
    def name(self) -> str:
        """Name of the EdgeDetector."""
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.obj["metadata"].get("namespace", "default"))

    @property
    def spec(self) -> Object:
        """`.spec` as it is written."""
        return self.obj.get("spec") or _EMPTY

    @property
    def status(self) -> Object:
        """`.status`, empty if there is none yet."""
        return self.obj.get("status") or _EMPTY

    def parsed(self) -> EdgeDetector | None:
        """Return its typed value, None if the specification is wrong."""
        try:
            return EdgeDetector.parse(self.obj)
        except (InvalidSpecError, KeyError, TypeError, AttributeError):
            return None

    def profile_parsed(self) -> AcceleratorProfile | None:
        """Return the typed value of its profile, None if there is none or it is wrong."""
        try:
            return AcceleratorProfile.parse(self.profile) if self.profile is not None else None
        except (InvalidSpecError, KeyError, TypeError, AttributeError):
            return None

    def condition(self, kind: str) -> Object:
        """Return a condition, empty if it was never told."""
        return condition(self.obj, kind)

    def of(self, component: str) -> Iterator[Object]:
        """Yield the pods of a component that nobody has deleted."""
        for pod in self.pods:
            labels = pod["metadata"].get("labels") or {}
            if labels.get(names.LABEL_COMPONENT) == component and "deletionTimestamp" not in pod["metadata"]:
                yield pod

    def child(self, kind: str, name: str) -> Object | None:
        """Return a child, None if it is not there or was not read."""
        return next((obj for obj in self.children if obj["kind"] == kind and obj["metadata"]["name"] == name), None)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is around EdgeDetectors. None: not looked at, or not allowed."""

    profiles: Mapping[str, Object] | None = None
    nodes: tuple[Object, ...] | None = None
    leases: Mapping[str, str] | None = None
    """Node -> when its kubelet last renewed its lease, by the node's own clock (RFC 3339)."""
    runtime_classes: frozenset[str] | None = None
    definitions: Mapping[str, Object] | None = None
    """Our CustomResourceDefinitions by name."""
    operators: tuple[Object, ...] | None = None
    """Deployments of the operator, in any namespace."""
    monitoring: frozenset[str] | None = None
    """Kinds of monitoring.coreos.com/v1 that are served."""
    prometheuses: tuple[Object, ...] | None = None
    """Objects of kind Prometheus."""
    monitored: tuple[Object, ...] | None = None
    """ServiceMonitors and PrometheusRules in the operator's namespace: of the chart, and of exporters."""
    namespaces: Mapping[str, Mapping[str, str]] | None = None
    """Namespace -> its labels."""
    server_time: datetime | None = None
    """By the API server's clock, when `Snapshot.at` was by ours."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything, at one moment."""

    at: datetime
    """By the clock of whoever looks, UTC."""
    subjects: tuple[Subject, ...] = ()
    cluster: Cluster = field(default_factory=Cluster)
    gaps: tuple[Gap, ...] = ()
    live: bool = True
    """False: of files, before anything is applied."""
    namespace: str = ""
    """Where EdgeDetectors were looked for; empty: in all namespaces, or in files."""

    @property
    def now(self) -> datetime:
        """The time by the API server's clock, which objects' times are of."""
        return self.cluster.server_time or self.at


def condition(obj: Object, kind: str) -> Object:
    """Return a condition of an object, empty if it has none of this type."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return cast("Object", next((item for item in found if item.get("type") == kind), _EMPTY))


def age(snapshot: Snapshot, text: str) -> float | None:
    """Return the seconds since a time of an object, None if it has none that can be read."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return (snapshot.now - time).total_seconds() if time.tzinfo is not None else None


def document_of(children: Iterable[Object], name: str, key: str, kind: type[T]) -> T | None:
    """Return a document of a ConfigMap among the children, None if it is not there or cannot be read."""
    for obj in children:
        if obj["kind"] == "ConfigMap" and obj["metadata"]["name"] == name:
            text: Any = (obj.get("data") or {}).get(key, "")
            try:
                return from_json(kind, text)
            except InvalidDocumentError:
                return None
    return None
