"""Parts of pod specs that both resources pass through to the pods they cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgedetector.api.quantities import Quantity, parse_quantity


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration of a node's taint; empty texts mean absent."""

    key: str = ""
    operator: Literal["", "Exists", "Equal"] = ""
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = None

    def manifest(self) -> dict[str, object]:
        """Return the toleration as it stands in a pod spec."""
        entries = {
            "key": self.key,
            "operator": self.operator,
            "value": self.value,
            "effect": self.effect,
            "tolerationSeconds": self.toleration_seconds,
        }
        return {name: value for name, value in entries.items() if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests and limits of a container: resource name -> quantity."""

    requests: Mapping[str, Quantity] = field(default_factory=dict)
    limits: Mapping[str, Quantity] = field(default_factory=dict)

    def over(self, defaults: Resources) -> Resources:
        """Return these resources completed by `defaults`, resource by resource.

        The API server refuses a request above its limit. Where one of the two is a default, it gives way to the other,
        which somebody wrote.
        """
        requests = {**defaults.requests, **self.requests}
        limits = {**defaults.limits, **self.limits}
        for name in _exceeding(requests, limits):
            if name not in self.requests:
                requests[name] = limits[name]
            elif name not in self.limits:
                limits[name] = requests[name]
        return Resources(requests=requests, limits=limits)

    @property
    def contradictions(self) -> tuple[str, ...]:
        """The resources of which more is requested than the limit allows."""
        return _exceeding(self.requests, self.limits)


def _exceeding(requests: Mapping[str, Quantity], limits: Mapping[str, Quantity]) -> tuple[str, ...]:
    both = sorted(set(requests) & set(limits))
    return tuple(name for name in both if parse_quantity(requests[name]) > parse_quantity(limits[name]))


@dataclass(frozen=True, slots=True)
class EnvironmentVariable:
    """A plain environment variable. Secrets have no business in a profile."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class LocalObject:
    """A reference to an object of the same namespace."""

    name: str
