"""A dashboard in Grafana's JSON, by Grafana's own library.

In the classic schema, though the library recommends the second one: files for a sidecar are read by every Grafana of
the last years in the former, and by the newest ones alone in the latter.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, Final

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from dashboards.model import Board, Panel, Query, Variable

SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "edgedetector"
HEIGHT: Final = {"stat": 4}
"""Rows of the page that a kind of panel takes, where that is not 8."""


def render(board: Board) -> str:
    """Return the text of a dashboard's file. The same board gives the same text."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"edgedetector-{board.name}")
        .description(board.description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(
            dashboard.DashboardLink("EdgeDetector")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(as_dropdown=True)
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
    )
    for variable in board.variables:
        built.with_variable(_variable(variable))
    numbers = itertools.count(1)
    for row in board.rows:
        built.with_row(dashboard.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            built.with_panel(_panel(panel).id(next(numbers)))
    return json.dumps(built.build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _variable(variable: Variable) -> dashboard.QueryVariable:
    query = f"label_values({variable.metric}, {variable.name})"
    everything = model.VariableOption(selected=True, text="All", value="$__all")
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(SOURCE)
        .query({"query": query, "refId": variable.name})
        .definition(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything)
    )


def _panel(panel: Panel) -> Any:
    built = _FORMS[panel.kind]()
    built.title(panel.title).description(panel.description).datasource(SOURCE)
    built.unit(panel.unit).span(panel.width).height(HEIGHT.get(panel.kind, 8))
    if panel.kind != "states":
        built.min(0)
    if panel.most is not None:
        built.max(panel.most)
    built.thresholds(_thresholds(panel.limit))
    for number, query in enumerate(panel.queries):
        built.with_target(_target(query, chr(ord("A") + number), instant=panel.kind == "stat"))
    return built


def _target(query: Query, name: str, *, instant: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).ref_id(name).datasource(SOURCE)
    if query.legend:
        target.legend_format(query.legend)
    return target.instant() if instant else target.range()


def _thresholds(limit: float | None) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(value=None, color="green")]
    if limit is not None:
        steps.append(model.Threshold(value=limit, color="red"))
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _lines() -> timeseries.Panel:
    legend = parts.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return (
        timeseries.Panel()
        .legend(legend.placement(common.LegendPlacement.BOTTOM).show_legend(show_legend=True))
        .tooltip(parts.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .line_width(1)
        .fill_opacity(10)
        .show_points(common.VisibilityMode.NEVER)
    )


def _areas() -> timeseries.Panel:
    return _lines().fill_opacity(40).stacking(parts.StackingConfig().mode(common.StackingMode.NORMAL))


def _stat() -> stat.Panel:
    last = parts.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().reduce_options(last).color_mode(common.BigValueColorMode.VALUE)


_FORMS: Final = {"lines": _lines, "areas": _areas, "stat": _stat, "states": statetimeline.Panel}
