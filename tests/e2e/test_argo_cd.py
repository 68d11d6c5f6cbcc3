"""A real Argo CD keeps a detector from git: its health is ours, it never fights the operator, and a revert heals.

The operator itself is installed by the fixtures. That Argo CD can install it from the chart is tested on a bare API
server, where no other operator is; no kubelet runs it there.
"""

from __future__ import annotations

import re
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
import test_denglin_ks20 as ks20
import test_tuning as tuning
from argocd import Application, ArgoCD, Repository, health_of
from edgedetector.api import names
from edgedetector.cluster import kinds
from harness import Kubectl, poll
from stages import ROOT

Object = dict[str, Any]

pytestmark = pytest.mark.argo
NAMESPACE = "argo-site"
NAME = "yard"
PROFILE = tuning.PROFILE
"""In git beside the detector: its emulated card is one that there is something to tune on."""
CAMERA = {"name": "gate", "url": f"rtsp://camera.{driver.DEMO_NAMESPACE}:8554/vtest"}
COMPONENTS = ("triton", "detector", "media")
NOTHING = {"requests": {"cpu": "1m", "memory": "64Mi"}}
"""So that it is the only thing here that can be Degraded: a node that others have filled is not what this is about."""
QUIET_SECONDS = 30.0
"""In which Argo CD looks three times at everything, and heals what it would heal within five."""
DECISIONS = 50
DECIDED_SECONDS = 1800.0
MANIFESTS = ROOT / "manifests" / "argo-cd"
APPLICATIONS = [MANIFESTS / "root.yaml", MANIFESTS / "fleet.yaml", *sorted((MANIFESTS / "single-box").glob("*.yaml"))]
CUSTOMIZATIONS = MANIFESTS / "resource_customizations" / "edgedetector.dev"
HEALTH = [
    (CUSTOMIZATIONS / kind / test["inputPath"], test["healthStatus"])
    for kind in ("EdgeDetector", "AcceleratorProfile")
    for test in yaml.safe_load((CUSTOMIZATIONS / kind / "health_test.yaml").read_text())["tests"]
]
ACTIONS_FOLDER = CUSTOMIZATIONS / "EdgeDetector" / "actions"
ACTIONS = yaml.safe_load((ACTIONS_FOLDER / "action_test.yaml").read_text())


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

    def log(self) -> set[tuple[str, str]]:
        """Return the decisions of the tuner that the status tells: when, and which."""
        told = ((self.live().get("status") or {}).get("tuning") or {}).get("log") or []
        return {(line["time"], line["decision"]) for line in told}

    def ask_anew(self, text: str) -> None:
        """Have the tuner look anew, as the action `retune` does."""
        wish = {"metadata": {"annotations": {names.ANNOTATION_RETUNE: text}}}
        api.patch(kinds.EDGEDETECTOR, NAMESPACE, NAME, wish)


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
    ks20.prepare_node()
    untuned = {
        "cameras": [CAMERA],
        "tuning": {"mode": "Off"},
        "resources": dict.fromkeys(COMPONENTS, NOTHING),
    }
    notes = {"argocd.argoproj.io/sync-options": "SkipDryRunOnMissingResource=true"}
    detector = {
        **tuning.DETECTOR,
        "metadata": {"name": NAME, "annotations": notes},
        "spec": {**tuning.DETECTOR["spec"], **untuned},
    }
    engine = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "engine"},
        "data": {"people.engine": tuning.ENGINE},
    }
    git.write("site/profile.yaml", tuning.verified_profile())
    git.write("site/model.yaml", engine)
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


@pytest.mark.parametrize("test", ACTIONS["discoveryTests"], ids=lambda test: Path(test["inputPath"]).stem)
def test_it_offers_the_actions_that_make_sense(test: Object) -> None:
    _, *rows = argocd.admin("list-actions", str(ACTIONS_FOLDER / test["inputPath"])).splitlines()
    wanted = {entry["name"]: str(entry["disabled"]).lower() for entry in test["result"]}
    assert dict(row.split() for row in rows) == wanted


@pytest.mark.parametrize("test", ACTIONS["actionTests"], ids=lambda test: test["action"])
def test_an_action_changes_what_ours_says(test: Object) -> None:
    said = argocd.admin("run-action", str(ACTIONS_FOLDER / test["inputPath"]), test["action"])
    _, _, text = said.partition("Following fields have been changed:\n\n")
    wanted = (ACTIONS_FOLDER / test["expectedOutputPath"]).read_text()
    assert yaml.safe_load(_dateless(text)) == yaml.safe_load(_dateless(wanted))


def test_it_installs_the_operator_from_the_chart(tmp_path: Path) -> None:
    git = Repository.new(tmp_path / "git")
    shutil.copytree(ROOT / "charts", git.path / "charts")
    git.commit("Begin")
    (ours,) = yaml.safe_load_all((MANIFESTS / "single-box" / "operator.yaml").read_text())
    ours["spec"]["source"]["repoURL"] = git.url
    with bare.start() as server, argocd.running(tmp_path / "argocd", server.kubeconfig) as argo:
        app = argo.take(ours)
        # Healthy it cannot be, since nobody runs the Deployment.
        poll("synced", app.look, lambda status: (status.get("sync") or {}).get("status") == "Synced", 240.0)
        found = {(entry["kind"], entry["name"]) for entry in app.look()["resources"]}
        assert ("CustomResourceDefinition", f"edgedetectors.{names.GROUP}") in found
        assert server.get("/apis/apps/v1/namespaces/edgedetector-system/deployments/edgedetector") is not None
        assert server.get(f"/apis/{names.API_VERSION}/edgedetectors") is not None, "the kind is served"
        for file in APPLICATIONS:  # strictly by Argo CD's own definitions
            argo.kubectl("apply", "--server-side", "--dry-run=server", "-f", str(file))


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
    for kind in ("EdgeDetector", "AcceleratorProfile"):
        assert health_of(site.app.look(), kind)["status"] == "Healthy"
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
    before = site.app.syncs()
    with site.app.watched() as seen:
        sites.change(NAMESPACE, NAME, acceleratorProfile="nvidia")
        poll("healed", site.live, lambda obj: obj["spec"]["acceleratorProfile"] == PROFILE, 60.0)
        # So what is asserted below and of the tuner would notice a heal.
        poll("seen OutOfSync", seen, lambda sights: "OutOfSync" in {sight.sync for sight in sights})
        poll("counted", site.app.syncs, lambda count: count > before)
    site.app.await_health("Healthy")

    sites.change(NAMESPACE, NAME, suspend=True)  # as the action `pause` does
    site.app.await_health("Suspended")
    before = site.app.syncs()
    with site.app.watched() as seen:
        _hold(QUIET_SECONDS, lambda: _assert_paused(site))
        assert {sight.sync for sight in seen()} == {"Synced"}
    assert site.app.syncs() == before
    sites.change(NAMESPACE, NAME, suspend=False)
    site.app.await_health("Healthy")


def test_over_many_decisions_of_the_tuner_nothing_is_out_of_sync_and_nothing_is_healed(site: Site) -> None:
    """At least one changes what serves. Each wish to tune anew is one, and so is what comes of it."""
    wanted = {key: tuning.DETECTOR["spec"][key] for key in ("cameras", "tuning")}
    site.app.await_health("Healthy", site.push("Tune", **wanted))
    before, spec, decided, asked = site.app.syncs(), site.live()["spec"], set[tuple[str, str]](), 0

    def decisions() -> set[tuple[str, str]]:
        decided.update(site.log())
        return decided

    with site.app.watched() as seen:
        deadline = time.monotonic() + DECIDED_SECONDS
        while len(decisions()) <= DECISIONS or "Kept" not in _words(decided):
            assert time.monotonic() < deadline, f"{len(decided)} decisions: {sorted(decided)[-3:]}"
            words = _words(decided)
            # A wish ends what is being tried, so that the first one has to wait until something was kept.
            if ("Kept" in words and words.count("Retuned") >= asked) or words[-1:] == ["Converged"]:
                asked += 1
                site.ask_anew(f"wish {asked}")
            assert site.live()["spec"] == spec, "nobody but git writes it"
            time.sleep(0.5)  # looks twice a second until the decisions are there, or the deadline is
        last = max(decided)[0]
        # What Argo CD says is of the time after the last decision.
        sights = poll("compared once more", seen, lambda sights: sights[-1].compared > last)
    counts = {word: _words(decided).count(word) for word in sorted(set(_words(decided)))}
    print(f"{len(decided)} decisions: {counts}; {len({sight.compared for sight in sights})} comparisons")
    assert {sight.sync for sight in sights} == {"Synced"}
    assert site.app.syncs() == before
    assert site.live()["spec"] == spec
    assert site.live()["status"]["serving"]["reason"] == "Tuned"
    site.app.await_health("Healthy", site.push("Tune no more"))


def _dateless(text: str) -> str:
    """Leave out when tuning anew was asked for."""
    return re.sub(r"(retune: Argo CD), \S+", r"\1", text)


def _words(decided: set[tuple[str, str]]) -> list[str]:
    return [decision for _, decision in sorted(decided)]


def _assert_paused(site: Site) -> None:
    assert site.live()["spec"]["suspend"] is True


def _hold(seconds: float, check: Any) -> None:
    """Check again and again for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        check()
        time.sleep(0.5)
