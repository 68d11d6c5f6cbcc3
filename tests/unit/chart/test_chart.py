"""The chart: what it renders is valid, asks for no more than it needs, and its values are described."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from edgedetector import plan
from edgedetector.api import names
from edgedetector.cluster import kinds
from edgedetector.controller import options

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "edgedetector"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
PROMETHEUS = "monitoring.coreos.com/v1/ServiceMonitor"


@pytest.fixture(scope="session")
def helm() -> str:
    """Helm's executable: the one that the local cluster uses. Session, since finding it may fetch it."""
    build = ROOT / "tests" / "e2e" / "node" / "build.py"
    done = subprocess.run([sys.executable, build, "helm"], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


def template(helm: str, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    command = [helm, "template", "edgedetector", str(CHART), "--namespace", "edgedetector-system", *arguments]
    return subprocess.run(
        [*command, "--values", "-"], input=json.dumps(values or {}), capture_output=True, text=True, check=False
    )


def render(helm: str, *arguments: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    done = template(helm, *arguments, values=values)
    assert done.returncode == 0, done.stderr
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


def of(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [obj for obj in objects if obj["kind"] == kind]


def environment(objects: list[dict[str, Any]]) -> dict[str, str]:
    container = of(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", "edgedetector-system") for entry in container["env"]}


EVERYTHING: dict[str, Any] = {
    "image": {"repository": "mirror/operator", "digest": "sha256:" + "0" * 64},
    "imageReplacements": {"a:1": "b:2"},
    "imagePullSecrets": [{"name": "registry"}],
    "crds": {"annotations": {"argocd.argoproj.io/sync-wave": "-2"}},
    "watchNamespaces": ["site-a", "site-b"],
    "serviceAccount": {"annotations": {"a": "b"}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
}


@pytest.mark.parametrize("values", [{}, EVERYTHING, {"serviceAccount": {"create": False, "name": "mine"}}])
def test_what_is_rendered_is_valid_for_the_api_server(helm: str, values: dict[str, Any]) -> None:
    builtin = [
        obj for obj in render(helm, values=values) if obj["kind"] not in {"CustomResourceDefinition", "ServiceMonitor"}
    ]
    assert len(builtin) >= 6
    for obj in builtin:
        kubernetes_validate.validate(obj, "1.35", strict=True)


def test_an_empty_api_server_needs_nothing_first(helm: str) -> None:
    """No object of a kind that the chart itself defines or that an add-on would have to bring."""
    assert {obj["kind"] for obj in render(helm)} == {
        "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
        "Deployment", "Service",
    }  # fmt: skip


def test_the_operator_is_scraped_where_there_is_a_prometheus_operator_or_somebody_insists(helm: str) -> None:
    assert len(of(render(helm, "--api-versions", PROMETHEUS), "ServiceMonitor")) == 1
    assert len(of(render(helm, values={"serviceMonitor": {"enabled": True}}), "ServiceMonitor")) == 1
    refused = {"serviceMonitor": {"enabled": False}}
    assert of(render(helm, "--api-versions", PROMETHEUS, values=refused), "ServiceMonitor") == []


def test_the_definitions_are_those_of_the_repository() -> None:
    """Where this fails: cp crds/*.yaml charts/edgedetector/files/crds/."""
    source = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert source
    assert copies == source


def test_definitions_are_rendered_whole_kept_and_left_out_on_demand(helm: str) -> None:
    found = of(render(helm), "CustomResourceDefinition")
    for crd in found:
        source = yaml.safe_load((ROOT / "crds" / f"{names.GROUP}_{crd['spec']['names']['plural']}.yaml").read_text())
        assert crd["spec"] == source["spec"]
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert len(found) == 2
    assert of(render(helm, values={"crds": {"install": False}}), "CustomResourceDefinition") == []
    loose = of(render(helm, values={"crds": {"keep": False, "annotations": {"a": "b"}}}), "CustomResourceDefinition")
    assert [crd["metadata"]["annotations"] for crd in loose] == [{"a": "b"}] * 2


def rules(helm: str) -> list[dict[str, Any]]:
    objects = render(helm)
    return [rule for obj in (*of(objects, "ClusterRole"), *of(objects, "Role")) for rule in obj["rules"]]


def test_no_permission_is_a_wildcard_or_touches_secrets_nodes_or_permissions(helm: str) -> None:
    for rule in rules(helm):
        said = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert said.isdisjoint(
            {"*", "secrets", "nodes", "rbac.authorization.k8s.io", "escalate", "bind", "impersonate"}
        )


def test_every_kind_of_child_can_be_made_and_nothing_else_can(helm: str) -> None:
    makeable = {
        (group, resource)
        for rule in rules(helm)
        if {"create", "patch", "delete"} <= set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    children = {*plan.CHILD_KINDS, *plan.PROFILE_CHILD_KINDS}
    assert makeable == {(kinds.of(*child).group, kinds.of(*child).plural) for child in children}


def test_an_operator_of_some_namespaces_is_allowed_nothing_in_the_others(helm: str) -> None:
    def allowed(objects: list[dict[str, Any]], kind: str, namespace: str | None = None) -> set[str]:
        found = [obj for obj in of(objects, kind) if obj["metadata"].get("namespace") == namespace]
        return {json.dumps(rule) for obj in found for rule in obj["rules"]}

    everywhere = allowed(render(helm), "ClusterRole")
    some = render(helm, values={"watchNamespaces": ["site-a", "site-b"]})
    cluster = allowed(some, "ClusterRole")
    plurals = {resource for rule in cluster for resource in json.loads(rule)["resources"]}
    assert plurals == {"acceleratorprofiles", "acceleratorprofiles/status", "customresourcedefinitions"}
    for namespace in ("site-a", "site-b"):
        assert allowed(some, "Role", namespace) == everywhere - cluster
    assert allowed(some, "Role", "edgedetector-system") > everywhere - cluster, "exporters run here"
    assert cluster < everywhere
    assert sorted((obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in of(some, "RoleBinding")) == sorted(
        (obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in of(some, "Role")
    )


def test_the_pod_fits_pod_security_restricted_and_never_runs_twice(helm: str) -> None:
    deployment = of(render(helm), "Deployment")[0]["spec"]
    pod, container = deployment["template"]["spec"], deployment["template"]["spec"]["containers"][0]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_operator_reads_what_the_chart_sets(helm: str) -> None:
    labels = {"release": "prometheus"}
    found = options.parse([], environment(render(helm, values=EVERYTHING | {"scrapeSeconds": 7})))
    assert found == options.Options(
        operator_namespace="edgedetector-system",
        detector_image="edgedetector/detector:0.1.0",
        image_replacements={"a:1": "b:2"},
        monitoring_labels=labels,
        namespaces=("site-a", "site-b"),
        scrape_rest=7.0,
    )


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 2},
        {"image": {"repository": ""}},
        {"image": {"repository": "x", "tag": "a b"}},
        {"image": {"digest": "sha256:short"}},
        {"imageReplacements": {"a": 1}},
        {"watchNamespaces": ["Site A"]},
        {"watchNamespaces": "site-a"},
        {"resyncSeconds": 0},
        {"log": {"level": "LOUD"}},
        {"serviceMonitor": {"enabled": "maybe"}},
        {"serviceMonitor": {"interval": "soon"}},
        {"unknown": 1},
    ],
)
def test_a_mistake_in_the_values_is_refused(helm: str, values: dict[str, Any]) -> None:
    done = template(helm, values=values)
    assert done.returncode != 0
    assert "values" in done.stderr


def test_every_value_is_described_and_known_to_the_schema() -> None:
    jsonschema.validate(VALUES, SCHEMA)
    assert set(VALUES) == set(SCHEMA["properties"]) - {"global"}
    lines = (CHART / "values.yaml").read_text().splitlines()
    undescribed = []
    for number, line in enumerate(lines):
        key = line.strip().partition(":")[0]
        if line.strip().startswith("#") or not key or key in {"requests", "limits", "cpu", "memory"}:
            continue
        if not any(above.strip().startswith("#") for above in lines[max(0, number - 2) : number]):
            undescribed.append(key)
    assert undescribed == []


def test_every_value_is_used_by_a_template() -> None:
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    for name, value in VALUES.items():
        inner = (
            value
            if isinstance(value, dict) and name in {"crds", "log", "serviceAccount", "serviceMonitor"}
            else {"": 0}
        )
        for key in inner:
            assert f".Values.{name}{'.' + key if key else ''}" in templates, f"{name}.{key}"
