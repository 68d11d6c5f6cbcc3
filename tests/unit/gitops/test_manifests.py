"""What lies under manifests/: samples fit the schema, overlays and Applications name what is there.

`UPDATE_GOLDEN=1 pytest tests/unit/gitops` writes base/operator/operator.yaml anew. That an API server takes all of it
is tested in tests/bare/test_manifests.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.unit.api.crds import root, structural
from tests.unit.chart.rendered import template
from tests.unit.gitops.argo import ARGO_CD, ROOT
from tests.unit.plan import scenarios

from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.quantities import parse_quantity
from edgedetector.plan import detector_children, objectives, serving_config

Json = dict[str, Any]

MANIFESTS = ROOT / "manifests"
SAMPLES = sorted((MANIFESTS / "samples").rglob("*.yaml"))
KUSTOMIZATIONS = sorted(MANIFESTS.rglob("kustomization.yaml"))
OPERATOR = MANIFESTS / "base" / "operator" / "operator.yaml"
SITES = sorted((MANIFESTS / "overlays" / "fleet").glob("*/site.yaml"))
BY_PATH = {"ids": lambda path: str(path.relative_to(MANIFESTS))}


def objects(path: Path) -> list[Json]:
    return [obj for obj in yaml.safe_load_all(path.read_text()) if obj]


OURS = {"EdgeDetector": "edgedetectors", "AcceleratorProfile": "acceleratorprofiles"}


@cache
def validator(plural: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(structural(root(plural)))


@pytest.mark.parametrize("path", SAMPLES, **BY_PATH)
def test_a_sample_fits_the_schema_and_can_be_planned(path: Path) -> None:
    found = objects(path)
    brought = [AcceleratorProfile.parse(obj) for obj in found if obj["kind"] == "AcceleratorProfile"]
    known = scenarios.PROFILES | {profile.name: profile for profile in brought}
    for obj in found:
        if obj["kind"] not in OURS:
            kubernetes_validate.validate(obj, "1.35", strict=True)
            continue
        assert [error.message for error in validator(OURS[obj["kind"]]).iter_errors(obj)] == []
        if obj["kind"] == "EdgeDetector":
            wanted = EdgeDetector.parse({**obj, "metadata": {"uid": "1", **obj["metadata"]}})
            profile = known[wanted.spec.accelerator_profile]
            assert detector_children(
                wanted, profile, scenarios.SETTINGS, scenarios.FACTS, serving_config(wanted, profile)
            )


PROFILES = [path for path in SAMPLES if path.parent.name == "profiles"]


@pytest.mark.parametrize("path", PROFILES, **BY_PATH)
def test_a_profile_that_nobody_has_run_claims_nothing_and_reaches_the_pods(path: Path) -> None:
    raw, detector = objects(path)
    profile = AcceleratorProfile.parse(raw)
    wanted = EdgeDetector.parse({**detector, "metadata": {"uid": "1", **detector["metadata"]}})

    made = detector_children(wanted, profile, scenarios.SETTINGS, scenarios.FACTS, serving_config(wanted, profile))

    assert not any(one.verified for one in profile.spec.capabilities)
    assert not any(one.verified for one in (profile.spec.exporter.metrics if profile.spec.exporter else ()))
    assert "UNVERIFIED" in path.read_text()
    deployment = scenarios.child(list(made), "Deployment", f"{wanted.name}-triton")
    pod = deployment["spec"]["template"]["spec"]
    triton = next(one for one in pod["containers"] if one["name"] == "triton")
    assert triton["image"] == profile.spec.triton.image
    assert triton["resources"]["limits"][profile.spec.resource.name] == "1"
    assert pod["runtimeClassName"] == profile.spec.runtime_class_name
    assert profile.spec.node_selector.items() <= pod["nodeSelector"].items()
    assert set(profile.spec.pod_security.supplemental_groups) <= set(pod["securityContext"]["supplementalGroups"])
    assert pod["securityContext"]["runAsNonRoot"]


def test_there_are_samples_of_every_shipped_profile_with_one_camera_and_of_every_accelerator_with_35() -> None:
    found = {
        (obj["spec"]["acceleratorProfile"], len(obj["spec"]["cameras"]))
        for path in SAMPLES
        for obj in objects(path)
        if obj["kind"] == "EdgeDetector"
    }
    assert found >= {(profile, 1) for profile in scenarios.PROFILES}
    assert found >= {(profile, 35) for profile in scenarios.PROFILES if profile != "cpu"}


@pytest.mark.parametrize("path", KUSTOMIZATIONS, **BY_PATH)
def test_a_kustomization_names_all_the_files_beside_it(path: Path) -> None:
    (wanted,) = objects(path)
    named = [*wanted["resources"], *(patch["path"] for patch in wanted.get("patches", ()))]
    assert all((path.parent / name).exists() for name in named)
    files = {file.name for file in path.parent.glob("*.yaml")} - {"kustomization.yaml", "site.yaml"}
    assert files == {name for name in named if "/" not in name}


def test_the_operator_without_helm_is_what_the_chart_renders() -> None:
    done = template()
    assert done.returncode == 0, done.stderr
    text = f"# What the chart renders with its own values: made by `make golden`.\n{done.stdout}"
    if os.environ.get("UPDATE_GOLDEN"):
        OPERATOR.write_text(text)
    assert OPERATOR.read_text() == text


def test_the_prometheus_for_one_box_stays_within_it_and_keeps_what_rules_look_back_on() -> None:
    (found,) = objects(MANIFESTS / "prometheus" / "prometheus.yaml")
    spec = found["spec"]
    volume = parse_quantity(spec["storage"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"])
    kept = parse_quantity(spec["retentionSize"].replace("GB", "Gi"))  # Prometheus' units are powers of two
    assert volume < 10 * 10**9
    assert kept <= volume * 4 / 5, "blocks that are being merged lie beside what is kept"
    assert parse_quantity(spec["resources"]["limits"]["memory"]) <= 1 << 30
    assert timedelta(days=int(spec["retention"].removesuffix("d"))) > max(
        burn.long for burn in (*objectives.FAST, *objectives.SLOW)
    )


def applications() -> Iterator[Json]:
    """Return the specifications of all Applications, those that an ApplicationSet makes included."""
    for path in [ARGO_CD / "root.yaml", *sorted((ARGO_CD / "single-box").glob("*.yaml"))]:
        yield objects(path)[0]["spec"]
    yield objects(ARGO_CD / "fleet.yaml")[0]["spec"]["template"]["spec"]


def sources(spec: Json) -> list[Json]:
    return spec.get("sources") or [spec["source"]]


def test_applications_name_what_is_there_and_ignore_nothing() -> None:
    for spec in applications():
        assert "ignoreDifferences" not in spec, "the operator writes nothing that Git has"
        for source in sources(spec):
            assert "{{" in source["path"] or (ROOT / source["path"]).is_dir()
            if source["path"] != "manifests/argo-cd/single-box":
                assert "ServerSideApply=true" in spec["syncPolicy"]["syncOptions"]


def test_definitions_come_before_the_operator_and_that_before_detectors() -> None:
    for spec in applications():
        for source in sources(spec):
            if source["path"] == "charts/edgedetector":
                wave = source["helm"]["valuesObject"]["crds"]["annotations"]["argocd.argoproj.io/sync-wave"]
                assert int(wave) == -2
    waves = {
        name: int(objects(ARGO_CD / "single-box" / f"{name}.yaml")[0]["metadata"]["annotations"][
            "argocd.argoproj.io/sync-wave"
        ])
        for name in ("operator", "detectors")
    }  # fmt: skip
    assert waves == {"operator": -1, "detectors": 0}
    annotations = objects(MANIFESTS / "base" / "detector" / "edgedetector.yaml")[0]["metadata"]["annotations"]
    assert int(annotations["argocd.argoproj.io/sync-wave"]) > 0, "where both are in one, the operator has wave 0"
    assert annotations["argocd.argoproj.io/sync-options"] == "SkipDryRunOnMissingResource=true"


def test_every_site_of_the_fleet_has_its_turn_and_a_canary_comes_first() -> None:
    (fleet,) = objects(ARGO_CD / "fleet.yaml")
    steps = [step["matchExpressions"][0]["values"] for step in fleet["spec"]["strategy"]["rollingSync"]["steps"]]
    sites = [objects(path)[0] for path in SITES]
    assert {site["wave"] for site in sites} == {value for values in steps for value in values}
    assert [site["cluster"] for site in sites if site["wave"] in steps[0]] == ["site-a"]
    used = set(re.findall(r"\{\{\.(\w+)", (ARGO_CD / "fleet.yaml").read_text()))
    assert all(used <= {*site, "path"} for site in sites), "missingkey=error"


def test_documentation_names_what_is_there() -> None:
    named = set(re.findall(r"(?:manifests|charts|tests)/[\w./-]*\w", (ROOT / "docs" / "gitops.md").read_text()))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name.removesuffix("/SITE")).exists()] == []


def test_git_leaves_to_the_person_on_call_what_actions_change() -> None:
    """Else self-healing would undo an action at once."""
    for path in (MANIFESTS / "base").rglob("*.yaml"):
        for obj in objects(path):
            if obj["kind"] == "EdgeDetector":
                assert "suspend" not in obj["spec"]
                assert not any(name.startswith("edgedetector.dev/") for name in obj["metadata"].get("annotations", {}))
