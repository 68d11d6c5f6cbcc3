"""Figures and labels in the text that a Prometheus exporter serves."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

LARGEST: Final = 4 << 20
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series."""

    name: str
    value: float
    labels: Mapping[str, str]


def samples(text: str, names: Iterable[str]) -> tuple[Sample, ...]:
    """Return the series of these names. A line that cannot be read is passed over, and so are all others."""
    wanted = frozenset(names)
    lines = (line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] in wanted)
    return tuple(sample for line in lines for sample in _read(line))


def versions(text: str, metric: str, label: str) -> tuple[str, ...]:
    """Return what the label of a metric says, each value once, sorted: normally one."""
    found = {sample.labels.get(label, "").strip() for sample in samples(text, (metric,))}
    return tuple(sorted(found - {""}))


def ask(url: str, timeout: float) -> str | None:
    """Return what an exporter serves; None if it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - http, from the operator
            text: str = answer.read(LARGEST).decode(errors="replace")
    except (http.client.HTTPException, OSError, ValueError):
        return None
    return text


def _read(line: str) -> list[Sample]:
    try:
        families = text_string_to_metric_families(f"{line}\n")
        return [Sample(one.name, float(one.value), dict(one.labels)) for family in families for one in family.samples]
    except (ValueError, IndexError, KeyError):  # which the library raises for what is no series
        return []
