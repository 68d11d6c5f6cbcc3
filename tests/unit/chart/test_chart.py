"""The chart: what it renders is valid, asks for no more than it needs, and its values are described."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.unit.chart.rendered import CHART, ROOT, executable, of, render
from tests.unit.chart.values import EVERYTHING, OPTIONAL, environment

from edgedetector import profiles
from edgedetector.api import names
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.controller import options


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
