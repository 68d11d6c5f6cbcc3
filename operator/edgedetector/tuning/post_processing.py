"""What post-processing inside Triton takes: a second station behind the model, on the host's processors. Pure.

Each instance works on one request at a time, in the order in which the model's answers come: requests are not joined
(`plan.serving`), and the accelerator has no part in it. So it is learnt apart from the model's executions, and how
these share the device says nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.tuning.evidence import Visit
from edgedetector.tuning.situation import Limits
from edgedetector.tuning.window import BatchTime, Knobs

FEWEST: Final = 10
"""Executions that tell what one takes: the mean of ten spreads by a third of one."""
_OFF: Final = 0.15
"""Relative error of an execution's time, which grows with the objects in the pictures."""
_FURTHER: Final = 0.9
"""Of a single image's time that each further one takes where one size alone was seen: they are sifted one by one."""


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds of an execution: ``fixed + each * images``."""

    fixed: float
    each: float
    host_known: bool = False
    """How busy the node's processors were is known, so that what instances take from each other shows in their room."""
    processors: float = math.inf
    """That the node has; infinite: not known."""


Lines = Mapping[int, Line]
"""By the number of instances with which it was seen: they share the node's processors."""


def learn(name: str, visits: Sequence[Visit]) -> dict[int, Line]:
    """Return what executions of a model's post-processing take; empty: nothing was seen of it."""
    found: dict[int, list[tuple[int, BatchTime]]] = {}
    known: dict[int, bool] = {}
    processors = min((visit.processors for visit in visits if visit.processors), default=math.inf)
    for visit in visits:
        model = visit.models.get(name)
        if model is None or model.step is None or model.knobs.post_processing < 1:
            continue
        count = model.knobs.post_processing
        found.setdefault(count, []).extend(
            (size, time) for size, time in model.step.batches.items() if _tells(size, time)
        )
        known[count] = known.get(count, True) and visit.host is not None
    enough = {count: seen for count, seen in found.items() if sum(time.executions for _, time in seen) >= FEWEST}
    return {
        count: replace(_line(seen), host_known=known[count], processors=processors)
        for count, seen in sorted(enough.items())
    }


def seconds(lines: Lines, instances: int, size: int, *, end: str = "mean", part: float = 0.0) -> float:
    """Return how long an instance takes for a request of `size` images, with so many instances.

    Told from the number that was seen and is nearest. With more of them it may take longer, at most as if they shared
    what the fewer had, where nobody tells how busy the processors are.

    Parameters
    ----------
    end, part
        Part of the way, 0 to 1, from what is expected to the `low` or `high` end of what may be.
    """
    nearest = min(lines, key=lambda count: (abs(count - instances), -count))
    line = lines[nearest]
    told = line.fixed + line.each * size
    off = 1.0 + _OFF
    if end == "high" and not line.host_known:
        off = max(off, instances / nearest)
    return told * math.pow(off, {"low": -part, "high": part}.get(end, 0.0))


def variants(options: Iterator[Knobs], now: Knobs, limits: Limits, lines: Lines) -> Iterator[Knobs]:
    """Yield knobs with as many instances of the post-processing as now, and with one more or fewer.

    One at a time: each is a process more on processors that decode too, and what it takes of them shows once it is
    there. No more than the node has processors, each of which one takes whole while it works; and nothing is changed
    while nothing is known of it.
    """
    most, present = limits.max_post_processing, now.post_processing
    more = present + 1 if all(line.processors > present for line in lines.values()) else present
    around = (max(1, present - 1), present, more)
    counts = {kept(count, limits) for count in around} if present and most else {present}
    for knobs in options:
        for count in sorted(counts if lines else {present}, key=lambda each: (each != present, each)):
            yield replace(knobs, post_processing=count)


def kept(count: int, limits: Limits) -> int:
    """Return the nearest number of instances within the bounds; 0, none that is tuned, stays."""
    return min(max(count, limits.min_post_processing, 1), max(1, limits.max_post_processing)) if count else 0


def bounded(knobs: Knobs, start: Knobs, limits: Limits) -> bool:
    """Tell whether the number of instances is within the bounds; what is not tuned at the start never is."""
    if not start.post_processing or not knobs.post_processing:
        return knobs.post_processing == start.post_processing
    return limits.min_post_processing <= knobs.post_processing <= limits.max_post_processing


def _tells(size: int, time: BatchTime) -> bool:
    return size >= 1 and time.executions >= 1 and math.isfinite(time.seconds) and time.seconds > 0.0


def _line(seen: Sequence[tuple[int, BatchTime]]) -> Line:
    """Return the straight line through the times, weighted by executions."""
    weight = sum(time.executions for _, time in seen)
    size = sum(at * time.executions for at, time in seen) / weight
    mean = sum(time.seconds * time.executions for _, time in seen) / weight
    spread = sum(time.executions * (at - size) ** 2 for at, time in seen)
    if spread > 0.0:
        each = sum(time.executions * (at - size) * (time.seconds - mean) for at, time in seen) / spread
    else:
        each = _FURTHER * mean / (1.0 + _FURTHER * (size - 1.0))
    each = min(max(0.0, each), mean / size)
    return Line(mean - each * size, each)
