"""An API server takes every sample, and all that the kustomizations build; strictly, by its schema and its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import apiserver as bare
from tests.apiserver import ROOT, Server
from tests.e2e.node.localnode import gomodules, paths

Object = dict[str, Any]

MANIFESTS = ROOT / "manifests"
SAMPLES = sorted((MANIFESTS / "samples").rglob("*.yaml"))
PROMETHEUS = MANIFESTS / "prometheus"
KUSTOMIZATIONS = sorted({path.parent for path in MANIFESTS.rglob("kustomization.yaml")} - {PROMETHEUS})
KEDA = "github.com/kedacore/keda/v2"
BY_PATH = {"ids": lambda path: "-".join(path.relative_to(MANIFESTS).with_suffix("").parts)}


def taken(server: Server, found: list[Object], namespace: str) -> list[Object]:
    """Apply them, those without a namespace in this one, which is made for them."""
    resources = {kind["kind"]: kind["namespaced"] for kind in served(server)}
    applied = []
    for obj in found:
        metadata = obj["metadata"]
        if resources.get(obj["kind"], True) and "namespace" not in metadata:
            metadata["namespace"] = namespace
        if "namespace" in metadata:
            server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": metadata["namespace"]}})
        applied += server.apply(obj)
    return applied


def served(server: Server) -> list[Object]:
    """Return the kinds that the API server serves, of all groups."""
    groups = [group["preferredVersion"]["groupVersion"] for group in server.request("GET", "/apis")["groups"]]
    paths = ["/api/v1", *(f"/apis/{group}" for group in groups)]
    return [kind for path in paths for kind in server.request("GET", path)["resources"] if "/" not in kind["name"]]


@pytest.mark.parametrize("path", SAMPLES, **BY_PATH)
def test_a_sample_is_taken(apiserver: Server, path: Path) -> None:
    found = [obj for obj in yaml.safe_load_all(path.read_text()) if obj]
    space = f"sample-{path.parent.name}-{path.stem}"
    assert len(taken(apiserver, found, space)) == len(found) > 0


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, **BY_PATH)
def test_what_a_kustomization_builds_is_taken(apiserver: Server, folder: Path) -> None:
    built = apiserver.kubectl("kustomize", str(folder)).stdout
    found = [obj for obj in yaml.safe_load_all(built) if obj]
    applied = taken(apiserver, found, "nowhere")
    detectors = [obj for obj in applied if obj["kind"] == "EdgeDetector"]
    if folder.parent.name != "base":
        assert [len(obj["spec"]["cameras"]) for obj in detectors] == [2], "its own cameras, and models of the base"
        assert all(obj["spec"]["models"] for obj in detectors)
    assert all(obj["metadata"]["namespace"] == "vision" for obj in detectors)


def test_the_prometheus_for_one_box_is_taken_as_it_is_written(apiserver: Server) -> None:
    apiserver.define(bare.monitoring_crd("prometheuses"))
    built = apiserver.kubectl("kustomize", str(PROMETHEUS)).stdout
    wanted = [obj for obj in yaml.safe_load_all(built) if obj]
    live = taken(apiserver, wanted, "nowhere")
    assert [missing(*pair) for pair in zip(wanted, live, strict=True)] == [[]] * len(wanted)
    assert [obj["metadata"]["name"] for obj in live if obj["kind"] == "Prometheus"] == ["edge"]


@pytest.fixture(scope="module")
def keda(apiserver: Server) -> Server:
    """An API server that knows KEDA's ScaledObject by its own definition."""
    source = gomodules.source(paths.SOURCE / "go" / "keda", KEDA)
    apiserver.define(yaml.safe_load((source / "config" / "crd" / "bases" / "keda.sh_scaledobjects.yaml").read_text()))
    return apiserver


def scaled_object() -> Object:
    """The sample of docs/scaling.md."""
    found: Object = yaml.safe_load((MANIFESTS / "keda" / "scaledobject.yaml").read_text())
    return found


def test_keda_takes_the_scaledobject_as_it_is_written(keda: Server) -> None:
    wanted = scaled_object()
    (live,) = taken(keda, [wanted], "nowhere")
    assert missing(wanted, live) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("scaleTargetRef",), None),
        (("triggers", 0, "type"), None),
        (("triggers", 0, "metadata", "threshold"), 2),
        (("fallback", "behavior"), "whatever"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_keda_refuses_a_scaledobject_that_is_written_wrong(keda: Server, path: tuple[Any, ...], value: Any) -> None:
    """Its definition judges: what it takes is not merely unknown to it."""
    wrong = scaled_object()
    wrong["metadata"]["name"] = "wrong"
    *steps, last = path
    place = wrong["spec"]
    for step in steps:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(bare.RefusedError, match=str(last)):
        taken(keda, [wrong], "nowhere")


def test_what_git_has_is_found_as_it_was_written(apiserver: Server) -> None:
    """What the API server adds stands beside it: a tool that compares the fields that Git sets finds no difference."""
    built = apiserver.kubectl("kustomize", str(MANIFESTS / "overlays" / "single-box")).stdout
    (wanted,) = [obj for obj in yaml.safe_load_all(built) if obj and obj["kind"] == "EdgeDetector"]
    (live,) = taken(apiserver, [wanted], "vision")
    assert missing(wanted, live) == []


def missing(wanted: Any, live: Any, path: str = "") -> list[str]:
    """Return the paths of what is wanted and is otherwise; objects may have more fields, lists no more items."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return [found for key, value in wanted.items() for found in missing(value, live.get(key), f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        pairs = enumerate(zip(wanted, live, strict=True))
        return [found for index, pair in pairs for found in missing(*pair, f"{path}[{index}]")]
    return [] if wanted == live else [path]
