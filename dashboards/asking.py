"""Dashboards' queries as Prometheus takes them, and its answers over a time."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboards.model import RATE, Query

TIMEOUT = 30.0
"""Seconds for Prometheus to answer."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What Grafana puts in the place of variables."""

    rate: str = "2m"
    values: Mapping[str, str] = field(default_factory=dict)
    """Variable -> regular expression; of one that is not there everything."""

    def expression(self, query: str) -> str:
        """Return an expression with all variables replaced."""
        filled = query.replace(RATE, self.rate)
        return re.sub(r"\$(\w+)", lambda found: self.values.get(found[1], ".*"), filled)


@dataclass(frozen=True, slots=True)
class Span:
    """A time, in Unix seconds."""

    start: float
    end: float
    step: float


@dataclass(frozen=True, slots=True)
class Series:
    """A series under the name that the legend gives it; times in Unix seconds."""

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]


def ask(base: str, query: Query, choice: Choice, span: Span) -> list[Series]:
    """Return the series of a query over a time, from the Prometheus at `base`.

    Raises
    ------
    OSError
        If Prometheus does not answer, or with an error.
    """
    asked = {
        "query": choice.expression(query.expression),
        "start": f"{span.start:.3f}",
        "end": f"{span.end:.3f}",
        "step": f"{span.step:g}",
    }
    url = f"{base}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - http, from the command line
        found = json.load(answer)["data"]["result"]
    return sorted((_series(query, one["metric"], one["values"]) for one in found), key=lambda one: one.name)


def legend(query: Query, labels: Mapping[str, str]) -> str:
    """Return what a series is called: the legend with its labels filled in."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), query.legend)


def _series(query: Query, labels: Mapping[str, str], samples: list[tuple[float, str]]) -> Series:
    return Series(
        legend(query, labels), tuple(float(time) for time, _ in samples), tuple(float(value) for _, value in samples)
    )
