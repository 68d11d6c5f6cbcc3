"""How the documents between operator and pods are written: frozen dataclasses as JSON, with keys in camelCase."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar

T = TypeVar("T")
LEFT_OUT: Final = types.MappingProxyType({"left-out": True})
"""Metadata of a field that the JSON lacks while it has its default: so a document that does not need a field of a
later release stays as it was, and nothing is written or rolled out because of it."""


class InvalidDocumentError(ValueError):
    """A document does not have the shape of its type; the message names the field."""


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return the JSON text of a document: sorted keys, so that equal values give equal text."""
    return json.dumps(_encode(value), sort_keys=True, indent=indent, separators=None if indent else (",", ":"))


def from_json(kind: type[T], text: str) -> T:
    """Parse the JSON text of a document of a kind.

    Raises
    ------
    InvalidDocumentError
        If the text is no JSON or a field has the wrong type; unknown keys are passed over, so that
        an older pod reads a newer operator's document.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidDocumentError(f"{kind.__name__}: not JSON: {error}") from None
    value: T = _decode(kind, document, kind.__name__)
    return value


@cache
def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields: to find them takes longer than all the rest of reading one."""
    return typing.get_type_hints(kind)


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = (f for f in dataclasses.fields(value) if not _left_out(f, getattr(value, f.name)))
        return {_camel(f.name): _encode(getattr(value, f.name)) for f in told}
    if isinstance(value, (tuple, list)):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    return value


def _left_out(field_: dataclasses.Field[Any], value: Any) -> bool:
    return "left-out" in field_.metadata and bool(value == field_.default)


def _decode(kind: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise InvalidDocumentError(f"{path}: expected a list")
        item = typing.get_args(kind)[0]
        return tuple(_decode(item, entry, f"{path}[{index}]") for index, entry in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise InvalidDocumentError(f"{path}: expected an object")
        keys, values = typing.get_args(kind)
        return {_key(keys, key, path): _decode(values, entry, f"{path}.{key}") for key, entry in value.items()}
    if isinstance(kind, types.UnionType):  # of one kind and None
        (one,) = (each for each in typing.get_args(kind) if each is not type(None))
        return None if value is None else _decode(one, value, path)
    if dataclasses.is_dataclass(kind):
        return _decode_object(kind, value, path)
    return _decode_scalar(kind, value, path)


def _key(kind: Any, text: str, path: str) -> Any:
    try:
        return kind(_text(text, path))  # str or int: JSON's own keys are texts
    except ValueError:
        raise InvalidDocumentError(f"{path}.{text}: expected a key of {kind.__name__}") from None


def _decode_scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return _float(value, path)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidDocumentError(f"{path}: expected {kind.__name__}")
    return _text(value, path) if kind is str else value


def _text(value: str, path: str) -> str:
    """Return a text that can be written: JSON lets a half of a UTF-16 pair stand alone, UTF-8 does not."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidDocumentError(f"{path}: half a character") from None
    return value


def _float(value: int, path: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise InvalidDocumentError(f"{path}: too large") from None


def _decode_object(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise InvalidDocumentError(f"{path}: expected an object")
    hints = _hints(kind)
    arguments: dict[str, Any] = {}
    for item in dataclasses.fields(kind):
        key = _camel(item.name)
        if key in value:
            arguments[item.name] = _decode(hints[item.name], value[key], f"{path}.{key}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise InvalidDocumentError(f"{path}.{key}: missing")
    return kind(**arguments)
