"""CPU and time a frame when 1, 2, 4 or 8 frames go to Triton in a request, through our dispatcher.

The frames are decoded beforehand; what is counted begins with their conversion. Two requests are on their way at any
time, and twice as many cameras wait as these hold, so that every request is full.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from bench.dataplane import models, processes, site
from bench.dataplane.feeder import Feeder, pictures
from bench.dataplane.figures import Column, cores, medians, of, percentile, ratio, table
from bench.media_topology import video

from edgedetector.detector.batching import Capacity

SERVED = models.Served("instant", max_batch=8)
SIZES = (1, 2, 4, 8)
REQUESTS = 2
_COLUMNS = (
    Column("batch", "batch", 5, "d"),
    Column("rate", "frames/s", 9, ".1f"),
    Column("frame_ms", "ms a frame", 10, ".3f"),
    Column("client_ms", "client CPU ms", 13, ".3f"),
    Column("triton_ms", "Triton CPU ms", 13, ".3f"),
    Column("saved", "CPU saved", 9, ".0%"),
    *(Column(f"stage:{name}", name, 8, ".3f") for name in ("prepare", "request", "boxes")),
)
"""The stages are CPU milliseconds a frame, of the thread that does them; the client's others are gRPC's threads."""


def run(*, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print a table."""
    turns: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        frames = pictures(_video(home))
        SERVED.write(home / "models")
        triton = stack.enter_context(site.triton(home, home / "models"))
        client = stack.enter_context(site.client(triton))
        client.load(SERVED.name)
        feeders = {
            size: stack.enter_context(Feeder(client, SERVED, Capacity(size, REQUESTS), frames, 2 * size * REQUESTS))
            for size in SIZES
        }
        for feeder in feeders.values():
            feeder.run(min(1.0, seconds))
        for number in range(rounds):
            for size in sorted(SIZES, reverse=bool(number % 2)):
                turns[size].append(_turn(feeders[size], triton, seconds))
    rows: list[dict[str, Any]] = [{"batch": size, **medians(found)} for size, found in turns.items()]
    for row in rows:
        total, single = (entry["client_ms"] + entry["triton_ms"] for entry in (row, rows[0]))
        row["saved"] = round(1.0 - total / single, 3)
        row["times"] = ratio(row["rate"], rows[0]["rate"])
    print(table(_COLUMNS, rows), flush=True)
    return {"rows": rows, "requests": REQUESTS}


def _turn(feeder: Feeder, triton: site.Triton, seconds: float) -> dict[str, float]:
    roots = {"client": os.getpid(), "triton": triton.pid}
    stages, before = feeder.stages(), processes.snapshot(roots)
    fed = feeder.run(seconds)
    after = processes.snapshot(roots)
    if not fed.ages or fed.errors:
        raise RuntimeError(f"no results: {fed.fates}, {fed.errors}")
    # Triton is a child of this process: its part is `client/...` too, so the client's is what it itself used.
    used = cores(before, after)
    spent = after.at - before.at
    return {
        "rate": fed.rate,
        "frame_ms": fed.seconds / len(fed.ages) * 1e3,
        "client_ms": used["client"] * spent / len(fed.ages) * 1e3,
        "triton_ms": of(["triton"], used) * spent / len(fed.ages) * 1e3,
        **{f"stage:{key}": (v - stages.get(key, 0.0)) / len(fed.ages) * 1e3 for key, v in feeder.stages().items()},
        "p50_ms": percentile(fed.ages, 0.5),
        "p99_ms": percentile(fed.ages, 0.99),
    }


def _video(home: Path) -> Path:
    path = home / "loop.h264"
    video.main(path)
    return path
