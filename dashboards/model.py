"""What a dashboard is, without any library: rows of panels, each with its queries. Grafana's JSON is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

RATE: Final = "$__rate_interval"
"""Grafana's own: at least four scrapes."""
DETECTOR: Final = 'namespace=~"$namespace",edgedetector=~"$edgedetector"'
CAMERA: Final = f'{DETECTOR},camera=~"$camera"'
NODE: Final = 'node=~"$node"'

Kind = Literal["lines", "areas", "stat", "states"]
Unit = Literal[
    "short", "percentunit", "s", "fps", "reqps", "ops", "bytes", "Bps", "celsius", "watt", "none", "bool_yes_no"
]  # fmt: skip
"""Grafana's names."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and what its series are called: labels stand in two pairs of braces."""

    expression: str
    legend: str = ""
    sparse: bool = False
    """No series is an ordinary answer, e.g. while nothing fails: the real Prometheus may have none."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture; `width` in 24ths of the page."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    kind: Kind = "lines"
    width: int = 12
    most: float | None = None
    """Upper end of the axis; absent: that of the data."""
    limit: float | None = None
    """Value from which it is no longer fine."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice above the panels: the values that a label has."""

    name: str
    label: str
    metric: str
    """Series whose label it is, with a selector where it depends on other variables."""


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard."""

    name: str
    """Of its file, a-z."""
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)


NAMESPACE_VARIABLE: Final = Variable("namespace", "Namespace", 'up{endpoint="detector",edgedetector!=""}')
DETECTOR_VARIABLE: Final = Variable(
    "edgedetector", "EdgeDetector", 'up{endpoint="detector",namespace=~"$namespace",edgedetector!=""}'
)
CAMERA_VARIABLE: Final = Variable("camera", "Camera", f"edgedetector_camera_target_frame_rate{{{DETECTOR}}}")
NODE_VARIABLE: Final = Variable("node", "Node", 'up{endpoint="detector",edgedetector!=""}')


def quantile(share: float, histogram: str, selector: str, *by: str) -> str:
    """Return the expression of a quantile of a histogram, by labels."""
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[{RATE}])))"


def rate(metric: str, selector: str, *by: str) -> str:
    """Return the expression of a counter's increase a second, added up by labels."""
    series = f"rate({metric}{{{selector}}}[{RATE}])" if selector else f"rate({metric}[{RATE}])"
    return f"sum by ({', '.join(by)}) ({series})" if by else f"sum({series})"
