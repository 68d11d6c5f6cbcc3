"""A healthy fleet as plain objects, and an API server that answers with them: tests change what they need."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from edgedetector import profiles
from edgedetector.api import names
from edgedetector.api.dataplane import CameraState, DetectorState, ModelState
from edgedetector.api.observation import BatchCounters, ModelCounters, Observation
from edgedetector.api.trace import Trace
from edgedetector.api.wire import to_json
from edgedetector.cli.errors import AbsentError
from edgedetector.cli.gather import Wanted, gather
from edgedetector.cli.server import Place
from edgedetector.go2rtc.state import MediaState, StreamState

Json = dict[str, Any]

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]
GIB = 1 << 30
CARD = {"feature.node.kubernetes.io/pci-0b40_1e27.present": "true", "kubernetes.io/hostname": "box"}


SAMPLE = yaml.safe_load((ROOT / "manifests/samples/denglin-ks20.yaml").read_text())
SHIPPED = {obj["metadata"]["name"]: obj for obj in profiles.load()}


NAMESPACES = ("site", "monitoring", "edgedetector-system")


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str, reason: str, message: str = "", since: float = 3600) -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(since)}


def spec() -> Json:
    found = copy.deepcopy(SAMPLE["spec"])
    found["cameras"][0]["priority"] = 100
    found["cameras"][1]["priority"] = 10
    found["tuning"]["bounds"]["maxQueueDelay"] = "5ms"
    return found


def status() -> Json:
    fine = (
        ("Ready", "True", "Detecting", "2 cameras live and detecting"),
        ("Reconciling", "False", "Reconciled", ""),
        ("Stalled", "False", "AsExpected", ""),
        ("ServerReady", "True", "AsExpected", "the inference pods that the cameras need are up"),
        ("MediaReady", "True", "AsExpected", "the media server has the cameras of this generation"),
        ("ModelReady", "True", "ModelsLoaded", "people loaded"),
        ("StreamsReady", "True", "StreamsLive", "2 cameras live and detecting"),
        ("ScalingReady", "True", "ScalingActive", "the autoscaler reads the CPU use of the replicas"),
        ("MonitoringReady", "True", "MonitoringConfigured", "ServiceMonitor and PrometheusRule exist"),
        ("SharedMemoryReady", "True", "AsExpected", "frames reach Triton through memory"),
        ("OutputsDelivered", "True", "Disabled", ""),
        ("Degraded", "False", "AsExpected", "no camera gives up anything"),
        ("TuningActive", "True", "Converged", "nothing that is safe promises more at this load"),
        ("SpecServed", "True", "AsExpected", ""),
    )
    return {
        "observedGeneration": 3,
        "appliedGeneration": 3,
        "conditions": [condition(*one) for one in fine],
        "summary": {"replicas": "1/1", "streams": "2/2", "models": "people", "instances": "2", "batch": "2/4/8"},
        "replicas": {"desired": 1, "ready": 1, "unschedulable": 0},
        "serving": {
            "id": "abc",
            "reason": "Tuned",
            "message": "people: 1 -> 2 instances; kept",
            "since": ago(3600),
            "models": [
                {
                    "name": "people",
                    "instances": 2,
                    "preferredBatchSizes": [2, 4, 8],
                    "maxBatchSize": 32,
                    "maxQueueDelay": "1ms",
                }
            ],
        },
        "models": [{"name": "people", "state": "Ready", "since": ago(3600)}],
        "cameras": [
            {"name": "gate", "state": "Live", "detecting": True, "since": ago(3600), "replica": "yard-triton-1"},
            {"name": "dock", "state": "Live", "detecting": True, "since": ago(3600), "replica": "yard-triton-1"},
        ],
        "tuning": {
            "phase": "Converged",
            "message": "converged with people at 2 instances",
            "log": [
                {"time": ago(7200), "decision": "Begun", "message": "tuning begins with what spec.serving says"},
                {"time": ago(3600), "decision": "Kept", "message": "people: 1 -> 2 instances: kept"},
            ],
        },
        "capacity": {
            "framesPerSecond": "166",
            "demand": "10",
            "limit": "none",
            "message": "nothing limits",
            "since": ago(3600),
        },
    }


def detector() -> Json:
    metadata = {
        "name": "yard",
        "namespace": "site",
        "uid": "u-yard",
        "generation": 3,
        "creationTimestamp": ago(90000),
        "managedFields": [{"manager": "kubectl", "operation": "Apply", "time": ago(7200)}],
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "EdgeDetector",
        "metadata": metadata,
        "spec": spec(),
        "status": status(),
    }


def profile() -> Json:
    found = copy.deepcopy(SHIPPED["denglin-ks20"])
    found["metadata"] |= {"uid": "u-profile", "generation": 1}
    found["status"] = {
        "observedGeneration": 1,
        "conditions": [
            condition("Ready", "True", "AsExpected"),
            condition("Stalled", "False", "AsExpected"),
            condition("Verified", "True", "Verified", "seen on the card"),
        ],
        "exporters": {"desired": 1, "ready": 1},
    }
    return found


def pod(name: str, component: str, containers: tuple[str, ...], **resources: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "site",
            "uid": f"u-{name}",
            "creationTimestamp": ago(7200),
            "labels": {names.LABEL_DETECTOR: "yard", names.LABEL_COMPONENT: component},
        },
        "spec": {
            "nodeName": "box",
            "containers": [{"name": one, "resources": resources} for one in containers],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.5",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(7200)},
                {"type": "Ready", "status": "True", "lastTransitionTime": ago(7200)},
            ],
            "containerStatuses": [
                {
                    "name": one,
                    "image": f"example/{one}:1",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": ago(7200)}},
                }
                for one in containers
            ],
        },
    }


def node() -> Json:
    fine = [{"type": kind, "status": "False"} for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "box", "labels": dict(CARD)},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "8", "memory": "16Gi", "denglin.com/gpu": "1"},
            "conditions": [*fine, {"type": "Ready", "status": "True", "message": "kubelet is posting ready status"}],
        },
    }


def state() -> DetectorState:
    return DetectorState(
        generation=3,
        accepted_id="abc",
        models=(ModelState("people", "Ready", serving_id="abc", instances=2),),
        cameras=tuple(CameraState(name, "Live", detecting=True, since=ago(3600)) for name in ("gate", "dock")),
        transport="",
    )


def observation(**changes: Any) -> Observation:
    """Images of 8 ms each, in a queue for half a millisecond."""
    model = ModelCounters(
        name="people",
        serving_id="abc",
        images=10_000,
        executions=10_000,
        failures=0,
        queue=10_000 * 500_000,
        request=10_000 * 9_000_000,
        batches=(BatchCounters(1, 10_000, 10_000 * 500_000, 10_000 * 7_000_000, 10_000 * 500_000),),
        demand=10.0,
        offered=10_000,
        skipped=10,
        requests=10_000,
        exchange=10_000 * 9_500_000,
    )
    usual: Json = {
        "at": 1000.0,
        "epoch": "1",
        "models": (model,),
        "gauges": {
            "utilization": 0.4,
            "memoryUsed": 2.0 * GIB,
            "memoryTotal": 8.0 * GIB,
            "temperature": 60.0,
            "pcieWidth": 4.0,
        },
        "host_busy": 4000.0,
        "host_total": 8000.0,
        "transport": "SharedMemory",
    }
    return Observation(**(usual | changes))


def metrics(frames: float) -> str:
    """What is told of cameras that had so many frames: nine tenths inferred, a tenth skipped."""
    shares = {"read": 1.0, "inferred": 0.9, "skipped": 0.1, "failed": 0.0}
    lines = [
        f'edgedetector_camera_frames_total{{camera="{camera}",result="{result}"}} {frames * share}'
        for camera in ("gate", "dock")
        for result, share in shares.items()
    ]
    lines += [f'edgedetector_camera_target_frame_rate{{camera="{camera}"}} 5.0' for camera in ("gate", "dock")]
    return "\n".join(["# TYPE edgedetector_camera_frames counter", "process_open_fds 7", *lines, ""])


def operator() -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "edgedetector",
            "namespace": "edgedetector-system",
            "labels": {names.LABEL_NAME: names.OPERATOR, "app.kubernetes.io/version": "0.1.0"},
        },
        "spec": {"replicas": 1},
        "status": {"replicas": 1, "availableReplicas": 1},
    }


def definitions() -> dict[str, Json]:
    found = {}
    for file in (ROOT / "crds").glob("*.yaml"):
        obj = yaml.load(file.read_text(), yaml.CSafeLoader)
        obj["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        found[obj["metadata"]["name"]] = obj
    return found


DEFINITIONS = definitions()


def prometheus() -> Json:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": "k8s", "namespace": "monitoring"},
        "spec": {
            "serviceMonitorSelector": {"matchLabels": {"release": "kube-prometheus-stack"}},
            "serviceMonitorNamespaceSelector": {},
            "ruleSelector": {"matchLabels": {"release": "kube-prometheus-stack"}},
            "ruleNamespaceSelector": {},
        },
    }


def child(api_version: str, kind: str, name: str, **more: Any) -> Json:
    metadata = {"name": name, "namespace": "site", "labels": {names.LABEL_DETECTOR: "yard"}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def children() -> list[Json]:
    release = {"release": "kube-prometheus-stack", names.LABEL_DETECTOR: "yard"}
    found = [
        child("apps/v1", "Deployment", name, spec={"replicas": 1}, status={"availableReplicas": 1, "conditions": []})
        for name in ("yard-triton", "yard-media")
    ]
    for kind in ("ServiceMonitor", "PrometheusRule"):
        obj = child("monitoring.coreos.com/v1", kind, "yard")
        obj["metadata"]["labels"] = dict(release)
        found.append(obj)
    return found


def monitored() -> list[Json]:
    """What the chart and a profile's exporter have to be picked up, and something of somebody else."""
    place, release = {"namespace": "edgedetector-system"}, {"release": "kube-prometheus-stack"}
    chart = {"app.kubernetes.io/part-of": "edgedetector", **release}
    exporter = {names.LABEL_PROFILE: "denglin-ks20", **release}
    return [
        {"kind": "ServiceMonitor", "metadata": {"name": "edgedetector", **place, "labels": chart}},
        {"kind": "PrometheusRule", "metadata": {"name": "edgedetector", **place, "labels": dict(chart)}},
        {"kind": "ServiceMonitor", "metadata": {"name": "denglin-ks20-exporter", **place, "labels": exporter}},
        {"kind": "ServiceMonitor", "metadata": {"name": "another", **place, "labels": {"team": "other"}}},
    ]


def _of_kind(objects: list[Json], kind: str) -> list[Json]:
    return [one for one in objects if one["kind"] == kind]


@dataclass
class World:
    """A cluster in which all is well."""

    detector: Json = field(default_factory=detector)
    profile: Json | None = field(default_factory=profile)
    pods: list[Json] = field(
        default_factory=lambda: [
            pod("yard-triton-1", "triton", ("triton", "detector"), limits={"denglin.com/gpu": "1"}),
            pod("yard-media-1", "media", ("go2rtc", "config")),
        ]
    )
    children: list[Json] = field(default_factory=children)
    events: list[Json] = field(default_factory=list)
    nodes: list[Json] = field(default_factory=lambda: [node()])
    leases: dict[str, str] = field(default_factory=lambda: {"box": ago(4)})
    runtime_classes: list[str] = field(default_factory=lambda: ["denglin", "nvidia"])
    definitions: dict[str, Json] = field(default_factory=lambda: dict(DEFINITIONS))
    operators: list[Json] = field(default_factory=lambda: [operator()])
    monitoring: list[str] | None = field(default_factory=lambda: ["ServiceMonitor", "PrometheusRule", "Prometheus"])
    prometheuses: list[Json] = field(default_factory=lambda: [prometheus()])
    monitored: list[Json] = field(default_factory=monitored)
    """ServiceMonitors and PrometheusRules in the operator's namespace."""
    existing: set[tuple[str, str]] = field(
        default_factory=lambda: {("secrets", "gate"), ("secrets", "dock"), ("persistentvolumeclaims", "models")}
    )
    states: dict[str, DetectorState] = field(default_factory=lambda: {"yard-triton-1": state()})
    observations: dict[str, Observation] = field(default_factory=lambda: {"yard-triton-1": observation()})
    media: list[MediaState] = field(
        default_factory=lambda: [
            MediaState(3, "r", ready=True, streams=(StreamState("s1", "Live", bytes_received=count),))
            for count in (0, 1_000_000)
        ]
    )
    clock: datetime = NOW
    logs: dict[str, str] = field(default_factory=dict)
    """Container -> its log."""
    refused: dict[str, Exception] = field(default_factory=dict)
    """Path -> what is answered instead."""
    patches: list[tuple[str, Json]] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=lambda: {"yard-triton-1": metrics(1000)})
    later: Callable[[], None] = lambda: None
    """What happens while a command waits."""
    traces: dict[str, Trace] = field(default_factory=dict)
    """Pod -> the last trace of it."""
    url: str = "http://127.0.0.1:1"
    """What stands behind forwarded ports."""
    forwarded: list[tuple[str, str, int]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    # Changes that tests read like sentences

    def condition(self, kind: str, status: str, reason: str, message: str = "said", since: float = 3600) -> None:
        found = self.detector["status"]["conditions"]
        found[:] = [one for one in found if one["type"] != kind] + [condition(kind, status, reason, message, since)]

    def stalled(self, kind: str, reason: str, message: str = "said") -> None:
        for name in ("Ready", kind):
            self.condition(name, "False", reason, message)
        self.condition("Stalled", "True", reason, message)

    def waiting(self, reason: str, message: str = "", container: int = 0) -> None:
        one = self.pods[0]["status"]["containerStatuses"][container]
        one |= {"ready": False, "state": {"waiting": {"reason": reason, "message": message}}}

    def ended(self, exit_code: int, reason: str = "Error", message: str = "", restarts: int = 3) -> None:
        one = self.pods[0]["status"]["containerStatuses"][0]
        last = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}
        state_ = {"waiting": {"reason": "CrashLoopBackOff"}}
        one |= {"ready": False, "restartCount": restarts, "state": state_, "lastState": last}

    def unscheduled(self, message: str, since: float = 600) -> None:
        self.condition("ServerReady", "False", "RollingOut")
        one = self.pods[0]
        one["spec"].pop("nodeName")
        one["status"] = {
            "phase": "Pending",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": message,
                    "lastTransitionTime": ago(since),
                }
            ],
        }

    def camera(self, name: str, **changes: Any) -> None:
        for one in self.detector["status"]["cameras"]:
            if one["name"] == name:
                one.update(changes)

    def model(self, **changes: Any) -> None:
        seen = self.observations["yard-triton-1"]
        self.observations["yard-triton-1"] = replace(seen, models=(replace(seen.models[0], **changes),))

    def gauge(self, **changes: float) -> None:
        self.observations["yard-triton-1"].gauges.update(changes)

    # As an API server

    def snapshot(self, **wanted: Any) -> Any:
        usual = {"namespace": "site", "cluster": True, "pods": True, "seconds": 2.0}
        passed = [0.0]
        return gather(
            self, Wanted(**(usual | wanted)), now=self.clock, sleep=passed.append, clock=lambda: float(sum(passed))
        )

    def time(self) -> datetime:
        return NOW

    def get(self, path: str, *, head: bool = False, selector: str = "") -> Json:  # noqa: ARG002
        self.asked.append(path)
        if path in self.refused:
            raise self.refused[path]
        found = self._lists().get(path)
        if found is not None:
            return {"kind": "List", "items": found}
        if path == "/apis/monitoring.coreos.com/v1" and self.monitoring is not None:
            return {"resources": [{"name": kind.lower(), "kind": kind} for kind in self.monitoring]}
        last, _, name = path.rpartition("/")
        if last.endswith("customresourcedefinitions") and name in self.definitions:
            return self.definitions[name]
        plural = last.rpartition("/")[2]
        if plural in {"secrets", "configmaps", "persistentvolumeclaims"}:
            assert head, "contents of Secrets are nobody's business"
            if (plural, name) in self.existing:
                return {"metadata": {"name": name}}
        if path == f"/apis/{names.API_VERSION}/namespaces/site/edgedetectors/yard":
            return self.detector
        raise AbsentError(f"{path} not found")

    def _lists(self) -> dict[str, list[Json]]:
        group, monitoring = f"/apis/{names.API_VERSION}", "/apis/monitoring.coreos.com/v1"
        site, system = "/namespaces/site", "/namespaces/edgedetector-system"
        kinds = {
            "Deployment": "/apis/apps/v1/namespaces/site/deployments",
            "ConfigMap": "/api/v1/namespaces/site/configmaps",
            "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/site/horizontalpodautoscalers",
            "Job": "/apis/batch/v1/namespaces/site/jobs",
            "ServiceMonitor": f"{monitoring}{site}/servicemonitors",
            "PrometheusRule": f"{monitoring}{site}/prometheusrules",
        }
        return {
            f"{group}{site}/edgedetectors": [self.detector] if self.detector else [],
            f"{group}/edgedetectors": [self.detector] if self.detector else [],
            f"{group}/acceleratorprofiles": [self.profile] if self.profile else [],
            f"/api/v1{site}/pods": self.pods,
            f"/api/v1{site}/events": self.events,
            "/api/v1/pods": [],
            "/apis/apps/v1/deployments": self.operators,
            "/api/v1/nodes": self.nodes,
            "/api/v1/namespaces": [{"metadata": {"name": name, "labels": {}}} for name in NAMESPACES],
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases": [
                {"metadata": {"name": name}, "spec": {"renewTime": at}} for name, at in self.leases.items()
            ],
            "/apis/node.k8s.io/v1/runtimeclasses": [{"metadata": {"name": name}} for name in self.runtime_classes],
            f"{monitoring}/prometheuses": self.prometheuses,
            f"{monitoring}{system}/servicemonitors": _of_kind(self.monitored, "ServiceMonitor"),
            f"{monitoring}{system}/prometheusrules": _of_kind(self.monitored, "PrometheusRule"),
            **{path: _of_kind(self.children, kind) for kind, path in kinds.items()},
        }

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        self.asked.append(path)
        if path.endswith("/log"):
            return self.logs.get((query or {})["container"], "")
        if path in self.refused:
            raise self.refused[path]
        pod_, _, rest = path.removeprefix("/api/v1/namespaces/site/pods/").partition(":")
        if rest == "9090/proxy/state":
            return to_json(self.states[pod_])
        if rest == "9090/proxy/metrics":
            return self.metrics[pod_]
        if rest == "9090/proxy/trace":
            if pod_ not in self.traces:
                raise AbsentError(f"{path} not found")
            return to_json(self.traces[pod_])
        if rest == "9090/proxy/observation":
            return to_json(self.observations[pod_])
        if rest == "1984/proxy/state":
            return to_json(self.media.pop(0) if len(self.media) > 1 else self.media[0])
        raise AssertionError(path)

    @contextmanager
    def forward(self, _place: Place, namespace: str, pod_: str, port: int) -> Iterator[str]:
        """As `cli.pods.forward`."""
        self.forwarded.append((namespace, pod_, port))
        yield self.url

    def patch(self, path: str, body: Json) -> Json:
        self.patches.append((path, json.loads(json.dumps(body))))
        annotations = self.detector["metadata"].setdefault("annotations", {})
        for key, value in body["metadata"]["annotations"].items():
            annotations[key] = value
        return self.detector
