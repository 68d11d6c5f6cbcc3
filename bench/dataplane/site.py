"""Cameras, our media server and a real Triton on this machine, each a process whose CPU can be told."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.calibration import tritonserver
from bench.media_topology import video

from edgedetector.api.dataplane import MediaCamera, MediaConfig
from edgedetector.go2rtc import render
from edgedetector.triton.client import Client

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds for anything to start."""
FRAME_RATE = video.FRAME_RATE


@dataclass(frozen=True)
class Cameras:
    """640x360 H.264 at 10 frames/s, a keyframe every 2 s: cam0, cam1, ..."""

    pid: int
    port: int
    control: int

    def url(self, number: int) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam{number}"

    def sessions(self) -> dict[str, int]:
        """Return how many sessions each camera has now."""
        with urlopen(f"http://127.0.0.1:{self.control}/sessions", timeout=10) as answer:
            listed = json.load(answer)["sessions"]
        found: dict[str, int] = {}
        for entry in listed:
            found[entry["path"]] = found.get(entry["path"], 0) + (entry["ended"] is None)
        return found


@dataclass(frozen=True)
class Media:
    """go2rtc with the configuration that the product renders, on ports of its own."""

    pid: int
    port: int

    def url(self, number: int) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam{number}"


@dataclass(frozen=True)
class Triton:
    """A tritonserver in explicit mode, open to all of this machine."""

    pid: int
    grpc: str
    http: str
    metrics: str


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Yield a directory that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="bench-dataplane-") as path:
        yield Path(path)


@contextlib.contextmanager
def cameras(home: Path, count: int, *, spread: bool = False) -> Iterator[Cameras]:
    """Run stand-ins for cameras until the block ends; `spread`: no two send at once, nor keyframes together."""
    loop = home / "loop.h264"
    if not loop.exists():
        video.main(loop)
    port, control = tritonserver.free_port(), tritonserver.free_port()
    command = [sys.executable, str(ROOT / "bench/media_topology/camera.py"), "--video", str(loop)]
    options = ["--paths", str(count), "--port", str(port), "--control", str(control)]
    options += ["--spread"] if spread else []
    with process([*command, *options], home / "cameras.log") as running:
        until("the cameras listen", lambda: listens(control))
        yield Cameras(running.pid, port, control)


@contextlib.contextmanager
def media(home: Path, source: Cameras, count: int) -> Iterator[Media]:
    """Run go2rtc on the first `count` cameras until the block ends."""
    streams = tuple(MediaCamera(f"cam{number}", source.url(number)) for number in range(count))
    rendered = render.render(MediaConfig(1, streams), {})
    if rendered.left_out:
        raise RuntimeError(f"go2rtc is not told of {rendered.left_out}")
    port, api = tritonserver.free_port(), tritonserver.free_port()
    (home / "go2rtc.yaml").write_text(rendered.text("bench"))
    ports = {"api": {"listen": f"127.0.0.1:{api}"}, "rtsp": {"listen": f"127.0.0.1:{port}"}}
    command = [go2rtc(), "-config", str(home / "go2rtc.yaml"), "-config", json.dumps(ports)]
    with process(command, home / "go2rtc.log") as running:
        until("go2rtc listens", lambda: listens(port))
        yield Media(running.pid, port)


@contextlib.contextmanager
def triton(home: Path, repository: Path, environment: Mapping[str, str] | None = None) -> Iterator[Triton]:
    """Run a real tritonserver on `repository` until the block ends."""
    http, metrics = tritonserver.free_port(), tritonserver.free_port()
    arguments = ("--allow-http=true", f"--http-port={http}", "--http-address=127.0.0.1")
    shown = ("--allow-metrics=true", f"--metrics-port={metrics}", "--metrics-address=127.0.0.1")
    options = (*arguments, *shown, "--disable-auto-complete-config")
    installation = tritonserver.prepare()
    with tritonserver.running(installation, home, repository, *options, environment=environment) as server:
        yield Triton(server.process.pid, server.grpc, f"127.0.0.1:{http}", f"127.0.0.1:{metrics}")


def go2rtc() -> str:
    """Return the path of go2rtc, built on first use."""
    build = [sys.executable, str(ROOT / "tests/e2e/node/build.py"), "go2rtc"]
    return subprocess.run(build, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


@contextlib.contextmanager
def process(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends; what it says, but not its answers, goes to `log`."""
    with log.open("ab") as sink:
        streams = {"stdout": sink, "stderr": sink, **options}
        running = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *command], text=True, **streams)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


class Agent:
    """A program that answers each line with its counters as a line of JSON."""

    def __init__(self, running: subprocess.Popen[str], log: Path) -> None:
        self._running, self._log = running, log
        self.pid = running.pid

    def counters(self) -> dict[str, Any]:
        """Return what it has counted."""
        if self._running.stdin is None or self._running.stdout is None:
            raise RuntimeError("the agent has no pipes")
        try:
            self._running.stdin.write("\n")
            self._running.stdin.flush()
            found: dict[str, Any] = json.loads(self._running.stdout.readline())
        except (OSError, ValueError):
            raise RuntimeError(f"the agent ended:\n{self._log.read_text()[-4000:]}") from None
        return found


@contextlib.contextmanager
def agent(home: Path, name: str, task: Mapping[str, Any], python: Path | None = None) -> Iterator[Agent]:
    """Run ``bench.dataplane.agents.<name>`` with a task until the block ends; `python`: with what it needs."""
    log = home / f"{name}.log"
    command = [str(python or sys.executable), "-m", f"bench.dataplane.agents.{name}", json.dumps(task)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "operator")])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": {**os.environ, "PYTHONPATH": path}}
    with process(command, log, **pipes) as running:
        yield Agent(running, log)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def until(what: str, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for a condition.

    Raises
    ------
    TimeoutError
        If it does not come true.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


def progress(
    what: str,
    done: Callable[[], tuple[int, int]],
    *,
    limit: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until all of something is done: up to `limit` seconds, as long as more gets done within `PATIENCE`.

    Parameters
    ----------
    done
        Tells how many are done, and of how many.

    Raises
    ------
    TimeoutError
        Says how many were done.
    """
    began = moved = clock()
    best = -1
    while True:
        number, every = done()
        now = clock()
        if number >= every:
            return
        if number > best:
            best, moved = number, now
        if now - began >= limit or now - moved >= PATIENCE:
            raise TimeoutError(f"{what}: {number} of {every}, the last {now - moved:.0f} s ago")
        pause(0.05)


def client(server: Triton) -> Client:
    """Return a client of a Triton, to be closed by the caller."""
    return Client(server.grpc)
