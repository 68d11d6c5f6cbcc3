"""What admission cannot see: each thing that can be wrong is said with its remedy, touches nobody else, and heals.

All faults are there at once, a detector each, and are mended at once: what takes a minute by itself takes a minute for
all. Nothing is mended by touching an EdgeDetector. Model files that are fetched are those of test_models.
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from bench.reconcile import rig
from tests import apiserver as bare
from tests.e2e.node.localnode.settings import DEVICE, DEVICE_GROUP

import api
import cluster as driver
import demo as demo_driver
import frames
import sites
from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.cluster import kinds
from harness import Kubectl, poll

Object = dict[str, Any]

NAMESPACE = "conditions"
ADMIN = "conditions-admin"  # without Pod Security: only an administrator brings files to a node
ABSENT, SHARED = "example.com/absent", "example.com/shared"
METRICS = "v1beta1.metrics.k8s.io"

TOLD_SECONDS = 240.0  # a dozen Tritons start at once on two cores
FEW = 4
HEALED_SECONDS = 300.0  # the kubelet looks at a Secret or ConfigMap every 80 s, and at a missing one every 2 min
DIRECTORY = f"{driver.state_directory()}/{driver.NAME}/conditions-models"

OPENS_DEVICE = f"""
    def initialize(self, arguments):
        with open({DEVICE!r}, "rb"):
            pass
"""


@dataclass(frozen=True)
class Fault:
    """Something wrong with one detector, and how it is mended."""

    detector: Object
    condition: str
    reason: str
    words: tuple[str, ...]
    """Of the message: the cause, and what helps."""
    mend: Callable[[], None]
    beside: tuple[Object, ...] = ()
    """What is applied with the detector."""
    gating: bool = True
    """Whether it keeps detections from flowing."""
    healed: tuple[str, ...] = field(default=(c.READY,))
    """Conditions that hold afterwards."""

    @property
    def name(self) -> str:
        return str(self.detector["metadata"]["name"])


def profile(name: str, **changes: Any) -> Object:
    """A copy of the profile `cpu` with other fields of `spec` and `spec.triton`."""
    spec = copy.deepcopy((api.get(kinds.ACCELERATOR_PROFILE, "", "cpu") or {})["spec"])
    triton = changes.pop("triton", {})
    spec |= {**changes, "triton": spec["triton"] | triton}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorProfile",
        "metadata": {"name": f"{NAMESPACE}-{name}"},
        "spec": spec,
    }


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def detector(
    name: str, *cameras: Object, source: Object | None = None, own_profile: bool = False, **spec: Any
) -> Object:
    """A detector, by default without cameras: then it is Ready when its model is loaded."""
    obj = sites.detector(name, *cameras, profile=f"{NAMESPACE}-{name}" if own_profile else "cpu", **spec)
    # A dozen of them beside the demo, which asks for most of two cores.
    obj["spec"]["resources"] = {key: {"requests": {"cpu": "1m"}} for key in ("triton", "detector", "media")}
    if source is not None:
        obj["spec"]["models"][0]["source"] = source
    return obj


def apply(*objects: Object) -> None:
    """Server-side apply, without a process an object: there are dozens."""
    for obj in objects:
        query = [("fieldManager", NAMESPACE), ("force", "true")]
        api.request("PATCH", _path(obj), obj, "application/apply-patch+yaml", query)


def _path(obj: Object) -> str:
    others = {
        "Secret": kinds.Kind("v1", "Secret", "secrets"),
        "PersistentVolumeClaim": kinds.Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        "PersistentVolume": kinds.Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False),
    }
    kind = others.get(obj["kind"]) or kinds.of(obj["apiVersion"], obj["kind"])
    return kind.path(NAMESPACE, obj["metadata"]["name"])


def edit(name: str, spec: Object) -> Callable[[], None]:
    """Return what changes fields of a profile of ours."""
    return lambda: void(api.patch(kinds.ACCELERATOR_PROFILE, "", f"{NAMESPACE}-{name}", {"spec": spec}))


def void(_: Any) -> None:
    """Drop a value."""


def capacity(**wanted: str | None) -> None:
    """Give the node extended resources; None takes one away."""
    node = api.request("GET", "/api/v1/nodes")["items"][0]["metadata"]["name"]
    status = {"capacity": wanted, "allocatable": wanted}
    api.request("PATCH", f"/api/v1/nodes/{node}/status", {"status": status}, api.MERGE)


def metrics_api(service: str) -> None:
    """Say which Service answers for the metrics of pods."""
    body = {"spec": {"service": {"name": service, "namespace": "kube-system", "port": 443}}}
    api.request("PATCH", f"/apis/apiregistration.k8s.io/v1/apiservices/{METRICS}", body, api.MERGE)


# ---- the faults ------------------------------------------------------------------------------------------------------


def missing_profile() -> Fault:
    return Fault(
        detector("no-profile", own_profile=True),
        c.READY,
        c.REASON_PROFILE_NOT_FOUND,
        ("spec.acceleratorProfile", "conditions-no-profile", "create it or correct the name"),
        lambda: apply(profile("no-profile")),
    )


def missing_secrets() -> Fault:
    url = "rtsp://camera.demo:8554/vtest"
    cameras = (
        {"name": "gate", "url": url},
        {"name": "dock", "url": url, "credentialsSecretRef": {"name": "dock"}},
        {"name": "yard", "url": url, "credentialsSecretRef": {"name": "yard"}},
    )
    whole = {"username": "somebody", "password": "canary-password"}
    return Fault(
        detector("no-secret", *cameras),
        c.STREAMS_READY,
        c.REASON_SECRET_MISSING,
        ("2 of 3 cameras", "dock: Secret dock does not exist", "yard: Secret yard has no key password", "create it"),
        lambda: apply(sites.secret("dock", **whole), sites.secret("yard", **whole)),
        beside=(sites.secret("yard", username="somebody"),),
        healed=(c.READY, c.STREAMS_READY),
    )


def missing_claim() -> Fault:
    def mend() -> None:
        claim = {"accessModes": ["ReadOnlyMany"], "storageClassName": "", "resources": {"requests": {"storage": "1M"}}}
        apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "models"},
                "spec": claim | {"volumeName": NAMESPACE},
            }
        )
        told("no-claim", c.SERVER_READY, c.REASON_VOLUME_CLAIM_UNBOUND, ("not bound", "create a PersistentVolume"))
        apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": NAMESPACE},
                "spec": {
                    "accessModes": ["ReadOnlyMany"],
                    "capacity": {"storage": "1M"},
                    "hostPath": {"path": DIRECTORY},
                    "persistentVolumeReclaimPolicy": "Retain",
                },
            }
        )

    return Fault(
        detector("no-claim", source={"persistentVolumeClaim": {"claimName": "models"}}),
        c.SERVER_READY,
        c.REASON_VOLUME_CLAIM_MISSING,
        ("PersistentVolumeClaim models does not exist", "create it in this namespace"),
        mend,
    )


def missing_config_map() -> Fault:
    return Fault(
        detector("no-configmap", source={"configMap": {"name": "late"}}),
        c.SERVER_READY,
        c.REASON_CONFIG_MISSING,
        ("ConfigMap late does not exist", "create it in this namespace"),
        lambda: apply(config_map("late", **sites.model()["data"])),
    )


def missing_file() -> Fault:
    return Fault(
        detector("no-file", source={"configMap": {"name": "empty"}}),
        c.MODEL_READY,
        c.REASON_MODEL_FILE_MISSING,
        ("model any", "model.py", "put the file there"),
        lambda: apply(config_map("empty", **sites.model()["data"])),
        beside=(config_map("empty", readme="no model"),),
        healed=(c.READY, c.MODEL_READY),
    )


def large_file() -> Fault:
    return Fault(
        detector("large", own_profile=True),
        c.MODEL_READY,
        c.REASON_MODEL_TOO_LARGE,
        ("model any", "modelSizeLimit of AcceleratorProfile conditions-large"),
        edit("large", {"triton": {"modelSizeLimit": "500M"}}),
        beside=(profile("large", triton={"modelSizeLimit": "100"}),),
    )


def missing_image() -> Fault:
    usual = profile("")["spec"]["triton"]["image"]
    return Fault(
        detector("no-image", own_profile=True),
        c.SERVER_READY,
        c.REASON_IMAGE_PULL_FAILED,
        ('"edgedetector/none:1"', "correct the image in AcceleratorProfile conditions-no-image"),
        edit("no-image", {"triton": {"image": usual}}),
        beside=(profile("no-image", triton={"image": "edgedetector/none:1"}),),
    )


def refused_configuration() -> Fault:
    return Fault(
        detector("refused", own_profile=True),
        c.MODEL_READY,
        c.REASON_MODEL_LOAD_FAILED,
        ("model any: spec.models[any].backend:", "'nosuch'", "correct the model or its fields"),
        edit("refused", {"triton": {"backend": "python"}}),
        beside=(profile("refused", triton={"backend": "nosuch"}),),
    )


def missing_device() -> Fault:
    return Fault(
        detector("no-device", own_profile=True),
        c.SERVER_READY,
        c.REASON_ACCELERATOR_MISSING,
        (f"no node offers a free {ABSENT}", "start its device plugin"),
        lambda: capacity(**{ABSENT: "1"}),
        beside=(profile("no-device", resource={"name": ABSENT, "count": 1}),),
    )


def taken_device() -> Fault:
    return Fault(
        detector("taken", own_profile=True),
        c.SERVER_READY,
        c.REASON_ACCELERATOR_TAKEN,
        (f"{SHARED} is taken by EdgeDetector {NAMESPACE}/capped", "suspend or delete it"),
        lambda: capacity(**{SHARED: "4"}),
        beside=(profile("taken", resource={"name": SHARED, "count": 1}),),
    )


def closed_device() -> Fault:
    model = sites.model()["data"]["model.py"] + OPENS_DEVICE
    return Fault(
        detector("closed", own_profile=True, source={"configMap": {"name": "opens-device"}}),
        c.MODEL_READY,
        c.REASON_DEVICE_NOT_ACCESSIBLE,
        ("Permission denied", DEVICE, "supplementalGroups of AcceleratorProfile conditions-closed"),
        edit("closed", {"podSecurity": {"supplementalGroups": [DEVICE_GROUP]}}),
        beside=(profile("closed", runtimeClassName="denglin"), config_map("opens-device", **{"model.py": model})),
    )


def little_shared_memory() -> Fault:
    return Fault(
        detector("little", own_profile=True),
        c.MODEL_READY,
        c.REASON_SHARED_MEMORY_TOO_SMALL,
        ("model any", "sharedMemory of AcceleratorProfile conditions-little"),
        edit("little", {"triton": {"sharedMemory": "256Mi"}}),
        beside=(profile("little", triton={"sharedMemory": "64Ki"}),),
    )


def capped_replicas() -> Fault:
    def mend() -> None:
        capacity(**{SHARED: "4"})
        # Ten minutes later, as far as the operator can tell.
        note = {"metadata": {"annotations": {names.ANNOTATION_CAPPED: "2 since 2026-01-01T00:00:00Z"}}}
        api.patch(kinds.of("autoscaling/v2", "HorizontalPodAutoscaler"), NAMESPACE, "capped-triton", note)

    return Fault(
        detector("capped", own_profile=True, scaling={"minReplicas": 2, "maxReplicas": 3}),
        c.SCALING_READY,
        c.REASON_REPLICAS_CAPPED,
        ("no room for another replica", SHARED, "lower spec.scaling.maxReplicas"),
        mend,
        beside=(profile("capped", resource={"name": SHARED, "count": 1}),),
        gating=False,
        healed=(c.READY, c.SCALING_READY),
    )


FAULTS: tuple[Callable[[], Fault], ...] = (
    missing_profile, missing_secrets, missing_claim, missing_config_map, missing_file, large_file, missing_image,
    refused_configuration, missing_device, taken_device, closed_device, little_shared_memory, capped_replicas,
)  # fmt: skip
NAMES = [fault.__name__ for fault in FAULTS]


# ---- what all of them share ------------------------------------------------------------------------------------------


@dataclass
class Site:
    """All faults at once, the demo beside them, and what was there before anything was mended."""

    faults: dict[str, Fault]
    demo: frames.Frames
    untouched: dict[str, tuple[int, ...]]
    generations: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def site(demo: Kubectl, images: dict[str, str]) -> Iterator[Site]:
    """Every fault, each in a detector of its own, beside the demo. A wide scope: each takes a minute to be judged."""
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(_clean)
        _clean()
        sites.namespace(NAMESPACE)
        _bring_files(images["detector"])
        capacity(**{SHARED: "1"})
        metrics_api("nobody")
        seen = cleanup.enter_context(frames.watch(demo.namespace, demo_driver.DETECTOR, "gate"))
        untouched = sites.marks(demo.namespace, demo_driver.DETECTOR)
        faults = {make.__name__: make() for make in FAULTS}
        apply(sites.model(), *(obj for fault in faults.values() for obj in fault.beside))
        # It takes the only device before anybody else asks for it.
        apply(faults["capped_replicas"].detector)
        poll("a node", lambda: [pod["spec"].get("nodeName") for pod in sites.pods(NAMESPACE, "capped", "triton")], any)
        apply(*(fault.detector for fault in faults.values()))
        yield Site(faults, seen, untouched)


def _clean() -> None:
    """Leave nothing behind, also of a run that was interrupted."""
    metrics_api("metrics-server")
    capacity(**dict.fromkeys((ABSENT, SHARED)))
    driver.kubectl("delete", "namespace", NAMESPACE, ADMIN, "--ignore-not-found", "--wait=false")
    driver.kubectl("delete", "persistentvolume", NAMESPACE, "--ignore-not-found", "--wait=false")
    for obj in api.items(kinds.ACCELERATOR_PROFILE, ""):
        if obj["metadata"]["name"].startswith(f"{NAMESPACE}-"):
            api.delete(kinds.ACCELERATOR_PROFILE, "", obj["metadata"]["name"])


def _bring_files(image: str) -> None:
    """Put a model into a directory of the node, as an administrator does."""
    driver.kubectl("delete", "namespace", ADMIN, "--ignore-not-found")
    driver.kubectl("create", "namespace", ADMIN)
    write = "import os, pathlib; pathlib.Path('/target/model.py').write_text(os.environ['MODEL'])"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bring"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "bring",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", write],
                    "env": [{"name": "MODEL", "value": sites.model()["data"]["model.py"]}],
                    "securityContext": {"runAsUser": 0},
                    "volumeMounts": [{"name": "target", "mountPath": "/target"}],
                }
            ],
            "volumes": [{"name": "target", "hostPath": {"path": DIRECTORY, "type": "DirectoryOrCreate"}}],
        },
    }
    Kubectl(ADMIN).apply(pod)


def told(name: str, condition: str, reason: str, words: tuple[str, ...]) -> dict[str, tuple[str, str, str]]:
    """Wait until a detector's condition says so, and return all of its conditions."""

    def says(found: dict[str, tuple[str, str, str]]) -> bool:
        status, why, message = found.get(condition, ("", "", ""))
        return (status, why) == (c.FALSE, reason) and all(word in message for word in words)

    return poll(f"{name}: {condition} {reason} {words}", lambda: sites.conditions(NAMESPACE, name), says, TOLD_SECONDS)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_wrong_is_said_with_what_helps(site: Site, name: str) -> None:
    fault = site.faults[name]
    found = told(fault.name, fault.condition, fault.reason, fault.words)
    if fault.gating:
        assert found[c.READY] == (c.FALSE, fault.reason, found[fault.condition][2])
        assert (found[c.STALLED][0], found[c.RECONCILING][0]) == (c.TRUE, c.FALSE)
    else:
        assert found[c.READY][0] == c.TRUE
        assert found[c.STALLED][0] == c.FALSE


def test_without_figures_the_autoscaler_says_so_and_detections_flow(site: Site, demo: Kubectl) -> None:
    assert site.faults

    def scaling() -> tuple[str, str, str]:
        return sites.conditions(demo.namespace, demo_driver.DETECTOR)[c.SCALING_READY]

    said = poll("no figures", scaling, lambda seen: seen[1] == c.REASON_METRICS_UNAVAILABLE, TOLD_SECONDS)
    assert "install or mend metrics-server" in said[2]
    assert sites.conditions(demo.namespace, demo_driver.DETECTOR)[c.STALLED][0] == c.FALSE


def test_of_several_cameras_the_others_go_on(site: Site) -> None:
    assert site.faults
    poll("gate", lambda: sites.cameras(NAMESPACE, "no-secret"), lambda found: found["gate"].get("detecting") is True)


def test_each_fault_is_told_by_an_event_with_the_remedy_and_not_with_every_look(site: Site) -> None:
    listed = api.request("GET", f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events")["items"]
    found: dict[str, list[Object]] = {}
    for event in sorted(listed, key=lambda event: event.get("eventTime") or ""):
        if event["regarding"]["kind"] == "EdgeDetector":
            found.setdefault(event["regarding"]["name"], []).append(event)
    for fault in site.faults.values():
        told = [e for e in found.get(fault.name, ()) if e["type"] == "Warning" and e["reason"] == fault.reason]
        said = [(event["eventTime"], event["action"], event["reason"], event["note"]) for event in told]
        # Probes of a busy machine fail and come back, and each is a transition. There have been dozens of looks.
        assert 1 <= len(told) <= FEW, (fault.name, said)
        assert fault.words[-1] in told[-1]["note"], (fault.name, said)


def test_the_demo_goes_on_as_if_nothing_were_wrong(site: Site, demo: Kubectl) -> None:
    site.demo.wait("gate", site.demo.mark())
    assert sites.conditions(demo.namespace, demo_driver.DETECTOR)[c.STALLED][0] == c.FALSE
    assert sites.touched(site.untouched, sites.marks(demo.namespace, demo_driver.DETECTOR)) == {}


@pytest.fixture(scope="module")
def mended(site: Site) -> dict[str, Fault]:
    """The faults, mended at once. A wide scope: some heal in a second, some take the kubelet a minute."""
    site.generations = {fault.name: _generation(fault.name) for fault in site.faults.values()}
    metrics_api("metrics-server")
    workers = [threading.Thread(target=fault.mend, name=name) for name, fault in site.faults.items()]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return site.faults


def _generation(name: str) -> int:
    return int((api.get(kinds.EDGEDETECTOR, NAMESPACE, name) or {})["metadata"]["generation"])


@pytest.mark.parametrize("name", NAMES)
def test_what_was_mended_heals_by_itself(site: Site, mended: dict[str, Fault], name: str) -> None:
    fault = mended[name]
    poll(
        f"{fault.name}: {fault.healed}",
        lambda: sites.conditions(NAMESPACE, fault.name),
        lambda found: all(found.get(condition, ("",))[0] == c.TRUE for condition in fault.healed),
        HEALED_SECONDS,
    )
    assert _generation(fault.name) == site.generations[fault.name], "nobody touched the EdgeDetector"


def test_with_figures_the_autoscaler_works_again(mended: dict[str, Fault], demo: Kubectl) -> None:
    assert mended
    poll(
        "figures",
        lambda: sites.conditions(demo.namespace, demo_driver.DETECTOR)[c.SCALING_READY],
        lambda seen: seen[0] == c.TRUE,
        HEALED_SECONDS,
    )


def test_the_demo_has_noticed_nothing(site: Site, mended: dict[str, Fault], demo: Kubectl) -> None:
    assert mended
    site.demo.wait("gate", site.demo.mark())
    assert sites.touched(site.untouched, sites.marks(demo.namespace, demo_driver.DETECTOR)) == {}
    listed = json.dumps(sites.conditions(demo.namespace, demo_driver.DETECTOR))
    assert "canary-password" not in listed


# ---- without pods: an API server of its own, so that nobody else loses its definitions -------------------------------


@pytest.fixture
def unmonitored() -> Iterator[bare.Server]:
    """An API server that knows no ServiceMonitor, with the operator at work and an EdgeDetector."""
    with bare.start() as server:
        server.install_crds(monitoring="")
        spaces = (rig.SYSTEM, NAMESPACE)
        server.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in spaces))
        rights = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
        server.apply(*(obj for obj in rig.rendered() if obj["kind"] in rights))
        with rig.operator(server):
            server.apply(_in_namespace(sites.detector("yard")))
            yield server


def _in_namespace(obj: Object) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "namespace": NAMESPACE}}


def test_monitoring_is_set_up_as_soon_as_its_definitions_are_there(unmonitored: bare.Server) -> None:
    def monitoring() -> tuple[str, str, str]:
        obj = unmonitored.get(kinds.EDGEDETECTOR.path(NAMESPACE, "yard")) or {}
        found = [x for x in (obj.get("status") or {}).get("conditions", ()) if x["type"] == c.MONITORING_READY]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else ("", "", "")

    absent = poll("not installed", monitoring, lambda seen: seen[1] == c.REASON_MONITORING_NOT_INSTALLED)
    assert absent[0] == c.FALSE
    assert "install the Prometheus Operator" in absent[2]
    before = unmonitored.get(kinds.EDGEDETECTOR.path(NAMESPACE, "yard"))["metadata"]["generation"]
    unmonitored.define(*bare.monitoring_crds("real"))
    poll("installed", monitoring, lambda seen: seen[:2] == (c.TRUE, c.REASON_MONITORING_CONFIGURED))
    for kind in ("ServiceMonitor", "PrometheusRule"):
        listed = unmonitored.get(kinds.of(kinds.MONITORING_API, kind).path(NAMESPACE))["items"]
        assert [owner["name"] for obj in listed for owner in obj["metadata"]["ownerReferences"]] == ["yard"]
    assert unmonitored.get(kinds.EDGEDETECTOR.path(NAMESPACE, "yard"))["metadata"]["generation"] == before
