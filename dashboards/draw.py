"""Draw the dashboards from a Prometheus: what Grafana would show, where there is none.

python -m dashboards.draw http://127.0.0.1:9090 FOLDER [--minutes 30] [--only detector] [--set namespace=demo]

Needs matplotlib, which is of the dependency group `dashboards`. The same boards, queries, units and limits as in the
JSON; the layout is Grafana's, 24 columns wide.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import dates, ticker
from matplotlib.figure import Figure

from dashboards import BOARDS, asking
from dashboards.asking import Choice, Series, Span
from dashboards.model import Board, Panel, Query

COLUMNS: Final = 24
TALL: Final = {"stat": 4}
"""Rows that a kind of panel takes, where that is not 8; a heading takes 1."""
HEAD, FOOT = 0.8, 1.7
"""Rows of a panel that its title takes, and what stands below its axis: times and legend."""
INCH: Final = 0.55
"""Inches of a column of the page, and of a row two thirds of that."""
COLOURS: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a",
)  # fmt: skip
LEGENDS: Final = 8
"""Names that a legend has room for."""
UNITS: Final = {
    "percentunit": lambda value: f"{value * 100:.4g} %",
    "s": lambda value: f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s",
    "bytes": lambda value: _scaled(value, "B"),
    "Bps": lambda value: _scaled(value, "B/s"),
    "fps": lambda value: f"{value:.3g} fps",
    "reqps": lambda value: f"{value:.3g} req/s",
    "ops": lambda value: f"{value:.3g} /s",
    "celsius": lambda value: f"{value:.3g} °C",
    "watt": lambda value: f"{value:.3g} W",
}
STYLE: Final = {
    "figure.facecolor": "#111217", "axes.facecolor": "#181b1f", "savefig.facecolor": "#111217",
    "axes.edgecolor": "#2c3235", "axes.labelcolor": "#ccccdc", "text.color": "#ccccdc",
    "xtick.color": "#9fa7b3", "ytick.color": "#9fa7b3", "grid.color": "#2c3235", "font.size": 8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
}  # fmt: skip

Ask = Callable[[Query], list[Series]]


def draw(board: Board, ask: Ask) -> Figure:
    """Return a dashboard as a picture."""
    places = list(_places(board))
    rows = max(top + height for _, _, top, height in places)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMNS * INCH, (rows + 1) * INCH * 2 / 3), layout=None)
        figure.text(0.01, 1 - 0.5 / (rows + 1), board.title, fontsize=13, weight="bold", va="center")
        for what, left, top, height in places:
            if isinstance(what, str):
                figure.text(0.01, 1 - (top + 1.5) / (rows + 1), what, fontsize=10, va="center")
                continue
            box = (
                (left + 1.3) / COLUMNS,
                1 - (top + height + 1 - FOOT) / (rows + 1),
                (what.width - 1.6) / COLUMNS,
                (height - HEAD - FOOT) / (rows + 1),
            )
            _panel(figure, box, what, [ask(query) for query in what.queries])
    return figure


def _places(board: Board) -> Iterator[tuple[str | Panel, int, int, int]]:
    """Yield headings and panels with their column, their row and how many rows they take, as Grafana lays them out."""
    top = 0
    for row in board.rows:
        yield row.title, 0, top, 1
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            height = TALL.get(panel.kind, 8)
            yield panel, left, top, height
            left, tallest = left + panel.width, max(tallest, height)
        top += tallest


def _panel(figure: Figure, box: tuple[float, ...], panel: Panel, answers: Sequence[list[Series]]) -> None:
    axes = figure.add_axes(box)
    axes.set_title(panel.title, fontsize=9, loc="left", weight="bold")
    found = [series for answer in answers for series in answer]
    if panel.kind == "stat":
        _stat(axes, panel, found)
        return
    if not found:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color="#6e7680")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    if panel.kind == "states":
        _states(axes, found)
    else:
        _lines(axes, panel, found)
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=UTC))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(6))


def _stat(axes: Any, panel: Panel, found: Sequence[Series]) -> None:
    axes.set_axis_off()
    last = found[0].values[-1] if found and found[0].values else None
    bad = panel.limit is not None and last is not None and last >= panel.limit
    text = "no data" if last is None else UNITS.get(panel.unit, lambda value: f"{value:.4g}")(last)
    axes.text(0.5, 0.45, text, transform=axes.transAxes, ha="center", va="center", fontsize=20,
              color="#f2495c" if bad else "#73bf69")  # fmt: skip


def _lines(axes: Any, panel: Panel, found: Sequence[Series]) -> None:
    below: dict[float, float] = {}
    for number, series in enumerate(found):
        when = [datetime.fromtimestamp(at, UTC) for at in series.times]
        colour = COLOURS[number % len(COLOURS)]
        if panel.kind == "areas":
            floor = [below.get(at, 0.0) for at in series.times]
            upper = [low + value for low, value in zip(floor, series.values, strict=True)]
            below |= dict(zip(series.times, upper, strict=True))
            axes.fill_between(when, floor, upper, color=colour, alpha=0.4, linewidth=0)
            axes.plot(when, upper, color=colour, linewidth=0.9, label=series.name)
        else:
            axes.plot(when, series.values, color=colour, linewidth=1.1, label=series.name)
    if panel.limit is not None:
        axes.axhline(panel.limit, color="#f2495c", linewidth=0.8, linestyle="--")
    axes.set_ylim(bottom=0, top=panel.most and panel.most * 1.03)
    unit = UNITS.get(panel.unit)
    if unit is not None:
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: unit(value)))
    if 0 < len(found) <= LEGENDS and any(series.name for series in found):
        axes.legend(
            loc="upper left", bbox_to_anchor=(-0.02, -0.09), borderaxespad=0, fontsize=6.5, frameon=False, ncols=4,
            handlelength=1.2, columnspacing=1.2,
        )  # fmt: skip


def _states(axes: Any, found: Sequence[Series]) -> None:
    steps = (after - before for series in found for before, after in pairwise(series.times))
    width = timedelta(seconds=min(steps, default=1.0))
    for number, series in enumerate(found):
        when = [datetime.fromtimestamp(at, UTC) for at in series.times]
        axes.barh([number] * len(when), width, left=when, height=0.3, color=COLOURS[number % len(COLOURS)])
        if when:
            axes.text(when[0], number + 0.2, series.name, fontsize=6.5, va="bottom")
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_ylim(-0.7, len(found) - 0.3)


def _scaled(value: float, unit: str) -> str:
    for prefix in ("", "k", "M", "G"):
        if abs(value) < 1000:  # noqa: PLR2004 - the next prefix
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:.3g} T{unit}"


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="Prometheus, e.g. http://127.0.0.1:9090")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--minutes", type=float, default=30.0, help="how far back (%(default)g)")
    parser.add_argument("--only", choices=[board.name for board in BOARDS], action="append", help="one dashboard")
    parser.add_argument(
        "--set", action="append", default=[], metavar="VARIABLE=REGEX", help="a choice above the panels"
    )
    options = parser.parse_args()
    choice = Choice(values=dict(pair.split("=", 1) for pair in options.set))
    now = time.time()
    span = Span(now - options.minutes * 60, now, max(5.0, options.minutes * 60 / 240))
    options.folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        if not options.only or board.name in options.only:
            path = options.folder / f"{board.name}.png"
            draw(board, lambda query: asking.ask(options.url.rstrip("/"), query, choice, span)).savefig(path, dpi=110)
            print(path)


if __name__ == "__main__":
    main()
