"""For each code what provokes it, and the nearest thing that must not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.unit.cli.worlds import World, ago, condition, prometheus

from edgedetector.api.observation import BatchCounters
from edgedetector.go2rtc.state import MediaState, StreamState

Change = Callable[[World], Any]


@dataclass(frozen=True)
class Pair:
    provoked: Change
    alike: Change
    also: frozenset[str] = frozenset()
    """Further codes that the same cause brings, each a different thing to know."""


def put(obj: Any, path: str, value: Any) -> None:
    *steps, last = path.split(".")
    for step in steps:
        obj = obj[int(step)] if step.isdecimal() else obj.setdefault(step, {})
    if value is None:
        obj.pop(last, None)
    else:
        obj[int(last) if last.isdecimal() else last] = value


def spec(**changes: Any) -> Change:
    """Change fields of the specification: `serving__maxQueueDelay` is spec.serving.maxQueueDelay."""

    def change(world: World) -> None:
        for path, value in changes.items():
            put(world.detector["spec"], path.replace("__", "."), value)

    return change


def profile(**changes: Any) -> Change:
    def change(world: World) -> None:
        for path, value in changes.items():
            put(world.profile, path.replace("__", "."), value)

    return change


def node(**changes: Any) -> Change:
    def change(world: World) -> None:
        for path, value in changes.items():
            put(world.nodes[0], path.replace("__", "."), value)

    return change


def all_of(*changes: Change) -> Change:
    def change(world: World) -> None:
        for one in changes:
            one(world)

    return change


def told(kind: str, reason: str, message: str = "said") -> Change:
    """The operator says so, of a part and of the whole."""
    return lambda world: world.stalled(kind, reason, message)


def noted(kind: str, reason: str, status: str = "False") -> Change:
    """The operator says so of a part that holds up nothing."""
    return lambda world: world.condition(kind, status, reason)


def cameras(count: int, **fields: Any) -> Change:
    def change(world: World) -> None:
        world.detector["spec"]["cameras"] = [
            {"name": f"c{number}", "url": f"rtsp://c{number}.cams.svc/main", "priority": 100 + number, **fields}
            for number in range(count)
        ]

    return change


def capped(reason: str, message: str) -> Change:
    return lambda world: world.waiting(reason, message)


def pod_event(reason: str, message: str, waited: float = 60) -> Change:
    def change(world: World) -> None:
        world.pods[0]["status"] = {
            "phase": "Pending",
            "conditions": [
                {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": ago(waited)},
            ],
        }
        about = {"kind": "Pod", "name": "yard-triton-1"}
        world.events.append({"metadata": {"name": "e"}, "involvedObject": about, "reason": reason, "message": message})

    return change


def replica_failure(status: str) -> Change:
    def change(world: World) -> None:
        world.children[0]["status"]["conditions"] = [
            {"type": "ReplicaFailure", "status": status, "message": "exceeded quota"}
        ]

    return change


def restarted(times: int) -> Change:
    def change(world: World) -> None:
        last = {"terminated": {"reason": "Error", "exitCode": 1}}
        world.pods[0]["status"]["containerStatuses"][0] |= {"restartCount": times, "lastState": last}

    return change


def streaming(bytes_received: int) -> Change:
    def change(world: World) -> None:
        world.media = [
            MediaState(3, "r", ready=True, streams=(StreamState("s1", "Live", bytes_received=count),))
            for count in (0, bytes_received)
        ]

    return change


def verified(reason: str, status: str = "False") -> Change:
    def change(world: World) -> None:
        assert world.profile is not None
        world.profile["status"]["conditions"][-1] = condition("Verified", status, reason, "driver 2; test again")

    return change


def annotated(value: str) -> Change:
    return lambda world: put(world.detector, "metadata.annotations", {"edgedetector.dev/tuning": value})


def node_condition(kind: str, status: str) -> Change:
    def change(world: World) -> None:
        for one in world.nodes[0]["status"]["conditions"]:
            if one["type"] == kind:
                one |= {"status": status, "message": "said"}

    return change


def selecting(**changes: Any) -> Change:
    def change(world: World) -> None:
        world.prometheuses = [prometheus()]
        for path, value in changes.items():
            put(world.prometheuses[0]["spec"], path.replace("__", "."), value)

    return change


def everything() -> dict[str, Any]:
    """A Prometheus that takes all."""
    fields = ("serviceMonitorSelector", "serviceMonitorNamespaceSelector", "ruleSelector", "ruleNamespaceSelector")
    return {"metadata": {"name": "all", "namespace": "other"}, "spec": {field: {} for field in fields}}


def batch(size: int, milliseconds: float) -> BatchCounters:
    return BatchCounters(size, 1000, 0, int(1000 * milliseconds * 1e6), 0)


def operators(*places: str, **changes: Any) -> Change:
    def change(world: World) -> None:
        usual = world.operators[0]
        world.operators = []
        for place in places:
            one = copy.deepcopy(usual)
            one["metadata"]["namespace"] = place
            for path, value in changes.items():
                put(one, path.replace("__", "."), value)
            world.operators.append(one)

    return change


def confined(*namespaces: str) -> Change:
    """Operators of some namespaces only."""

    def change(world: World) -> None:
        operators(*namespaces)(world)
        for one, name in zip(world.operators, namespaces, strict=True):
            variables = [{"name": "EDGEDETECTOR_NAMESPACES", "value": name}]
            put(one, "spec.template.spec.containers", [{"name": "operator", "env": variables}])

    return change


def generation(seen: int, changed: float) -> Change:
    def change(world: World) -> None:
        world.detector["status"]["observedGeneration"] = seen
        world.detector["metadata"]["managedFields"][0]["time"] = ago(changed)

    return change


def without_definition(name: str) -> Change:
    return lambda world: world.definitions.pop(name)


def older_definition(world: World) -> None:
    crd = world.definitions["edgedetectors.edgedetector.dev"] = copy.deepcopy(
        world.definitions["edgedetectors.edgedetector.dev"]
    )
    properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del properties["tuning"]


def newer_definition(world: World) -> None:
    crd = world.definitions["edgedetectors.edgedetector.dev"] = copy.deepcopy(
        world.definitions["edgedetectors.edgedetector.dev"]
    )
    properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties["tomorrow"] = {"type": "string"}


def nothing(_: World) -> None: ...


CPU = all_of(spec(acceleratorProfile="cpu"))
MQTT = {"url": "mqtt://broker.site.svc:1883", "credentialsSecretRef": {"name": "gate"}}
TAINT = [{"key": "dedicated", "value": "other", "effect": "NoSchedule"}]
CORDON = [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
HTTP_MODEL = {"http": {"url": "https://models.site.svc/people.plan", "sha256": "0" * 64}}

CASES: dict[str, Pair] = {
    # As it is written
    "ED0001": Pair(spec(serving__instances="two"), spec(serving__instances=2)),
    "ED0002": Pair(spec(servng={"instances": 2}), spec(nodeSelector={"any": "label"})),
    "ED0003": Pair(
        spec(scaling={"minReplicas": 3, "maxReplicas": 2}), spec(scaling={"minReplicas": 2, "maxReplicas": 2})
    ),
    "ED0004": Pair(
        spec(cameras__0__url="rtsp://gate.cams.svc/main?user=a&password=b"),
        spec(cameras__0__url="rtsp://gate.cams.svc/main?channel=1&password="),
    ),
    "ED0006": Pair(
        spec(models__0__source={"configMap": {"name": "m", "items": [{"key": "a", "path": "other.file"}]}}),
        spec(models__0__source={"configMap": {"name": "m", "items": [{"key": "a", "path": "people.engine"}]}}),
        frozenset({"ED0305"}),
    ),
    "ED0007": Pair(profile(spec__triton__sharedMemory="16Mi"), profile(spec__triton__sharedMemory="512Mi")),
    "ED0008": Pair(
        spec(serving__maxQueueDelay="5ms", tuning__objective__latency__max="9ms"), spec(serving__maxQueueDelay="5ms")
    ),
    "ED0009": Pair(
        all_of(spec(cameras__0__priority=100, cameras__1__priority=100)),
        all_of(spec(cameras__0__priority=100, cameras__1__priority=99)),
    ),
    "ED0010": Pair(
        all_of(
            cameras(120, substreamUrl="rtsp://c.cams.svc/sub", detectionStream="Main"),
            lambda w: setattr(w, "pods", w.pods[:1]),
        ),
        all_of(cameras(120, substreamUrl="rtsp://c.cams.svc/sub"), lambda w: setattr(w, "pods", w.pods[:1])),
    ),
    "ED0011": Pair(
        spec(outputs={"mqtt": MQTT}), spec(outputs={"mqtt": {**MQTT, "url": "mqtts://broker.site.svc:8883"}})
    ),
    "ED0012": Pair(
        all_of(cameras(2, url="rtsp://one.cams.svc/main")),
        all_of(cameras(2)),
    ),
    "ED0013": Pair(
        all_of(
            cameras(8, substreamUrl="rtsp://c.cams.svc/sub"), spec(models__0__maxBatchSize=1, serving={"instances": 2})
        ),
        all_of(
            cameras(7, substreamUrl="rtsp://c.cams.svc/sub"), spec(models__0__maxBatchSize=1, serving={"instances": 2})
        ),
    ),
    "ED0015": Pair(spec(cameras__0__priority=99), spec(cameras__0__priority=100)),
    "ED0016": Pair(cameras(8), cameras(8, substreamUrl="rtsp://c.cams.svc/sub")),
    "ED0017": Pair(spec(suspend=True), spec(suspend=False)),
    # Operator and definitions
    "ED0101": Pair(without_definition("acceleratorprofiles.edgedetector.dev"), newer_definition),
    "ED0102": Pair(older_definition, newer_definition),
    "ED0103": Pair(
        operators("edgedetector-system", status={"replicas": 1}),
        operators("edgedetector-system", status={"replicas": 1, "availableReplicas": 1, "updatedReplicas": 0}),
    ),
    "ED0104": Pair(
        lambda w: w.operators[0]["metadata"]["labels"].update({"app.kubernetes.io/version": "0.0.9"}),
        lambda w: w.operators[0]["metadata"]["labels"].pop("app.kubernetes.io/version"),
    ),
    "ED0105": Pair(operators("one", "two"), confined("one", "two")),
    "ED0106": Pair(generation(seen=2, changed=300), generation(seen=2, changed=10)),
    "ED0107": Pair(told("Ready", "ApplyFailed", "forbidden: exceeded quota"), told("Ready", "Retrying")),
    "ED0108": Pair(told("Ready", "NameTaken"), told("Ready", "ApplyFailed")),
    "ED0109": Pair(told("Ready", "InternalError"), told("Ready", "ApplyFailed")),
    "ED0110": Pair(told("Ready", "InvalidSpec", "spec.x: wrong"), told("Ready", "InvalidProfile")),
    # Accelerators
    "ED0201": Pair(spec(acceleratorProfile="ks21"), spec(acceleratorProfile="denglin-ks20")),
    "ED0202": Pair(profile(spec__triton__instanceKind="KIND_TPU"), profile(spec__triton__instanceKind="KIND_MODEL")),
    "ED0203": Pair(
        all_of(profile(spec__runtimeClassName="vendor")),
        all_of(profile(spec__runtimeClassName="vendor"), lambda w: w.runtime_classes.append("vendor")),
    ),
    "ED0204": Pair(
        lambda w: w.nodes[0]["status"]["allocatable"].update({"denglin.com/gpu": "0"}),
        lambda w: w.nodes.append({"metadata": {"name": "other"}, "status": {"allocatable": {"cpu": "4"}}}),
    ),
    "ED0205": Pair(told("ServerReady", "AcceleratorTaken"), noted("ServerReady", "RollingOut")),
    "ED0206": Pair(spec(nodeSelector={"zone": "yard"}), spec(nodeSelector={"kubernetes.io/hostname": "box"})),
    "ED0207": Pair(
        node(spec__taints=TAINT),
        all_of(node(spec__taints=TAINT), spec(tolerations=[{"key": "dedicated", "operator": "Exists"}])),
    ),
    "ED0208": Pair(
        lambda w: w.unscheduled("0/1 nodes are available: 1 Insufficient denglin.com/gpu."),
        lambda w: w.unscheduled("0/1 nodes are available: 1 Insufficient denglin.com/gpu.", since=20),
    ),
    "ED0209": Pair(verified("NeverVerified"), verified("Verified", "True")),
    "ED0210": Pair(verified("DriverChanged"), verified("NeverVerified")),
    "ED0211": Pair(told("ModelReady", "DeviceNotAccessible"), told("ModelReady", "ModelLoadFailed")),
    "ED0212": Pair(
        profile(status__exporters={"desired": 2, "ready": 1}), profile(status__exporters={"desired": 2, "ready": 2})
    ),
    # Pods
    "ED0301": Pair(capped("ImagePullBackOff", "Back-off pulling image"), capped("ContainerCreating", "")),
    "ED0302": Pair(
        lambda w: w.unscheduled("0/1 nodes are available: 1 Insufficient cpu."),
        lambda w: w.unscheduled("0/1 nodes are available: 1 Insufficient cpu.", since=20),
    ),
    "ED0303": Pair(lambda w: w.ended(1), restarted(1)),
    "ED0304": Pair(lambda w: w.ended(137, "OOMKilled"), lambda w: w.ended(137)),
    "ED0305": Pair(
        spec(models__0__source={"configMap": {"name": "gone"}}),
        all_of(
            spec(models__0__source={"configMap": {"name": "there"}}), lambda w: w.existing.add(("configmaps", "there"))
        ),
    ),
    "ED0306": Pair(lambda w: w.existing.remove(("persistentvolumeclaims", "models")), nothing),
    "ED0307": Pair(
        lambda w: w.unscheduled("pod has unbound immediate PersistentVolumeClaims"),
        lambda w: w.unscheduled("pod has unbound immediate PersistentVolumeClaims", since=5),
    ),
    "ED0308": Pair(
        pod_event("FailedMount", "MountVolume.SetUp failed: no such device"),
        pod_event("FailedMount", "MountVolume.SetUp failed: no such device", waited=2),
    ),
    "ED0309": Pair(lambda w: w.existing.remove(("secrets", "gate")), lambda w: w.existing.add(("secrets", "other"))),
    "ED0310": Pair(replica_failure("True"), replica_failure("False")),
    "ED0311": Pair(restarted(5), restarted(2)),
    "ED0312": Pair(
        pod_event("FailedCreatePodSandBox", "failed to set up network"), pod_event("Pulling", "pulling image")
    ),
    # Models
    "ED0401": Pair(
        told("ModelReady", "ModelLoadFailed", "model people: unable to find backend library"),
        told("ModelReady", "ModelLoadFailed", "model people: max_batch_size 64, engine only supports 32"),
    ),
    "ED0402": Pair(
        told("ModelReady", "ModelLoadFailed", "model people: max_batch_size 64, engine only supports 32"),
        told("ModelReady", "ModelLoadFailed", "model people: unable to find backend library"),
    ),
    "ED0403": Pair(told("ModelReady", "ModelFileMissing"), noted("ModelReady", "ModelLoading")),
    "ED0404": Pair(told("ModelReady", "ChecksumMismatch"), told("ModelReady", "ModelFetchFailed")),
    "ED0405": Pair(told("ModelReady", "ModelTooLarge"), told("ModelReady", "ModelFileMissing")),
    "ED0406": Pair(told("ModelReady", "ModelFetchFailed"), told("ModelReady", "ModelHostNotAllowed")),
    "ED0407": Pair(told("ModelReady", "ModelHostNotAllowed"), told("ModelReady", "ModelFetchFailed")),
    "ED0408": Pair(
        noted("ModelReady", "ServingConfigDiffers"),
        lambda w: w.condition("ModelReady", "False", "ServingConfigDiffers", since=30),
    ),
    "ED0409": Pair(lambda w: w.ended(135), lambda w: w.ended(134)),
    "ED0410": Pair(noted("SharedMemoryReady", "SharedMemoryUnavailable"), noted("SharedMemoryReady", "StateUnknown")),
    # Cameras and outputs
    "ED0501": Pair(
        lambda w: w.camera("gate", state="Unauthorized", detecting=False, message="401 Unauthorized"),
        lambda w: w.camera("gate", state="Connecting", detecting=False, since=ago(5)),
    ),
    "ED0502": Pair(
        lambda w: w.camera("gate", state="Failing", detecting=False, message="no route to host"),
        lambda w: w.camera("gate", state="Suspended", detecting=False, degraded="paused: 80 % busy"),
    ),
    "ED0503": Pair(
        lambda w: w.camera("gate", detecting=False), lambda w: w.camera("gate", detecting=False, since=ago(20))
    ),
    "ED0504": Pair(
        lambda w: w.camera("gate", state="Connecting", detecting=False),
        lambda w: w.camera("gate", state="Connecting", detecting=False, since=ago(20)),
    ),
    "ED0505": Pair(streaming(240_000_000), streaming(180_000_000)),
    "ED0506": Pair(noted("Degraded", "GivingWay", "True"), noted("Degraded", "Disabled")),
    "ED0507": Pair(noted("OutputsDelivered", "OutputFailing"), noted("OutputsDelivered", "Progressing")),
    # Figures
    "ED0601": Pair(lambda w: w.gauge(pcieWidth=1.0), lambda w: w.gauge(pcieWidth=4.0)),
    "ED0602": Pair(
        all_of(
            lambda w: put(w.detector, "status.serving.models.0.maxQueueDelay", "20ms"),
            lambda w: w.model(queue=10_000 * 15_000_000),
        ),
        lambda w: w.model(queue=10_000 * 15_000_000),
    ),
    "ED0603": Pair(lambda w: w.model(batches=(batch(1, 60),)), lambda w: w.model(batches=(batch(1, 9), batch(8, 60)))),
    "ED0604": Pair(
        lambda w: put(w.detector, "status.capacity.demand", "175"),
        lambda w: put(w.detector, "status.capacity.demand", "166"),
    ),
    "ED0605": Pair(
        lambda w: w.gauge(memoryUsed=7.9e9, memoryTotal=8e9), lambda w: w.gauge(memoryUsed=7.2e9, memoryTotal=8e9)
    ),
    "ED0606": Pair(lambda w: w.gauge(temperature=91.0), lambda w: w.gauge(temperature=84.0)),
    "ED0607": Pair(lambda w: w.model(skipped=2000), lambda w: w.model(skipped=900)),
    "ED0608": Pair(lambda w: w.model(failures=200), lambda w: w.model(failures=50)),
    # Tuning
    "ED0701": Pair(annotated("Frozen"), nothing),
    "ED0702": Pair(noted("TuningActive", "NotObserved"), noted("TuningActive", "AwaitingModels")),
    "ED0703": Pair(noted("TuningActive", "MemoryUnknown", "True"), noted("TuningActive", "Converged", "True")),
    "ED0704": Pair(noted("TuningActive", "TuningHindered"), noted("TuningActive", "Off")),
    "ED0705": Pair(noted("TuningActive", "RecordNotWritten"), noted("TuningActive", "Suspended")),
    "ED0706": Pair(annotated("frozen"), annotated("Frozen")),
    # Surroundings
    "ED0801": Pair(noted("ScalingReady", "MetricsUnavailable"), noted("ScalingReady", "Progressing")),
    "ED0802": Pair(noted("ScalingReady", "ScalingFailed"), noted("ScalingReady", "Progressing")),
    "ED0803": Pair(noted("ScalingReady", "ReplicasCapped"), noted("ScalingReady", "ScalingActive", "True")),
    "ED0807": Pair(noted("ScalingReady", "CustomMetricsUnavailable"), noted("ScalingReady", "MetricsUnavailable")),
    "ED0808": Pair(noted("ScalingReady", "FigureUnknown"), noted("ScalingReady", "ScalingActive", "True")),
    "ED0804": Pair(noted("MonitoringReady", "MonitoringNotInstalled"), noted("MonitoringReady", "Disabled", "True")),
    "ED0805": Pair(
        lambda w: w.children[-1]["metadata"]["labels"].pop("release"),
        all_of(
            lambda w: w.children[-1]["metadata"]["labels"].pop("release"), lambda w: w.prometheuses.append(everything())
        ),
    ),
    "ED0806": Pair(
        lambda w: w.prometheuses.clear(),
        all_of(lambda w: w.prometheuses.clear(), lambda w: setattr(w, "monitoring", None)),
    ),
    "ED0809": Pair(
        selecting(ruleNamespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "edgedetector-system"}}),
        selecting(
            ruleNamespaceSelector={
                "matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["edgedetector-system", "site"]}
                ]
            }
        ),
    ),
    "ED0810": Pair(
        lambda w: w.monitored[0]["metadata"]["labels"].pop("release"),
        lambda w: w.monitored[-1]["metadata"]["labels"].clear(),
    ),
    "ED0901": Pair(node_condition("DiskPressure", "True"), node_condition("DiskPressure", "Unknown")),
    "ED0902": Pair(node_condition("Ready", "Unknown"), node_condition("Ready", "True")),
    "ED0903": Pair(lambda w: w.leases.update(box=ago(-30)), lambda w: w.leases.update(box=ago(35))),
    "ED0904": Pair(
        lambda w: setattr(w, "clock", w.clock.replace(minute=5)),
        lambda w: setattr(w, "clock", w.clock.replace(second=30)),
    ),
    "ED0905": Pair(
        all_of(node(spec__unschedulable=True), node(spec__taints=CORDON)),
        lambda w: w.nodes.append({"metadata": {"name": "other"}, "spec": {"unschedulable": True}, "status": {}}),
    ),
}
