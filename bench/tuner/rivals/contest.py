"""All on one server, one after the other, and then what each chose under the same ramp."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.dataplane import tools
from bench.dataplane.figures import table
from bench.tuner import live
from bench.tuner.rivals import analyzer, ours, ramp, search, space, standings
from bench.tuner.rivals.ground import Ground, ground
from bench.tuner.rivals.load import Load
from bench.tuner.rivals.ramp import Step
from bench.tuner.rivals.search import Search
from bench.tuner.rivals.space import START, Outcome
from bench.tuner.rivals.standings import Entry
from bench.tuner.rivals.traffic import Traffic
from emulator import simulate
from emulator.device import choose
from tritonclient.utils import InferenceServerException

from edgedetector.tuning.window import Knobs

BOUND: Final = 0.2
"""Seconds that the 99th percentile may take."""
DEVICES: Final = ("batching", "seed:6")
SLOWER: Final = {"batching": 4.0}
USUALLY: Final = 2.0
"""Times as long as the device takes: two processors, which the load and whatever else runs here need too, would be what
is measured at its own speed."""
DEMAND: Final = 0.5
"""Of the best simulated rate: what our pod's cameras want while it is tuned."""
CAMERAS: Final = 24
WINDOW: Final = 1.2
"""Seconds of each measurement of a search."""
RAMP: Final = 2.0
"""Seconds of each rate of the ramp."""


@dataclass(frozen=True)
class Site:
    """What each search gets."""

    ground: Ground
    load: Load
    traffic: Traffic
    flights: int

    def measure(self, knobs: Knobs, flights: int = 0) -> Outcome:
        """Serve a configuration and load it, with the common load or its own; what Triton does not take has failed."""
        try:
            self.ground.serve(knobs)
        except InferenceServerException:
            return Outcome(0.0, math.inf, 1)
        return self.load.closed(flights or self.flights, WINDOW)

    def entry(self, name: str, run: Callable[[], Search]) -> Entry:
        """Run one and tell what it cost; what it cannot do is told in its stead."""
        before, began = self.traffic.met(), time.monotonic()
        found, error = None, ""
        try:
            found = run()
        except (RuntimeError, TimeoutError, OSError, ValueError, InferenceServerException) as raised:
            error = str(raised)
        seconds = time.monotonic() - began
        entry = Entry(name, found, seconds, self.traffic.met().since(before), error)
        said = f"{space.shown(found.chosen)} after {found.probes} probes" if found else f"NOT RUN: {error}"
        print(f"  {name:26} {said}, {seconds:.0f} s, load average {os.getloadavg()[0]:.1f}", flush=True)
        return entry


def main(devices: Sequence[str], bound: float = BOUND) -> int:
    """Run the contest on each device and print its table; 1 if one of those that tune could not run."""
    perf_analyzer = tools.analyzer()
    if perf_analyzer is None:
        print("perf_analyzer does not run on this machine, and all loads here are its")
        return 1
    print(f"EMULATED accelerator, real Triton 24.10; perf_analyzer of {tools.PERF_ANALYZER}")
    with contextlib.suppress(RuntimeError):
        _python()  # its installation is no part of anybody's time
    short = 0
    for device in devices or DEVICES:
        row = contest(device, bound, perf_analyzer)
        short += any(entry["error"] for entry in row["entries"])
        print(json.dumps(row), flush=True)
    return 1 if short else 0


def contest(device: str, bound: float, perf_analyzer: tools.Analyzer) -> dict[str, Any]:
    """Let all tune one device, measure what they chose, and return it all."""
    before = os.getloadavg()[0]
    wanted, top = _wanted(device, bound)
    flights = space.flights(top, bound)
    print(f"\n== {device}: p99 at most {bound * 1e3:.0f} ms, {flights} requests in flight; load average {before:.1f}",
          flush=True)  # fmt: skip
    with ground(wanted) as server:
        entries, steps = _searched(server, flights, bound, perf_analyzer)
    rows = standings.rows(entries, {knobs: ramp.capacity(made, bound) for knobs, made in steps.items()})
    print(f"\n{table(standings.COLUMNS, rows)}\n", flush=True)
    return {
        "benchmark": "tuner-rivals", "emulated": True, "device": device, "slower": wanted.slower, "bound": bound,
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "cpus": os.cpu_count(), "flights": flights,
        "load_average": [round(before, 2), round(os.getloadavg()[0], 2)], "model_analyzer": analyzer.VERSION,
        "demand": wanted.load.demand, "entries": rows,
        "ramps": {space.shown(knobs): [standings.told(step) for step in made] for knobs, made in steps.items()},
    }  # fmt: skip


def _wanted(device: str, bound: float) -> tuple[live.Wanted, float]:
    """Return our pod's box, and the best rate that the emulator's own simulation finds, images a second."""
    slower = SLOWER.get(device, USUALLY)
    found = simulate.sweep(choose(device), instances=max(space.INSTANCES), latency=bound * 1e3 / slower, seconds=1.5)
    top = found[simulate.best(found)].images_per_second / slower
    load = live.Load(CAMERAS, round(DEMAND * top / CAMERAS, 1))
    return live.Wanted(device, slower=slower, load=load, latency=bound), top


def _searched(
    server: Ground, flights: int, bound: float, perf_analyzer: tools.Analyzer
) -> tuple[list[Entry], dict[Knobs, tuple[Step, ...]]]:
    load = Load(perf_analyzer, server.server.grpc, server.paths.models.parent)
    with contextlib.ExitStack() as stack:
        with server.pod() as box:
            traffic = stack.enter_context(Traffic(server.server.grpc, bound))
            site = Site(server, load, traffic, flights)
            entries = [site.entry("ours", lambda: ours.search(box, _say))]
        for name, run in _others(site, perf_analyzer, bound):
            server.serve(START)
            entries.append(site.entry(name, run))
    steps = {}
    for knobs in _candidates(entries):
        server.serve(knobs)
        print(f"  ramp of {space.shown(knobs)}, load average {os.getloadavg()[0]:.1f}", flush=True)
        steps[knobs] = load.ramp(flights, bound, RAMP, _say)
    return entries, steps


def _others(site: Site, perf_analyzer: tools.Analyzer, bound: float) -> Iterator[tuple[str, Callable[[], Search]]]:
    server, home = site.ground.server, site.ground.paths.models.parent

    def quick() -> Search:
        return analyzer.search(
            _python(),
            perf_analyzer,
            grpc=server.grpc,
            metrics=server.metrics,
            home=home / "model-analyzer",
            bound=bound,
        )

    yield "Model Analyzer, quick", quick
    yield "TPE (optuna)", lambda: search.sampled(site.measure, bound, _python())
    yield "AIMD on batches (Clipper)", lambda: search.clipper(site.measure, bound)
    yield "exhaustive sweep", lambda: search.sweep(site.measure, bound)


@functools.cache
def _python() -> Path:
    """Return the interpreter that has Model Analyzer and optuna, installed on first use."""
    try:
        return tools.environment(analyzer.PACKAGES) / "bin" / "python"
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"{', '.join(analyzer.PACKAGES)} cannot be installed here: {error}") from None


def _candidates(entries: Sequence[Entry]) -> tuple[Knobs, ...]:
    found = [entry.found for entry in entries if entry.found]
    return space.distinct([START, *(one.chosen for one in found), *(knobs for one in found for knobs in one.others)])


def _say(text: str) -> None:
    print(text, flush=True)
