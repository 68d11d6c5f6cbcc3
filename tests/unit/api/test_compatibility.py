"""Operator and pods of different releases understand each other: documents only grow.

An upgrade of the operator leaves pods alone (docs/adr/0003-upgrades.md), so pods of the first release read what the
present operator writes, and it reads what they say. The first release's code lies in the tests' data.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tarfile
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from edgedetector.api import dataplane, wire
from edgedetector.go2rtc import state

FIRST_LIGHT = Path(__file__).parents[2] / "e2e" / "data" / "first-light.tar.xz"

FOR_PODS = (dataplane.ServingConfig, dataplane.Probe, dataplane.DetectorConfig, dataplane.MediaConfig)
OF_PODS = (dataplane.DetectorState, state.MediaState)

# Reads documents of the present release and writes down what it has understood.
READER = """
import json, sys
from edgedetector.api import dataplane
from edgedetector.go2rtc import state
for name, text in json.load(sys.stdin):
    kind = getattr(dataplane, name, None) or getattr(state, name)
    print(dataplane.to_json(dataplane.from_json(kind, text)))
"""


@pytest.fixture(scope="module")
def first_light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first release's code. Module, since it is the same for all."""
    directory = tmp_path_factory.mktemp("first-light")
    with tarfile.open(FIRST_LIGHT) as archive:
        archive.extractall(directory, filter="data")
    return directory / "operator"


def understood(first_light: Path, values: list[Any]) -> list[Any]:
    """What the first release makes of these values."""
    documents = [(type(value).__name__, wire.to_json(value)) for value in values]
    done = subprocess.run(
        [sys.executable, "-c", READER], input=json.dumps(documents), env={"PYTHONPATH": str(first_light)},
        cwd=first_light, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_part(part: Any, whole: Any) -> bool:
    """Whether `whole` says all that `part` says, and perhaps more under other keys."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and is_part(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(is_part, part, whole))
    return bool(part == whole)


def full(kind: Any) -> Any:
    """Return a value of the type in which no field has its default: each says something."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{field.name: full(hints[field.name]) for field in dataclasses.fields(kind)})
    if typing.get_origin(kind) is tuple:
        return (full(typing.get_args(kind)[0]), full(typing.get_args(kind)[0]))
    if isinstance(kind, types.UnionType):
        return full(typing.get_args(kind)[0])
    if typing.get_origin(kind) is dict:
        return {"key": "value"}
    return {str: "text", int: 7, float: 2.5, bool: True}[kind]


def test_pods_of_the_first_release_understand_the_present_operator(first_light: Path) -> None:
    values = [full(kind) for kind in FOR_PODS]
    for value, old in zip(values, understood(first_light, values), strict=True):
        assert old
        assert is_part(old, json.loads(wire.to_json(value)))


def test_the_present_operator_understands_pods_of_the_first_release(first_light: Path) -> None:
    values = [full(kind) for kind in OF_PODS]
    for value, old in zip(values, understood(first_light, values), strict=True):
        again = wire.from_json(type(value), json.dumps(old))
        assert old
        assert is_part(old, json.loads(wire.to_json(again)))


def test_a_document_with_a_new_key_that_is_needed_would_be_found() -> None:
    assert not is_part({"a": 1, "b": [{"c": 2}]}, {"a": 1, "b": [{"d": 2}]})
    assert is_part({"a": 1, "b": [{"c": 2}]}, {"a": 1, "b": [{"c": 2, "d": 3}], "e": 4})
