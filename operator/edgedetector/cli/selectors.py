"""Label selectors of Kubernetes: whether labels fit, what they say, and what would make labels fit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Selector = Mapping[str, Any]
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """Labels to set and keys to remove."""

    put: Labels = field(default_factory=dict)
    drop: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return it as part of a sentence, such as `set release: stack and remove team`."""
        parts = [f"set {key}: {value}" for key, value in sorted(self.put.items())]
        return " and ".join([*parts, *(f"remove {key}" for key in sorted(self.drop))])

    def of(self, labels: Labels) -> dict[str, str]:
        """Return labels with the change made."""
        return {key: value for key, value in {**labels, **self.put}.items() if key not in self.drop}


def fits(selector: Selector, labels: Labels) -> bool:
    """Tell whether labels fit; an empty selector takes everything."""
    plain = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return plain and all(_fits(one, labels) for one in selector.get("matchExpressions") or ())


def _fits(expression: Selector, labels: Labels) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def mend(selector: Selector, labels: Labels) -> Change | None:
    """Return a change after which labels fit; None where no labels do, since the selector contradicts itself."""
    put = {key: value for key, value in (selector.get("matchLabels") or {}).items() if labels.get(key) != value}
    drop: set[str] = set()
    for one in selector.get("matchExpressions") or ():
        if _fits(one, {**labels, **put}):
            continue
        match one["operator"]:
            case "In":
                put[one["key"]] = next(iter(one.get("values") or ()), "")
            case "Exists":
                put[one["key"]] = "true"
            case _:
                drop.add(one["key"])
    change = Change(put, frozenset(drop))
    return change if fits(selector, change.of(labels)) else None


def told(selector: Selector) -> str:
    """Return a selector as kubectl writes it."""
    return ", ".join(_told(selector)) or "everything"


def _told(selector: Selector) -> Iterator[str]:
    yield from (f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items()))
    for one in selector.get("matchExpressions") or ():
        key, values = one["key"], ", ".join(one.get("values") or ())
        match one["operator"]:
            case "In":
                yield f"{key} in ({values})"
            case "NotIn":
                yield f"{key} notin ({values})"
            case "Exists":
                yield key
            case _:
                yield f"!{key}"
