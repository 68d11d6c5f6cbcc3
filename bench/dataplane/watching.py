"""The detector's process while it works on cameras: what it says once a second, and what that comes to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.dataplane import processes, site
from bench.dataplane.figures import cores, growth, of, percentile, ratio, spread, tenths

from edgedetector.detector.gauges import Ticks, busy

LOOK = 1.0
"""Seconds between looks."""
CPU = ("detector", "go2rtc", "triton", "cameras", "device")
"""Processes whose cores are told, each with its children."""
FULL = 0.9
"""Share from which a part counts as the limit."""
EQUAL = 0.05
"""By how much the rates of cameras of one priority may differ."""


@dataclass(frozen=True)
class Device:
    """What the emulated device says at a moment; shares of 1."""

    utilisation: float
    """As its monitor shows it."""
    host: float
    """Of the host's processor that the emulation has: the reference's, not this machine's."""


@dataclass
class Seen:
    """All that was seen; see `agents.detector.counters`."""

    first: Mapping[str, Any]
    last: Mapping[str, Any]
    middle: Mapping[str, Any]
    """After half of the time: what the ladder does at once is done by then."""
    began: float
    seconds: float
    recent: list[tuple[float, float]] = field(default_factory=list)
    late: list[tuple[float, float]] = field(default_factory=list)
    """Those of the second half."""
    devices: list[Device] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=dict)
    """MiB by process."""
    used: dict[str, float] = field(default_factory=dict)
    """Cores by process."""
    host: float | None = None
    """Share of this machine's processors that was busy, whoever it was."""


def watch(
    agent: site.Agent, roots: Mapping[str, int], device: Callable[[], Device], seconds: float, ticks: Callable[[], Any]
) -> Seen:
    """Look for so long.

    Raises
    ------
    RuntimeError
        If the data plane says that tensors do not lie in shared memory, or its process ended.
    """
    first = middle = agent.counters()
    before, stat = processes.snapshot(roots), ticks()
    seen = Seen(first, first, middle, time.monotonic(), seconds)
    while (spent := time.monotonic() - seen.began) < seconds:
        time.sleep(LOOK)
        seen.last = agent.counters()
        if seen.last["trouble"]:
            raise RuntimeError(seen.last["trouble"])
        seen.recent += seen.last["recent"]
        if spent >= seconds / 2:
            seen.late += seen.last["recent"]
        else:
            seen.middle = seen.last
        seen.devices.append(device())
        for name in ("detector", "triton", "go2rtc"):
            seen.memory.setdefault(name, []).append(sum(map(processes.resident, processes.tree(roots[name]))))
    after = processes.snapshot(roots)
    seen.seconds, seen.used, seen.host = after.at - before.at, cores(before, after), _busy(stat, ticks())
    return seen


def summary(seen: Seen, rate: float, top: str) -> dict[str, Any]:
    """Return the figures; `rate` is what every camera is to have, `top` the one of the highest priority.

    `rate` (frames/s), `skipped` (share of the frames that were due) and `unequal` (by how much the equals differ) are
    of all the time, with `_late` of its second half.
    """
    found: dict[str, Any] = {"count": len(seen.last["rungs"]), "wanted": rate * len(seen.last["rungs"])}
    half = seen.seconds / 2
    for suffix, start, ages, seconds in (
        ("", seen.first, seen.recent, seen.seconds),
        ("_late", seen.middle, seen.late, half),
    ):
        inferred, offered = (_difference(seen.last[key], start[key]) for key in ("inferred", "offered"))
        waited = [age for age, _ in ages]
        found |= {
            f"rate{suffix}": sum(inferred.values()) / seconds,
            f"offered{suffix}": sum(offered.values()) / seconds,
            # Those on their way at the first look have a result at the last.
            f"skipped{suffix}": max(0.0, round(1.0 - sum(inferred.values()) / max(1, sum(offered.values())), 5)),
            f"unequal{suffix}": spread([n for name, n in inferred.items() if name != top]),
            f"top{suffix}": ratio(min(inferred[top], offered[top]), offered[top]),
            f"top_rate{suffix}": inferred[top] / seconds,
            f"p50_ms{suffix}": percentile(waited, 0.50),
            f"p99_ms{suffix}": percentile(waited, 0.99),
            f"inference_p99_ms{suffix}": percentile([inference for _, inference in ages], 0.99),
            # What it waited here, for its turn and to be prepared, over what Triton took.
            f"waited_p99_ms{suffix}": percentile([age - inference for age, inference in ages], 0.99),
        }
    return found | _resources(seen) | _ladder(seen)


def _resources(seen: Seen) -> dict[str, Any]:
    return {
        "utilisation": percentile([device.utilisation for device in seen.devices], 0.5),
        "emulated_host": percentile([device.host for device in seen.devices], 0.5),
        "growth": growth([sum(together) for together in zip(*seen.memory.values(), strict=True)]),
        **{f"growth:{name}": growth(samples) for name, samples in seen.memory.items()},
        **{f"mib:{name}": round(samples[-1], 1) for name, samples in seen.memory.items()},
        # Whether what was gained over all was gained at the beginning, as heaps do that settle, or goes on.
        **{f"tenths:{name}": [round(one, 1) for one in tenths(samples)] for name, samples in seen.memory.items()},
        **{f"held:{name}": [seen.first[name], seen.last[name]] for name in ("descriptors", "threads")},
        **{name: round(of([name], seen.used), 3) for name in CPU},
        **{f"process:{name}": round(value, 3) for name, value in seen.used.items()},
        "cores": round(sum(seen.used.values()), 3),
        "host": seen.host,
        "processors": os.cpu_count(),
        "stages": {
            key: round(value / seen.seconds, 4)
            for key, value in _difference(seen.last["stages"], seen.first["stages"]).items()
        },
    }


def _ladder(seen: Seen) -> dict[str, Any]:
    said = [(round(at - seen.began, 1), sentence) for at, sentence in seen.last["said"]]
    return {"said": said, "moves": len(said), "degraded": sum(value > 0 for value in seen.last["rungs"].values())}


def limit(row: Mapping[str, Any]) -> str:
    """Return which part was the limit, in words; the emulated ones are none of this machine's."""
    if row["host"] is not None and row["host"] >= FULL:
        parts = {name: row[name] for name in CPU}
        most = max(parts, key=lambda name: parts[name])
        others = row["host"] * row["processors"] - row["cores"]
        return f"this host, {row['host']:.0%} busy: {most} {parts[most]:.2f} cores, not ours {max(0.0, others):.2f}"
    if row["emulated_host"] >= FULL:
        return f"the emulated host, {row['emulated_host']:.0%} busy"
    if row["skipped"] > row.get("allowed", 0.01):
        return f"the emulated device, {row['utilisation']:.0%} busy by its monitor"
    return "none"


def told(rows: Sequence[Mapping[str, Any]], most: int = 6) -> str:
    """Return what the ladder said in each row, the first and the last sentences of many."""
    lines = []
    for row in rows:
        said = row["said"]
        shown = said if len(said) <= most else [*said[: most // 2], *said[-(most // 2) :]]
        left = len(said) - len(shown)
        lines += [f"{row['case']}: at {at:5.1f} s {sentence}" for at, sentence in shown]
        lines += [f"{row['case']}: and {left} more in between"] if left else []
    return "\n".join(lines)


def _busy(before: Ticks | None, after: Ticks | None) -> float | None:
    found = busy(before, after)
    return None if found is None else round(found, 3)


def _difference(last: Mapping[str, float], first: Mapping[str, float]) -> dict[str, float]:
    return {key: value - first.get(key, 0) for key, value in last.items()}
