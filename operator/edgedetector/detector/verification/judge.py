"""From what a test has seen to what the accelerator can do, each with its evidence. Pure.

What was not tested is not verified. What was tested and does not hold is verified too: as not supported, which is a
result like any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from edgedetector.api.verification import Finding, Report, Task
from edgedetector.detector.verification.observations import Change, Observations, Reading, Stretch, together

STALL: Final = 0.5
"""Seconds by which the longest gap in a change may exceed that without changes. Scaling down in place on Triton 23.07
stalls 1.3 to 2.3 s, which must not pass; on two busy cores gaps differed by up to 0.1 s (docs/adr/0001)."""
BUSY: Final = 0.02
"""Share of 1 that the utilization must have come to under full load. Less, and it is another unit or another device:
percent read as a ratio shows 100 times too much, which is out of range, and a ratio read as percent at most 0.01."""
_GIB: Final = 2.0**30
# What a value in our units can be; without an entry it has to be finite. Generous: meant to tell a wrong unit or a
# sentinel (DCGM's "blank" is 2^47 or more), not a bad card.
RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "utilization": (0.0, 1.0),
    "memoryUsed": (0.0, 1024 * _GIB),
    "memoryFree": (0.0, 1024 * _GIB),
    "memoryTotal": (_GIB / 16, 1024 * _GIB),
    "temperature": (-20.0, 130.0),
    "power": (0.1, 2000.0),
    "pcieWidth": (1.0, 32.0),
}


def report(task: Task, seen: Observations) -> Report:
    """Return what the test has found."""
    return Report(
        request=task.request,
        basis=task.basis,
        driver=",".join(seen.drivers),
        triton=seen.triton,
        model=seen.model,
        capabilities=(
            in_place(seen.changes, seen.quiet),
            coexisting(seen),
            memory_known(task, seen),
            non_root(seen),
            shared_memory(seen),
        ),
        metrics=tuple(figure(one.name, one.metric, seen) for one in task.metrics),
    )


def in_place(changes: Sequence[Change], quiet: Stretch) -> Finding:
    """Return whether the number of instances changes without a reload, up and down, and nobody notices."""
    name = "instanceChangeInPlace"
    done = [change for change in changes if not change.refused]
    refused = next((f"; {_path([one])} refused: {one.refused}" for one in changes if one.refused), "")
    if not done:
        return Finding(name, evidence=f"no change was made{refused}")
    took = ", ".join(f"{change.seconds:.1f}" for change in done)
    facts = f"{_path(done)} ({took} s); {_smooth([one.stretch for one in done], quiet)}{refused}"
    if any(change.kept is None for change in done):
        return Finding(name, evidence=f"not told by statistics: {facts}")
    if reloaded := [change for change in done if not change.kept]:
        return Finding(name, supported=False, verified=True, evidence=f"{_path(reloaded)} by reload: {facts}")
    if not any(change.after > change.before for change in done) or not any(one.after < one.before for one in done):
        return Finding(name, evidence=f"not both up and down: {facts}")
    return Finding(
        name,
        supported=_is_smooth([one.stretch for one in done], quiet),
        verified=True,
        evidence=f"in place: {facts}",
    )


def coexisting(seen: Observations) -> Finding:
    """Return whether old and new copy of a model fit beside each other in the device during a whole reload."""
    name, change = "coexistingReload", seen.reload
    if change is None:
        return Finding(name, evidence="no whole reload was tried")
    what = f"{change.after} instance{'s' if change.after > 1 else ''} of {seen.model}"
    if change.refused:
        return Finding(name, supported=False, verified=True, evidence=f"{what}: {change.refused}")
    facts = f"{what} in {change.seconds:.1f} s; {_smooth([change.stretch], seen.quiet)}{_peak(seen, change)}"
    if change.kept is not False:
        return Finding(name, evidence=f"Triton made no whole reload of it: {facts}")
    return Finding(name, supported=_is_smooth([change.stretch], seen.quiet), verified=True, evidence=facts)


def memory_known(task: Task, seen: Observations) -> Finding:
    """Return whether the exporter tells how much memory the device has and how much of it is used."""
    name, known = "memoryKnown", {one.name: one.metric for one in task.metrics}
    used = figure("memoryUsed", known.get("memoryUsed", ""), seen)
    whole = "memoryTotal" if "memoryTotal" in known else "memoryFree"
    rest = figure(whole, known.get(whole, ""), seen)
    if not seen.readings:
        return Finding(name, evidence="no exporter answered")
    if not (used.supported and rest.supported):
        missing = ", ".join(f"{one.name}: {one.evidence}" for one in (used, rest) if not one.supported)
        return Finding(name, supported=False, verified=True, evidence=missing)
    if whole == "memoryTotal" and _most("memoryUsed", seen) > _most(whole, seen):
        return Finding(name, supported=False, verified=True, evidence="more is used than there is")
    total = _most(whole, seen) if whole == "memoryTotal" else _sum(seen)
    return Finding(name, supported=True, verified=True, evidence=f"{_mib(total)} in all, from {whole}")


def non_root(seen: Observations) -> Finding:
    """Return whether the device opens for the pod's user."""
    if seen.user == 0:
        return Finding("nonRoot", evidence="the test itself ran as root")
    answered = seen.quiet.answered > 0
    what = f"{seen.model} loads and answers as user {seen.user}"
    return Finding("nonRoot", supported=answered, verified=answered, evidence=what if answered else "nothing answered")


def shared_memory(seen: Observations) -> Finding:
    """Return whether tensors can pass through system shared memory."""
    name = "sharedMemory"
    if seen.shared is None:
        return Finding(name, evidence="not tried")
    answered = "requests through /dev/shm are answered as those in messages"
    return Finding(name, supported=not seen.shared, verified=True, evidence=seen.shared or answered)


def figure(name: str, metric: str, seen: Observations) -> Finding:
    """Return whether the exporter shows one of our figures, with values that can be true."""
    if not seen.readings:
        return Finding(name, evidence="no exporter answered")
    if not metric:
        return Finding(name, supported=False, verified=True, evidence="the profile names no metric")
    values = _values(name, seen)
    if not values:
        return Finding(name, supported=False, verified=True, evidence=f"no {metric} is served")
    low, high = RANGES.get(name, (-math.inf, math.inf))
    spread = f"{min(values):.6g} to {max(values):.6g}"
    if not all(low <= value <= high and math.isfinite(value) for value in values):
        return Finding(name, supported=False, verified=True, evidence=f"{spread}: no such value is possible")
    if name == "utilization" and max(values) < BUSY:
        return Finding(name, supported=False, verified=True, evidence=f"{spread} under full load: another unit?")
    return Finding(name, supported=True, verified=True, evidence=spread)


def _smooth(stretches: Sequence[Stretch], quiet: Stretch) -> str:
    found = together(stretches)
    problem = f" ({found.problem})" if found.problem else ""
    return (
        f"longest gap {found.gap:.2f} s, {quiet.gap:.2f} s without changes;"
        f" {found.failed} of {found.failed + found.answered} failed{problem}"
    )


def _is_smooth(stretches: Sequence[Stretch], quiet: Stretch) -> bool:
    """Tell whether the load saw no more of the changes than of the time without any."""
    found = together(stretches)
    return found.failed <= quiet.failed and found.gap <= quiet.gap + STALL and found.answered > 0


def _path(changes: Sequence[Change]) -> str:
    """Return the numbers of instances, "1 -> 2 -> 4"."""
    parts = [str(changes[0].before)]
    for change, before in zip(changes, (None, *changes), strict=False):
        if before is not None and before.after != change.before:
            parts.append(f", {change.before}")
        parts.append(f" -> {change.after}")
    return "".join(parts)


def _peak(seen: Observations, change: Change) -> str:
    """Return what the exporter showed of memory in use; a reading is at best as new as its exporter's own look."""
    during = [max(r.figures["memoryUsed"]) for r in _reading(seen, change.begun, change.ended)]
    before = [max(r.figures["memoryUsed"]) for r in _reading(seen, -math.inf, change.begun)]
    if not during or not before:
        return ""
    return f"; memory {_mib(before[-1])} before, {_mib(max(during))} at its peak"


def _reading(seen: Observations, begin: float, end: float) -> list[Reading]:
    return [r for r in seen.readings if begin <= r.at <= end and r.figures.get("memoryUsed")]


def _values(name: str, seen: Observations) -> list[float]:
    return [value for reading in seen.readings for value in reading.figures.get(name, ())]


def _most(name: str, seen: Observations) -> float:
    return max(_values(name, seen), default=0.0)


def _sum(seen: Observations) -> float:
    """Return used and free memory together, of the device and the reading that have most."""
    pairs = (zip(r.figures.get("memoryUsed", ()), r.figures.get("memoryFree", ()), strict=False) for r in seen.readings)
    return max((used + free for found in pairs for used, free in found), default=0.0)


def _mib(value: float) -> str:
    return f"{value / 2**20:.0f} MiB"
