"""What the experiment prints. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """What an event did. Seconds without a decodable picture; None where nothing was to be read."""

    topology: str
    event: str
    neighbours: float | None
    """Longest gap of a camera that the event was not about but whose media pod it was about."""
    strangers: float | None
    """Longest gap of a camera of another media pod."""
    changed: float | None
    """Longest gap of the cameras that it was about, from the event on."""
    shared: int
    """How many neighbours there are."""
    seconds: float
    """From the event until everything was as asked for."""
    sessions: int
    """Most sessions that a camera had at once."""
    noise: float
    """Longest gap of a camera that was read without a media pod."""


def table(rows: list[Row], costs: dict[str, dict[str, Any]]) -> str:
    columns = (
        "event",
        "topology",
        "longest gap in the same pod, s",
        "cameras there",
        "longest gap in other pods, s",
        "longest gap of the changed, s",
        "done after, s",
        "most sessions a camera",
        "without a media pod, s",
    )
    lines = [line(columns), line("---" for _ in columns)]
    for event in dict.fromkeys(row.event for row in rows):
        lines += [
            line(
                (
                    event,
                    row.topology,
                    show(row.neighbours),
                    row.shared,
                    show(row.strangers),
                    show(row.changed),
                    row.seconds,
                    row.sessions,
                    row.noise,
                )
            )
            for row in rows
            if row.event == event
        ]
    keys = list(next(iter(costs.values())))
    lines += ["", line(("cost at rest", *costs)), line("---" for _ in range(len(costs) + 1))]
    lines += [line((key, *(cost[key] for cost in costs.values()))) for key in keys]
    return "\n".join(lines)


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def show(value: float | None) -> str:
    return "-" if value is None else str(value)
