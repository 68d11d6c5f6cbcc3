"""Manifests that admission refuses, each beside its twin that is accepted; read from `data/invalid`."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "data" / "invalid"
KINDS = ("edgedetector", "acceleratorprofile")
CANARY = "canary-password"
"""Stands wherever a refused manifest could hold a password; no answer may have it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A manifest with one fault; the answer must name the field `at` and match `because`."""

    name: str
    refused: dict[str, Any]
    twin: dict[str, Any]
    at: str
    because: str

    @property
    def identity(self) -> str:
        """Name of the refused object, unlike that of any other."""
        return str(self.refused["metadata"]["name"])


def cases() -> list[Case]:
    """Return all cases of both kinds."""
    return [
        _case(f"{kind}-{number}", yaml.safe_load((DATA / f"{kind}.yaml").read_text()), case)
        for kind in KINDS
        for number, case in enumerate(yaml.safe_load((DATA / f"{kind}-cases.yaml").read_text()))
    ]


def _case(identity: str, base: dict[str, Any], case: dict[str, Any]) -> Case:
    path = case["path"]
    refused = _changed(_named(base, f"bad-{identity}"), path, case["refused"])
    twin = _named(base, f"good-{identity}")
    if "accepted" in case:
        twin = _changed(twin, path, case["accepted"])
    dotted = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split(".")).lstrip(".")
    return Case(case["name"], refused, twin, case.get("at", dotted), case["because"])


def _named(base: dict[str, Any], name: str) -> dict[str, Any]:
    return {**copy.deepcopy(base), "metadata": {"name": name}}


def _changed(obj: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    at: Any = obj
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
    if value is None:
        del at[last]
    else:
        at[last] = _expanded(value)
    return obj


def _expanded(value: Any, count: str = "") -> Any:
    """Return the value with what stands for long lists, texts and objects written out."""
    if isinstance(value, dict):
        return _repeated(value) if "times" in value else {key: _expanded(item, count) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, count) for item in value]
    return value.replace("#", count) if isinstance(value, str) and count else value


def _repeated(value: dict[str, Any]) -> Any:
    counts = [str(count) for count in range(value["times"])]
    if "text" in value:
        return (value["text"] * len(counts))[: len(counts)]
    items = [_expanded(value["of"], count) for count in counts]
    if "key" not in value:
        return items
    return {value["key"].replace("#", count): item for count, item in zip(counts, items, strict=True)}
