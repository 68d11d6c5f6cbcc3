"""What came of the contest, as a table and as JSON. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.dataplane.figures import Column
from bench.tuner.rivals import space
from bench.tuner.rivals.ramp import Step
from bench.tuner.rivals.search import Search
from bench.tuner.rivals.space import START
from bench.tuner.rivals.traffic import Met

from edgedetector.tuning.window import Knobs

COLUMNS = (
    Column("name", "", 26),
    Column("chosen", "chosen", 16),
    Column("ramp", "ramp /s", 8, ".1f"),
    Column("share", "of best", 8, ".1%"),
    Column("probes", "probes", 6, "d"),
    Column("seconds", "seconds", 8, ".0f"),
    Column("lost", "lost", 5, "d"),
    Column("late", "late", 7, ".1%"),
    Column("note", "", 10),
)


@dataclass(frozen=True)
class Entry:
    """One of those that tune."""

    name: str
    found: Search | None
    """None: it could not run."""
    seconds: float
    met: Met
    error: str = ""


def rows(entries: Sequence[Entry], reached: Mapping[Knobs, float]) -> list[dict[str, Any]]:
    """Return the table's rows: the untouched server first, each with its share of the best that was measured.

    Parameters
    ----------
    reached
        What each configuration served within the bound, requests a second.
    """
    top = max(reached.values())
    made = [_row("untouched", START, reached, top)]
    for entry in entries:
        found = entry.found
        if found is None:
            made.append({"name": entry.name, "note": "could not run", "error": entry.error})
            continue
        # The sweep's own choice among its best few is by the ramp, too.
        knobs = max([found.chosen, *found.others], key=lambda one: reached[one])
        made.append(_row(entry.name, knobs, reached, top) | _costs(entry, found))
    return made


def _row(name: str, knobs: Knobs, reached: Mapping[Knobs, float], top: float) -> dict[str, Any]:
    share = reached[knobs] / top if top else None
    return {"name": name, "chosen": space.shown(knobs), "ramp": reached[knobs], "share": share, "error": ""}


def _costs(entry: Entry, found: Search) -> dict[str, Any]:
    seconds = entry.seconds if found.seconds is None else found.seconds
    late = entry.met.late / entry.met.sent if entry.met.sent else None
    tried = {
        space.shown(knobs): [round(one.throughput, 1), milliseconds(one.latency)] for knobs, one in found.tried.items()
    }
    return {
        "probes": found.probes, "seconds": seconds, "lost": entry.met.lost + found.lost, "late": late,
        "note": found.note, "sent": entry.met.sent, "tried": tried,
    }  # fmt: skip


def told(step: Step) -> list[float | None]:
    """Return a step of a ramp as it stands in the line of JSON: offered and answered a second, and milliseconds."""
    return [round(step.offered, 1), round(step.answered, 1), milliseconds(step.latency)]


def milliseconds(seconds: float) -> float | None:
    """Return seconds as milliseconds; None for what never came."""
    return round(seconds * 1e3, 1) if math.isfinite(seconds) else None
