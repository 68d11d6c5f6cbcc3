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
import sites
from edgedetector.api import names
from edgedetector.cluster import kinds
from harness import Kubectl, poll

pytestmark = pytest.mark.e2e

Object = dict[str, Any]

NAMESPACE: Final = "codes"
CLOSED: Final = "codes-closed"
"""Has a quota of no pods."""
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
        Cause("idle", "ED0017", ("spec.suspend",), {"suspend": True}),  # and no word of the labels that no node has
    )  # fmt: skip


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
        for name in (NAMESPACE, CLOSED):
            sites.namespace(name)
        found = {one.name: one for one in causes()}
        for space in (NAMESPACE, CLOSED):
            here = [one for one in found.values() if one.namespace == space]
            Kubectl(space).apply(sites.model(), *(obj for one in here for obj in one.beside))
            Kubectl(space).apply(*(one.detector() for one in here))
        yield found


def _clean() -> None:
    driver.kubectl("delete", "namespace", NAMESPACE, CLOSED, "--ignore-not-found", "--wait=false")
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
    "no-volume", "no-secret", "closed", "frozen", "misspelt", "idle",
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
