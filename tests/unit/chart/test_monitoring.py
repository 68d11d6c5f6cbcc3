"""What the chart brings for Prometheus and Grafana, and where."""

from __future__ import annotations

import json
from typing import Any

import yaml
from tests.unit.chart.rendered import CHART, of, render
from tests.unit.chart.values import EVERYTHING, PROMETHEUS, environment


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
