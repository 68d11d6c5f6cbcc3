"""Three times what the device can do, on real processes: who gets what, and how old it is.

The device is the limit and not this machine: few cameras, and an emulated KS20 that takes `PER_IMAGE` for a frame. Once
without the ladder, which is what fair batching alone gives, and once with it.

* Age p99 at most the target interval and what Triton took (p99, its own queue of two requests an instance included).
* The camera of the highest priority keeps all its frames; the others, which are equal, differ by less than 5 %.
* Memory is flat.
"""

from __future__ import annotations

from typing import Any

from bench.dataplane import emulated, models, site, watching
from bench.dataplane.figures import Column, table

TIMES = 3.0
CAMERAS, RATE = 24, 5.0
SERVED = models.Served("slow", instances=2, max_batch=4, emulated=True)
BASE, PER_IMAGE = 10.0, 22.5
"""Milliseconds: four frames take 100, hence 40/s of the 120/s that are asked for."""
SLOW = {
    "scheduler.patched": True,
    "scheduler.patched_switch": 0.0,
    "host.time_per_image": 0.0,
    "compute.fp16.base": BASE,
    "compute.fp16.per_image": PER_IMAGE,
}
TOP, GROWTH = 0.98, 0.05
_COLUMNS = (
    Column("case", "case", 16),
    Column("offered", "offered/s", 9, ".1f"),
    Column("rate", "served/s", 9, ".1f"),
    Column("times", "times", 6, ".2f"),
    Column("top_rate", "top /s", 7, ".2f"),
    Column("top", "of its", 6, ".0%"),
    Column("unequal", "unequal", 8, ".1%"),
    Column("p99_ms", "age p99", 8, ".0f"),
    Column("bound", "at most", 8, ".0f"),
    Column("inference_p99_ms", "Triton's", 8, ".0f"),
    Column("p99_ms_late", "2nd half", 8, ".0f"),
    Column("utilisation", "device", 7, ".0%"),
    Column("growth", "memory", 7, "+.1%"),
    Column("degraded", "degraded", 8, "d"),
)
_PROCESSES = (
    Column("case", "case", 16),
    *(Column(name, name, 9, ".2f") for name in watching.CPU),
    Column("host", "host", 5, ".0%"),
    Column("limit", "the limit was", 13),
)


def run(*, seconds: float) -> dict[str, Any]:
    """Measure and print tables; `seconds` for each case."""
    print("EMULATED accelerator: simulated figures")
    rows: list[dict[str, Any]] = []
    with emulated.ground(SERVED) as ground:
        ground.become(SLOW)
        with site.client(ground.triton) as client:
            client.load(SERVED.name)
        for name, ladder in (("without ladder", False), ("with the ladder", True)):
            found = emulated.run(ground, emulated.Case(name, SERVED, CAMERAS, RATE, ladder=ladder), seconds)
            rows.append({**found, **compared(found, CAMERAS * RATE if ladder else None, rows)})
    print(table(_COLUMNS, rows), table(_PROCESSES, rows), watching.told(rows), sep="\n", flush=True)
    return {
        "emulated": True,
        "seconds": seconds,
        "rows": rows,
        "missed": [text for row in rows for text in missed(row)],
    }


def compared(row: dict[str, Any], wanted: float | None, before: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the bound of ages, and how many times what the device does was asked for.

    With the ladder less is asked for than is wanted, and the device is not full: it is compared with what it did
    without.
    """
    full = before[0]["rate"] if before else row["rate"]
    return {"bound": 1e3 / RATE + row["inference_p99_ms"], "times": (wanted or row["offered"]) / full}


def missed(row: dict[str, Any]) -> list[str]:
    """Return what was promised and not reached."""
    found = []
    if row["times"] < TIMES - 0.2:
        found.append(f"the load was {row['times']:.2f} times what the device does, not {TIMES:g}")
    if not row["moves"] and row["p99_ms"] > row["bound"]:
        found.append(f"age p99 {row['p99_ms']:.0f} ms, goal {row['bound']:.0f} ms")
    if row["top"] is None or row["top"] < TOP or row["top_rate"] < TOP * RATE:
        found.append(f"the top camera got {row['top_rate']:.2f} of {RATE:g} frames/s")
    if row["unequal"] is None:
        found.append("the others got nothing")
    elif row["unequal"] >= watching.EQUAL:
        found.append(f"equal cameras differ by {row['unequal']:.1%}, goal {watching.EQUAL:.0%}")
    if row["growth"] > GROWTH:
        found.append(f"memory grew by {row['growth']:.1%}")
    return [f"{row['case']}: {text} (the limit was: {row['limit']})" for text in found]
