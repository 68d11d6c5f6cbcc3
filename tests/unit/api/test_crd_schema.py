"""What the CRDs owe their users and the API server: bounds, descriptions, columns, rules that help."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.unit.api.crds import RESOURCES, crd, root, spec_fields, walk


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


ALL_RULES = [pytest.param(path, rule, id=f"{plural}{path}") for plural in RESOURCES for path, rule in rules(plural)]


@pytest.mark.parametrize(("path", "rule"), ALL_RULES)
def test_every_rule_says_what_helps(path: str, rule: dict[str, Any]) -> None:
    problem, _, remedy = rule["message"].rpartition("; ")
    assert problem, "problem; remedy"
    assert re.match(r"(lower|raise|remove|correct|keep|write|put|name|choose|add|change) ", f"{remedy} "), remedy
    assert len(rule["message"]) < 400


@pytest.mark.parametrize("plural", RESOURCES)
def test_every_rule_stands_at_a_field(plural: str) -> None:
    """`fieldPath` is what the answer names; a rule without one is about the whole object or the keys of a map."""
    for path, schema in walk(root(plural)):
        for rule in schema.get("x-kubernetes-validations", []):
            if "fieldPath" in rule:
                below = schema
                for part in rule["fieldPath"].strip(".").split("."):
                    below = below["properties"][part]
                continue
            whole = re.match(
                r"(a camera|exporter|postProcessing|source|a toleration|frame rates|metadata.name) ", rule["message"]
            )
            assert whole or "additionalProperties" in schema, path


@pytest.mark.parametrize("plural", RESOURCES)
def test_every_number_is_bounded(plural: str) -> None:
    numbers = {p: s for p, s in spec_fields(plural).items() if s.get("type") in {"integer", "number"}}
    assert [path for path, schema in numbers.items() if "minimum" not in schema] == []
    assert [path for path, schema in numbers.items() if "maximum" not in schema] == []
    whole = {path: schema for path, schema in numbers.items() if schema["type"] == "integer"}
    assert all(schema["maximum"] < 2**31 or schema["format"] == "int64" for schema in whole.values())


@pytest.mark.parametrize("plural", RESOURCES)
def test_the_keys_of_every_map_are_judged(plural: str) -> None:
    maps = {path: schema for path, schema in spec_fields(plural).items() if "additionalProperties" in schema}
    assert len(maps) >= 4
    for path, schema in maps.items():
        assert any(rule["rule"].startswith("self.all(") for rule in schema["x-kubernetes-validations"]), path


OTHERS = re.compile(r"(onfigMap|imagePullSecrets\[\])\.name$|(claim|Class)Name$")


def is_a_name(pattern: str) -> bool:
    good = all(re.fullmatch(pattern, text) for text in ("a", "people-1.site", "0.1"))
    return good and not any(re.fullmatch(pattern, text) for text in ("../x", "People", "a_b", "-a", "a.", "a..b", ""))


@pytest.mark.parametrize("plural", RESOURCES)
def test_the_name_of_another_object_could_be_one(plural: str) -> None:
    others = [path for path in spec_fields(plural) if OTHERS.search(path)]
    assert len(others) >= 1
    assert [path for path in others if not is_a_name(spec_fields(plural)[path]["pattern"])] == []


def test_the_name_of_a_secret_is_judged_without_being_repeated() -> None:
    """Somebody writes the password itself there: a pattern would make the API server repeat it."""
    references = {path: s for path, s in spec_fields("edgedetectors").items() if path.endswith("SecretRef")}
    assert len(references) == 8
    for path, schema in references.items():
        rules = {rule["fieldPath"]: rule for rule in schema["x-kubernetes-validations"]}
        assert set(rules) == {f".{name}" for name in schema["properties"]}, path
        assert all(rule["reason"] == "FieldValueInvalid" for rule in rules.values())
        assert is_a_name(rules[".name"]["rule"].removeprefix("self.name.matches(r'").removesuffix("')")), path
        assert not any("pattern" in below for below in schema["properties"].values()), path


@pytest.mark.parametrize("plural", RESOURCES)
def test_no_rule_or_pattern_on_an_address_can_make_the_server_repeat_it(plural: str) -> None:
    addresses = [(p, s) for p, s in walk(root(plural), "") if p.lower().endswith("url") and s["type"] == "string"]
    assert addresses or plural == "acceleratorprofiles"
    for path, schema in addresses:
        assert not {"pattern", "enum", "format", "x-kubernetes-validations"} & schema.keys(), path


def resolve(schema: dict[str, Any], json_path: str) -> dict[str, Any]:
    """Return the schema at a printer column's path."""
    for part in re.sub(r'\[\?\(@\.type=="\w+"\)\]', "[]", json_path).lstrip(".").split("."):
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
