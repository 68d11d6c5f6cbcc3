"""CPU a camera: our reader, camera and dispatcher against OpenCV with HTTP, and against an ffmpeg pipe a camera.

The contenders take turns on the same cameras, in an order that changes with each round. Ours reads through go2rtc,
whose CPU is counted with it; the others read the camera itself, so that nothing is counted against them that their
users could do without. Triton counts for all: the model answers at once, so what it uses is transport. The ffmpeg pipe
is there twice: as `ffmpeg_http` its frames go to Triton as OpenCV's do, and it is judged; as `ffmpeg_pipe` they are
read and prepared and no more, which is shown for what pipe and decoding cost alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.dataplane import models, processes, site, tools
from bench.dataplane.figures import Column, cores, medians, of, ratio, table
from bench.media_topology import video

SERVED = models.Served("instant")
RATE = 5.0
CONTENDERS = ("ours", "opencv_http", "ffmpeg_http", "ffmpeg_pipe")
JUDGED = ("opencv_http", "ffmpeg_http")
TARGET_CORES = 1.2
"""Of 35 cameras at 5 frames/s, go2rtc included."""
STARTS = 180.0
"""Seconds for all cameras of a contender to deliver, as long as more of them do: 35 of OpenCV's take over a minute."""
_ENOUGH = 0.9
"""Share of the wanted frames below which a contender did not do the work that its CPU is compared for."""
_COLUMNS = (
    Column("contender", "contender", 12),
    Column("cameras", "cameras", 7, "d"),
    Column("whole", "cores", 7, ".3f"),
    Column("agent", "client", 7, ".3f"),
    Column("go2rtc", "go2rtc", 7, ".3f"),
    Column("triton", "Triton", 7, ".3f"),
    Column("rate", "frames/s", 9, ".1f"),
    Column("a_camera", "% a camera", 10, ".2f"),
    Column("against_ours", "x ours", 7, ".2f"),
)


@dataclass(frozen=True)
class Ground:
    """What all contenders share."""

    home: Path
    cameras: site.Cameras
    media: site.Media
    triton: site.Triton


def run(*, counts: tuple[int, ...], rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print a table a number of cameras."""
    with _ground(max(counts)) as ground:
        rows = [row for count in counts for row in _compare(ground, count, rounds, seconds)]
    short = [text for row in rows for text in missed(row)]
    return {"rows": rows, "missed": short, "ffmpeg": tools.ffmpeg_version(), "tools": list(tools.OTHERS)}


@contextlib.contextmanager
def _ground(count: int) -> Iterator[Ground]:
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        SERVED.write(home / "models")
        cameras = stack.enter_context(site.cameras(home, count))
        media = stack.enter_context(site.media(home, cameras, count))
        triton = stack.enter_context(site.triton(home, home / "models"))
        with site.client(triton) as client:
            client.load(SERVED.name)
        yield Ground(home, cameras, media, triton)


def _compare(ground: Ground, count: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for number in range(rounds):
        shift = number % len(CONTENDERS)
        for name in CONTENDERS[shift:] + CONTENDERS[:shift]:
            turns[name].append(_turn(ground, name, count, seconds))
    rows: list[dict[str, Any]] = [
        {"contender": name, "cameras": count, **medians(found)} for name, found in turns.items()
    ]
    for row in rows:
        row["a_camera"] = round(row["whole"] / count * 100, 3)
        row["against_ours"] = ratio(row["whole"], rows[0]["whole"])
    print(table(_COLUMNS, rows), flush=True)
    return rows


def _turn(ground: Ground, name: str, count: int, seconds: float) -> dict[str, float]:
    """Run one contender, and return its cores by process and its frames a second once all cameras give frames."""
    python = None if name == "ours" else tools.python()
    program = "ffmpeg_pipe" if name == "ffmpeg_http" else name
    with site.agent(ground.home, program, _task(ground, name, count), python) as agent:
        site.progress(f"{name} sees its cameras", lambda: (_seen(agent.counters(), at_least=3), count), limit=STARTS)
        roots = {"agent": agent.pid, "go2rtc": ground.media.pid, "triton": ground.triton.pid}
        first, before = agent.counters(), processes.snapshot(roots)
        time.sleep(seconds)
        last, after = agent.counters(), processes.snapshot(roots)
    seconds = after.at - before.at
    found = figures(name, cores(before, after), _inferred(last) - _inferred(first), seconds)
    stages = {
        f"stage:{key}": (value - first["stages"].get(key, 0.0)) / seconds
        for key, value in last.get("stages", {}).items()
    }
    return {**found, **stages}


def figures(name: str, used: Mapping[str, float], frames: int, seconds: float) -> dict[str, float]:
    """Return what a turn comes to, in cores: `whole` with Triton, `cores` without; go2rtc is counted for ours alone."""
    parts = {part: of([part], used) for part in ("agent", "go2rtc", "triton")}
    needed = parts["agent"] + (parts["go2rtc"] if name == "ours" else 0.0)
    by_process = {f"process:{key}": value for key, value in used.items()}
    return {**parts, **by_process, "cores": needed, "whole": needed + parts["triton"], "rate": frames / seconds}


def _task(ground: Ground, name: str, count: int) -> dict[str, Any]:
    source = ground.media if name == "ours" else ground.cameras
    streams = {f"cam{number}": source.url(number) for number in range(count)}
    if name == "ours":
        known = {"grpc": ground.triton.grpc, "served": asdict(SERVED), "rate": RATE}
        return {"streams": streams, **known, "batch": 8, "requests": 2}
    http = {} if name == "ffmpeg_pipe" else {"http": ground.triton.http, "model": SERVED.name}
    if name == "opencv_http":
        return {"streams": streams, **http, "every": round(site.FRAME_RATE / RATE), "size": models.SIZE}
    picture = {"width": video.WIDTH, "height": video.HEIGHT, "size": models.SIZE}
    return {"streams": streams, **http, "ffmpeg": tools.ffmpeg(), "rate": RATE, **picture}


def _seen(counters: Mapping[str, Any], *, at_least: int) -> int:
    """Return how many cameras have given frames."""
    return sum(1 for number in counters["inferred"].values() if number >= at_least)


def _inferred(counters: Mapping[str, Any]) -> int:
    return sum(counters["inferred"].values())


def missed(row: Mapping[str, Any]) -> list[str]:
    """Return what a row should have reached and did not."""
    count, found = row["cameras"], []
    if row["rate"] < _ENOUGH * RATE * count:
        found.append(f"{row['contender']} of {count}: {row['rate']:.1f} frames/s, wanted {RATE * count:.0f}")
    if row["contender"] in JUDGED and row["against_ours"] is not None and row["against_ours"] <= 1.0:
        found.append(f"{row['contender']} of {count} takes {row['against_ours']} times what ours does")
    if row["contender"] == "ours" and count == 35 and row["cores"] > TARGET_CORES:
        found.append(f"ours of {count}: {row['cores']:.2f} cores, goal {TARGET_CORES}")
    return found
