"""Pure parts of the benchmark: percentiles, ratios, CPU by process, tables, and what other tools print."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table: the key of its values, and how they are shown."""

    key: str
    title: str
    width: int
    form: str = ""
    """Format specification of a number; a text is shown as it is, a value that is missing or None as a dash."""

    def cell(self, row: Row) -> str:
        value = row.get(self.key)
        shown = "-" if value is None else value if isinstance(value, str) else format(value, self.form)
        return shown.ljust(self.width) if isinstance(value, str) else shown.rjust(self.width)

    def head(self, rows: Sequence[Row]) -> str:
        text = any(isinstance(row.get(self.key), str) for row in rows)
        return self.title.ljust(self.width) if text else self.title.rjust(self.width)


def table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return head and rows, a line each."""
    head = " ".join(column.head(rows) for column in columns).rstrip()
    return "\n".join([head, *(" ".join(column.cell(row) for column in columns).rstrip() for row in rows)])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of all do not exceed: nearest rank, never invented.

    Raises
    ------
    ValueError
        Without values, or with a share that is none.
    """
    if not values or not 0.0 <= share <= 1.0:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    rank = max(1, -(-len(values) * share // 1))
    return sorted(values)[int(rank) - 1]


def ratio(above: float, below: float) -> float | None:
    """Return above / below to two places; None where there is nothing to divide by."""
    return round(above / below, 2) if below > 0 else None


def medians(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the turns in which it was taken: one disturbed turn moves it little."""
    keys = dict.fromkeys(key for turn in turns for key in turn)
    return {key: round(statistics.median(turn[key] for turn in turns if key in turn), 4) for key in keys}


@dataclass(frozen=True)
class Snapshot:
    """CPU seconds that processes had used at a moment."""

    at: float
    """Seconds, monotonic."""
    used: Mapping[tuple[str, int], float]
    """(name, process id) -> CPU seconds."""


def cores(before: Snapshot, after: Snapshot) -> dict[str, float]:
    """Return CPU seconds a second between two moments, by name.

    A process that began in between counts from its beginning; what one used that ended in between is not known.
    """
    found: dict[str, float] = {}
    for key, seconds in after.used.items():
        name, _ = key
        found[name] = found.get(name, 0.0) + (seconds - before.used.get(key, 0.0)) / (after.at - before.at)
    return found


def of(names: Iterable[str], used: Mapping[str, float]) -> float:
    """Return what the named processes and their descendants (``name/...``) used together."""
    roots = tuple(names)
    return sum(value for name, value in used.items() if name.partition("/")[0] in roots)


def perf_analyzer(text: str) -> float:
    """Return the inferences a second of the best line of perf_analyzer's CSV (`-f`); a batch of 4 counts 4.

    Raises
    ------
    ValueError
        If there is no such line.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    try:
        return max(float(row["Inferences/Second"]) for row in rows)
    except (KeyError, TypeError):
        raise ValueError(f"not perf_analyzer's CSV: {text[:200]!r}") from None


def spread(rates: Sequence[float]) -> float | None:
    """Return by how much of the largest the smallest rate is below it, 0 to 1: how unequally equals are served."""
    return round(1.0 - min(rates) / max(rates), 3) if rates and max(rates) > 0 else None


def growth(samples: Sequence[float]) -> float:
    """Return how far the median of the last quarter lies above that of the second, as a share of that.

    The first quarter is left out, in which buffers are made. At least four samples.
    """
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    if not early:
        raise ValueError(f"{len(samples)} samples show no growth")
    return round(statistics.median(late) / statistics.median(early) - 1.0, 4)


def tenths(samples: Sequence[float]) -> list[float]:
    """Return the median of each tenth of the samples, of fewer if there are fewer."""
    size = max(1, len(samples) // 10)
    return [statistics.median(samples[start : start + size]) for start in range(0, size * 10, size) if samples[start:]]
