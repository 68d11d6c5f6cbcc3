"""What executions were measured to take, by batch size and in which company.

Sizes that are known without company too tell how long executions wait in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.tuning import sharing
from edgedetector.tuning.evidence import Visit
from edgedetector.tuning.sharing import Company, known

SYSTEMATIC: Final = 0.02
"""Relative error of a mean duration however many executions it is of: throttling, neighbours, Triton's own work."""
_SPREAD: Final = 0.15
"""Assumed coefficient of variation of one execution; Triton tells only the mean."""
_FEWEST: Final = 30
"""Executions in company that tell how long they wait there."""
_AGEING: Final = 0.01
"""Relative error that an hour adds to what was measured: temperature, neighbours, drivers."""
_OLDEST: Final = 0.10
_SHORTEST, _LONGEST = 1e-6, 600.0
"""Seconds of an execution that can be believed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Executions of one batch size in one visit."""

    size: int
    beside: Company
    log: float
    """Of the mean seconds, in that company."""
    variance: float
    executions: int = 1
    visit: float = 0.0
    """When the visit ended: those of one visit were in the same company."""
    alike: float = 0.0
    """Share of the time of all executions of its visit that those of this size took, the other models' included."""


def measured(name: str, visits: Sequence[Visit], largest: int, latest: float) -> list[Seen]:
    """Return what visits show of a model's executions of up to `largest` images.

    Parameters
    ----------
    latest
        When the last visit ended, seconds since the epoch.
    """
    return _compared(
        [
            entry
            for visit in visits
            if name in visit.models
            for entry in _entries(name, visit, latest)
            if entry.size <= largest
        ]
    )


def mean(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the mean of values with variances, weighted by these, and its own."""
    total = sum(1.0 / variance for _, variance in values)
    return sum(value / variance for value, variance in values) / total, 1.0 / total


def _entries(name: str, visit: Visit, latest: float) -> Iterator[Seen]:
    beside = sharing.company(name, visit.models)
    hours = max(0.0, latest - visit.ended) / 3600.0 if math.isfinite(visit.ended) else math.inf
    drift = min(_OLDEST, _AGEING * hours)
    spread = min(1.0, visit.spread) / math.sqrt(max(1, visit.windows)) if known(visit.spread) else 0.0
    own = visit.models[name].batches
    whole = sum(batch.executions * batch.seconds for model in visit.models.values() for batch in model.batches.values())
    for size, batch in own.items():
        if size >= 1 and batch.executions >= 1 and _SHORTEST <= batch.seconds <= _LONGEST:
            variance = SYSTEMATIC**2 + drift**2 + spread**2 + _SPREAD**2 / batch.executions
            alike = batch.executions * batch.seconds / whole if known(whole) else 0.0
            yield Seen(size, beside, math.log(batch.seconds), variance, batch.executions, visit.ended, alike)


def _compared(seen: Sequence[Seen]) -> list[Seen]:
    """Return the measurements with what is known without company of sizes that came up in each company."""
    bare: dict[int, list[tuple[float, float]]] = {}
    for entry in seen:
        if entry.beside.others <= 0.0:
            bare.setdefault(entry.size, []).append((entry.log, entry.variance))
    alone = {size: math.exp(mean(found)[0]) for size, found in bare.items()}
    both = {
        (entry.beside, entry.size): math.exp(entry.log)
        for entry in seen
        if entry.size in alone and entry.beside.others > 0.0 and entry.executions >= _FEWEST
    }
    return [_beside(entry, {size: here for (company, size), here in both.items() if company == entry.beside}, alone)
            for entry in seen]  # fmt: skip


def _beside(entry: Seen, here: Mapping[int, float], alone: Mapping[int, float]) -> Seen:
    near = max((size for size in here if size <= entry.size), default=0)
    return replace(entry, beside=replace(entry.beside, here=here[near], alone=alone[near])) if near else entry
