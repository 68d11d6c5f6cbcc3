"""From the plain objects of the API server to typed values: camelCase keys become the fields of a dataclass."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeVar

from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.quantities import Fraction, Quantity, parse_duration, parse_percent, parse_quantity

T = TypeVar("T")


def camel(name: str) -> str:
    """Return the key in a resource of the field `name`: ``max_batch_size`` is ``maxBatchSize``.

    Initialisms keep their capitals, as the conventions of the Kubernetes API ask: ``targetCPUUtilization``.
    """
    head, *rest = name.rstrip("_").split("_")
    return head + "".join("CPU" if part == "cpu" else part.capitalize() for part in rest)


def decode(kind: type[T], value: Any, path: str) -> T:
    """Return `value`, a JSON value found at `path`, as a `kind`: a dataclass, or a type that its fields have.

    A key that is absent or null takes the field's default. Keys without a field are passed over: the API server
    refuses or drops what its schema does not know, and an older operator must be able to read a newer resource.

    Raises
    ------
    InvalidSpecError
        If a required key is missing or a value has another type; the message names the field, never the value.
    """
    result: T = _decode(kind, value, path)
    return result


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        kind = next(item for item in typing.get_args(kind) if item is not types.NoneType)
        return None if value is None else _decode(kind, value, path)
    if origin is typing.Literal:
        return _choice(typing.get_args(kind), _checked(value, str, path, "text"), path)
    if origin is tuple:
        return tuple(
            _decode(typing.get_args(kind)[0], item, f"{path}[{index}]")
            for index, item in enumerate(_checked(value, list, path, "a list"))
        )
    if origin is Mapping:
        items = _checked(value, Mapping, path, "an object")
        return {str(key): _decode(typing.get_args(kind)[1], item, f"{path}.{key}") for key, item in items.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_object(kind, _checked(value, Mapping, path, "an object"), path)
    return _decode_scalar(kind, value, path)


def _decode_object(kind: type, value: Mapping[str, Any], path: str) -> Any:
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        key = camel(field.name)
        if value.get(key) is not None:
            arguments[field.name] = _decode(_hints(kind)[field.name], value[key], f"{path}.{key}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidSpecError(f"{path}.{key}", "is required", "add it")
    return kind(**arguments)


def _choice(choices: tuple[str, ...], value: str, path: str) -> str:
    if value not in choices:
        raise InvalidSpecError(path, "is unknown", f"known are {', '.join(choice for choice in choices if choice)}")
    return value


def _quantity(value: str | int) -> Quantity:
    parse_quantity(str(value))
    return Quantity(value)


_SCALARS: Final[dict[Any, tuple[Any, str, Callable[[Any], Any]]]] = {
    # field type: (what JSON has, as people call it, conversion)
    str: (str, "text", str),
    int: (int, "an integer", int),
    float: ((int, float), "a number", float),
    bool: (bool, "true or false", bool),
    Quantity: ((str, int), "a quantity", _quantity),
    timedelta: (str, "text", parse_duration),
    Fraction: (str, "text", parse_percent),
}


def _decode_scalar(kind: Any, value: Any, path: str) -> Any:
    wanted, name, convert = _SCALARS[kind]
    try:
        return convert(_checked(value, wanted, path, name))
    except ValueError as error:
        raise InvalidSpecError(path, str(error)) from None


def _checked(value: Any, kind: Any, path: str, wanted: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidSpecError(path, f"must be {wanted}")
    return value
