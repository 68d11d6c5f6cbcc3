"""Every pair of values of the chart's options, rendered by the real Helm and judged by a real API server."""

from __future__ import annotations

import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.apiserver import RefusedError, Server

import release

Object = dict[str, Any]

PROFILE = {"triton": {"image": "triton:1", "backend": "python"}, "media": {"image": "go2rtc:1"}}
DIGEST = "sha256:" + "0" * 64

# For each option, what it can be; None leaves it to the chart.
OPTIONS: dict[str, list[Any]] = {
    "global": [None, {"imageRegistry": "registry.example.com:5000/mirror"}],
    "image": [None, {"repository": "quay.io/x/operator", "digest": DIGEST, "pullPolicy": "Always"}],
    "detectorImage": [None, {"repository": "x/detector", "tag": "2"}],
    "imageReplacements": [None, {"a:1": f"b@{DIGEST}"}],
    "imageDigests": [None, {"edgedetector/operator:0.1.0": DIGEST, "host:5000/a/b:1": DIGEST}],
    "imagePullSecrets": [None, [{"name": "one"}, {"name": "two"}]],
    "workloads": [None, {"upgradePolicy": "Immediate"}],
    "profiles": [None, {"mine": PROFILE, "cpu": PROFILE}],
    "modelSources": [None, {"allowedHosts": ["models.example.com", "*.example.org"]}],
    "networkPolicy": [
        None,
        {"enabled": False},
        {"prometheusNamespaces": []},
        {"dnsCidrs": ["169.254.20.10/32", "fd00::a/128"], "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]}},
    ],
    "crds": [None, {"install": False}, {"keep": False, "annotations": {"argocd.argoproj.io/sync-wave": "-2"}}],
    "replicas": [None, 0],
    "watchNamespaces": [None, ["site-a", "site-b"], ["edgedetector-system"]],
    "rbac": [None, {"aggregate": False}],
    "log": [None, {"level": "DEBUG", "format": "text"}],
    "resources": [None, {"requests": {"cpu": 1}, "limits": {"cpu": "2", "memory": "1Gi"}}, {"requests": None}],
    "serviceAccount": [None, {"create": False, "name": "mine"}, {"name": "other", "annotations": {"a": "b"}}],
    "serviceMonitor": [None, {"enabled": True, "interval": "1m"}, {"enabled": False}],
    "monitoring": [
        None,
        {"labels": {"release": "p"}, "runbooks": "https://wiki.example.com/x/", "dashboards": {"enabled": False}},
        {"rules": {"enabled": True}, "dashboards": {"enabled": True, "namespace": "site-b", "annotations": {"a": "b"}}},
    ],
    "nodeExporter": [None, {"enabled": True}, {"enabled": True, "tolerations": [], "image": {"digest": DIGEST}}],
    "nodeSelector": [None, {"kubernetes.io/arch": "amd64"}],
    "tolerations": [None, [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]],
    "affinity": [None, {"podAntiAffinity": {}}],
    "priorityClassName": [None, "system-cluster-critical"],
    "podAnnotations": [None, {"a": "b"}],
    "podLabels": [None, {"c": "d", "app.kubernetes.io/name": "taken"}],
}

Choice = tuple[str, int]


def pairwise(options: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return few combinations in which every two values of two options meet. Greedy."""
    indexed = {name: range(len(values)) for name, values in options.items()}
    missing = {
        frozenset(((a, i), (b, j)))
        for a, b in itertools.combinations(indexed, 2)
        for i, j in itertools.product(indexed[a], indexed[b])
    }
    found: list[dict[str, int]] = []
    while missing:
        chosen: dict[str, int] = dict(sorted(min(missing, key=sorted)))
        for name in options:
            if name not in chosen:
                gain = {
                    i: sum(frozenset(((name, i), other)) in missing for other in chosen.items()) for i in indexed[name]
                }
                chosen[name] = max(gain, key=lambda i: gain[i])
        missing -= {frozenset(pair) for pair in itertools.combinations(chosen.items(), 2)}
        found.append(chosen)
    return [{name: options[name][i] for name, i in chosen.items() if options[name][i] is not None} for chosen in found]


def test_every_pair_of_values_meets() -> None:
    small = {"a": [1, 2, 3], "b": [1, 2], "c": [1, 2]}
    found = pairwise(small)
    for (a, values), (b, others) in itertools.combinations(small.items(), 2):
        assert {(row[a], row[b]) for row in found} == set(itertools.product(values, others))
    assert len(found) < 3 * 2 * 2


def test_what_is_rendered_is_taken_by_the_api_server_for_every_pair_of_values(apiserver: Server) -> None:
    for name in ("edgedetector-system", "site-a", "site-b"):
        apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    combinations = pairwise(OPTIONS)
    assert set(OPTIONS) | {"workers", "resyncSeconds", "scrapeSeconds"} == _top_level_values(), "new values, new pairs"
    with ThreadPoolExecutor(2) as pool:
        charts = pool.map(
            lambda values: release.rendered("--namespace", "edgedetector-system", values=values), combinations
        )
        judged: dict[str, Object] = {}
        for objects in charts:
            assert any(obj["kind"] == "Deployment" for obj in objects)
            judged |= {json.dumps(obj, sort_keys=True): obj for obj in objects}
    refused = [
        f"{obj['kind']} {obj['metadata']['name']}: {why}" for obj in judged.values() if (why := _try(apiserver, obj))
    ]
    assert refused == []
    print(f"{len(combinations)} combinations, {len(judged)} different objects")


def test_a_release_of_the_longest_name_that_helm_takes_is_taken_by_the_api_server(apiserver: Server) -> None:
    apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edgedetector-system"}})
    values = {"nodeExporter": {"enabled": True}, "profiles": {"a" * 40: PROFILE}}
    objects = release.rendered("--namespace", "edgedetector-system", values=values, name="r" * 53)
    assert [why for obj in objects if (why := _try(apiserver, obj))] == []


def _try(server: Server, obj: Object) -> str:
    """Return why the API server would not take the object, which it does not keep."""
    query = "?dryRun=All&fieldManager=helm&force=true&fieldValidation=Strict"
    try:
        server.request("PATCH", server.path(obj) + query, obj, "application/apply-patch+yaml")
    except RefusedError as error:
        return str(error)
    return ""


def _top_level_values() -> set[str]:
    text = (release.CHART / "values.yaml").read_text()
    return set(re.findall(r"^([A-Za-z]+):", text, re.MULTILINE))
