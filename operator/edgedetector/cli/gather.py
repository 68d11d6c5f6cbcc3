"""One look at the cluster: all reads of a command, side by side, into one `Snapshot`.

Only the EdgeDetectors themselves have to be read. Whatever else is refused or silent becomes a `Gap`, and the rest
shows. Secrets are asked for their metadata alone: what they hold never comes here.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from edgedetector.api import names
from edgedetector.api.dataplane import DetectorState
from edgedetector.api.observation import Observation
from edgedetector.api.trace import Trace
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.cli.errors import AbsentError, CommandError
from edgedetector.cli.references import named
from edgedetector.cli.server import Json, Server
from edgedetector.cli.snapshot import Cluster, Gap, Object, Snapshot, Subject, Traffic
from edgedetector.go2rtc.state import MediaState

T = TypeVar("T")

PARALLEL: Final = 8
"""Requests under way at once."""
DETECTORS: Final = f"/apis/{names.API_VERSION}"
CHILDREN: Final = (
    ("apps/v1", "Deployment", "deployments"),
    ("v1", "ConfigMap", "configmaps"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ("batch/v1", "Job", "jobs"),
    ("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors"),
    ("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules"),
)
MONITORS: Final = CHILDREN[-2:]
NOTHING: Final[tuple[Object, ...]] = ()
NO_NAMES: Final[frozenset[str]] = frozenset()
PLURALS: Final = {"ConfigMap": "configmaps", "PersistentVolumeClaim": "persistentvolumeclaims", "Secret": "secrets"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be looked at."""

    namespace: str | None
    """None: all."""
    name: str = ""
    """Empty: every EdgeDetector there."""
    cluster: bool = False
    """What is around them, too."""
    pods: bool = False
    """What pods say of themselves."""
    metrics: bool = False
    """What inference pods tell Prometheus."""
    traces: bool = False
    """The last trace of each inference pod."""
    seconds: float = 0.0
    """Over which the cameras' bytes are measured; 0: they are not."""


def collection(api_version: str, plural: str, namespace: str | None = None, name: str = "") -> str:
    """Return the path of a collection or, with a name, of an object."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{place}/{plural}" + (f"/{name}" if name else "")


def proxied(namespace: str, pod: str, port: int, path: str) -> str:
    """Return the path under which the API server hands a request on to a pod."""
    return f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}"


def gather(
    server: Server,
    wanted: Wanted,
    *,
    now: datetime | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Snapshot:
    """Look once.

    Raises
    ------
    CommandError
        If the EdgeDetectors cannot be read.
    """
    return _Look(server, wanted, sleep, clock).taken(now or datetime.now(UTC))


class _Look:
    def __init__(
        self, server: Server, wanted: Wanted, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._server = server
        self._wanted = wanted
        self._sleep = sleep
        self._clock = clock
        self._gaps: dict[str, Gap] = {}
        self._lock = threading.Lock()

    def taken(self, now: datetime) -> Snapshot:
        found = detectors(self._server, self._wanted.namespace, self._wanted.name)
        before = self._server.time()
        with ThreadPoolExecutor(PARALLEL) as pool:
            around = pool.submit(self._cluster)
            subjects = tuple(pool.map(self._subject, found))
            cluster = replace(around.result(), server_time=before)
        known = cluster.profiles or {}
        subjects = tuple(replace(one, profile=known.get(str(one.spec.get("acceleratorProfile")))) for one in subjects)
        gaps = tuple(self._gaps[what] for what in sorted(self._gaps))
        return Snapshot(at=now, subjects=subjects, cluster=cluster, gaps=gaps, namespace=self._wanted.namespace or "")

    def _try(self, what: str, read: Callable[[], T], absent: T | None = None) -> T | None:
        """Return what is read; None, and a gap, if it cannot be."""
        try:
            return read()
        except AbsentError:
            return absent
        except (CommandError, InvalidDocumentError) as error:
            with self._lock:
                self._gaps[what] = Gap(what, str(error))
            return None

    def _list(
        self, api_version: str, plural: str, namespace: str | None = None, selector: str = ""
    ) -> tuple[Object, ...]:
        answer = self._server.get(collection(api_version, plural, namespace), selector=selector)
        kind = str(answer.get("kind", "")).removesuffix("List")
        return tuple({"apiVersion": api_version, "kind": kind, **item} for item in answer.get("items") or ())

    # One EdgeDetector

    def _subject(self, obj: Object) -> Subject:
        blank = Subject(obj)
        space, selector = blank.namespace, f"{names.LABEL_DETECTOR}={blank.name}"
        pods = self._try(f"pods of {space}", lambda: self._list("v1", "pods", space, selector), NOTHING)
        blank = replace(blank, pods=pods or ())
        if self._wanted.cluster:
            blank = replace(blank, children=tuple(self._children(space, selector)), existing=self._existing(blank))
            blank = replace(blank, events=self._events(blank))
        return self._asked(blank) if self._wanted.pods else blank

    def _children(self, space: str, selector: str) -> Iterator[Object]:
        for version, kind, plural in CHILDREN:
            what = f"{kind}s of {space}"

            def read(version: str = version, plural: str = plural) -> tuple[Object, ...]:
                return self._list(version, plural, space, selector)

            yield from ({**obj, "kind": kind} for obj in self._try(what, read, NOTHING) or ())

    def _events(self, subject: Subject) -> tuple[Object, ...]:
        found = self._try(
            f"Events of {subject.namespace}", lambda: self._list("v1", "events", subject.namespace), NOTHING
        )
        own = {subject.name, *(obj["metadata"]["name"] for obj in (*subject.children, *subject.pods))}
        return tuple(event for event in found or () if (event.get("involvedObject") or {}).get("name") in own)

    def _existing(self, subject: Subject) -> Mapping[tuple[str, str], bool]:
        found: dict[tuple[str, str], bool] = {}
        for kind, name in sorted(named(subject.spec)):
            path = collection("v1", PLURALS[kind], subject.namespace, name)

            def there(path: str = path) -> bool:
                return bool(self._server.get(path, head=True))

            known = self._try(f"{kind}s of {subject.namespace}", there, absent=False)
            if known is not None:
                found[kind, name] = known
        return found

    def _asked(self, subject: Subject) -> Subject:
        states: dict[str, DetectorState] = {}
        observations: dict[str, Observation] = {}
        traces: dict[str, Trace] = {}
        metrics: dict[str, str] = {}
        for pod in subject.of(names.COMPONENT_TRITON):
            if (state := self._document(pod, names.PORT_DETECTOR, "state", DetectorState)) is not None:
                states[pod["metadata"]["name"]] = state
                observed = self._document(pod, names.PORT_DETECTOR, "observation", Observation)
                observations |= {pod["metadata"]["name"]: observed} if observed is not None else {}
            if self._wanted.metrics and (exposition := self._exposition(pod)) is not None:
                metrics[pod["metadata"]["name"]] = exposition
            if self._wanted.traces and (traced := self._document(pod, names.PORT_DETECTOR, "trace", Trace)) is not None:
                traces[pod["metadata"]["name"]] = traced
        first, began = self._media(subject), self._clock()
        asked = replace(subject, states=states, observations=observations, metrics=metrics, traces=traces, media=first)
        if first is None or not self._wanted.seconds:
            return asked
        self._sleep(self._wanted.seconds)
        last = self._media(subject)
        return replace(asked, traffic=traffic(first, last, self._clock() - began)) if last is not None else asked

    def _media(self, subject: Subject) -> MediaState | None:
        pods = subject.of(names.COMPONENT_MEDIA)
        said = (self._document(pod, names.PORT_GO2RTC_API, "state", MediaState) for pod in pods)
        return next((one for one in said if one is not None), None)

    def _exposition(self, pod: Object) -> str | None:
        metadata = pod["metadata"]
        if (pod.get("status") or {}).get("phase") != "Running":
            return None
        where = proxied(metadata["namespace"], metadata["name"], names.PORT_DETECTOR, "metrics")
        return self._try(f"metrics of pod {metadata['name']}", lambda: self._server.text(where))

    def _document(self, pod: Object, port: int, path: str, kind: type[T]) -> T | None:
        metadata = pod["metadata"]
        if (pod.get("status") or {}).get("phase") != "Running":
            return None
        where = proxied(metadata["namespace"], metadata["name"], port, path)
        return self._try(f"{path} of pod {metadata['name']}", lambda: from_json(kind, self._server.text(where)))

    # What is around

    def _cluster(self) -> Cluster:
        profiles = self._try("AcceleratorProfiles", lambda: self._list(names.API_VERSION, "acceleratorprofiles"))
        by_name = {obj["metadata"]["name"]: obj for obj in profiles} if profiles is not None else None
        operators = self._try(
            "Deployments of the operator",
            lambda: self._list("apps/v1", "deployments", selector=f"{names.LABEL_NAME}={names.OPERATOR}"),
        )
        if not self._wanted.cluster:
            return Cluster(profiles=by_name, operators=operators)
        return Cluster(
            profiles=by_name,
            operators=operators,
            nodes=self._try("nodes", lambda: self._list("v1", "nodes")),
            leases=self._try("leases of nodes", self._leases),
            runtime_classes=self._try("RuntimeClasses", lambda: self._names("node.k8s.io/v1", "runtimeclasses")),
            definitions=self._try("CustomResourceDefinitions", self._definitions),
            monitoring=self._try("monitoring.coreos.com", self._monitoring, NO_NAMES),
            prometheuses=self._try(
                "Prometheuses", lambda: self._list("monitoring.coreos.com/v1", "prometheuses"), NOTHING
            ),
            monitored=tuple(self._monitored(operators or ())),
            namespaces=self._try("namespaces", self._namespaces),
        )

    def _monitored(self, operators: Iterable[Object]) -> Iterator[Object]:
        """Yield what is to be picked up beside the EdgeDetectors' own: the chart's objects and the exporters'."""
        for space in sorted({one["metadata"]["namespace"] for one in operators}):
            for version, kind, plural in MONITORS:

                def read(version: str = version, plural: str = plural, space: str = space) -> tuple[Object, ...]:
                    return self._list(version, plural, space)

                found = self._try(f"{kind}s of {space}", read, NOTHING) or ()
                yield from ({**obj, "kind": kind} for obj in found if _of_operator(obj))

    def _names(self, api_version: str, plural: str) -> frozenset[str]:
        return frozenset(obj["metadata"]["name"] for obj in self._list(api_version, plural))

    def _namespaces(self) -> dict[str, Mapping[str, str]]:
        found = self._list("v1", "namespaces")
        return {obj["metadata"]["name"]: obj["metadata"].get("labels") or {} for obj in found}

    def _leases(self) -> dict[str, str]:
        found = self._list("coordination.k8s.io/v1", "leases", "kube-node-lease")
        return {obj["metadata"]["name"]: (obj.get("spec") or {}).get("renewTime", "") for obj in found}

    def _definitions(self) -> dict[str, Object]:
        found: dict[str, Object] = {}
        for plural in ("edgedetectors", "acceleratorprofiles"):
            name = f"{plural}.{names.GROUP}"
            path = collection("apiextensions.k8s.io/v1", "customresourcedefinitions", name=name)
            try:
                found[name] = self._server.get(path)
            except AbsentError:
                continue
        return found

    def _monitoring(self) -> frozenset[str]:
        answer = self._server.get("/apis/monitoring.coreos.com/v1")
        return frozenset(item["kind"] for item in answer.get("resources") or () if "/" not in item["name"])


def _of_operator(obj: Object) -> bool:
    """Tell whether a monitor or rule is the chart's or an exporter's: others may share the namespace."""
    labels = obj["metadata"].get("labels") or {}
    return labels.get(names.LABEL_PART_OF) == names.PART_OF or names.LABEL_PROFILE in labels


def detectors(server: Server, namespace: str | None, name: str = "") -> tuple[Object, ...]:
    """Return the EdgeDetectors that are meant.

    Raises
    ------
    CommandError
        If they cannot be read; AbsentError with the names that there are, if there is none of this name.
    """
    head = {"apiVersion": names.API_VERSION, "kind": "EdgeDetector"}
    try:
        answer = server.get(collection(names.API_VERSION, "edgedetectors", namespace))
    except AbsentError:
        raise AbsentError(
            "this cluster has no EdgeDetectors: their definition is not installed",
            "helm install edgedetector charts/edgedetector --namespace edgedetector-system --create-namespace",
        ) from None
    found: tuple[Json, ...] = tuple({**head, **item} for item in answer.get("items") or ())
    chosen = tuple(obj for obj in found if not name or obj["metadata"]["name"] == name)
    if name and not chosen:
        raise _no_such(name, namespace, found)
    return chosen


def _no_such(name: str, namespace: str | None, found: Iterable[Object]) -> AbsentError:
    there = sorted({str(obj["metadata"]["name"]) for obj in found})
    where = f"namespace {namespace}" if namespace else "any namespace"
    known = ", ".join(itertools.islice(there, 5))
    return AbsentError(
        f"there is no EdgeDetector {name} in {where}",
        f"there is: {known}" if known else "name another one with -n, or look everywhere with -A",
    )


def traffic(first: MediaState, last: MediaState, seconds: float) -> Traffic:
    """Return what came in between two looks; a stream whose counter began anew is left out."""
    before = {stream.stream: stream.bytes_received for stream in first.streams}
    rates: dict[str, float] = {
        stream.stream: (stream.bytes_received - before[stream.stream]) / max(seconds, 0.001)
        for stream in last.streams
        if stream.bytes_received >= before.get(stream.stream, stream.bytes_received + 1)
    }
    return Traffic(seconds, rates)
