"""What an emulated device is: a frozen value, read from TOML, changed by dotted overrides.

Times are milliseconds, sizes bytes or megabytes (10^6 bytes, as the vendor's exporter counts), rates a second.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# GB/s a lane and direction of PCIe after line coding (PCI-SIG base specification, generations 1 to 5).
GIGABYTES_PER_LANE: Final[Mapping[int, float]] = {1: 0.25, 2: 0.5, 3: 0.985, 4: 1.969, 5: 3.938}
ELEMENT_BYTES: Final[Mapping[str, int]] = {"fp32": 4, "fp16": 2, "int8": 1}


class InvalidProfileError(ValueError):
    """A device description is wrong; the message names the field."""


@dataclass(frozen=True, slots=True)
class Link:
    """The card's connection to the host; one transfer at a time."""

    generation: int = 4
    lanes: int = 4
    efficiency: float = 0.5
    """Share of the coded rate that payload gets: packet headers, descriptors, bounce buffers."""
    traffic_factor: float = 1.0
    """Bytes that cross the link for each byte of input and output: padding, staging."""
    elements_per_image: int = 0
    """Elements of input and output an image, whatever is really sent, so that small tensors can stand in for large
    ones on a small machine; 0 counts the bytes of the tensors."""


@dataclass(frozen=True, slots=True)
class Compute:
    """Device time of a batch: ``base + per_image * images``."""

    base: float
    per_image: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the time of a batch leaves the straight line."""

    profiles: tuple[int, ...] = ()
    """Batch sizes that the engine was optimised for: others cost as much as the next larger one."""
    cliff_batch: int = 0
    """Above this many images the working set leaves the fast memory; 0: never."""
    cliff_factor: float = 1.0
    contention: float = 0.0
    """Slow-down of a batch for each further instance that is at work: shared memory bandwidth."""


@dataclass(frozen=True, slots=True)
class Scheduler:
    """How the device is shared."""

    engines: int = 1
    """Executions that the device can compute at once."""
    patched: bool = False
    """With the vendor's patched scheduler the cost does not grow with the number of instances."""
    switch: float = 0.0
    """What it costs an engine to turn to another instance, unpatched."""
    switch_per_further_instance: float = 0.0
    """Added for each working instance beyond the second, unpatched."""
    patched_switch: float = 0.0


@dataclass(frozen=True, slots=True)
class Host:
    """Work of the host's CPU an image (decode, resize, post-processing): a serial resource that works ahead."""

    time_per_image: float = 0.0
    available: float = 1.0
    """Share of the CPU that this work can get at most."""
    lead: float = 50.0
    """How far the host can be ahead of the device."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Device memory, MB."""

    total: float = 8192.0
    reserved: float = 300.0
    engine: Mapping[str, float] = field(default_factory=dict)
    """An instance's engine by precision."""
    workspace_per_image: float = 0.0
    """An instance's buffers for each image of its largest batch."""


@dataclass(frozen=True, slots=True)
class Thermal:
    """Temperature (degrees Celsius) and power (watts): one thermal mass."""

    ambient: float = 35.0
    idle_power: float = 9.0
    max_power: float = 32.0
    degrees_per_watt: float = 1.4
    time_constant: float = 45_000.0
    throttle_at: float = 90.0
    throttle_factor: float = 1.3


@dataclass(frozen=True, slots=True)
class Utilisation:
    """Which share of the time the vendor's monitor counts as busy."""

    compute: float = 1.0
    link: float = 0.0
    switch: float = 0.0


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """A device with its link and host."""

    name: str
    compute: Mapping[str, Compute]
    """By precision: fp32, fp16, int8."""
    link: Link = field(default_factory=Link)
    shape: Shape = field(default_factory=Shape)
    scheduler: Scheduler = field(default_factory=Scheduler)
    host: Host = field(default_factory=Host)
    memory: Memory = field(default_factory=Memory)
    thermal: Thermal = field(default_factory=Thermal)
    utilisation: Utilisation = field(default_factory=Utilisation)
    turnaround: float = 0.0
    """Between two executions of one instance at least: launch, synchronisation. What the machine that runs the
    emulation needs itself between two executions counts towards it."""
    max_batch: int = 32
    """Largest batch of an engine that does not say its own (`nnexec --maxBatch 32`)."""
    driver: str = "EMULATED-1.0"
    """Version of its driver, which no real one has."""

    @property
    def bandwidth(self) -> float:
        """Payload bytes a millisecond over the link."""
        return self.link.lanes * GIGABYTES_PER_LANE[self.link.generation] * self.link.efficiency * 1e6


def load(path: Path) -> dict[str, DeviceProfile]:
    """Read the devices of a calibration file: name -> profile.

    Raises
    ------
    InvalidProfileError
        If a field is unknown, missing or has a wrong type or value.
    """
    with path.open("rb") as file:
        document = tomllib.load(file)
    return {name: from_dict({"name": name, **entry}) for name, entry in document["devices"].items()}


def from_dict(document: Mapping[str, Any]) -> DeviceProfile:
    """Return the profile that a parsed document describes, checked."""
    profile: DeviceProfile = _build(DeviceProfile, document, "device")
    _check(profile)
    return profile


def override(profile: DeviceProfile, changes: Mapping[str, Any]) -> DeviceProfile:
    """Return `profile` with fields replaced: ``{"link.lanes": 1, "compute.fp32.base": 2.0}``.

    Values may be text, as they come from a command line.

    Raises
    ------
    InvalidProfileError
        If a name is no field or a value does not fit.
    """
    document = to_dict(profile)
    for name, value in changes.items():
        *parents, leaf = name.split(".")
        target: Any = document
        for parent in parents:
            target = target.get(parent) if isinstance(target, dict) else None
        if not isinstance(target, dict) or leaf not in target or isinstance(target[leaf], dict):
            raise InvalidProfileError(f"{name}: no such field")
        plain = not isinstance(value, str) or isinstance(target[leaf], str)
        target[leaf] = value if plain else _from_text(value, name)
    return from_dict(document)


def to_dict(profile: DeviceProfile) -> dict[str, Any]:
    """Return the profile as plain values."""
    return dataclasses.asdict(profile)


def parse_assignments(text: str) -> dict[str, str]:
    """Parse ``a.b=1,c.d=true`` as environment variables and command lines carry it."""
    entries = [entry.partition("=") for entry in text.split(",") if entry.strip()]
    return {name.strip(): value.strip() for name, _, value in entries}


def _from_text(text: str, name: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise InvalidProfileError(f"{name}: {text!r} is no value") from None


def _build(kind: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise InvalidProfileError(f"{path}: expected a table")
        hints = typing.get_type_hints(kind, {**globals(), "Mapping": dict})
        if unknown := set(value) - set(hints):
            raise InvalidProfileError(f"{path}.{min(unknown)}: no such field")
        arguments = {name: _build(hints[name], entry, f"{path}.{name}") for name, entry in value.items()}
        try:
            return kind(**arguments)
        except TypeError as error:
            raise InvalidProfileError(f"{path}: {error}") from None
    origin, parameters = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict and isinstance(value, dict):
        return {key: _build(parameters[1], entry, f"{path}.{key}") for key, entry in value.items()}
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_build(parameters[0], entry, path) for entry in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is not None or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidProfileError(f"{path}: expected {getattr(kind, '__name__', kind)}, got {value!r}")
    return value


def _check(profile: DeviceProfile) -> None:
    """Refuse what would make time run backwards or divide by zero."""
    if profile.link.generation not in GIGABYTES_PER_LANE:
        raise InvalidProfileError(f"device.link.generation: one of {sorted(GIGABYTES_PER_LANE)}")
    if not profile.compute or not set(profile.compute) <= set(ELEMENT_BYTES):
        raise InvalidProfileError(f"device.compute: at least one of {sorted(ELEMENT_BYTES)} and nothing else")
    positive = {
        "link.lanes": profile.link.lanes,
        "link.efficiency": profile.link.efficiency,
        "host.available": profile.host.available,
        "thermal.time_constant": profile.thermal.time_constant,
        "scheduler.engines": profile.scheduler.engines,
        "max_batch": profile.max_batch,
    }
    if wrong := [name for name, value in positive.items() if value <= 0]:
        raise InvalidProfileError(f"device.{wrong[0]}: must be above 0")
    if negative := _first_negative(to_dict(profile), "device"):
        raise InvalidProfileError(f"{negative}: must not be negative")
    if list(profile.shape.profiles) != sorted(set(profile.shape.profiles)) or 0 in profile.shape.profiles:
        raise InvalidProfileError("device.shape.profiles: batch sizes in rising order")


def _first_negative(value: Any, path: str) -> str:
    if isinstance(value, dict):
        return next((found for key, entry in value.items() if (found := _first_negative(entry, f"{path}.{key}"))), "")
    return path if isinstance(value, (int, float)) and not value >= 0 else ""
