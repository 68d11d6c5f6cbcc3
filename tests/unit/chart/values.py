"""The chart's values, and what a cluster with everything has."""

from __future__ import annotations

import json
from typing import Any

import yaml
from tests.unit.chart.rendered import CHART, of

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
