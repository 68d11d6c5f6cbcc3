"""The CRDs and the operator's types say the same: fields, which are required, defaults, choices, formats, addresses."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.api.crds import RESOURCES, crd, root, spec_fields, structural

from edgedetector.api import conditions, names, urls
from edgedetector.api import profile as profile_api
from edgedetector.api.decode import camel, decode
from edgedetector.api.quantities import Fraction, Quantity, parse_duration, parse_percent, parse_quantity


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


def test_the_conditions_that_the_schema_describes_are_those_in_the_code() -> None:
    described = root("edgedetectors")["properties"]["status"]["properties"]["conditions"]["description"]
    assert all(name in described for name in conditions.ALL_TYPES)


def choices(kind: Any) -> set[str] | None:
    """Return what a field or a list's items may be, None for anything but a choice; an empty text means absent."""
    kind, _ = unwrap(kind)
    if typing.get_origin(kind) is tuple:
        kind = typing.get_args(kind)[0]
    return set(typing.get_args(kind)) - {""} if typing.get_origin(kind) is typing.Literal else None


@pytest.mark.parametrize(("kind", "schema"), ALL)
def test_choices_are_the_same(kind: type, schema: dict[str, Any]) -> None:
    """What the schema enumerates decoding refuses too, and the other way round."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        below = schema["properties"][camel(field.name)]
        served = below.get("items", below).get("enum")
        if field.name == "format" and served == ["NONE"]:
            continue  # outputs have no format, and share their type with inputs
        assert choices(hints[field.name]) == (set(served) if served else None), field.name


def test_every_unit_has_a_factor() -> None:
    assert set(profile_api.FACTORS) == set(typing.get_args(profile_api.Unit))


PARSERS = {timedelta: parse_duration, Fraction: parse_percent, Quantity: parse_quantity}


def written(plural: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the fields that are values written as text: path, type, the schema's pattern."""
    for path, kind, schema in pairs(RESOURCES[plural][2], root(plural)["properties"]["spec"], ""):
        for name, hint in typing.get_type_hints(kind).items():
            inner, below = unwrap(hint)[0], schema["properties"][camel(name)]
            if typing.get_origin(inner) is Mapping:
                inner, below = typing.get_args(inner)[1], below["additionalProperties"]
            if inner in PARSERS:
                yield f"{plural}{path}.{camel(name)}", inner, below["pattern"]


@pytest.mark.parametrize(
    ("kind", "pattern"), [pytest.param(k, p, id=path) for plural in RESOURCES for path, k, p in written(plural)]
)
@settings(max_examples=25)
@given(data=st.data())
def test_what_fits_a_pattern_is_understood(kind: Any, pattern: str, data: st.DataObject) -> None:
    PARSERS[kind](data.draw(st.from_regex(pattern.replace("$", r"\Z"), fullmatch=True, alphabet=ASCII)))


ASCII = st.characters(max_codepoint=0x7E)


@pytest.mark.parametrize("plural", RESOURCES)
def test_defaults_fit_the_schema_that_they_stand_in(plural: str) -> None:
    checked = 0
    for path, schema in spec_fields(plural).items():
        if "default" in schema:
            errors = list(jsonschema.Draft7Validator(structural(schema)).iter_errors(schema["default"]))
            assert errors == [], path
            checked += 1
    assert checked >= 10


RULES = {
    # where it stands: field, kind of address
    ".models[].source.http": ("url", urls.MODEL),
    ".models[].postProcessing.source.http": ("url", urls.MODEL),
    ".cameras[]": ("url", urls.CAMERA),
    ".outputs.mqtt": ("url", urls.MQTT),
    ".outputs.webhook": ("url", urls.WEBHOOK),
}


@pytest.mark.parametrize(
    ("path", "field", "kind"),
    [*((path, field, kind) for path, (field, kind) in RULES.items()), (".cameras[]", "substreamUrl", urls.CAMERA)],
)
def test_addresses_are_judged_alike(path: str, field: str, kind: urls.Kind) -> None:
    """The same expressions and the same words, whether the API server refuses or the operator."""
    schema = spec_fields("edgedetectors")[path]
    mine = [
        rule for rule in schema["x-kubernetes-validations"] if rule.get("reason") and rule["fieldPath"] == f".{field}"
    ]
    guard = "" if field in schema.get("required", []) else f"!has(self.{field}) || "
    value = f"self.{field}"
    tests = [f"{value}.matches(r'{kind.pattern}')", f"{value}.matches(r'{urls.USUAL_HOST}')"]
    tests.append(f"!{value}.matches(r'{urls.FORBIDDEN_HOST}')")
    if kind.near:
        tests.append(f"!{value}.startsWith('http://') || {value}.matches(r'{kind.near}')")
    assert [rule["rule"] for rule in mine] == [guard + test for test in tests]
    host = f"{field} {urls.HOST_PROBLEM}; {kind.host}"
    syntax = f"{field} {kind.problem}; {kind.remedy.format(field=field)}"
    plain = [f"{field} {urls.PLAIN_PROBLEM}; {urls.PLAIN_REMEDY}"] if kind.near else []
    assert [rule["message"] for rule in mine] == [syntax, host, host, *plain]


def test_every_address_is_judged() -> None:
    found = {path for path, schema in spec_fields("edgedetectors").items() if path.lower().endswith("url")}
    assert found == {f"{path}.{field}" for path, (field, _) in RULES.items()} | {".cameras[].substreamUrl"}
