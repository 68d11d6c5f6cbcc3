"""The same cameras with 1 and with 3 consumers of our media server, against 3 independent readers of the camera.

Twice. First each consumer is a process that reads and decodes all of them and does no more. Then a consumer is a model
that every camera goes through, inference and all: one detector with 1 and with 3 models, which share one decoding,
against 3 detectors with a model each that read the cameras themselves. A camera is a stand-in, so its own CPU means
nothing: what it has to bear is the number of its sessions, which is asked of it.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.dataplane import models, pod, processes, site
from bench.dataplane.figures import Column, cores, medians, of, ratio, table

SERVED = tuple(models.Served(f"model{number}") for number in range(3))
RATE = 5.0
"""Frames a second of a camera that a model gets."""
_COLUMNS = (
    Column("case", "case", 21),
    Column("sessions", "sessions a camera", 17, ".0f"),
    Column("consumers", "consumers", 9, ".3f"),
    Column("go2rtc", "go2rtc", 7, ".3f"),
    Column("triton", "Triton", 7, ".3f"),
    Column("cores", "cores", 7, ".3f"),
    Column("rate", "frames/s", 9, ".1f"),
    Column("against_readers", "of 3 readers", 12, ".2f"),
)


@dataclass(frozen=True)
class Case:
    """Who reads what."""

    name: str
    through_media: bool
    processes: int
    models: int = 0
    """Of each process; 0: it decodes and does no more."""


DECODING = (
    Case("media, 1 consumer", through_media=True, processes=1),
    Case("media, 3 consumers", through_media=True, processes=3),
    Case("camera, 3 readers", through_media=False, processes=3),
)
INFERRING = (
    Case("1 detector, 1 model", through_media=True, processes=1, models=1),
    Case("1 detector, 3 models", through_media=True, processes=1, models=3),
    Case("3 detectors, 1 each", through_media=False, processes=3, models=1),
)
"""The last of each is what the others are compared with."""


def run(*, cameras: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print tables."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        for served in SERVED:
            served.write(home / "models")
        source = stack.enter_context(site.cameras(home, cameras))
        media = stack.enter_context(site.media(home, source, cameras))
        triton = stack.enter_context(site.triton(home, home / "models"))
        with site.client(triton) as client:
            for served in SERVED:
                client.load(served.name)
        ground = _Ground(home, source, media, triton, cameras)
        rows = [row for cases in (DECODING, INFERRING) for row in _compare(ground, cases, rounds, seconds)]
    shared = {case.name for case in (*DECODING, *INFERRING) if case.through_media}
    missed = [
        f"{row['case']}: {row['sessions']:.0f} sessions a camera"
        for row in rows
        if row["case"] in shared and row["sessions"] != 1
    ]
    return {"cameras": cameras, "rows": rows, "missed": missed}


def _compare(ground: _Ground, cases: tuple[Case, ...], rounds: int, seconds: float) -> list[dict[str, Any]]:
    turns: dict[str, list[dict[str, float]]] = {case.name: [] for case in cases}
    for number in range(rounds):
        shift = number % len(cases)
        for case in cases[shift:] + cases[:shift]:
            turns[case.name].append(ground.turn(case, seconds))
    rows: list[dict[str, Any]] = [{"case": name, **medians(found)} for name, found in turns.items()]
    for row in rows:
        row["against_readers"] = ratio(row["cores"], rows[-1]["cores"])
    print(table(_COLUMNS, rows), flush=True)
    return rows


@dataclass(frozen=True)
class _Ground:
    home: Path
    cameras: site.Cameras
    media: site.Media
    triton: site.Triton
    count: int

    def turn(self, case: Case, seconds: float) -> dict[str, float]:
        site.until("no camera is read", lambda: not any(self.cameras.sessions().values()))
        with contextlib.ExitStack() as stack:
            agents = [stack.enter_context(self._agent(case, number)) for number in range(case.processes)]
            site.until("all frames come", lambda: all(self._seen(agent) for agent in agents))
            names = [f"consumer{number}" for number in range(case.processes)]
            roots = {**dict(zip(names, (agent.pid for agent in agents), strict=True)), **self._servers(case)}
            first, before = sum(map(_handled, agents)), processes.snapshot(roots)
            time.sleep(seconds)
            last, after = sum(map(_handled, agents)), processes.snapshot(roots)
            sessions = max(self.cameras.sessions().values())
        used = cores(before, after)
        return {
            "sessions": sessions,
            "consumers": of(names, used),
            "go2rtc": of(["go2rtc"], used),
            "triton": of(["triton"], used),
            "cores": sum(used.values()),
            "rate": (last - first) / (after.at - before.at),
        }

    def _servers(self, case: Case) -> dict[str, int]:
        """Return what else works for a case: nothing is counted against readers that they do without."""
        found = {"go2rtc": self.media.pid} if case.through_media else {}
        return {**found, "triton": self.triton.pid} if case.models else found

    def _agent(self, case: Case, number: int) -> contextlib.AbstractContextManager[site.Agent]:
        source = self.media if case.through_media else self.cameras
        if not case.models:
            task = {"streams": {f"cam{number}": source.url(number) for number in range(self.count)}}
            return site.agent(self.home, "readers", task)
        served = SERVED[number : number + case.models]
        cameras = pod.cameras(self.count, RATE, *(one.name for one in served))
        wanted = pod.Wanted(served, cameras, f"rtsp://127.0.0.1:{source.port}", ladder=False)
        return pod.detector(self.home / f"pod{number}", self.triton, wanted)

    def _seen(self, agent: site.Agent) -> bool:
        counts = agent.counters()["inferred"]
        return len(counts) == self.count and min(counts.values()) >= 3


def _handled(agent: site.Agent) -> int:
    """Return the frames decoded, or the results of all models."""
    return sum(agent.counters()["inferred"].values())
