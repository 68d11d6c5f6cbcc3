"""What the operator and people may do, and whom the operator may reach."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.chart.rendered import of, render
from tests.unit.chart.values import EVERYTHING

from edgedetector import plan
from edgedetector.api import names
from edgedetector.cluster import kinds


def rules(values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What the operator may do."""
    objects = render(values={"rbac": {"aggregate": False}} | (values or {}))
    return [rule for obj in (*of(objects, "ClusterRole"), *of(objects, "Role")) for rule in obj["rules"]]


def resources(found: list[dict[str, Any]]) -> set[str]:
    return {resource for rule in found for resource in rule["resources"]}


@pytest.mark.parametrize("values", [{}, EVERYTHING])
def test_no_permission_is_a_wildcard_or_touches_secrets_nodes_or_permissions(values: dict[str, Any]) -> None:
    for rule in rules(values):
        said = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert said.isdisjoint(
            {"*", "secrets", "nodes", "rbac.authorization.k8s.io", "escalate", "bind", "impersonate"}
        )


def test_every_kind_of_child_can_be_made_and_nothing_else_can() -> None:
    makeable = {
        (group, resource)
        for rule in rules()
        if {"create", "patch", "delete"} <= set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    children = {*plan.CHILD_KINDS, *plan.PROFILE_CHILD_KINDS}
    assert makeable == {(kinds.of(*child).group, kinds.of(*child).plural) for child in children}


def test_an_operator_of_some_namespaces_is_allowed_nothing_outside_of_them() -> None:
    some = render(values={"watchNamespaces": ["site-a", "site-b"]})
    assert [obj["metadata"]["name"] for obj in some if obj["kind"].startswith("ClusterRole")] == []
    assert {obj["metadata"].get("namespace") for obj in some} == {None, "site-a", "site-b", "edgedetector-system"}
    assert {obj["kind"] for obj in some if "namespace" not in obj["metadata"]} == {"CustomResourceDefinition"}

    def allowed(namespace: str) -> list[dict[str, Any]]:
        found = [obj for obj in of(some, "Role") if obj["metadata"]["namespace"] == namespace]
        return [rule for obj in found for rule in obj["rules"]]

    cluster_scoped = {"acceleratorprofiles", "acceleratorprofiles/status", "customresourcedefinitions"}
    assert resources(allowed("site-a")) == resources(rules()) - cluster_scoped
    assert allowed("site-a") == allowed("site-b")
    assert ["create", "patch", "delete"] in [
        rule["verbs"] for rule in allowed("edgedetector-system") if "daemonsets" in rule["resources"]
    ], "exporters run there"
    assert sorted((obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in of(some, "RoleBinding")) == sorted(
        (obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in of(some, "Role")
    )


def test_whoever_may_not_write_to_the_whole_cluster_can_install_it() -> None:
    some = render(values=EVERYTHING | {"crds": {"install": False}})
    assert [obj for obj in some if "namespace" not in obj["metadata"]] == []


def test_people_get_edgedetectors_with_the_roles_of_the_cluster_and_profiles_only_to_look_at() -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    found: dict[str, dict[str, set[str]]] = {"view": {}, "edit": {}, "admin": {}}
    for obj in of(render(), "ClusterRole"):
        for label in obj["metadata"]["labels"]:
            if label.startswith(prefix):
                for rule in obj["rules"]:
                    for resource in rule["resources"]:
                        found[label.removeprefix(prefix)].setdefault(resource, set()).update(rule["verbs"])
    look, write = {"get", "list", "watch"}, {"create", "update", "patch", "delete", "deletecollection"}
    assert found["view"] == {"edgedetectors": look, "acceleratorprofiles": look}
    assert found["edit"] == found["admin"] == {"edgedetectors": look | write, "acceleratorprofiles": look}


def test_nobody_reaches_the_operator_but_prometheus_and_it_goes_only_where_it_must() -> None:
    labels = of(render(), "Deployment")[0]["spec"]["template"]["metadata"]["labels"]
    (policy,) = of(render(), "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    (ingress,) = policy["spec"]["ingress"]
    assert ingress == {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "ports": [{"port": 9090, "protocol": "TCP"}],
    }
    api_server, pods, names_ = policy["spec"]["egress"]
    assert {entry["port"] for entry in api_server["ports"]} == {443, 6443}
    assert pods["to"] == [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {names.LABEL_MANAGED_BY: names.MANAGED_BY}}}
    ]
    assert {entry["port"] for entry in pods["ports"]} == {names.PORT_DETECTOR, names.PORT_GO2RTC_API}
    assert names_["to"][0]["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert of(render(values={"networkPolicy": {"enabled": False}}), "NetworkPolicy") == []
    closed = of(render(values={"networkPolicy": {"prometheusNamespaces": []}}), "NetworkPolicy")
    assert "ingress" not in closed[0]["spec"]


def test_the_operator_of_some_namespaces_goes_only_to_pods_there() -> None:
    (policy,) = of(render(values={"watchNamespaces": ["site-a"]}), "NetworkPolicy")
    (peer,) = policy["spec"]["egress"][1]["to"]
    (expression,) = peer["namespaceSelector"]["matchExpressions"]
    assert expression == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["site-a"]}
