"""The shipped definitions as JSON schemas: what the API server's schema would refuse or drop, without an API server.

Rules in CEL are not evaluated: `edgedetector.api.rules` says the same of those that matter. Texts name fields and never
repeat a value, which may be a password in the wrong place.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import jsonschema
import yaml

Json = Mapping[str, Any]

_KINDS: Final = {"EdgeDetector": "edgedetectors", "AcceleratorProfile": "acceleratorprofiles"}
_BAD: Final = {
    "required": "lacks a field that is required",
    "type": "has the wrong type: wanted is {wanted}",
    "enum": "is none of {wanted}",
    "pattern": "does not have the form {wanted}",
    "minimum": "is below {wanted}",
    "maximum": "is above {wanted}",
    "minLength": "is shorter than {wanted} characters",
    "maxLength": "is longer than {wanted} characters",
    "minItems": "has fewer than {wanted} entries",
    "maxItems": "has more than {wanted} entries",
    "anyOf": "has the wrong type",
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """A field that does not fit its definition."""

    field: str
    problem: str
    unknown: bool = False
    """The definition has no such field: the API server drops it, or refuses it where that is asked for."""
    meant: str = ""
    """The known field that is nearest."""


@cache
def definition(kind: str) -> Json:
    """Return the shipped CustomResourceDefinition of a kind."""
    file = resources.files("edgedetector.cli") / "definitions" / f"edgedetector.dev_{_KINDS[kind]}.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: Json = yaml.load(file.read_text(encoding="utf-8"), loader)  # noqa: S506 - a safe loader, the fast one
    return found


def served(crd: Json) -> Json:
    """Return the schema of the version that a definition stores."""
    version = next(version for version in crd["spec"]["versions"] if version["storage"])
    schema: Json = version["schema"]["openAPIV3Schema"]
    return schema


def misfits(obj: Json, kind: str) -> tuple[Misfit, ...]:
    """Return all that does not fit the shipped definition of a kind, by field."""
    return _of_text(json.dumps(_without_status(obj), sort_keys=True, default=str), kind)


@lru_cache(maxsize=64)
def _of_text(text: str, kind: str) -> tuple[Misfit, ...]:
    """Return what does not fit of an object as JSON: several codes ask the same."""
    found = {(one.field, one.problem): one for one in _misfits(json.loads(text), kind)}
    return tuple(found[key] for key in sorted(found))


def _misfits(obj: Json, kind: str) -> Iterator[Misfit]:
    for error in _validator(kind).iter_errors(obj):
        where = _path(error.absolute_path)
        if error.validator == "additionalProperties":
            known = sorted(error.schema.get("properties", {}))
            for name in sorted(set(error.instance) - set(known)):
                yield _unknown(f"{where}.{name}".lstrip("."), name, known)
        elif error.validator == "required":
            names = [name for name in error.validator_value if name not in error.instance]
            yield from (Misfit(f"{where}.{name}".lstrip("."), "is missing") for name in names)
        else:
            wanted = error.validator_value
            text = ", ".join(map(str, wanted)) if isinstance(wanted, list) else wanted
            problem = _BAD.get(str(error.validator), "does not fit the definition")
            yield Misfit(where, problem.format(wanted=text))
    yield from _twice(served(definition(kind))["properties"]["spec"], obj.get("spec"), "spec")


def _unknown(field: str, name: str, known: list[str]) -> Misfit:
    meant = next(iter(difflib.get_close_matches(name, known, 1)), "")
    return Misfit(field, "is no field", unknown=True, meant=meant)


def _twice(schema: Json, value: Any, where: str) -> Iterator[Misfit]:
    """Yield entries of lists that are keyed like maps and have one key twice."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if key in schema.get("properties", {}):
                yield from _twice(schema["properties"][key], entry, f"{where}.{key}")
    elif isinstance(value, list) and "items" in schema:
        seen: set[tuple[str, ...]] = set()
        for entry in value:
            key = tuple(str(entry.get(name)) for name in schema.get("x-kubernetes-list-map-keys", ()) if _is_map(entry))
            if key and key in seen:
                yield Misfit(f"{where}[{', '.join(key)}]", "is there twice")
            seen.add(key)
            yield from _twice(schema["items"], entry, f"{where}[{', '.join(key)}]" if key else f"{where}[]")


def _is_map(entry: Any) -> bool:
    return isinstance(entry, Mapping)


@cache
def _validator(kind: str) -> Any:
    schema = _closed(served(definition(kind)))
    return jsonschema.Draft202012Validator(schema)


def _closed(schema: Any) -> Any:
    """Return the schema with objects that take no other fields, as a structural schema means them."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: _closed(value) for key, value in schema.items() if key not in {"default", "description", "format"}}
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        # Fields have names, of which the definition's own words may be one: `inputs[].format`.
        found["properties"] = {name: _closed(field) for name, field in properties.items()}
        found.setdefault("additionalProperties", False)
    return found


def _without_status(obj: Json) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key != "status"}


def _path(parts: Any) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


@cache
def shipped_fields(kind: str) -> frozenset[str]:
    """Return the paths of all fields of the shipped definition."""
    return fields(served(definition(kind)))


def fields(schema: Json, where: str = "") -> frozenset[str]:
    """Return the paths of all fields of a schema, to hold two definitions against each other."""
    found: set[str] = set()
    for name, inner in schema.get("properties", {}).items():
        path = f"{where}.{name}".lstrip(".")
        found |= {path} | fields(inner, path)
    if "items" in schema:
        found |= fields(schema["items"], f"{where}[]")
    return frozenset(found)
