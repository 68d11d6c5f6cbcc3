"""The chart's life on a bare API server: upgrade from the first release, uninstall, and namespaced mode.

With the controllers that matter: those of Deployments make pods (which nobody runs), the garbage collector and the
namespace controller tidy up. What pods do is the business of the tests on the real node.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import apiserver as bare
from tests.apiserver import ROOT, Server

import release
from edgedetector.api import names
from edgedetector.cluster import held

Object = dict[str, Any]

SYSTEM, VISION, SITE, OTHER = "edgedetector-system", "vision", "site-a", "site-b"
CONTROLLERS = (
    "garbage-collector-controller", "namespace-controller", "deployment-controller", "replicaset-controller",
    "serviceaccount-controller", "clusterrole-aggregation-controller",
)  # fmt: skip
PLURALS = ("edgedetectors", "acceleratorprofiles")
# Ready in a second or two; on a machine that builds and tests all at once, not in half a minute.
until = functools.partial(bare.until, every=0.1)
DENGLIN = yaml.safe_load((ROOT / "manifests" / "samples" / "denglin-ks20.yaml").read_text())


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """What is told below, side by side, since most of it waits; each on a server of its own for its definitions."""
    with contextlib.ExitStack() as stack:
        # From here and not from the threads: a server ends with the thread that started it.
        servers = [stack.enter_context(bare.start(audit=True, controllers=CONTROLLERS)) for _ in STORIES]
        pool = stack.enter_context(ThreadPoolExecutor(len(STORIES)))
        yield {
            story.__name__: pool.submit(story, server, tmp_path_factory.mktemp(story.__name__))
            for story, server in zip(STORIES, servers, strict=True)
        }


def namespace(server: Server, *found: str) -> None:
    for name in found:
        server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def detector(name: str, place: str, profile: str = "denglin-ks20") -> Object:
    """An EdgeDetector of both releases' language, with two cameras."""
    spec = json.loads(json.dumps(DENGLIN["spec"])) | {"acceleratorProfile": profile}
    del spec["tuning"]  # the first release had not all of its fields
    return {**DENGLIN, "metadata": {"name": name, "namespace": place}, "spec": spec}


def with_request(name: str) -> Object:
    """The same with a request that only another pod can have."""
    found = detector(name, SITE)
    found["spec"]["resources"] = {"detector": {"requests": {"cpu": "123m"}}}
    return found


def path(name: str, place: str) -> str:
    return f"/apis/{names.API_VERSION}/namespaces/{place}/edgedetectors/{name}"


def workloads(server: Server) -> dict[str, Object]:
    """Deployments of detectors and exporters' DaemonSets, by kind, namespace and name."""
    found = {}
    for kind, plural in (("Deployment", "deployments"), ("DaemonSet", "daemonsets")):
        selector = f"labelSelector=app.kubernetes.io%2Fmanaged-by%3D{names.MANAGED_BY}"
        for obj in server.request("GET", f"/apis/apps/v1/{plural}?{selector}")["items"]:
            found[f"{kind} {obj['metadata']['namespace']}/{obj['metadata']['name']}"] = obj
    return found


def pods(server: Server) -> dict[str, str]:
    """UIDs of the pods of detectors."""
    selector = f"labelSelector={names.LABEL_DETECTOR.replace('/', '%2F')}"
    found = server.request("GET", f"/api/v1/pods?{selector}")["items"]
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in found}


def records(server: Server) -> list[held.Record | None]:
    return [held.record(obj) for obj in workloads(server).values()]


def applied(server: Server, name: str, place: str = SITE) -> bool:
    """Whether all objects were brought to the present specification, by an operator that says so."""
    obj = server.get(path(name, place))
    return bool((obj.get("status") or {}).get("appliedGeneration") == obj["metadata"]["generation"])


def writers(server: Server, user: str) -> list[Object]:
    """What `user` asked for, from the audit log."""
    lines = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
    return [line for line in lines if line["user"]["username"] == user]


def upgrade_and_uninstall(server: Server, tmp_path: Path) -> None:
    namespace(server, SYSTEM, SITE)
    runtime = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "denglin"},
        "handler": "runc",
    }
    server.apply(runtime)
    _settle(server)
    before = release.every_object(server)
    log = tmp_path / "operator.log"
    old_schemas = _first_release(server, release.unpack_first_light(tmp_path), log)
    old, uids = workloads(server), pods(server)
    assert records(server) == [None] * 7

    # Somebody writes while no operator looks, and both images are other ones.
    server.apply(with_request("lane"))
    _helm(server, "upgrade", release.CHART, _images("2"))
    for plural, schema in old_schemas.items():
        present = yaml.safe_load((ROOT / "crds" / f"{names.GROUP}_{plural}.yaml").read_text())
        assert _schema(server, plural) == present["spec"]["versions"][0]["schema"]
        assert _schema(server, plural) != schema, "the definitions are upgraded, too"
    with release.running(server, SYSTEM, log):
        until("the new release has applied", lambda: all(applied(server, name) for name in ("yard", "dock", "lane")))
        until("exporters, too", lambda: all(records(server)))
        found = workloads(server)
        anew = {name for name in found if found[name]["spec"]["template"] != old[name]["spec"]["template"]}
        assert anew == {f"Deployment {SITE}/lane-triton", f"Deployment {SITE}/lane-media"}, "only what somebody wanted"
        kept = {name: uid for name, uid in uids.items() if not name.startswith("lane-")}
        assert len(kept) == 4
        assert kept.items() <= pods(server).items()
        assert sum(bool(record and record.held) for record in records(server)) >= 4, "it would run other pods"
        # What needs no new pods gets none; what does gets those of the new release, for itself alone.
        moved = detector("dock", SITE)
        moved["spec"]["cameras"][0]["frameRate"]["target"] = 6
        server.apply(moved)
        until("the camera's change is applied", lambda: applied(server, "dock"))
        assert kept.items() <= pods(server).items()
        server.apply(with_request("dock"))
        until("the other change is applied", lambda: applied(server, "dock"))
        found = workloads(server)
        anew |= {f"Deployment {SITE}/dock-triton"}
        assert {name for name in found if found[name]["spec"]["template"] != old[name]["spec"]["template"]} == anew
        assert "detector:2" in json.dumps(found[f"Deployment {SITE}/dock-triton"]["spec"]["template"])

    # Whoever wants all of it at once says so.
    values = _images("3") | {"workloads": {"upgradePolicy": "Immediate"}}
    _helm(server, "upgrade", release.CHART, values)
    with release.running(server, SYSTEM, log):
        until("nothing is held", lambda: all(r and r.release == "operator:3" and not r.held for r in records(server)))
        assert all("detector:3" in json.dumps(obj) for name, obj in workloads(server).items() if "Deploy" in name)
        for name in ("yard", "dock", "lane"):  # from here on, the documented order
            server.delete({**DENGLIN, "metadata": {"name": name, "namespace": SITE}})
        until("all objects of the detectors are gone", lambda: not workloads(server) and not pods(server))
    _uninstall(server)
    left = {place for place in before if SYSTEM in place}
    until(
        "everything is as before, less the namespace", lambda: set(release.every_object(server)) == set(before) - left
    )


def serve_some_namespaces(server: Server, tmp_path: Path) -> None:
    namespace(server, VISION, SITE, OTHER)
    # Whoever installs it is administrator of these two namespaces and nothing else.
    installer = server.kubeconfig_of(VISION, "installer")
    server.apply(*(_admin(place, "installer") for place in (VISION, SITE)))
    values = {
        "watchNamespaces": [SITE],
        "crds": {"install": False},
        "profiles": {"mine": {"triton": {"image": "t:1", "backend": "python"}, "media": {"image": "m:1"}}},
    }
    release.helm(installer, "install", "edgedetector", str(release.CHART), "--namespace", VISION, values=values)
    log = tmp_path / "operator.log"
    with release.running(server, VISION, log) as process:
        until("it is ready, though its own kind is not there", process.ready)
        server.install_crds(monitoring="")
        server.apply(detector("yard", SITE), detector("mine", SITE, "mine"), detector("stranger", OTHER))
        until("both are applied", lambda: applied(server, "yard") and applied(server, "mine"))
        until(
            "the exporter is there",
            lambda: f"DaemonSet {VISION}/edgedetector-exporter-denglin-ks20" in workloads(server),
        )
        assert "status" not in server.get(path("stranger", OTHER))
        assert {name for name in workloads(server) if OTHER in name} == set()
        template = workloads(server)[f"Deployment {SITE}/mine-triton"]["spec"]["template"]
        assert "t:1" in {container["image"] for container in template["spec"]["containers"]}
        # Kinds that come later are found without a watch on definitions.
        server.define(*bare.monitoring_crds("stub"))
        monitor = f"/apis/monitoring.coreos.com/v1/namespaces/{SITE}/servicemonitors/yard"
        until("the ServiceMonitor is made", lambda: server.get(monitor))
        # An exporter nobody needs any more goes, though no object owns it but the operator's Deployment.
        server.delete({**DENGLIN, "metadata": {"name": "yard", "namespace": SITE}})
        until("the exporter is gone", lambda: not any("DaemonSet" in name for name in workloads(server)))
        assert process.exit_code is None
        server.apply(detector("yard", SITE))
        until("it comes back", lambda: any("DaemonSet" in name for name in workloads(server)))
    asked = writers(server, f"system:serviceaccount:{VISION}:edgedetector")
    assert len(asked) > 50
    assert {
        (line["verb"], line["requestURI"]) for line in asked if line["responseStatus"]["code"] in {401, 403}
    } == set()
    beyond = {line["objectRef"]["resource"] for line in asked if _is_of_the_cluster(line)}
    assert beyond == set(), "no request for anything that belongs to no namespace"
    assert {line["objectRef"]["namespace"] for line in asked if line.get("objectRef", {}).get("namespace")} <= {
        VISION,
        SITE,
    }
    release.helm(installer, "uninstall", "edgedetector", "--namespace", VISION)
    until("exporters go with the operator", lambda: not any("DaemonSet" in name for name in workloads(server)))


def take_a_shipped_name(server: Server, tmp_path: Path) -> None:
    namespace(server, SYSTEM, SITE)
    spec = {"triton": {"image": "mine:1", "backend": "python"}, "media": {"image": "go2rtc:mine"}}
    _helm(server, "install", release.CHART, {"profiles": {"ours": spec}})
    until("the kind is served", lambda: server.get(f"/apis/{names.API_VERSION}/acceleratorprofiles"))
    head = {"apiVersion": names.API_VERSION, "kind": "AcceleratorProfile"}
    server.apply({**head, "metadata": {"name": "cpu"}, "spec": spec}, manager="somebody")
    where = f"/apis/{names.API_VERSION}/acceleratorprofiles/"

    def shipped(name: str) -> list[Object]:
        conditions = ((server.get(where + name) or {}).get("status") or {}).get("conditions") or []
        return [item for item in conditions if item["type"] == "Shipped"]

    with release.running(server, SYSTEM, tmp_path / "operator.log"):
        until("it is told", lambda: shipped("cpu"))
        until("the others are there", lambda: server.get(where + "nvidia") and server.get(where + "ours"))
        assert _image(server.get(where + "ours")) == "mine:1", "one of the values, as if it were shipped"
        (condition,) = shipped("cpu")
        assert (condition["status"], condition["reason"]) == ("False", "NameTaken")
        assert shipped("nvidia") == []
        assert server.get(where + "cpu")["spec"]["triton"]["image"] == "mine:1"
        events = server.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events")["items"]
        assert [event["reason"] for event in events if event["regarding"]["name"] == "cpu"] == ["NameTaken"]
        until("people's roles know EdgeDetectors", lambda: _may(server, "edit") and _may(server, "admin"))
        # Out of the way, the shipped one comes; and what somebody does to it is undone.
        server.delete({**head, "metadata": {"name": "cpu"}})
        until("the shipped one is there", lambda: _image(server.get(where + "cpu")) == "edgedetector/triton-cpu:0.1.0")
        server.apply({**head, "metadata": {"name": "cpu"}, "spec": spec}, manager="somebody")
        until("it is as shipped again", lambda: _image(server.get(where + "cpu")) == "edgedetector/triton-cpu:0.1.0")
        server.request("DELETE", where + "cpu")
        until("it is there again", lambda: server.get(where + "cpu"))


STORIES = (upgrade_and_uninstall, serve_some_namespaces, take_a_shipped_name)


def test_an_upgrade_from_the_first_release_restarts_nothing_and_uninstalling_leaves_nothing(
    stories: dict[str, Future[None]],
) -> None:
    stories["upgrade_and_uninstall"].result()


def test_an_operator_of_some_namespaces_needs_no_right_on_the_cluster(stories: dict[str, Future[None]]) -> None:
    stories["serve_some_namespaces"].result()


def test_a_profile_that_somebody_made_under_a_shipped_name_is_left_alone(stories: dict[str, Future[None]]) -> None:
    stories["take_a_shipped_name"].result()


def _first_release(server: Server, first: Path, log: Path) -> dict[str, Any]:
    """Install the first release: chart, definitions, and its own operator; returns the schemas of its definitions."""
    _helm(server, "install", first / "charts" / "edgedetector", {})
    until("EdgeDetectors are served", lambda: server.get(f"/apis/{names.API_VERSION}/edgedetectors"))
    server.apply(*(detector(name, SITE) for name in ("yard", "dock", "lane")))
    with release.running(server, SYSTEM, log, first):
        until("the first release has made its objects", lambda: len(workloads(server)) == 7 and len(pods(server)) == 6)
        until("and said so", lambda: all(_observed(server, name) for name in ("yard", "dock", "lane")))
    return {plural: _schema(server, plural) for plural in PLURALS}


def _uninstall(server: Server) -> None:
    """Do what docs/upgrade.md says, after the EdgeDetectors are gone."""
    release.helm(server.kubeconfig, "uninstall", "edgedetector", "--namespace", SYSTEM)
    for plural in PLURALS:
        assert server.get(_crd(plural)), "definitions stay, and with them what people wrote"
        server.request("DELETE", _crd(plural))
    server.request("DELETE", f"/api/v1/namespaces/{SYSTEM}")


def _helm(server: Server, verb: str, chart: Path, values: Object) -> None:
    release.helm(server.kubeconfig, verb, "edgedetector", str(chart), "--namespace", SYSTEM, values=values)


def _is_of_the_cluster(line: Object) -> bool:
    reference = line.get("objectRef")
    return bool(reference and reference.get("resource") and not reference.get("namespace"))


def _admin(place: str, account: str) -> Object:
    """All rights in a namespace: nobody can give the operator what he does not have himself."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "installer", "namespace": place},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": VISION}],
    }


def _images(tag: str) -> Object:
    return {
        "image": {"repository": "operator", "tag": tag},
        "detectorImage": {"repository": "detector", "tag": tag},
    }


def _crd(plural: str) -> str:
    return f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{names.GROUP}"


def _schema(server: Server, plural: str) -> Any:
    return server.get(_crd(plural))["spec"]["versions"][0]["schema"]


def _observed(server: Server, name: str) -> bool:
    obj = server.get(path(name, SITE))
    return bool((obj.get("status") or {}).get("observedGeneration") == obj["metadata"]["generation"])


def _may(server: Server, role: str) -> bool:
    """Whether whoever has this role of the cluster may create EdgeDetectors."""
    rules = server.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}").get("rules") or []
    return any("edgedetectors" in rule["resources"] and "create" in rule["verbs"] for rule in rules)


def _image(profile: Object | None) -> str:
    return str(profile["spec"]["triton"]["image"]) if profile else ""


def _settle(server: Server) -> None:
    """Wait until each namespace has the account that a controller makes."""

    def accounts() -> set[str]:
        found = server.request("GET", "/api/v1/serviceaccounts")["items"]
        return {obj["metadata"]["namespace"] for obj in found if obj["metadata"]["name"] == "default"}

    spaces = {obj["metadata"]["name"] for obj in server.request("GET", "/api/v1/namespaces")["items"]}
    until("all namespaces have their account", lambda: accounts() == spaces)
