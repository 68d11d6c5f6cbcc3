"""What admission cannot see: each thing that can be wrong is said with its remedy, touches nobody else, and heals.

All faults are there at once, a detector each, and are mended at once: what takes a minute by itself takes a minute for
all. Nothing is mended by touching an EdgeDetector. Model files that are fetched are those of test_models.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from bench.reconcile import rig
from tests import apiserver as bare

import api
import cluster as driver
import demo as demo_driver
import frames
import sites
from broken import (
    ABSENT,
    DIRECTORY,
    FAULTS,
    NAMES,
    NAMESPACE,
    SHARED,
    TOLD_SECONDS,
    Fault,
    apply,
    capacity,
    metrics_api,
    told,
)
from edgedetector.api import conditions as c
from edgedetector.cluster import kinds
from harness import Kubectl, poll

Object = dict[str, Any]

ADMIN = "conditions-admin"  # without Pod Security: only an administrator brings files to a node

FEW = 4
HEALED_SECONDS = 300.0  # the kubelet looks at a Secret or ConfigMap every 80 s, and at a missing one every 2 min


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
