"""Parts of pod specs that both resources pass through to the pods they cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgedetector.api.quantities import Quantity, parse_quantity


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration of a node's taint; empty texts mean absent."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
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

        A default request above a limit of this value gives way to that limit: the API server refuses a request
        above its limit, and the user never wrote that request.
        """
        requests = {**defaults.requests, **self.requests}
        limits = {**defaults.limits, **self.limits}
        for name in set(requests) & set(limits):
            if parse_quantity(requests[name]) > parse_quantity(limits[name]):
                if name in self.requests:
                    limits[name] = requests[name]
                else:
                    requests[name] = limits[name]
        return Resources(requests=requests, limits=limits)


@dataclass(frozen=True, slots=True)
class EnvironmentVariable:
    """A plain environment variable. Secrets have no business in a profile."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class LocalObject:
    """A reference to an object of the same namespace."""

    name: str
