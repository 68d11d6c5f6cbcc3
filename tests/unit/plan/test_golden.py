"""All children of whole resources, as files: a reviewer of a change sees what it does to a cluster.

`UPDATE_GOLDEN=1 pytest tests/unit/plan` rewrites the files.
"""

from __future__ import annotations

import json
import os
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.unit.plan import scenarios

from edgedetector.plan import CHILD_KINDS, PROFILE_CHILD_KINDS, profile_children, verification_children

DETECTORS = {path.stem: path for path in sorted(scenarios.DATA.glob("*.yaml"))}
DETECTORS |= {f"sample-{path.stem}": path for path in sorted(scenarios.REPOSITORY.glob("manifests/samples/*.yaml"))}
GOLDEN = scenarios.DATA / "golden"
EXPORTERS = sorted(name for name, profile in scenarios.PROFILES.items() if profile.spec.exporter)


class _Text(str):
    """Text that is written as a block where it has lines."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Text,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def readable(value: Any) -> Any:
    """Return the value with JSON documents spread out and long texts as blocks."""
    if isinstance(value, dict):
        return {key: readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, str):
        return readable(json.loads(value)) if value.startswith("{") and value.endswith("}") else _Text(value)
    return value


def dump(objects: list[dict[str, Any]]) -> str:
    return yaml.dump_all(readable(objects), Dumper=_Dumper, sort_keys=False, width=120)


def assert_golden(name: str, objects: list[dict[str, Any]]) -> None:
    path = GOLDEN / f"{name}.yaml"
    text = dump(objects)
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path.name} is missing: UPDATE_GOLDEN=1 writes it"
    assert text == path.read_text()


def objects_of(name: str) -> list[dict[str, Any]]:
    if name.startswith("exporter-"):
        profile = scenarios.PROFILES[name.removeprefix("exporter-")]
        return list(profile_children(profile, scenarios.SETTINGS, scenarios.FACTS))
    if name == VERIFICATION:
        wanted = scenarios.load(DETECTORS["sample-denglin-ks20"])
        profile = scenarios.PROFILES[wanted.spec.accelerator_profile]
        return list(verification_children(wanted, profile, scenarios.SETTINGS, "2026-11-23T07:00:00Z"))
    return scenarios.children(scenarios.load(DETECTORS[name]))


VERIFICATION = "verification-denglin-ks20"
CASES = [*DETECTORS, *(f"exporter-{name}" for name in EXPORTERS), VERIFICATION]


@pytest.mark.parametrize("name", CASES)
def test_children_are_those_on_file(name: str) -> None:
    assert_golden(name, objects_of(name))


def test_every_file_belongs_to_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(CASES)


@pytest.mark.parametrize("release", ["1.30", "1.35"])
@pytest.mark.parametrize("name", CASES)
def test_built_in_kinds_have_the_shape_that_kubernetes_defines(name: str, release: str) -> None:
    checked = [o for o in objects_of(name) if not o["apiVersion"].startswith("monitoring.coreos.com")]
    assert checked
    for obj in checked:
        kubernetes_validate.validate(obj, release, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_only_kinds_that_pruning_looks_at_are_made(name: str) -> None:
    kinds = PROFILE_CHILD_KINDS if name.startswith("exporter-") else CHILD_KINDS
    assert {(o["apiVersion"], o["kind"]) for o in objects_of(name)} <= set(kinds)
