"""What cameras need of a box, resource by resource, and what it has: the arithmetic of `size`, docs/sizing.md. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgedetector import plan
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.quantities import parse_quantity
from edgedetector.cli.codes.specification import LINK, MAIN, SUB, USABLE, reads_main
from edgedetector.cli.snapshot import Subject
from edgedetector.cli.summary import figure
from edgedetector.plan import shared_memory

Json = dict[str, Any]

INFERENCE: Final = 0.0022
"""Core seconds an inferred frame in detector and Triton's own part, batches of one (docs/results/dataplane.md)."""
DECODING: Final = 0.017
"""Cores to read and decode 640x360 at 10 frames/s: a 30th of the rest of the same measurement's 0.85 cores."""
MAIN_OVER_SUB: Final = 4.0
"""What decoding a main stream costs over a sub-stream; a rule of thumb (docs/cameras.md), not measured by us."""
PROCESSES: Final = 256 * 2**20
"""Bytes that detector, Triton and go2rtc had resident with 30 cameras and a model that holds next to nothing."""
DEVICE, CPU, MEMORY, DEVICE_MEMORY, STREAMS = "device", "host CPU", "host memory", "device memory", "link"


@dataclass(frozen=True, slots=True)
class Load:
    """What cameras ask for."""

    cameras: int
    mains: int
    """Of these, how many are read in full rather than by a sub-stream."""
    inferences: float
    """A second: target frame rate times models, summed over the cameras."""
    streams: float
    """Bytes a second from the cameras."""
    measured: bool = False
    """Whether `streams` was measured; else it is assumed."""
    shared_memory: int = 0
    """Bytes in /dev/shm for the requests under way."""
    instances: int = 1
    """Of all models together."""
    planned: bool = False
    """Whether `instances` is what the operator starts; else it is assumed, one of each model."""


@dataclass(frozen=True, slots=True)
class Box:
    """What there is. None: not known."""

    capacity: float | None = None
    """Inferences a second."""
    capacity_from: str = "stated"
    cores: float | None = None
    memory: float | None = None
    """Bytes."""
    device_memory: float | None = None
    """Bytes of all devices that one replica has."""
    device_memory_used: float | None = None
    """Bytes, as the exporter tells it."""
    instance_memory: float | None = None
    """Bytes of the device that one instance of a model takes."""
    link: float = LINK
    """Bytes a second."""
    spare_device: float = 0.2
    """Share of the device that is to stay free: any capacity, benchmarked or of the status, is the whole device's."""
    spare_cpu: float = 0.15


@dataclass(frozen=True, slots=True)
class Need:
    """One resource: what is needed and what there is room for, in `unit`. None: not known."""

    resource: str
    need: float | None
    room: float | None
    unit: str
    said: str
    """Where the two come from."""
    grows: bool = True
    """Whether it grows with the number of cameras."""

    @property
    def share(self) -> float | None:
        """`need` over `room`."""
        if self.need is None or not self.room:
            return None
        return self.need / self.room


def load(subject: Subject, detector: EdgeDetector) -> Load:
    """Return what an EdgeDetector's cameras ask for, by their measured bytes where there are any."""
    spec = detector.spec
    variants = {model.smaller_variant for model in spec.models} - {""}
    usual = len([model for model in spec.models if model.name not in variants])
    mains = sum(1 for camera in spec.cameras if reads_main(camera))
    traffic = subject.traffic
    profile = subject.profile_parsed()
    need, instances, planned = 0, len(spec.models), False
    if profile is not None:
        try:
            serving = plan.serving_config(detector, profile)
        except InvalidSpecError:  # `diagnose` says it, and what else follows from it
            pass
        else:
            need = shared_memory.need(spec.models, serving)
            instances, planned = sum(model.instances for model in serving.models), True
    return Load(
        cameras=len(spec.cameras),
        mains=mains,
        inferences=sum(camera.frame_rate.target * (len(camera.models) or usual) for camera in spec.cameras),
        streams=traffic.total if traffic is not None else assumed(len(spec.cameras), mains),
        measured=traffic is not None,
        shared_memory=need,
        instances=instances,
        planned=planned,
    )


def assumed(cameras: int, mains: int) -> float:
    """Return bytes a second of streams that nobody has measured."""
    return mains * MAIN + (cameras - mains) * SUB


def known(subject: Subject, detector: EdgeDetector, nodes: Mapping[str, Mapping[str, Any]]) -> Box:
    """Return what is known of the box: by status, exporter and node, else by specification and profile."""
    headroom, bounds = detector.spec.tuning.headroom, detector.spec.tuning.bounds
    profile = subject.profile_parsed()
    amounts = (bounds.accelerator_memory, profile.spec.memory if profile is not None else "0")
    stated = next((float(parse_quantity(one)) for one in amounts if parse_quantity(one)), None)
    gauges = next((one.gauges for one in subject.observations.values() if "memoryTotal" in one.gauges), {})
    capacity = figure((subject.status.get("capacity") or {}).get("framesPerSecond"))
    names = ((pod.get("spec") or {}).get("nodeName", "") for pod in subject.pods)
    node = next((nodes[name] for name in names if name in nodes), {})
    free = (node.get("status") or {}).get("allocatable") or {}
    return Box(
        capacity=capacity,
        capacity_from="measured as it serves now",
        cores=float(parse_quantity(free["cpu"])) if "cpu" in free else None,
        memory=float(parse_quantity(free["memory"])) if "memory" in free else None,
        device_memory=gauges.get("memoryTotal") or stated,
        device_memory_used=gauges.get("memoryUsed"),
        spare_device=float(headroom.accelerator),
        spare_cpu=float(headroom.cpu),
    )


def needs(load: Load, box: Box) -> tuple[Need, ...]:
    """Return every resource with what is needed of it and what there is."""
    subs = load.cameras - load.mains
    cores = (subs + MAIN_OVER_SUB * load.mains) * DECODING + load.inferences * INFERENCE
    spare = f", {box.spare_device:.0%} stay free" if box.spare_device else ""
    device = box.capacity_from + spare if box.capacity is not None else "say what it serves: --images-per-second"
    streams = "measured" if load.measured else f"assumed: {load.mains} main at 8, {subs} sub-streams at 1 Mbit/s"
    return (
        Need(DEVICE, load.inferences, _less(box.capacity, box.spare_device), "images/s", device),
        Need(CPU, cores, _less(box.cores, box.spare_cpu), "cores", f"estimated, {box.spare_cpu:.0%} stay free"),
        Need(
            MEMORY,
            (PROCESSES + load.shared_memory) / 2**30,
            _scaled(box.memory),
            "GiB",
            "estimated, without what the backend takes for its models",
            grows=False,
        ),
        _device_memory(load, box),
        Need(
            STREAMS,
            load.streams * 8 / 1e6,
            box.link * USABLE * 8 / 1e6,
            "Mbit/s",
            f"{streams}; {1 - USABLE:.0%} stay free",
        ),
    )


def _device_memory(load: Load, box: Box) -> Need:
    if box.instance_memory is not None:
        count = f"{load.instances} instance" + ("s" if load.instances != 1 else "")
        said = ("" if load.planned else "assumed: ") + f"{count}, old and new in a reload"
        need = 2 * load.instances * box.instance_memory
    elif box.device_memory_used is not None:
        need, said = box.device_memory_used, "in use now"
    else:
        return Need(
            DEVICE_MEMORY, None, _scaled(box.device_memory), "GiB", "say what one takes: --instance-memory", grows=False
        )
    return Need(DEVICE_MEMORY, need / 2**30, _scaled(box.device_memory), "GiB", said, grows=False)


def _less(whole: float | None, spare: float) -> float | None:
    return whole * (1.0 - spare) if whole is not None else None


def _scaled(size: float | None) -> float | None:
    return size / 2**30 if size is not None else None


def verdict(load: Load, found: tuple[Need, ...]) -> Json:
    """Return whether it fits, what is full first, and how many such cameras there is room for (None: not known)."""
    shares = {one.resource: one.share for one in found}
    full = max(shares, key=lambda name: shares[name] or 0.0)
    rates = [one.share for one in found if one.grows and one.share]
    return {
        "fits": all(share is None or share <= 1.0 for share in shares.values()),
        "fullFirst": full,
        "camerasAtMost": math.floor(load.cameras / max(rates) + 1e-9) if rates and load.cameras else None,
        "unknown": [name for name in shares if shares[name] is None],
    }
