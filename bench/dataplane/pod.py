"""A pod of ours without Kubernetes: the files that the operator writes, and the detector's own process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.calibration import tritonserver
from bench.dataplane import site
from bench.dataplane.models import Served

from edgedetector.api import names
from edgedetector.api.dataplane import (
    Accelerator,
    AcceleratorMetric,
    Degradation,
    DetectorCamera,
    DetectorConfig,
    FrameRate,
    ModelServing,
    ServingConfig,
)
from edgedetector.api.edgedetector import STEPS
from edgedetector.api.wire import to_json
from edgedetector.detector.repository import Paths, replace_file

METRICS = (
    AcceleratorMetric("utilization", "DCGM_FI_DEV_GPU_UTIL", 0.01),
    AcceleratorMetric("temperature", "DCGM_FI_DEV_GPU_TEMP"),
)
"""As the profile `denglin-ks20` names them. There they are not verified and hence not used; the emulated device's are
what they say, so that the ladder is told of them here."""
TOP, OTHERS = 100, 0


def cameras(count: int, rate: float, *models: str) -> tuple[DetectorCamera, ...]:
    """Return cameras with one rate: one of the highest priority, the others equal."""
    rates = FrameRate(minimum=min(1.0, rate), target=rate, maximum=rate)
    return tuple(
        DetectorCamera(f"cam{number}", f"cam{number}", models, rates, priority=OTHERS if number else TOP)
        for number in range(count)
    )


@dataclass(frozen=True)
class Wanted:
    """What the detector is told."""

    served: tuple[Served, ...]
    cameras: tuple[DetectorCamera, ...]
    media: str
    """rtsp://host:port of the media server."""
    exporter: str = ""
    """host:port of the emulated device; empty: the ladder does not know how busy it is."""
    ladder: bool = True


def write(root: Path, wanted: Wanted) -> None:
    """Write what the ConfigMaps hold."""
    paths = Paths.under(root)
    serving = tuple(ModelServing(one.name, one.instances, (), one.max_batch, 0, one.config) for one in wanted.served)
    accelerator = Accelerator(f"http://{wanted.exporter}/metrics", METRICS) if wanted.exporter else Accelerator()
    config = DetectorConfig(
        detector="bench",
        namespace="bench",
        generation=1,
        triton_url="",
        media_url=wanted.media,
        models=tuple(one.seen for one in wanted.served),
        cameras=wanted.cameras,
        degradation=Degradation(enabled=wanted.ladder, steps=STEPS),
        accelerator=accelerator,
    )
    replace_file(paths.serving / names.FILE_ACCEPTED, to_json(ServingConfig("bench", serving)))
    replace_file(paths.detector / names.FILE_DETECTOR, to_json(config))


@contextlib.contextmanager
def detector(root: Path, triton: site.Triton, wanted: Wanted, *, port: int = 0) -> Iterator[site.Agent]:
    """Run the detector until the block ends; Triton's repository is `root`/models, or all models are loaded.

    `port` is that of its HTTP server; 0: any.
    """
    root.mkdir(exist_ok=True)
    write(root, wanted)
    ports = {"port": port or tritonserver.free_port(), "events": tritonserver.free_port()}
    task = {"root": str(root), "grpc": _port(triton.grpc), "metrics": _port(triton.metrics), **ports}
    with site.agent(root, "detector", task) as agent:
        yield agent


def live(counters: Mapping[str, Any], count: int) -> bool:
    """Return whether so many cameras are live, each with a result."""
    states, inferred = counters["states"], counters["inferred"]
    return sum(state == "Live" and inferred.get(name, 0) > 0 for name, state in states.items()) == count


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
