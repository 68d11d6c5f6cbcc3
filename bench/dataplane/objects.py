"""Few and many objects a frame: processor time of what comes after the model, with suppression here, in it, behind it.

The reference saw its CPU surge above 50 objects a frame and moved suppression to the device. Frames come from memory;
the rest is the detector's way: preparation, shared memory, decoding of the boxes. Triton's part is the whole python
model, which computes nothing but suppression where that is in the model.

Behind it: by the post-processing model that the product ships, which gets the raw outputs inside Triton.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from bench.dataplane import processes, scenes, site
from bench.dataplane.feeder import Feeder, pictures
from bench.dataplane.figures import Column, cores, medians, of, ratio, table
from bench.media_topology import video

from edgedetector.detector.batching import Capacity

OBJECTS = (5, 50, 120)
PLACES = ("here", "in the model", "behind it")
BATCH, REQUESTS = 4, 2
STEADY = 150.0
"""Frames a second of the reference's acceptance tests."""
_COLUMNS = (
    Column("suppression", "suppression", 13),
    Column("objects", "objects", 7, "d"),
    Column("boxes", "boxes", 6, ".0f"),
    Column("rate", "frames/s", 9, ".1f"),
    Column("client_ms", "detector ms", 11, ".3f"),
    Column("triton_ms", "Triton ms", 9, ".3f"),
    Column("whole_ms", "both ms", 8, ".3f"),
    Column("stage_ms", "its stage ms", 12, ".3f"),
    Column("at_150", "cores at 150/s", 14, ".2f"),
    Column("against_here", "of here", 8, ".2f"),
)
"""Milliseconds of CPU a frame; `its stage` is the decoding of boxes in the detector."""


def run(*, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print a table."""
    cases = {(place, count): scene(place, count) for count in OBJECTS for place in places()}
    turns: dict[tuple[str, int], list[dict[str, float]]] = {key: [] for key in cases}
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        video.main(home / "loop.h264")
        frames = pictures(home / "loop.h264")
        for each in cases.values():
            each.write(home / "models")
        triton = stack.enter_context(site.triton(home, home / "models"))
        client = stack.enter_context(site.client(triton))
        for number in range(rounds):
            for key in list(cases)[:: -1 if number % 2 else 1]:
                for part in cases[key].parts:
                    client.load(part)
                with Feeder(client, cases[key], Capacity(BATCH, REQUESTS), frames, 2 * BATCH * REQUESTS) as feeder:
                    feeder.run(min(1.0, seconds))
                    turns[key].append(_turn(feeder, triton, seconds))
                for part in reversed(cases[key].parts):
                    client.unload(part)
    rows: list[dict[str, Any]] = [
        {"suppression": place, "objects": count, **medians(found)} for (place, count), found in turns.items()
    ]
    for row in rows:
        here = next(one for one in rows if one["objects"] == row["objects"] and one["suppression"] == "here")
        row["against_here"] = ratio(row["whole_ms"], here["whole_ms"])
    print(table(_COLUMNS, rows), flush=True)
    return {"rows": rows, "batch": BATCH, "requests": REQUESTS, "missed": missed(rows)}


def places() -> tuple[str, ...]:
    """Return where suppression can be done; what cannot be is said."""
    if scenes.SHIPPED.exists():
        return PLACES
    print(f"not measured: {PLACES[-1]}, since there is no {scenes.SHIPPED.name} among the product's models")
    return PLACES[:-1]


def scene(place: str, objects: int) -> scenes.Scene | scenes.Joined:
    """Return the model of a case."""
    known = scenes.Scene(objects, inside=place == "in the model")
    return scenes.Joined(known) if place == "behind it" else known


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """Return where not all objects were found, so that the work was another."""
    wrong = [row for row in rows if row["boxes"] != row["objects"]]
    return [f"suppression {r['suppression']}: {r['boxes']:.0f} boxes of {r['objects']} objects" for r in wrong]


def _turn(feeder: Feeder, triton: site.Triton, seconds: float) -> dict[str, float]:
    roots = {"client": os.getpid(), "triton": triton.pid}
    stages, before = feeder.stages(), processes.snapshot(roots)
    fed = feeder.run(seconds)
    after = processes.snapshot(roots)
    if not fed.ages or fed.errors:
        raise RuntimeError(f"no results: {fed.fates}, {fed.errors}")
    used, a_frame = cores(before, after), (after.at - before.at) / len(fed.ages) * 1e3
    # Triton is a child of this process: its part is `client/...` too, so the client's is what it itself used.
    client, server = used["client"] * a_frame, of(["triton"], used) * a_frame
    return {
        "rate": fed.rate,
        "boxes": fed.boxes / len(fed.ages),
        "client_ms": client,
        "triton_ms": server,
        "whole_ms": client + server,
        "stage_ms": (feeder.stages()["boxes"] - stages.get("boxes", 0.0)) / len(fed.ages) * 1e3,
        "at_150": (client + server) * STEADY / 1e3,
    }
