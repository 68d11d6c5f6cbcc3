"""The tuner on simulated servers whose best is known: a line a server, the table, the ten worst with what happened."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import judge
from bench.tuner import room
from judge import harness, report, servers, sweep
from judge.server import Server

from edgedetector.tuning.window import Knobs

CACHE = Path(
    os.environ.get("EDGEDETECTOR_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgedetector"
)


def main(
    count: int, first: int, *, family: str | None, held_out: bool, liars: int, after: float, processes: int
) -> int:
    """Tune so many servers from seed `first` on, print what came of it, and return 0 if the bar was met.

    Parameters
    ----------
    family
        Only servers of this one; None: of all.
    held_out
        Of the seeds that nothing was tuned for; without liars then.
    liars
        Servers that lie or go stale besides.
    after
        Seconds to look on once it has converged.
    """
    judged = [servers.server(seed, held_out=held_out) for seed in range(first, first + count)]
    judged += [] if held_out else servers.liars(liars)
    judged = [server for server in judged if family in {None, server.family}]
    began, stories = time.monotonic(), []
    for story in _each([(server, after) for server in judged], processes):
        stories.append(story)
        print(_line(story), flush=True)
    fair = [story for story in stories if not story.server.safety_only]
    lying = [story for story in stories if story.server.safety_only]
    table = [*(report.rows(fair) if fair else []), *(report.safety(lying) if lying else [])]
    table += room.rows(fair)
    print(f"\nSIMULATED servers: {len(fair)} and {len(lying)} that lie\n")
    for row in table:
        print(f"{row.measure:38} {row.goal:>10}  {row.found}{'' if row.met else '   NOT MET'}")
    print("", *report.by_family(fair), sep="\n")
    print(f"\nThe {report.WORST} worst\n", *report.worst(fair), sep="\n")
    print(json.dumps({
        "benchmark": "tuner",
        "simulated": True,
        "heldOut": held_out,
        "first": first,
        "seconds": round(time.monotonic() - began),
        "table": [{"measure": row.measure, "goal": row.goal, "found": row.found, "met": row.met} for row in table],
        "servers": [report.record(story) for story in stories],
    }))  # fmt: skip
    return 0 if all(row.met for row in table) else 1


def _each(work: Sequence[tuple[Server, float]], processes: int) -> Iterator[harness.Story]:
    if processes <= 1:
        yield from map(_tune, work)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_tune, work)


def _tune(work: tuple[Server, float]) -> harness.Story:
    server, after = work
    step, state = harness.ours()
    best = None if server.safety_only else _best(server)
    return harness.tune(server, step, state, best=best, after=after)


def _best(server: Server) -> sweep.Best:
    """Return the sweep's result, which no tuner changes, from the cache if it was made by the same judge."""
    path = CACHE / "judge" / _version() / f"{server.name}.json"
    if path.exists():
        found = json.loads(path.read_text())
        chosen = {name: Knobs(**{**knobs, "preferred_batch_sizes": tuple(knobs["preferred_batch_sizes"])})
                  for name, knobs in found.pop("configuration").items()}  # fmt: skip
        return sweep.Best(chosen, **found)
    best = sweep.sweep(server)
    plain = {
        name: {field: getattr(knobs, field) for field in Knobs.__slots__} for name, knobs in best.configuration.items()
    }
    figures = {"score": best.score, "start": best.start, "allowed": best.allowed, "served": best.served}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps({"configuration": plain, **figures}))
    partial.rename(path)
    return best


def _version() -> str:
    """Return what stands for everything that a sweep depends on."""
    names = (
        "batcher",
        "clients",
        "device",
        "events",
        "memory",
        "pod",
        "server",
        "servers",
        "statistics",
        "sweep",
        "traffic",
        "truth",
    )
    files = [Path(judge.__file__).with_name(f"{name}.py") for name in names]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _line(story: harness.Story) -> str:
    ratio = f"{story.ratio:7.1%}" if story.best else "       "
    return (
        f"{story.server.name:32} {ratio} {story.probes:3} of {story.all_probes:2} probes {story.exploring:6.0f} s "
        f"worse {story.worse:6.1%} broken {len(story.broken):2} of {story.windows:4}  later {story.later_changes}"
        + (f"  {story.violations[0]}" if story.violations else "")
    )
