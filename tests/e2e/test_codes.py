"""Codes of `kubectl edgedetector diagnose` on the real cluster, each from its real cause, and silence beside them.

All causes are there at once, a detector each. Most pods are parked where no node is, so that they cost nothing: what
a diagnosis reads of objects, profiles, quotas and nodes is told all the same. Each detector is a look-alike of the
others: what is not its own must not be told of it.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

import api
import cluster as driver
import demo as demo_driver
import pause
import sites
from edgedetector.api import names
from edgedetector.cluster import kinds
from harness import Kubectl, poll

pytestmark = pytest.mark.e2e

Object = dict[str, Any]

NAMESPACE: Final = "codes"
CLOSED: Final = "codes-closed"
"""Has a quota of no pods."""
SHUT: Final = "codes-shut"
"""Has a quota of no Services."""
SPACES: Final = (NAMESPACE, CLOSED, SHUT)
VOLUME: Final = "codes-nowhere"
"""A PersistentVolume whose directory no node has."""
ABSENT: Final = "example.com/absent"
TOLD_SECONDS: Final = 240.0
"""A pod may look for a node for a minute before anybody is told."""
PARKED: Final[Object] = {"edgedetector.dev/codes": "nowhere"}
REFUSED: Final = frozenset({"ED0310"})
"""Told of pods that admission refuses."""
CAMERA: Final = {"name": "gate", "url": f"rtsp://camera.{driver.DEMO_NAMESPACE}:8554/vtest"}
PARKING: Final = frozenset({"ED0206"})
"""Told of whatever is parked."""


@dataclass(frozen=True)
class Cause:
    """A detector with something wrong, and what is told of it."""

    name: str
    code: str
    remedy: tuple[str, ...]
    """Words of the code's remedy: the thing to mend is among them."""
    spec: Object = field(default_factory=dict)
    source: Object | None = None
    cameras: tuple[Object, ...] = (CAMERA,)
    annotations: Object = field(default_factory=dict)
    beside: tuple[Object, ...] = ()
    """What is applied with the detector."""
    also: frozenset[str] = frozenset()
    """Further codes that may be told of the same cause."""
    parked: bool = True
    namespace: str = NAMESPACE

    def is_told(self, found: list[dict[str, str]]) -> bool:
        """Whether the code is told, and nothing that is another detector's."""
        told = {one["code"] for one in found}
        return self.code in told and told <= {self.code} | self.also | (PARKING if self.parked else set())

    def detector(self) -> Object:
        found = sites.detector(self.name, *self.cameras, **self.spec)
        found["metadata"] |= {"annotations": self.annotations}
        nothing = {"requests": {"cpu": "1m"}}
        found["spec"]["resources"] = self.spec.get("resources", dict.fromkeys(("triton", "detector", "media"), nothing))
        if self.parked:
            found["spec"]["nodeSelector"] = PARKED
        if self.source is not None:
            found["spec"]["models"][0]["source"] = self.source
        return found


def profile(name: str, **changes: Any) -> Object:
    """Return a copy of the profile `cpu` with other fields of `spec` and `spec.triton`."""
    spec = copy.deepcopy((api.get(kinds.ACCELERATOR_PROFILE, "", "cpu") or {})["spec"])
    triton = spec["triton"] | changes.pop("triton", {})
    metadata = {"name": f"{NAMESPACE}-{name}"}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorProfile",
        "metadata": metadata,
        "spec": {**spec, **changes, "triton": triton},
    }


def causes() -> tuple[Cause, ...]:
    """Return all of them."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "unbound"},
        "spec": {"accessModes": ["ReadOnlyMany"], "storageClassName": "", "resources": {"requests": {"storage": "1M"}}},
    }
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": CLOSED},
        "spec": {"hard": {"pods": "0"}},
    }
    services = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": SHUT},
        "spec": {"hard": {"services": "0"}},
    }
    taken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": names.serving("taken")}, "data": {"a": "b"}}
    closed_camera = {**CAMERA, "credentialsSecretRef": {"name": "gate-login"}}
    much = {part: {"requests": {"cpu": "1000"}} for part in ("triton", "detector", "media")}
    return (
        Cause("parked", "ED0206", ("edgedetector.dev/codes=nowhere",)),
        Cause("taken", "ED0108", ("taken",), beside=(taken,)),
        Cause("no-profile", "ED0201", ("no-profile",), {"acceleratorProfile": "codes-none"}),
        Cause(
            "no-class", "ED0203", ("codes-no-class",),
            {"acceleratorProfile": "codes-no-class"}, beside=(profile("no-class", runtimeClassName="codes-none"),),
            also=REFUSED,
        ),
        Cause(
            "no-device", "ED0204", ("device plugin",), {"acceleratorProfile": "codes-no-device"},
            beside=(profile("no-device", resource={"name": ABSENT, "count": 1}),), parked=False,
        ),
        Cause(
            "unverified", "ED0209", ("verify-profile", "unverified"), {"acceleratorProfile": "nvidia"},
            also=REFUSED | {"ED0203", "ED0204"},
        ),
        Cause(
            "no-image", "ED0301", ("codes-no-image",), {"acceleratorProfile": "codes-no-image"},
            beside=(profile("no-image", triton={"image": "edgedetector/none:1"}),),
            also=frozenset({"ED0503"}), parked=False,
        ),
        Cause("much", "ED0302", ("spec.resources",), {"resources": much}, parked=False),
        Cause("no-map", "ED0305", ("create configmap late",), source={"configMap": {"name": "late"}}),
        Cause(
            "no-claim", "ED0306", ("PersistentVolumeClaim models",),
            source={"persistentVolumeClaim": {"claimName": "models"}},
        ),
        Cause(
            "no-volume", "ED0307", ("PersistentVolume",), beside=(claim,), parked=False,
            source={"persistentVolumeClaim": {"claimName": "unbound"}},
        ),
        Cause("no-secret", "ED0309", ("generic gate-login",), cameras=(closed_camera,)),
        Cause("closed", "ED0310", ("raise the quota",), beside=(quota,), also=REFUSED, namespace=CLOSED),
        Cause("frozen", "ED0701", ("--resume",), annotations={names.ANNOTATION_TUNING: names.FROZEN}),
        Cause("misspelt", "ED0706", ("--freeze",), annotations={names.ANNOTATION_TUNING: "frozen"}),
        Cause("shut", "ED0107", ("quota",), beside=(services,), namespace=SHUT),
        Cause(
            "no-directory", "ED0308", ("mend the volume",), beside=nowhere(), parked=False,
            source={"persistentVolumeClaim": {"claimName": "nowhere"}},
        ),
        Cause("idle", "ED0017", ("spec.suspend",), {"suspend": True}),  # and no word of the labels that no node has
    )  # fmt: skip


LIVE: Final = "live"
"""A detector that runs and is well, until one thing of it is changed."""


@dataclass(frozen=True)
class Change:
    """What is changed of a detector that runs, what is told of it, and how it was."""

    code: str
    remedy: str
    spec: Object
    before: Object


def follow(figure: str) -> Object:
    """Return `spec.scaling` whose autoscaler follows a figure."""
    return {"maxReplicas": 2, "metrics": [{"name": figure}]}


def nowhere() -> tuple[Object, Object]:
    """Return a volume whose directory is not there, and its claim."""
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": VOLUME},
        "spec": {
            **common,
            "capacity": {"storage": "1M"},
            "hostPath": {"path": "/codes/nowhere", "type": "Directory"},
            "claimRef": {"namespace": NAMESPACE, "name": "nowhere"},  # or the claim that is to stay unbound takes it
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "nowhere"},
        "spec": {**common, "volumeName": VOLUME, "resources": {"requests": {"storage": "1M"}}},
    }
    return volume, claim


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with kubectl, and nothing else of ours. Module: nothing changes."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "kubectl").symlink_to(driver.build("kubectl"))
    return folder


@pytest.fixture(scope="module")
def site(operator: Kubectl) -> Iterator[dict[str, Cause]]:
    """All causes at once. Module: some take a minute to be told."""
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(_clean)
        for name in SPACES:
            sites.namespace(name)
        found = {one.name: one for one in causes()}
        for space in SPACES:
            here = [one for one in found.values() if one.namespace == space]
            Kubectl(space).apply(sites.model(), *(obj for one in here for obj in one.beside))
            Kubectl(space).apply(*(one.detector() for one in here))
        yield found


def _clean() -> None:
    driver.kubectl("delete", "namespace", *SPACES, "--ignore-not-found", "--wait=false")
    driver.kubectl("delete", "persistentvolume", VOLUME, "--ignore-not-found", "--wait=false")
    for obj in api.items(kinds.ACCELERATOR_PROFILE, ""):
        if obj["metadata"]["name"].startswith(f"{NAMESPACE}-"):
            api.delete(kinds.ACCELERATOR_PROFILE, "", obj["metadata"]["name"])


def findings(plugin: Path, namespace: str, name: str) -> list[dict[str, str]]:
    """What the command tells programs."""
    environment = os.environ | {
        "KUBECONFIG": str(driver.kubeconfig()),
        "PATH": f"{plugin}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "edgedetector.cli", "diagnose", name, "-n", namespace, "-o", "json"]
    done = subprocess.run(
        [*command, "--measure", "0"], check=False, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.stdout, done.stderr
    return list(json.loads(done.stdout)["findings"])


@pytest.mark.parametrize("name", [
    "parked", "taken", "no-profile", "no-class", "no-device", "unverified", "no-image", "much", "no-map", "no-claim",
    "no-volume", "no-secret", "closed", "frozen", "misspelt", "shut", "no-directory", "idle",
])  # fmt: skip
def test_a_cause_is_told_with_its_remedy_and_nothing_else_is(site: dict[str, Cause], plugin: Path, name: str) -> None:
    cause = site[name]
    found = poll(
        f"{name}: {cause.code}",
        lambda: findings(plugin, cause.namespace, name),
        cause.is_told,
        TOLD_SECONDS,
        every=3,
    )
    told = next(one for one in found if one["code"] == cause.code)
    assert all(word in told["remedy"] for word in cause.remedy), told


def test_nothing_is_told_of_what_is_well_beside_all_of_them(
    site: dict[str, Cause], demo: Kubectl, plugin: Path
) -> None:
    poll("nothing", lambda: findings(plugin, demo.namespace, demo_driver.DETECTOR), lambda found: found == [], every=3)


def codes(plugin: Path, namespace: str, name: str) -> set[str]:
    return {one["code"] for one in findings(plugin, namespace, name)}


def test_a_node_that_takes_no_new_pods_is_told_as_long_as_it_does_not(demo: Kubectl, plugin: Path) -> None:
    (node,) = json.loads(driver.kubectl("get", "nodes", "-o", "json"))["items"]
    name = node["metadata"]["name"]
    driver.kubectl("cordon", name)
    try:
        found = findings(plugin, demo.namespace, demo_driver.DETECTOR)
    finally:
        driver.kubectl("uncordon", name)
    assert [(one["code"], one["remedy"]) for one in found] == [("ED0905", f"kubectl uncordon {name}")]
    assert findings(plugin, demo.namespace, demo_driver.DETECTOR) == []


def test_an_operator_that_is_not_there_is_told_and_what_it_did_not_see(
    site: dict[str, Cause], operator: Kubectl, plugin: Path
) -> None:
    """And once it is back, nothing of both."""
    missed = {"ED0103", "ED0106"}
    assert not missed & codes(plugin, NAMESPACE, "parked")
    with pause.stopped(operator):
        poll("no operator", lambda: codes(plugin, NAMESPACE, "parked"), lambda found: "ED0103" in found, every=3)
        Kubectl(NAMESPACE)("patch", "edgedetector", "parked", "--type=merge", "-p", '{"spec": {"suspend": true}}')
        poll("not seen", lambda: codes(plugin, NAMESPACE, "parked"), missed.issubset, TOLD_SECONDS, every=5)
    poll("both gone", lambda: codes(plugin, NAMESPACE, "parked"), lambda found: not missed & found, every=3)


@pytest.fixture(scope="module")
def live(site: dict[str, Cause], plugin: Path) -> Kubectl:
    """A detector that runs, of which nothing is told. Module: it takes half a minute to start."""
    kubectl = Kubectl(NAMESPACE)
    kubectl.apply(sites.detector(LIVE, CAMERA))
    poll("nothing is told of it", lambda: findings(plugin, NAMESPACE, LIVE), lambda found: found == [], 300, every=3)
    return kubectl


@pytest.mark.parametrize(
    "change",
    [
        Change("ED0808", "AcceleratorProfile cpu", {"scaling": follow("AcceleratorUtilization")}, {"scaling": None}),
        Change("ED0807", "docs/scaling.md", {"scaling": follow("QueueTime")}, {"scaling": None}),
        Change(
            "ED0502", "its address right",
            {"cameras": [{**CAMERA, "url": f"{CAMERA['url']}-none"}]}, {"cameras": [CAMERA]},
        ),
        Change(
            "ED0507", "spec.outputs",
            {"outputs": {"webhook": {"url": "http://nobody.codes.svc/"}}}, {"outputs": None},
        ),
    ],
    ids=lambda change: change.code,
)  # fmt: skip
def test_what_becomes_wrong_with_a_detector_that_runs_is_told_until_it_is_mended(
    live: Kubectl, plugin: Path, change: Change
) -> None:
    def told() -> list[dict[str, str]]:
        return [one for one in findings(plugin, NAMESPACE, LIVE) if one["code"] == change.code]

    def patch(spec: Object) -> None:
        live("patch", "edgedetector", LIVE, "--type=merge", "-p", json.dumps({"spec": spec}))

    assert told() == []
    patch(change.spec)
    (one,) = poll(change.code, told, bool, TOLD_SECONDS, every=3)
    assert change.remedy in one["remedy"]
    patch(change.before)
    poll(f"no {change.code}", told, lambda found: not found, TOLD_SECONDS, every=3)
