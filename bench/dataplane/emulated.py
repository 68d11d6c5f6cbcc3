"""The emulated KS20 with a real Triton, and cameras that the detector's own process reads through our media server."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.calibration import tritonserver
from bench.calibration.load import ask
from bench.dataplane import pod, processes, site, watching
from bench.dataplane.models import Served
from bench.media_topology import video

from edgedetector.detector.gauges import ticks

QUIET, REST = 5.0, 120.0
"""Seconds; the ladder takes back a step after 30 s of room."""
SPEEDS = (
    "turnaround",
    "compute.fp16.base",
    "compute.fp16.per_image",
    "scheduler.patched_switch",
    "host.time_per_image",
)
"""Times of the device, in milliseconds, that a slower one has more of; its link is as much slower."""
KS20: Mapping[str, Any] = {"scheduler.patched": True}
"""PCIe 4.0 x4, four instances with the patched scheduler, FP16: the reference's last rung, 175 frames/s."""


@dataclass(frozen=True)
class Ground:
    """What all cases share."""

    home: Path
    triton: site.Triton
    device: str
    """host:port"""
    device_pid: int

    def become(self, changes: Mapping[str, Any], slower: float = 1.0) -> None:
        """Make the device a KS20 with these changes, all its times `slower` times as long."""
        ask(self.device, {"op": "configure", "device": "ks20", "set": dict(changes)})
        known = ask(self.device, {"op": "describe"})["profile"]
        times = {name: field(known, name) * slower for name in SPEEDS}
        efficiency = field(known, "link.efficiency") / slower
        ask(self.device, {"op": "configure", "set": {**times, "link.efficiency": efficiency}})

    def look(self) -> watching.Device:
        found = ask(self.device, {"op": "describe"})
        return watching.Device(float(found["utilisation"]), float(found["hostUtilisation"]))


@dataclass(frozen=True)
class Case:
    """Cameras on the device."""

    name: str
    served: Served
    cameras: int
    rate: float
    ladder: bool = True
    rested: bool = False
    """Whether to wait, once the cameras are live, for the ladder to take back what it took while all were opened."""


@contextlib.contextmanager
def ground(*served: Served) -> Iterator[Ground]:
    """Run device and Triton until the block ends; no model is loaded."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        video.main(home / "loop.h264")
        for one in served:
            one.write(home / "models")
        before = set(processes.tree(os.getpid()))
        device = stack.enter_context(tritonserver.emulated_device(home))
        (pid,) = set(processes.tree(os.getpid())) - before
        ask(device, {"op": "configure", "device": "ks20", "set": dict(KS20)})
        triton = stack.enter_context(site.triton(home, home / "models", {"EMULATED_ACCELERATOR_ADDRESS": device}))
        yield Ground(home, triton, device, pid)


def run(ground: Ground, case: Case, seconds: float) -> dict[str, Any]:
    """Read the cameras through go2rtc, infer, and return what was seen in so many seconds after all were live."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(site.cameras(ground.home, case.cameras, spread=True))
        media = stack.enter_context(site.media(ground.home, source, case.cameras))
        cameras = pod.cameras(case.cameras, case.rate, case.served.name)
        wanted = pod.Wanted((case.served,), cameras, f"rtsp://127.0.0.1:{media.port}", ground.device, case.ladder)
        agent = stack.enter_context(pod.detector(ground.home, ground.triton, wanted))
        site.until(f"{case.cameras} cameras are live", lambda: pod.live(agent.counters(), case.cameras))
        if case.rested:
            _rest(agent)
        pids = (agent.pid, media.pid, ground.triton.pid, source.pid, ground.device_pid)
        roots = dict(zip(watching.CPU, pids, strict=True))
        seen = watching.watch(agent, roots, ground.look, seconds, lambda: ticks(Path("/proc/stat").read_text()))
    row = {"case": case.name, **watching.summary(seen, case.rate, top="cam0")}
    return {**row, "limit": watching.limit(row)}


def _rest(agent: site.Agent) -> None:
    """Wait until the ladder has taken nothing for `QUIET` seconds; as long as `REST`, then it is measured as it is."""
    deadline, since = time.monotonic() + REST, time.monotonic()
    while time.monotonic() < min(deadline, since + QUIET):
        time.sleep(watching.LOOK)
        if any(agent.counters()["rungs"].values()):
            since = time.monotonic()


def field(document: Any, name: str) -> float:
    """Return a number of a device's description by its dotted name."""
    for part in name.split("."):
        document = document[part]
    return float(document)
