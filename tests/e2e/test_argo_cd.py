"""A real Argo CD keeps a detector from git: its health is ours, it never fights the operator, and a revert heals.

The operator itself is installed by the fixtures. That Argo CD can install it from the chart is tested on a bare API
server, where no other operator is; no kubelet runs it there.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import apiserver as bare

import api
import argocd
import cluster as driver
import sites
from argocd import Application, ArgoCD, Repository, health_of
from edgedetector.api import names
from edgedetector.cluster import kinds
from harness import Kubectl, poll
from stages import ROOT

Object = dict[str, Any]

pytestmark = pytest.mark.argo
NAMESPACE = "argo-site"
NAME = "yard"
QUIET_SECONDS = 30.0
"""In which Argo CD looks three times at everything, and heals what it would heal within five."""
DECISIONS = 50
CUSTOMIZATIONS = ROOT / "manifests" / "argo-cd" / "resource_customizations" / "edgedetector.dev"
HEALTH = [
    (CUSTOMIZATIONS / kind / test["inputPath"], test["healthStatus"])
    for kind in ("EdgeDetector", "AcceleratorProfile")
    for test in yaml.safe_load((CUSTOMIZATIONS / kind / "health_test.yaml").read_text())["tests"]
]


@dataclass
class Site:
    """A detector in git, and the Application that keeps it."""

    git: Repository
    app: Application
    detector: Object

    def push(self, message: str, **spec: Any) -> str:
        """Commit the detector with other fields; return the revision."""
        changed = {**self.detector, "spec": {**self.detector["spec"], **spec}}
        self.git.write("site/detector.yaml", changed)
        revision = self.git.commit(message)
        self.app.refresh()
        return revision

    def live(self) -> Object:
        """Return the detector as it is in the cluster."""
        found: Object = api.get(kinds.EDGEDETECTOR, NAMESPACE, NAME) or {}
        return found

    def syncs(self) -> int:
        """Return how often something was synced: a fight would count on."""
        return len(self.app.look().get("history") or ())


@pytest.fixture(scope="module")
def argo(operator: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCD]:
    """Argo CD on the real cluster. Module, since its start takes half a minute."""
    with argocd.running(tmp_path_factory.mktemp("argocd"), driver.kubeconfig()) as running:
        yield running


@pytest.fixture(scope="module")
def site(argo: ArgoCD, demo: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A detector that was never there before, kept from git. Module, since a detector takes a minute to detect."""
    sites.namespace(NAMESPACE)
    git = Repository.new(tmp_path_factory.mktemp("git") / "site")
    detector = sites.detector(NAME, {"name": "gate", "url": f"rtsp://camera.{driver.DEMO_NAMESPACE}:8554/vtest"})
    notes = {"argocd.argoproj.io/sync-options": "SkipDryRunOnMissingResource=true"}
    detector["metadata"]["annotations"] = notes
    git.write("site/model.yaml", sites.model())
    git.write("site/detector.yaml", detector)
    git.commit("Begin")
    found = Site(git, argo.application("argo-site", {"repoURL": git.url, "path": "site"}, NAMESPACE), detector)
    yield found
    found.app.delete()
    driver.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize(("path", "wanted"), HEALTH, ids=[f"{path.parts[-3]}-{path.stem}" for path, _ in HEALTH])
def test_its_own_lua_says_what_ours_does(path: Path, wanted: Object) -> None:
    said = argocd.admin("health", str(path))
    assert f"STATUS: {wanted['status']}" in said
    assert wanted["message"] in said


def test_it_knows_the_actions() -> None:
    said = argocd.admin("list-actions", str(CUSTOMIZATIONS / "EdgeDetector" / "actions" / "testdata" / "serving.yaml"))
    assert all(action in said for action in ("pause", "resume", "retune", "freeze", "unfreeze"))


def test_it_installs_the_operator_from_the_chart(tmp_path: Path) -> None:
    git = Repository.new(tmp_path / "git")
    shutil.copytree(ROOT / "charts", git.path / "charts")
    git.commit("Begin")
    (ours,) = yaml.safe_load_all((ROOT / "manifests" / "argo-cd" / "single-box" / "operator.yaml").read_text())
    ours["spec"]["source"]["repoURL"] = git.url
    with bare.start() as server, argocd.running(tmp_path / "argocd", server.kubeconfig) as argo:
        app = argo.take(ours)
        # Healthy it cannot be, since nobody runs the Deployment.
        poll("synced", app.look, lambda status: (status.get("sync") or {}).get("status") == "Synced", 240.0)
        found = {(entry["kind"], entry["name"]) for entry in app.look()["resources"]}
        assert ("CustomResourceDefinition", f"edgedetectors.{names.GROUP}") in found
        assert server.get("/apis/apps/v1/namespaces/edgedetector-system/deployments/edgedetector") is not None
        assert server.get(f"/apis/{names.API_VERSION}/edgedetectors") is not None, "the kind is served"


def test_it_is_healthy_only_once_detections_flow(site: Site) -> None:
    seen: list[tuple[str, str]] = []

    def look() -> tuple[str, str]:
        # The Application first: what it says is older than what the detector says then.
        health = (site.app.look().get("health") or {}).get("status", "")
        ready = sites.conditions(NAMESPACE, NAME).get("Ready", ("", "", ""))[0]
        seen.append((health, ready))
        return health, ready

    poll("Healthy", look, lambda found: found[0] == "Healthy", 300.0, every=0.2)
    assert [pair for pair in seen if pair[0] == "Healthy" and pair[1] != "True"] == []
    assert "Progressing" in {health for health, _ in seen}
    assert health_of(site.app.look(), "EdgeDetector")["status"] == "Healthy"
    assert all(camera["detecting"] for camera in sites.cameras(NAMESPACE, NAME).values())


def test_a_bad_commit_is_degraded_with_our_message_and_a_revert_heals(site: Site) -> None:
    site.app.await_health("Healthy")
    before = sites.marks(NAMESPACE, NAME)
    bad = site.push("Take a profile that nobody has", acceleratorProfile="nope")
    status = site.app.await_health("Degraded", bad)
    told = health_of(status, "EdgeDetector")
    assert told["status"] == "Degraded"
    assert "there is no AcceleratorProfile 'nope'; create it or correct the name" in told["message"]
    site.git.git("revert", "--no-edit", "HEAD")
    site.app.refresh()
    site.app.await_health("Healthy", site.git.git("rev-parse", "HEAD"))
    assert sites.touched(before, sites.marks(NAMESPACE, NAME)) == {}, "what ran, ran on"


def test_what_git_sets_is_put_back_and_what_the_person_on_call_sets_stays(site: Site) -> None:
    site.app.await_health("Healthy")
    sites.change(NAMESPACE, NAME, acceleratorProfile="nvidia")
    poll("healed", site.live, lambda obj: obj["spec"]["acceleratorProfile"] == "cpu", 60.0)
    site.app.await_health("Healthy")
    sites.change(NAMESPACE, NAME, suspend=True)  # as the action `pause` does
    site.app.await_health("Suspended")
    before = site.syncs()
    _hold(QUIET_SECONDS, lambda: _assert_paused(site))
    assert site.syncs() == before
    sites.change(NAMESPACE, NAME, suspend=False)
    site.app.await_health("Healthy")


def test_over_many_decisions_of_the_tuner_nothing_is_out_of_sync_and_nothing_is_healed(site: Site) -> None:
    """Each wish to tune anew is one decision on record, and what tuning makes of it are more."""
    site.app.await_health("Healthy", site.push("Tune", tuning={"mode": "Auto"}))
    before, spec, decided, asked = site.syncs(), site.live()["spec"], set[tuple[str, str]](), 0
    deadline = time.monotonic() + 1800.0
    while len(decided) <= DECISIONS:
        assert time.monotonic() < deadline, f"{len(decided)} decisions: {sorted(decided)[-3:]}"
        obj = site.live()
        log = ((obj.get("status") or {}).get("tuning") or {}).get("log") or []
        decided |= {(line["time"], line["decision"]) for line in log}
        if len([decision for _, decision in decided if decision == "Retuned"]) >= asked:
            asked += 1
            text = json.dumps({"metadata": {"annotations": {names.ANNOTATION_RETUNE: f"wish {asked}"}}})
            driver.kubectl("--namespace", NAMESPACE, "patch", "edgedetector", NAME, "--type=merge", "-p", text)
        assert obj["spec"] == spec, "nobody but git writes it"
        assert site.app.look()["sync"]["status"] == "Synced"
        time.sleep(0.5)  # looks twice a second until the decisions are there, or the deadline is
    assert site.syncs() == before
    site.app.await_health("Healthy", site.push("Tune no more"))


def _assert_paused(site: Site) -> None:
    assert site.live()["spec"]["suspend"] is True
    assert site.app.look()["sync"]["status"] == "Synced"


def _hold(seconds: float, check: Any) -> None:
    """Check again and again for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        check()
        time.sleep(0.5)
