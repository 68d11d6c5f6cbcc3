"""The same cameras with 1 and with 3 consumers of our media server, against 3 independent readers of the camera.

Each consumer is a process that reads and decodes all of them. A camera is a stand-in, so its own CPU means nothing:
what it has to bear is the number of its sessions, which is asked of it.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.dataplane import processes, site
from bench.dataplane.figures import Column, cores, medians, of, ratio, table

CASES = ("media, 1 consumer", "media, 3 consumers", "camera, 3 readers")
_COLUMNS = (
    Column("case", "case", 18),
    Column("sessions", "sessions a camera", 17, ".0f"),
    Column("consumers", "consumers", 9, ".3f"),
    Column("go2rtc", "go2rtc", 7, ".3f"),
    Column("cores", "cores", 7, ".3f"),
    Column("rate", "frames/s", 9, ".1f"),
    Column("against_readers", "of 3 readers", 12, ".2f"),
)


@dataclass(frozen=True)
class Case:
    """Who reads what."""

    name: str
    through_media: bool
    consumers: int


_ALL = (
    Case(CASES[0], through_media=True, consumers=1),
    Case(CASES[1], through_media=True, consumers=3),
    Case(CASES[2], through_media=False, consumers=3),
)


def run(*, cameras: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print a table."""
    turns: dict[str, list[dict[str, float]]] = {case.name: [] for case in _ALL}
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        source = stack.enter_context(site.cameras(home, cameras))
        media = stack.enter_context(site.media(home, source, cameras))
        ground = _Ground(home, source, media, cameras)
        for number in range(rounds):
            for case in _ALL[number % 3 :] + _ALL[: number % 3]:
                turns[case.name].append(ground.turn(case, seconds))
    rows: list[dict[str, Any]] = [{"case": name, **medians(found)} for name, found in turns.items()]
    for row in rows:
        row["against_readers"] = ratio(row["cores"], rows[-1]["cores"])
    print(table(_COLUMNS, rows), flush=True)
    shared = [row for row in rows if row["case"] != CASES[2]]
    missed = [f"{row['case']}: {row['sessions']:.0f} sessions a camera" for row in shared if row["sessions"] != 1]
    return {"cameras": cameras, "rows": rows, "missed": missed}


@dataclass(frozen=True)
class _Ground:
    home: Path
    cameras: site.Cameras
    media: site.Media
    count: int

    def turn(self, case: Case, seconds: float) -> dict[str, float]:
        source = self.media if case.through_media else self.cameras
        task = {"streams": {f"cam{number}": source.url(number) for number in range(self.count)}}
        site.until("no camera is read", lambda: not any(self.cameras.sessions().values()))
        with contextlib.ExitStack() as stack:
            agents = [stack.enter_context(site.agent(self.home, "readers", task)) for _ in range(case.consumers)]
            site.until("all frames come", lambda: all(self._seen(agent) for agent in agents))
            roots = {"go2rtc": self.media.pid, **{f"consumer{i}": agent.pid for i, agent in enumerate(agents)}}
            first, before = sum(map(_decoded, agents)), processes.snapshot(roots)
            time.sleep(seconds)
            last, after = sum(map(_decoded, agents)), processes.snapshot(roots)
            sessions = max(self.cameras.sessions().values())
        used = cores(before, after)
        go2rtc = of(["go2rtc"], used) if case.through_media else 0.0
        consumers = of([name for name in roots if name != "go2rtc"], used)
        rate = (last - first) / (after.at - before.at)
        return {
            "sessions": sessions,
            "consumers": consumers,
            "go2rtc": go2rtc,
            "cores": consumers + go2rtc,
            "rate": rate,
        }

    def _seen(self, agent: site.Agent) -> bool:
        counts = agent.counters()["inferred"]
        return len(counts) == self.count and min(counts.values()) >= 3


def _decoded(agent: site.Agent) -> int:
    return sum(agent.counters()["inferred"].values())
