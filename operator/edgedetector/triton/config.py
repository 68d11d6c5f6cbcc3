"""Model configurations: parse a config.pbtxt, and compare it with what Triton says is in force."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]
from google.protobuf.message import Message  # type: ignore[import-untyped]
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from edgedetector.api.dataplane import Tensor
from edgedetector.triton.tensors import Signature


class InvalidConfigError(ValueError):
    """A config.pbtxt is not one; the message has line and column."""


def parse(text: str) -> Any:
    """Return the ``ModelConfig`` of a config.pbtxt.

    Triton's own words for a bad file are opaque, so a file is parsed before Triton sees it.

    Raises
    ------
    InvalidConfigError
        If the text is no ModelConfig.
    """
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise InvalidConfigError(str(error)) from None


def parts(config: Any) -> tuple[str, ...]:
    """Return the models of an ensemble in the order in which they work; none of any other model."""
    return tuple(step.model_name for step in config.ensemble_scheduling.step)


def with_instances(text: str, count: int) -> str:
    """Return a config.pbtxt with another number of instances in each of its groups, and the rest as it was.

    Raises
    ------
    InvalidConfigError
        If the text is no ModelConfig.
    """
    config = parse(text)
    for group in config.instance_group:
        group.count = count
    return str(text_format.MessageToString(config))


def with_parameter(text: str, name: str, value: str) -> str:
    """Return a config.pbtxt with a parameter of the model's own: one that nobody reads makes a load a whole reload.

    Raises
    ------
    InvalidConfigError
        If the text is no ModelConfig.
    """
    config = parse(text)
    config.parameters[name].string_value = value
    return str(text_format.MessageToString(config))


def signature(text: str) -> Signature:
    """Return what the model of a config.pbtxt takes and gives.

    Raises
    ------
    InvalidConfigError
        If the text is no ModelConfig.
    """
    config = parse(text)
    inputs, outputs = (tuple(_tensor(entry) for entry in entries) for entries in (config.input, config.output))
    return Signature(config.name, inputs, outputs, config.max_batch_size)


def _tensor(entry: Any) -> Tensor:
    return Tensor(entry.name, tuple(entry.dims), DataType.Name(entry.data_type).removeprefix("TYPE_"))


def differences(wanted: Any, actual: Any) -> tuple[str, ...]:
    """Return the fields in which Triton's configuration is not what the file asks for, as ``path: wanted, actual``.

    Triton fills in defaults, so only fields that the file sets count, and a preferred batch size that is not asked
    for may be Triton's default, the maximal batch.
    """
    found = list(_message(wanted, actual, ""))
    default = [wanted.max_batch_size]
    extra = list(actual.dynamic_batching.preferred_batch_size)
    if not wanted.dynamic_batching.preferred_batch_size and extra not in ([], default):
        found.append(f"dynamic_batching.preferred_batch_size: none, {extra}")
    return tuple(found)


def _message(wanted: Message, actual: Message, path: str) -> list[str]:
    found: list[str] = []
    for descriptor, value in wanted.ListFields():
        found += _value(value, getattr(actual, descriptor.name), f"{path}{descriptor.name}")
    return found


def _value(wanted: Any, actual: Any, path: str) -> list[str]:
    if isinstance(wanted, Message):
        return _message(wanted, actual, f"{path}.")
    if hasattr(wanted, "items"):
        missing = [key for key in wanted if key not in actual]
        common = [(key, wanted[key], actual[key]) for key in wanted if key in actual]
        return [f"{path}.{key}: wanted, missing" for key in missing] + [
            line for key, one, other in common for line in _value(one, other, f"{path}.{key}")
        ]
    if hasattr(wanted, "__len__") and not isinstance(wanted, (str, bytes)):
        if len(wanted) != len(actual):
            return [f"{path}: {len(wanted)} entries, {len(actual)}"]
        pairs = enumerate(zip(wanted, actual, strict=True))
        return [line for index, (one, other) in pairs for line in _value(one, other, f"{path}[{index}]")]
    return [] if wanted == actual else [f"{path}: {wanted}, {actual}"]
