"""The CRDs as the tests of this directory read them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from edgedetector.api import edgedetector as detector_api
from edgedetector.api import names
from edgedetector.api import profile as profile_api

Schema = dict[str, Any]

ROOT = Path(__file__).parents[3]
CRDS = ROOT / "crds"
RESOURCES = {
    "edgedetectors": (detector_api.KIND, detector_api.PLURAL, detector_api.DetectorSpec),
    "acceleratorprofiles": (profile_api.KIND, profile_api.PLURAL, profile_api.ProfileSpec),
}


@cache
def crd(plural: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CRDS / f"{names.GROUP}_{plural}.yaml").read_text())
    return found


def root(plural: str) -> Schema:
    (version,) = crd(plural)["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every schema below this one with its path: `.cameras[].url`, `.monitoring.labels{}`."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from walk(below, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def spec_fields(plural: str) -> dict[str, Schema]:
    """Path below `.spec` -> schema: what users write."""
    return dict(walk(root(plural)["properties"]["spec"]))


def structural(schema: Any) -> Any:
    """Return the schema without what only the API server understands, refusing unknown fields as it does."""
    if isinstance(schema, list):
        return [structural(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: structural(value) for key, value in schema.items() if not key.startswith("x-kubernetes")}
    if schema.get("x-kubernetes-int-or-string"):
        kept = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": schema["pattern"]}]}
    if "properties" in kept and isinstance(kept.get("type"), str):
        kept["additionalProperties"] = False
    return kept
