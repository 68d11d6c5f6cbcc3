"""The CRDs and the operator's types say the same: fields, which of them are required, and defaults."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgedetector.api import conditions, names
from edgedetector.api import edgedetector as detector_api
from edgedetector.api import profile as profile_api
from edgedetector.api.decode import camel, decode
from edgedetector.api.quantities import Fraction, Quantity

CRDS = Path(__file__).parents[3] / "crds"
RESOURCES = {
    "edgedetectors": (detector_api.KIND, detector_api.PLURAL, detector_api.DetectorSpec),
    "acceleratorprofiles": (profile_api.KIND, profile_api.PLURAL, profile_api.ProfileSpec),
}


@cache
def crd(plural: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CRDS / f"{names.GROUP}_{plural}.yaml").read_text())
    return found


def root(plural: str) -> dict[str, Any]:
    (version,) = crd(plural)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def unwrap(kind: Any) -> tuple[Any, bool]:
    """Return the type of a field without its None, and whether it had one."""
    if isinstance(kind, types.UnionType):
        (inner,) = [item for item in typing.get_args(kind) if item is not types.NoneType]
        return inner, True
    return kind, False


def pairs(kind: type, schema: dict[str, Any], path: str) -> Iterator[tuple[str, type, dict[str, Any]]]:
    """Yield each dataclass with the schema that describes it."""
    yield path, kind, schema
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner, _ = unwrap(hints[field.name])
        below = schema["properties"].get(camel(field.name), {})
        here = f"{path}.{camel(field.name)}"
        if typing.get_origin(inner) is tuple:
            inner, below, here = typing.get_args(inner)[0], below.get("items", {}), f"{here}[]"
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            yield from pairs(inner, below, here)


ALL = [
    pytest.param(kind, schema, id=f"{plural}{path}")
    for plural, (_, _, spec) in RESOURCES.items()
    for path, kind, schema in pairs(spec, root(plural)["properties"]["spec"], "")
]


@pytest.mark.parametrize(("kind", "schema"), ALL)
def test_type_and_schema_have_the_same_fields(kind: type, schema: dict[str, Any]) -> None:
    assert {camel(field.name) for field in dataclasses.fields(kind)} == set(schema["properties"])


def is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@pytest.mark.parametrize(("kind", "schema"), ALL)
def test_what_the_type_needs_the_schema_requires(kind: type, schema: dict[str, Any]) -> None:
    needed = {camel(field.name) for field in dataclasses.fields(kind) if is_required(field)}
    assert needed <= set(schema.get("required", []))


@pytest.mark.parametrize(("kind", "schema"), ALL)
def test_defaults_are_the_same(kind: type, schema: dict[str, Any]) -> None:
    """A resource without a field is read as the API server would complete it."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        below = schema["properties"][camel(field.name)]
        if is_required(field):
            assert "default" not in below, field.name
            continue
        ours = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
        inner, optional = unwrap(hints[field.name])
        if "default" not in below:
            empty = {} if dataclasses.is_dataclass(inner) else None
            assert optional or not ours or ours == Quantity("0") or (empty is not None and ours == inner()), field.name
            continue
        holder = dataclasses.make_dataclass("Holder", [(field.name, hints[field.name])])
        served = decode(holder, {camel(field.name): below["default"]}, "spec")
        assert getattr(served, field.name) == ours, field.name


PYTHON_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    timedelta: "string",
    Fraction: "string",
}


@pytest.mark.parametrize(("kind", "schema"), ALL)
def test_scalars_have_the_schemas_type(kind: type, schema: dict[str, Any]) -> None:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner, _ = unwrap(hints[field.name])
        below = schema["properties"][camel(field.name)]
        if typing.get_origin(inner) is tuple:
            assert below["type"] == "array", field.name
            inner, below = typing.get_args(inner)[0], below["items"]
        if typing.get_origin(inner) is Mapping:
            assert below["type"] == "object", field.name
            inner, below = typing.get_args(inner)[1], below["additionalProperties"]
        if inner is Quantity:
            assert below["x-kubernetes-int-or-string"] is True, field.name
        elif inner in PYTHON_TYPES:
            assert below["type"] == PYTHON_TYPES[inner], field.name


@pytest.mark.parametrize("plural", RESOURCES)
def test_names_are_those_in_the_code(plural: str) -> None:
    kind, known, _ = RESOURCES[plural]
    definition = crd(plural)
    assert definition["metadata"]["name"] == f"{plural}.{names.GROUP}"
    assert (definition["spec"]["names"]["kind"], definition["spec"]["names"]["plural"]) == (kind, known)
    assert [version["name"] for version in definition["spec"]["versions"]] == [names.VERSION]


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from walk(below, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


@pytest.mark.parametrize("plural", RESOURCES)
def test_every_list_and_map_is_bounded_and_says_how_it_merges(plural: str) -> None:
    for path, schema in walk(root(plural), ""):
        if schema.get("type") == "array":
            assert schema["maxItems"] <= 1000, path
            assert schema["x-kubernetes-list-type"] in {"map", "set", "atomic"}, path
            assert set(schema.get("x-kubernetes-list-map-keys", [])) <= set(schema["items"].get("required", [])), path
        if "additionalProperties" in schema:
            assert schema["maxProperties"] <= 64, path


@pytest.mark.parametrize("plural", RESOURCES)
def test_every_string_is_bounded(plural: str) -> None:
    loose = [
        path
        for path, schema in walk(root(plural), "")
        if schema.get("type") == "string" and not {"maxLength", "enum", "format"} & schema.keys()
    ]
    assert loose == [".apiVersion", ".kind"]


@pytest.mark.parametrize("plural", RESOURCES)
def test_every_field_is_described(plural: str) -> None:
    bare = [
        path
        for path, schema in walk(root(plural), "")
        if not schema.get("description") and not path.endswith(("[]", "{}", ".metadata"))
    ]
    assert bare == []


def rules(plural: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, rule) for path, s in walk(root(plural), "") for rule in s.get("x-kubernetes-validations", [])]


@pytest.mark.parametrize("plural", RESOURCES)
def test_every_rule_says_what_helps(plural: str) -> None:
    for path, rule in rules(plural):
        assert rule.get("message"), path
        assert len(rule["message"]) < 400, path
        assert {";", ","} & set(rule["message"]), f"{path}: problem, then remedy"


@pytest.mark.parametrize("plural", RESOURCES)
def test_no_rule_or_pattern_on_an_address_can_make_the_server_repeat_it(plural: str) -> None:
    addresses = [(p, s) for p, s in walk(root(plural), "") if p.lower().endswith("url") and s["type"] == "string"]
    assert addresses or plural == "acceleratorprofiles"
    for path, schema in addresses:
        assert not {"pattern", "enum", "format", "x-kubernetes-validations"} & schema.keys(), path


def resolve(schema: dict[str, Any], json_path: str) -> dict[str, Any]:
    """Return the schema at a printer column's path."""
    for part in json_path.replace('[?(@.type=="Ready")]', "[]").lstrip(".").split("."):
        name = part.removesuffix("[]")
        schema = schema["properties"][name]
        if part.endswith("[]"):
            schema = schema["items"]
    return schema


@pytest.mark.parametrize("plural", RESOURCES)
def test_the_paths_of_printer_columns_exist(plural: str) -> None:
    (version,) = crd(plural)["spec"]["versions"]
    for column in version["additionalPrinterColumns"]:
        if column["jsonPath"] == ".metadata.creationTimestamp":
            continue
        assert resolve(root(plural), column["jsonPath"])["type"] == column["type"], column["name"]


def test_the_columns_are_the_promised_ones() -> None:
    (version,) = crd("edgedetectors")["spec"]["versions"]
    columns = version["additionalPrinterColumns"]
    assert [c["name"] for c in columns if not c.get("priority")] == [
        "READY", "REASON", "REPLICAS", "STREAMS", "MODE", "AGE",
    ]  # fmt: skip
    assert [c["name"] for c in columns if c.get("priority")] == ["MODEL", "ACCEL", "INSTANCES", "BATCH", "MESSAGE"]
    assert crd("edgedetectors")["spec"]["names"]["shortNames"] == ["ed"]


def test_the_conditions_that_the_schema_describes_are_those_in_the_code() -> None:
    described = root("edgedetectors")["properties"]["status"]["properties"]["conditions"]["description"]
    assert all(name in described for name in conditions.ALL_TYPES)


def test_the_enumerations_are_those_in_the_code() -> None:
    tensor = root("edgedetectors")["properties"]["spec"]["properties"]["models"]["items"]["properties"]["inputs"]
    properties = tensor["items"]["properties"]
    assert set(properties["dataType"]["enum"]) == detector_api.DATA_TYPES
    assert set(properties["format"]["enum"]) == detector_api.FORMATS
    triton = root("acceleratorprofiles")["properties"]["spec"]["properties"]["triton"]["properties"]
    assert set(triton["instanceKind"]["enum"]) == profile_api.INSTANCE_KINDS
    metric = root("acceleratorprofiles")["properties"]["spec"]["properties"]["exporter"]["properties"]["metrics"]
    assert set(metric["items"]["properties"]["unit"]["enum"]) == set(profile_api.FACTORS)
