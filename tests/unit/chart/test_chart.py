"""The chart: what it renders is valid, asks for no more than it needs, and its values are described."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.unit.chart import reference
from tests.unit.chart.rendered import CHART, ROOT, executable, of, render, template

from edgedetector import plan, profiles
from edgedetector.api import names
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.cluster import kinds
from edgedetector.controller import options

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
OPTIONAL = {"ServiceMonitor", "PrometheusRule"}
PROMETHEUS = "monitoring.coreos.com/v1/ServiceMonitor"


def environment(objects: list[dict[str, Any]]) -> dict[str, str]:
    container = of(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", "edgedetector-system") for entry in container["env"]}


EVERYTHING: dict[str, Any] = {
    "global": {"imageRegistry": "registry.example.com:5000/mirror"},
    "image": {"repository": "quay.io/edgedetector/operator", "digest": "sha256:" + "0" * 64},
    "imageReplacements": {"a:1": "b:2"},
    "imageDigests": {"host:5000/b:1": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}, {"name": "other"}],
    "workloads": {"upgradePolicy": "Immediate"},
    "profiles": {"mine": {"triton": {"image": "triton:1", "backend": "python"}, "media": {"image": "go2rtc:1"}}},
    "modelSources": {"allowedHosts": ["models.example.com", "*.example.org"]},
    "networkPolicy": {
        "prometheusNamespaces": ["monitoring", "other"],
        "dnsCidrs": ["169.254.20.10/32"],
        "apiServer": {"cidrs": ["10.0.0.1/32", "fd00::1/128"], "ports": [6443]},
    },
    "crds": {"annotations": {"argocd.argoproj.io/sync-wave": "-2"}},
    "watchNamespaces": ["site-a", "site-b"],
    "serviceAccount": {"annotations": {"a": "b"}},
    "serviceMonitor": {"enabled": True},
    "monitoring": {
        "labels": {"release": "prometheus"},
        "runbooks": "https://wiki.example.com/runbooks/",
        "rules": {"enabled": True},
        "dashboards": {"enabled": True, "namespace": "grafana", "annotations": {"grafana_folder": "Edge"}},
    },
    "nodeExporter": {"enabled": True, "image": {"repository": "node-exporter", "tag": "1"}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d", "app.kubernetes.io/name": "not this"},
}


@pytest.mark.parametrize("values", [{}, EVERYTHING, {"serviceAccount": {"create": False, "name": "mine"}}])
def test_what_is_rendered_is_valid_for_the_api_server(values: dict[str, Any]) -> None:
    builtin = [obj for obj in render(values=values) if obj["kind"] not in {"CustomResourceDefinition", *OPTIONAL}]
    assert len(builtin) >= 6
    for obj in builtin:
        kubernetes_validate.validate(obj, "1.35", strict=True)


@pytest.mark.parametrize("release", ["r" * 53, "edgedetector-" + "r" * 40], ids=["any", "the chart's name in it"])
def test_every_name_fits_however_long_that_of_the_release_is(release: str) -> None:
    """Helm takes 53 characters; a Service's name may have 63, and so may what becomes a label."""
    for values in (EVERYTHING, EVERYTHING | {"watchNamespaces": []}):
        objects = render(values=values, release=release)
        assert len(of(objects, "Service")) == 2
        for obj in objects:
            if obj["kind"] != "CustomResourceDefinition":
                assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", obj["metadata"]["name"]), obj["metadata"]


def test_helm_finds_no_fault_with_it() -> None:
    done = subprocess.run([executable(), "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_says_which_kinds_it_brings() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    told = {
        (crd["kind"], crd["name"], crd["version"])
        for crd in yaml.safe_load(chart["annotations"]["artifacthub.io/crds"])
    }
    crds = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    versions = {(crd["spec"]["names"]["kind"], crd["metadata"]["name"]): crd["spec"]["versions"] for crd in crds}
    assert told == {(*key, version["name"]) for key, found in versions.items() for version in found}


def test_an_empty_api_server_needs_nothing_first() -> None:
    """No object of a kind that the chart itself defines or that an add-on would have to bring."""
    assert {obj["kind"] for obj in render()} == {
        "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
        "Deployment", "Service", "NetworkPolicy",
    }  # fmt: skip


def test_the_operator_is_scraped_where_there_is_a_prometheus_operator_or_somebody_insists() -> None:
    assert len(of(render("--api-versions", PROMETHEUS), "ServiceMonitor")) == 1
    assert len(of(render(values={"serviceMonitor": {"enabled": True}}), "ServiceMonitor")) == 1
    refused = {"serviceMonitor": {"enabled": False}}
    assert of(render("--api-versions", PROMETHEUS, values=refused), "ServiceMonitor") == []


def test_dashboards_and_rules_come_where_they_can_be_read_or_somebody_insists() -> None:
    assert of(render(), "ConfigMap") == of(render(), "PrometheusRule") == []
    served = ("--api-versions", PROMETHEUS, "--api-versions", "monitoring.coreos.com/v1/PrometheusRule")
    for objects in (render(*served), render(values={"monitoring": EVERYTHING["monitoring"]})):
        assert len(of(objects, "PrometheusRule")) == 1
        assert len(of(objects, "ConfigMap")) == 7
    refused = {"monitoring": {"rules": {"enabled": False}, "dashboards": {"enabled": False}}}
    assert of(render(*served, values=refused), "ConfigMap") == []
    assert of(render(*served, values=refused), "PrometheusRule") == []


def test_grafanas_sidecar_finds_every_dashboard_as_it_was_made() -> None:
    objects = render(values={"monitoring": {"dashboards": EVERYTHING["monitoring"]["dashboards"]}})
    found: dict[str, Any] = {}
    for obj in of(objects, "ConfigMap"):
        assert obj["metadata"]["namespace"] == "grafana"
        assert obj["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert obj["metadata"]["annotations"] == {"grafana_folder": "Edge"}
        assert len(json.dumps(obj)) < 1 << 18, "far from the MiB that a ConfigMap may have"
        found |= {name: json.loads(text) for name, text in obj["data"].items()}
    made = {f"edgedetector-{path.name}": json.loads(path.read_text()) for path in (CHART / "dashboards").iterdir()}
    assert found == made


def test_a_prometheus_that_selects_by_label_takes_everything_of_the_release() -> None:
    labels = {"release": "kube-prometheus-stack"}
    values = {"labels": labels, "rules": {"enabled": True}}
    objects = render(
        values={"serviceMonitor": {"enabled": True}, "nodeExporter": {"enabled": True}, "monitoring": values}
    )
    found = of(objects, "ServiceMonitor") + of(objects, "PrometheusRule")
    assert len(found) == 3
    assert all(labels.items() <= obj["metadata"]["labels"].items() for obj in found)
    assert json.loads(environment(objects)["EDGEDETECTOR_MONITORING_LABELS"]) == labels


def test_the_rules_are_those_on_file_with_the_pages_where_the_values_say() -> None:
    def rules_of(**values: Any) -> dict[str, dict[str, Any]]:
        (obj,) = of(render(values={"monitoring": {"rules": {"enabled": True}}} | values), "PrometheusRule")
        return {rule["alert"]: rule for group in obj["spec"]["groups"] for rule in group["rules"]}

    written = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    assert rules_of() == {rule["alert"]: rule for group in written["groups"] for rule in group["rules"]}
    moved = rules_of(monitoring={"rules": {"enabled": True}, "runbooks": "https://wiki.example.com/x/"})
    for name, rule in moved.items():
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example.com/x/{name}.md"
    seldom = rules_of(resyncSeconds=3600)["EdgeDetectorOperatorStuck"]["expr"]
    assert seldom.endswith("> 21600"), "whoever looks at everything once an hour is not stuck after half of one"


def test_the_definitions_are_those_of_the_repository() -> None:
    """Where this fails: cp crds/*.yaml charts/edgedetector/files/crds/."""
    source = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert source
    assert copies == source


def test_definitions_are_rendered_whole_kept_and_left_out_on_demand() -> None:
    found = of(render(), "CustomResourceDefinition")
    for crd in found:
        source = yaml.safe_load((ROOT / "crds" / f"{names.GROUP}_{crd['spec']['names']['plural']}.yaml").read_text())
        assert crd["spec"] == source["spec"]
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert len(found) == 2
    assert of(render(values={"crds": {"install": False}}), "CustomResourceDefinition") == []
    loose = of(render(values={"crds": {"keep": False, "annotations": {"a": "b"}}}), "CustomResourceDefinition")
    assert [crd["metadata"]["annotations"] for crd in loose] == [{"a": "b"}] * 2


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


def test_one_registry_stands_before_all_images_and_a_digest_counts_more_than_a_tag() -> None:
    objects = render(values=EVERYTHING)
    spec = [obj["spec"]["template"]["spec"] for obj in objects if obj["kind"] in {"Deployment", "DaemonSet"}]
    assert sorted(container["image"] for pod in spec for container in pod["containers"]) == [
        "registry.example.com:5000/mirror/edgedetector/operator@sha256:" + "0" * 64,
        "registry.example.com:5000/mirror/node-exporter:1",
    ]
    assert all(pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "other"}] for pod in spec)


@pytest.mark.parametrize("image", ["a:1", "a/b:1", "a.example/b:1", "host:5000/a/b@sha256:0", "localhost/a"])
def test_chart_and_operator_mean_the_same_by_a_registry(image: str) -> None:
    repository, mark, tag = image.partition("@") if "@" in image else image.rpartition(":")
    values = {"global": {"imageRegistry": "mirror.example/x"}, "detectorImage": {"repository": repository or image}}
    if mark == ":":
        values["detectorImage"]["tag"] = tag
    rendered = environment(render(values=values))["EDGEDETECTOR_DETECTOR_IMAGE"]
    ours = plan.Settings("system", "detector", image_registry="mirror.example/x").image(image)
    assert rendered.removesuffix(":0.1.0").split("@")[0] == ours.split("@")[0]


def images(objects: list[dict[str, Any]]) -> dict[str, str]:
    """Return what runs: the operator, the detector, the node-exporter, and by name what profiles name."""
    seen = environment(objects)
    pods = [of(objects, kind)[0]["spec"]["template"]["spec"] for kind in ("Deployment", "DaemonSet")]
    operator, exporter = (pod["containers"][0]["image"] for pod in pods)
    named = json.loads(seen["EDGEDETECTOR_IMAGE_REPLACEMENTS"])
    return {"operator": operator, "detector": seen["EDGEDETECTOR_DETECTOR_IMAGE"], "node-exporter": exporter, **named}


DIGESTS = {
    "edgedetector/operator:0.1.0": "sha256:" + "1" * 64,
    "edgedetector/detector:0.1.0": "sha256:" + "2" * 64,
    "edgedetector/go2rtc:0.1.0": "sha256:" + "3" * 64,
    "nvcr.io/nvidia/tritonserver:24.10-py3": "sha256:" + "4" * 64,
    "quay.io/prometheus/node-exporter:v1.9.1": "sha256:" + "5" * 64,
}
PINNED: dict[str, Any] = {"imageDigests": DIGESTS, "nodeExporter": {"enabled": True}}


def test_every_image_whose_digest_is_known_is_named_by_it() -> None:
    found = images(render(values=PINNED))
    assert found["operator"] == "edgedetector/operator@sha256:" + "1" * 64
    assert found["detector"] == "edgedetector/detector@sha256:" + "2" * 64
    assert found["node-exporter"] == "quay.io/prometheus/node-exporter@sha256:" + "5" * 64
    assert found["edgedetector/go2rtc:0.1.0"] == "edgedetector/go2rtc@sha256:" + "3" * 64
    assert found["nvcr.io/nvidia/tritonserver:24.10-py3"] == "nvcr.io/nvidia/tritonserver@sha256:" + "4" * 64


def test_a_mirror_has_the_same_digests() -> None:
    mirror = "registry.example.com:5000/mirror"
    found = images(render(values=PINNED | {"global": {"imageRegistry": mirror}}))
    assert found["operator"] == f"{mirror}/edgedetector/operator@sha256:" + "1" * 64
    assert found["node-exporter"] == f"{mirror}/prometheus/node-exporter@sha256:" + "5" * 64
    assert found["nvcr.io/nvidia/tritonserver:24.10-py3"] == f"{mirror}/nvidia/tritonserver@sha256:" + "4" * 64


def test_what_somebody_says_of_one_image_counts_more_than_the_table_of_digests() -> None:
    own = {
        "image": {"repository": "registry.example.com/edgedetector/operator"},
        "detectorImage": {"tag": "0.1.1"},
        "imageReplacements": {"edgedetector/go2rtc:0.1.0": "mine:1"},
        "nodeExporter": {"enabled": True, "image": {"digest": "sha256:" + "6" * 64}},
    }
    found = images(render(values=PINNED | own))
    assert found["operator"] == "registry.example.com/edgedetector/operator:0.1.0"
    assert found["detector"] == "edgedetector/detector:0.1.1"
    assert found["edgedetector/go2rtc:0.1.0"] == "mine:1"
    assert found["node-exporter"] == "quay.io/prometheus/node-exporter@sha256:" + "6" * 64


def test_whoever_wants_no_digests_takes_them_away() -> None:
    assert images(render(values=PINNED | {"imageDigests": None}))["operator"] == "edgedetector/operator:0.1.0"


def test_the_node_exporter_needs_nothing_of_the_node_and_is_off() -> None:
    assert of(render(), "DaemonSet") == []
    objects = render(values={"nodeExporter": {"enabled": True}, "serviceMonitor": {"enabled": True}})
    (daemon,) = of(objects, "DaemonSet")
    pod = daemon["spec"]["template"]["spec"]
    assert pod.keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC", "volumes"})
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    operator = of(objects, "Deployment")[0]["spec"]["selector"]["matchLabels"]
    assert not operator.items() <= daemon["spec"]["template"]["metadata"]["labels"].items()
    monitor = next(obj for obj in of(objects, "ServiceMonitor") if "node-exporter" in obj["metadata"]["name"])
    assert monitor["spec"]["endpoints"][0]["relabelings"][0]["targetLabel"] == "node"


def test_profiles_of_the_values_reach_the_operator_as_files_and_other_ones_need_another_pod(
    tmp_path: Path,
) -> None:
    objects = render(values=EVERYTHING)
    (files,) = [obj for obj in of(objects, "ConfigMap") if obj["metadata"]["name"] == "edgedetector-profiles"]
    for name, text in files["data"].items():
        (tmp_path / name).write_text(text)
    found = {obj["metadata"]["name"]: obj for obj in profiles.load(str(tmp_path))}
    assert set(found) == {"cpu", "denglin-ks20", "nvidia", "mine"}
    assert AcceleratorProfile.parse(found["mine"]).spec.triton.image == "triton:1"
    assert environment(objects)["EDGEDETECTOR_PROFILES"] == "/etc/edgedetector/profiles"

    def checksum(values: dict[str, Any]) -> str:
        template = of(render(values=values), "Deployment")[0]["spec"]["template"]
        return str(template["metadata"].get("annotations", {}).get("checksum/profiles"))

    other = {"profiles": {"mine": {**EVERYTHING["profiles"]["mine"], "description": "another"}}}
    assert len({checksum({}), checksum(EVERYTHING), checksum(other)}) == 3


def test_the_pod_fits_pod_security_restricted_and_never_runs_twice() -> None:
    deployment = of(render(), "Deployment")[0]["spec"]
    pod, container = deployment["template"]["spec"], deployment["template"]["spec"]["containers"][0]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_operator_is_ready_when_it_has_worked_and_alive_before() -> None:
    container = of(render(), "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    # The first pass comes a moment after the first answer: rollouts wait for no more than that.
    assert container["readinessProbe"]["periodSeconds"] <= 2


def test_the_operator_reads_what_the_chart_sets() -> None:
    labels = {"release": "prometheus"}
    found = options.parse([], environment(render(values=EVERYTHING | {"scrapeSeconds": 7})))
    mirror = "registry.example.com:5000/mirror"
    assert found == options.Options(
        operator_namespace="edgedetector-system",
        operator_deployment="edgedetector",
        release=f"{mirror}/edgedetector/operator@sha256:" + "0" * 64,
        upgrade_policy="Immediate",
        detector_image=f"{mirror}/edgedetector/detector:0.1.0",
        image_registry=mirror,
        image_replacements={"a:1": "b:2", "host:5000/b:1": f"{mirror}/b@sha256:" + "0" * 64},
        exporter_pull_secrets=("registry", "other"),
        monitoring_labels=labels,
        runbooks="https://wiki.example.com/runbooks",
        model_hosts=("models.example.com", "*.example.org"),
        network_policies=True,
        prometheus_namespaces=("monitoring", "other"),
        dns_cidrs=("169.254.20.10/32",),
        profiles="/etc/edgedetector/profiles",
        namespaces=("site-a", "site-b"),
        scrape_rest=7.0,
    )


def test_every_option_of_the_operator_has_a_value_that_sets_it_or_a_reason_not_to() -> None:
    constant = {"scrape_busy", "port", "tuning_probe", "tuning_rest"}
    fields = {field.name for field in dataclasses.fields(options.Options)} - constant
    variables = {name.removeprefix(options.PREFIX).lower() for name in environment(render(values=EVERYTHING))}
    assert variables == fields


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 2},
        {"image": {"repository": ""}},
        {"image": {"repository": "x", "tag": "a b"}},
        {"image": {"digest": "sha256:short"}},
        {"imageReplacements": {"a": 1}},
        {"imageDigests": {"a:1": "sha256:short"}},
        {"imageDigests": {"a": "sha256:" + "0" * 64}},
        {"imageDigests": {"host:5000/a": "sha256:" + "0" * 64}},
        {"imageDigests": {"a@sha256:0": "sha256:" + "0" * 64}},
        {"watchNamespaces": ["Site A"]},
        {"watchNamespaces": "site-a"},
        {"resyncSeconds": 0},
        {"log": {"level": "LOUD"}},
        {"serviceMonitor": {"enabled": "maybe"}},
        {"serviceMonitor": {"interval": "soon"}},
        {"serviceMonitor": {"labels": {"release": "prometheus"}}},
        {"monitoring": {"labels": {"release": 1}}},
        {"monitoring": {"runbooks": ""}},
        {"monitoring": {"rules": {"enabled": "maybe"}}},
        {"monitoring": {"dashboards": {"namespace": "Monitoring"}}},
        {"unknown": 1},
        {"global": {"imageRegistry": "https://registry.example.com"}},
        {"profiles": {"mine": {"triton": {}}}},
        {"serviceAccount": {"create": False}},
        {"serviceAccount": {"create": False, "name": ""}},
        {"modelSources": {"allowedHosts": ["https://example.com"]}},
        {"modelSources": {"allowedHosts": ["*"]}},
        {"networkPolicy": {"dnsCidrs": ["10.0.0.1"]}},
        {"networkPolicy": {"apiServer": {"ports": []}}},
        {"workloads": {"upgradePolicy": "Never"}},
        {"rbac": {"aggregate": "no"}},
        {"nodeExporter": {"image": {"repository": "x", "tag": "a b"}}},
        {"imagePullSecrets": ["registry"]},
        {"crds": {"instal": True}},
    ],
)
def test_a_mistake_in_the_values_is_refused(values: dict[str, Any]) -> None:
    done = template(values=values)
    assert done.returncode != 0
    assert "values" in done.stderr


def test_an_account_that_nobody_creates_has_to_be_named() -> None:
    done = template(values={"serviceAccount": {"create": False}})
    assert "serviceAccount.name" in done.stderr
    objects = render(values={"serviceAccount": {"create": False, "name": "mine"}})
    assert of(objects, "ServiceAccount") == []
    assert of(objects, "Deployment")[0]["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    bindings = of(objects, "ClusterRoleBinding") + of(objects, "RoleBinding")
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} == {"mine"}


NAMES = ["a", "my-card", "a" * 40, "a" * 41, "a" * 63, "1card", "-card", "card-", "Card", "my.card", "my_card", ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_may_have_the_names_that_the_api_server_takes_and_no_other(name: str) -> None:
    crd = yaml.safe_load((ROOT / "crds" / f"{names.GROUP}_acceleratorprofiles.yaml").read_text())
    (rule,) = re.findall(r"self\.metadata\.name\.matches\('([^']*)'\)", json.dumps(crd))
    done = template(values={"profiles": {name: EVERYTHING["profiles"]["mine"]}})
    assert (done.returncode == 0) == bool(re.fullmatch(rule, name)), done.stderr


def test_the_schema_knows_every_value_and_takes_no_other() -> None:
    jsonschema.validate(VALUES, SCHEMA)

    def check(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        if "properties" not in schema:
            return
        assert set(schema["properties"]) == set(values), path
        # Helm gives `global` to every chart: other ones may have their own in it.
        assert schema.get("additionalProperties") is False or path == ".global", path
        for key, below in schema["properties"].items():
            if isinstance(values[key], dict) and key != "resources":
                check(below, values[key], f"{path}.{key}")

    check(SCHEMA, VALUES, "")


def test_every_value_is_described_and_one_without_a_default_has_an_example() -> None:
    for value in reference.values():
        assert value.description.endswith((".", ")", "]", "}")) or "Example: " in value.description, value.name
        assert len(value.description) > 10, value.name
        if value.default in ('""', "[]", "{}"):
            assert "Example: " in value.description, value.name


def used_values() -> set[str]:
    """Paths that the templates read, as `a.b`; what stands in a `with` is read as a whole."""
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    found = set(re.findall(r"\.Values\.([A-Za-z.]+[A-Za-z])", templates))
    for block in re.findall(r"with (?:\$)?\.Values\.(networkPolicy|nodeExporter) \}\}", templates):
        found.discard(block)
        text = (
            CHART / "templates" / {"networkPolicy": "networkpolicy.yaml"}.get(block, "node-exporter.yaml")
        ).read_text()
        found |= {f"{block}.{inner}" for inner in re.findall(r"[ (]\.([a-z][A-Za-z.]+[A-Za-z])", text)}
    return found


def test_every_value_is_used_by_a_template_and_every_used_one_exists() -> None:
    def at(path: str) -> Any:
        found: Any = VALUES
        for key in path.split("."):
            found = found[key]
        return found

    used = used_values()
    for path in used:
        at(path)
    for value in reference.values():
        assert any(value.name == path or value.name.startswith(f"{path}.") for path in used), value.name


def test_the_reference_in_the_documents_is_that_of_the_values() -> None:
    """Where this fails: .venv/bin/python tests/unit/chart/reference.py."""
    assert reference.DOCUMENT.read_text() == reference.written()
