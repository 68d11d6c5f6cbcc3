"""What Prometheus' scrapes cost the pod that is scraped: CPU of detector and Triton with and without, turn about.

A real Triton, go2rtc and the detector's own process, cameras that are stand-ins, and a model that answers at once: the
smallest load that so many cameras make, so that the share is the largest. Each round has a turn without scrapes, one at
the product's interval, and one far more often: what a scrape costs is told from that one, since at the product's
interval it is lost among the differences between turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.request import Request, urlopen

from bench.calibration import tritonserver
from bench.dataplane import models, pod, processes, site
from bench.dataplane.figures import Column, cores, medians, of, table

from edgedetector.api.edgedetector import MonitoringSpec

SERVED: Final = models.Served("instant")
RATE: Final = 5.0
PRODUCT: Final = MonitoringSpec().scrape_interval.total_seconds()
OFTEN: Final = 0.25
"""Seconds between scrapes of the turns from which the cost of one is told."""
INTERVALS: Final[Mapping[str, float | None]] = {"none": None, "product": PRODUCT, "often": OFTEN}
TARGET: Final = 0.05
"""Share of the load."""
ENOUGH: Final = 0.9
"""Share of the wanted frames that each turn has to infer."""
HEADERS: Final = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
"""What Prometheus asks for: compression is part of the cost."""
_COLUMNS: Final = (
    Column("scraped", "scraped", 8),
    Column("pod", "cores", 8, ".4f"),
    Column("detector", "detector", 9, ".4f"),
    Column("triton", "Triton", 8, ".4f"),
    Column("rate", "frames/s", 9, ".1f"),
    Column("scrapes", "scrapes/s", 10, ".2f"),
)


@dataclass
class Scraper:
    """Asks all addresses at once, every so often, until it is stopped."""

    urls: Sequence[str]
    rounds: int = 0
    """Scrapes of all addresses so far."""
    size: int = 0
    """Bytes of the last one, as they were sent."""
    failed: list[OSError] = field(default_factory=list)

    def once(self) -> None:
        """Ask each address, as Prometheus does."""
        self.size = 0
        for url in self.urls:
            with urlopen(Request(url, headers=HEADERS), timeout=10) as answer:
                self.size += len(answer.read())
        self.rounds += 1

    @contextlib.contextmanager
    def every(self, seconds: float | None) -> Iterator[None]:
        """Scrape for as long as the block lasts; None: never. A scrape that fails fails the block at its end."""
        stop = threading.Event()

        def work() -> None:
            while seconds is not None and not self.failed and not stop.wait(seconds):
                try:
                    self.once()
                except OSError as error:
                    self.failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if self.failed:
            raise self.failed[0]


def costs(turns: Mapping[str, Sequence[Mapping[str, float]]], interval: float) -> dict[str, float]:
    """Return what scraping comes to, each the median over the rounds, whose turns are compared with each other.

    `scrape` is in milliseconds of CPU; `share` what one each `interval` seconds adds to the load without scrapes, told
    from the turns with many; `measured` what the turns at the interval itself differ by. CPU is compared for as many
    frames: a turn in which the machine let more through did more.
    """
    rounds = list(zip(turns["none"], turns["product"], turns["often"], strict=True))
    added = [(often["pod"] - _for(often, none)) / often["scrapes"] for none, _, often in rounds]
    shares = [each / interval / _for(often, none) for each, (none, _, often) in zip(added, rounds, strict=True)]
    measured = [product["pod"] / _for(product, none) - 1.0 for none, product, _ in rounds]
    return {
        "scrape": round(statistics.median(added) * 1e3, 3),
        "share": round(statistics.median(shares), 5),
        "measured": round(statistics.median(measured), 5),
    }


def _for(turn: Mapping[str, float], none: Mapping[str, float]) -> float:
    """Return the cores that a turn's frames would have taken without scrapes."""
    return none["pod"] * turn["rate"] / none["rate"]


def starved(turns: Mapping[str, Sequence[Mapping[str, float]]], wanted: float) -> list[str]:
    """Return the turns that inferred too few frames a second for their CPU to say anything."""
    return [
        f"{name}, turn {number}: {turn['rate']:.1f} frames/s, wanted {wanted:g}"
        for name, found in turns.items()
        for number, turn in enumerate(found, 1)
        if turn["rate"] < ENOUGH * wanted
    ]


def run(*, cameras: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print."""
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in INTERVALS}
    names = list(INTERVALS)
    with _ground(cameras) as (agent, triton, scraper):
        roots = {"detector": agent.pid, "triton": triton.pid}
        for number in range(rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                with scraper.every(INTERVALS[name]):
                    turns[name].append(_turn(agent, roots, scraper, seconds))
    rows = [{"scraped": name, **medians(found)} for name, found in turns.items()]
    print(table(_COLUMNS, rows))
    found = {"bytes": scraper.size, **costs(turns, PRODUCT)}
    print(
        f"a scrape of both: {found['scrape']:.2f} ms of CPU, {scraper.size} bytes as sent; each {PRODUCT:g} s that is"
        f" {found['share']:.2%} of the load (goal: below {TARGET:.0%}); turns at that interval and turns without differ"
        f" by {found['measured']:+.2%}"
    )
    missed = starved(turns, cameras * RATE)
    print(*(f"TOO BUSY A MACHINE: {text}" for text in missed), sep="\n")
    return {"missed": missed, "cameras": cameras, "rounds": rounds, "seconds": seconds, "rows": rows, **found}


@contextlib.contextmanager
def _ground(count: int) -> Iterator[tuple[site.Agent, site.Triton, Scraper]]:
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        SERVED.write(home / "models")
        source = stack.enter_context(site.cameras(home, count, spread=True))
        media = stack.enter_context(site.media(home, source, count))
        triton = stack.enter_context(site.triton(home, home / "models"))
        wanted = pod.Wanted(
            (SERVED,), pod.cameras(count, RATE, SERVED.name), f"rtsp://127.0.0.1:{media.port}", ladder=False
        )
        port = tritonserver.free_port()
        agent = stack.enter_context(pod.detector(home, triton, wanted, port=port))
        site.until(f"{count} cameras are live", lambda: pod.live(agent.counters(), count), seconds=180)
        yield agent, triton, Scraper([f"http://127.0.0.1:{port}/metrics", f"http://{triton.metrics}/metrics"])


def _turn(agent: site.Agent, roots: Mapping[str, int], scraper: Scraper, seconds: float) -> dict[str, float]:
    first, scraped, before = _inferred(agent), scraper.rounds, processes.snapshot(roots)
    time.sleep(seconds)
    after, many, last = processes.snapshot(roots), scraper.rounds, _inferred(agent)
    used, passed = cores(before, after), after.at - before.at
    parts = {name: of([name], used) for name in roots}
    whole = {"pod": sum(parts.values()), "rate": (last - first) / passed, "scrapes": (many - scraped) / passed}
    return {**parts, **whole}


def _inferred(agent: site.Agent) -> int:
    return sum(agent.counters()["inferred"].values())


def main() -> int:
    """Print the table and a line of JSON; 1 if scraping costs more than it may, or if the machine was too busy."""
    parser = argparse.ArgumentParser(prog="python -m bench.scrape_cost", description=__doc__)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=6, help="turns of each kind")
    parser.add_argument("--seconds", type=float, default=30.0, help="a turn; at least one scrape of the product's")
    options = parser.parse_args()
    if options.seconds < PRODUCT:
        parser.error(f"--seconds: a turn has to last {PRODUCT:g} at least, or it has no scrape")
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f} at the beginning", flush=True)
    found = run(cameras=options.cameras, rounds=options.rounds, seconds=options.seconds)
    machine = {"cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2), "machine": platform.machine()}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    within = found["share"] < TARGET and not found["missed"]
    print(json.dumps({"benchmark": "scrape_cost", "date": date, **machine, **found, "within_target": within}))
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
