"""An API server takes every sample, and all that the kustomizations build; strictly, by its schema and its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apiserver import ROOT, Server

Object = dict[str, Any]

MANIFESTS = ROOT / "manifests"
SAMPLES = sorted((MANIFESTS / "samples").rglob("*.yaml"))
KUSTOMIZATIONS = sorted(path.parent for path in MANIFESTS.rglob("kustomization.yaml"))
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
