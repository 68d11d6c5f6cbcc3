"""Which Prometheus takes what: by labels, by namespace, and what is told to be changed."""

from __future__ import annotations

import pytest
import yaml
from tests.unit.cli.cases import everything, selecting
from tests.unit.cli.worlds import ROOT, World

from edgedetector.cli.codes import Finding, diagnose
from edgedetector.cli.errors import ForbiddenError

STACK = "monitoring/k8s"


def findings(world: World) -> list[Finding]:
    result = diagnose(world.snapshot())
    assert not result.gaps
    return list(result.findings)


def test_labels_of_another_release_are_told_of_detector_and_operator_with_what_to_set(world: World) -> None:
    selecting(serviceMonitorSelector={"matchLabels": {"release": "other"}})(world)

    detector, chart = findings(world)

    assert (detector.code, detector.object) == ("ED0805", "ServiceMonitor site/yard")
    assert detector.evidence == f"it lacks the labels by which Prometheus {STACK} selects: release=other"
    assert detector.remedy.endswith(": set release: other")
    assert chart.code == "ED0810"
    assert chart.evidence.startswith(
        "ServiceMonitor edgedetector-system/edgedetector, ServiceMonitor edgedetector-system/denglin-ks20-exporter: "
    )


def test_a_label_that_is_too_much_is_told_to_be_removed(world: World) -> None:
    world.children[-1]["metadata"]["labels"]["team"] = "x"
    wanted = {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}
    selecting(ruleSelector=wanted)(world)

    (told,) = findings(world)

    assert told.object == "PrometheusRule site/yard"
    assert told.remedy.endswith(": remove team")


def test_of_a_selector_that_no_labels_fit_the_selector_is_to_be_corrected(world: World) -> None:
    never = {"matchLabels": {"x": "y"}, "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}
    selecting(ruleSelector=never)(world)

    told, _ = findings(world)

    assert told.remedy.endswith(f"nothing fits: correct the selector of Prometheus {STACK}")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"serviceMonitorSelector": None}, "serviceMonitorSelector"),
        ({"serviceMonitorNamespaceSelector": None}, "serviceMonitorNamespaceSelector"),
        ({"serviceMonitorNamespaceSelector": {"matchLabels": {"a": "b"}}}, "serviceMonitorNamespaceSelector"),
    ],
    ids=["selects nothing", "its own namespace alone", "labels of the namespace do not fit"],
)
def test_namespaces_that_are_not_looked_into_are_told_and_no_labels_with_them(
    world: World, changes: dict[str, object], field: str
) -> None:
    selecting(**changes)(world)

    found = findings(world)

    assert [one.code for one in found] == ["ED0809", "ED0809"]
    assert all(f"set spec.{field} of Prometheus {STACK} to {{}}" in one.remedy for one in found)
    assert {one.evidence.split(";")[0].rpartition(" ")[2] for one in found} == {"edgedetector-system", "site"}


def test_a_prometheus_without_namespace_selectors_takes_its_own_namespace(world: World) -> None:
    selecting(serviceMonitorNamespaceSelector=None, ruleNamespaceSelector=None)(world)
    for space in ("site", "edgedetector-system"):
        one = everything() | {"metadata": {"name": "own", "namespace": space}}
        one["spec"] |= {"serviceMonitorNamespaceSelector": None, "ruleNamespaceSelector": None}
        world.prometheuses.append(one)

    assert findings(world) == []


def test_one_prometheus_that_takes_it_is_enough(world: World) -> None:
    selecting(serviceMonitorSelector={"matchLabels": {"release": "other"}}, ruleSelector=None)(world)
    world.prometheuses.append(everything())

    assert findings(world) == []


def test_labels_of_namespaces_that_may_not_be_read_are_no_finding(world: World) -> None:
    selecting(ruleNamespaceSelector={"matchLabels": {"a": "b"}})(world)
    world.refused["/api/v1/namespaces"] = ForbiddenError("forbidden")

    assert [one for one in diagnose(world.snapshot()).findings if one.code == "ED0809"] == []


def test_without_a_prometheus_nothing_is_said_of_labels(world: World) -> None:
    world.prometheuses.clear()
    world.monitored[0]["metadata"]["labels"].pop("release")

    assert [one.code for one in findings(world)] == ["ED0806"]


def test_the_prometheus_for_one_box_takes_everything_whatever_its_labels(world: World) -> None:
    world.prometheuses[:] = [yaml.safe_load((ROOT / "manifests/prometheus/prometheus.yaml").read_text())]
    for obj in (*world.monitored, *world.children):
        obj["metadata"]["labels"].pop("release", None)

    assert findings(world) == []
