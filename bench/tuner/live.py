"""A pod of ours on a real Triton with the emulated device, under a load of its own: what a tuner sees and moves.

    with live.box(live.Wanted(device="ks20", load=live.Load(20, 10.0))) as box:
        box.settle()                                         # it serves `start`
        box.serve({"people": Knobs(2, 8)})                   # accepted; `settle` waits until it is in force
        box.serve(box.start, live.Trial("one", {"people": Knobs(2, 8)}, ttl=12.0))
        box.observe()                                        # an Observation, as the operator gets it
        box.measure(5.0)                                     # what it serves, and how fast

Everything but Kubernetes is real: tritonserver, the detector's own process with the files that the operator would
write, its own rules for trials, and `GET /observation`. The device is emulated, and all times are the device's.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from bench.calibration import tritonserver
from bench.calibration.load import ask
from bench.dataplane import models, pod, processes, site
from bench.dataplane.emulated import field as number
from emulator.profile import ELEMENT_BYTES

from edgedetector import plan, profiles
from edgedetector.api import names
from edgedetector.api.dataplane import Accelerator, AcceleratorMetric, Probe, ServingConfig
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.observation import Observation
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.wire import InvalidDocumentError, from_json, to_json
from edgedetector.controller import terms
from edgedetector.detector.repository import Paths, replace_file
from edgedetector.observe.windows import window
from edgedetector.plan.dataplane import detector_config
from edgedetector.tuning.window import Configuration, Knobs, ModelWindow, Window

MODEL: Final = "people"
POD: Final = "bench"
"""As the detector's process here calls itself."""
SIDE: Final = 32
"""Pixels of an input's sides: the device counts the bytes of 3 x 640 x 640 itself."""
PATIENCE: Final = 40.0
"""Seconds for a change to be in force."""
CAMERAS: Final = "cameras"
FED: Final = "memory"
SETTINGS: Final = plan.Settings("edgedetector-system", "edgedetector/detector:bench")


@dataclass(frozen=True)
class Load:
    """Cameras of one rate."""

    cameras: int = 20
    rate: float = 10.0
    """Frames a second of each that are wanted."""
    streams: str = FED
    """`memory`: frames from memory, nothing is decoded; `cameras`: H.264 through go2rtc."""

    @property
    def demand(self) -> float:
        """Frames a second of all."""
        return self.cameras * self.rate


@dataclass(frozen=True)
class Wanted:
    """A box."""

    device: str = "ks20"
    """Of the emulator: a calibrated device or ``seed:N``."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the device's profile, by dotted names."""
    slower: float = 1.0
    """Times as long as the device takes for everything: for a machine that is too small for its load."""
    precision: str = "fp32"
    largest: int = 0
    """Batch that the engine was compiled for; 0: the device's own."""
    start: Knobs = field(default_factory=Knobs)
    """What serves in the beginning."""
    load: Load = field(default_factory=Load)
    latency: float = 0.050
    """Seconds that the 99th percentile may be."""
    goal: str = "Throughput"
    instances: int = 4
    """Most that tuning may choose."""
    ladder: bool = False
    accelerator: float = 0.2
    """Headroom, as `cpu`."""
    cpu: float = 0.15


@dataclass(frozen=True)
class Trial:
    """A configuration on trial."""

    id: str
    configuration: Configuration
    ttl: float = 12.0
    """Seconds after which the pod ends it, from its beginning or from a renewal."""
    renewal: int = 0


@dataclass(frozen=True)
class Measured:
    """What the pod showed in some seconds; times in milliseconds."""

    seconds: float
    rate: float
    demand: float
    p50: float | None
    p99: float | None
    skipped: float
    failed: int
    utilization: float | None
    """Of the device, by its monitor."""
    images: float
    """That the device itself counted, a second."""
    disturbed: str = ""

    @classmethod
    def of(cls, shown: Window, images: float) -> Measured:
        model = shown.models.get(MODEL) or ModelWindow(Knobs(), 0.0, 0.0, 0.0)
        times = (None if one is None else round(one * 1e3, 1) for one in (model.median, model.latency))
        return cls(
            round(shown.seconds, 2), round(model.rate, 1), model.demand, *times, round(model.skipped, 3), model.failed,
            shown.utilization, round(images, 1), shown.disturbed,
        )  # fmt: skip


class Box:
    """A pod that serves one model, and what the operator knows of it.

    Parameters
    ----------
    paths
        The pod's files.
    address
        URL of the detector.
    device
        host:port of the emulated device.
    memory
        Of the device, MB.
    roots
        Process ids of what is part of the box, by name; may grow.
    """

    def __init__(
        self, wanted: Wanted, paths: Paths, address: str, device: str, *, memory: float, roots: Mapping[str, int]
    ) -> None:
        self.wanted, self.device, self._address = wanted, device, address
        self._paths, self._roots = paths, roots
        self._spent: dict[tuple[str, int], float] = {}
        self.detector, self.profile = specified(wanted, memory)
        self.host = 0.0
        """Seconds of the emulated host's processors an image; 0: it has none."""
        self.image = 0
        """Bytes of an image's inputs and outputs as the device counts them, whatever is really sent; 0: as it is."""
        self.start: Configuration = {MODEL: wanted.start}
        self.known: dict[str, Configuration] = {}
        """Id of a serving configuration that was written -> knobs."""
        self.accepted = ServingConfig("", ())
        self.tried: Probe | None = None

    def observe(self) -> Observation | None:
        """Ask the pod for its load; None: it did not answer.

        The processors are those of the box: the host that the device was calibrated with, which the emulation has, too;
        for a device without one, what the box's own processes take. What else runs on this machine is no part of it.
        """
        try:
            with urlopen(f"{self._address}/observation", timeout=2.0) as answer:
                found = from_json(Observation, answer.read().decode())
        except (OSError, InvalidDocumentError):
            return None
        busy, total = self._processors()
        return replace(found, host_busy=busy, host_total=total)

    def serving(self, configuration: Configuration) -> ServingConfig:
        """Return the document of a configuration, as the operator would write it."""
        found = terms.document(self.detector, self.profile, (), configuration)
        self.known[found.id] = dict(configuration)
        return found

    def serve(self, configuration: Configuration, probe: Trial | None = None) -> None:
        """Have a configuration accepted, and another one tried, or none; returns at once."""
        accepted = self.serving(configuration)
        tried = probe and Probe(probe.id, POD, probe.ttl, probe.renewal, self.serving(probe.configuration))
        self.write(accepted, tried)

    def write(self, accepted: ServingConfig, probe: Probe | None) -> None:
        """Write the documents, as the kubelet does."""
        # Not at one moment, as a ConfigMap's keys: what was tried and is kept must never be neither of the two.
        path = self._paths.serving / names.FILE_PROBE
        if accepted != self.accepted:
            replace_file(self._paths.serving / names.FILE_ACCEPTED, to_json(accepted))
            self.accepted = accepted
        if probe is None:
            path.unlink(missing_ok=True)
        elif probe != self.tried:
            replace_file(path, to_json(probe))
        self.tried = probe

    def feed(self, load: Load) -> None:
        """Change the load."""
        self.wanted = replace(self.wanted, load=load)
        config = detector_config(self.detector, self.profile, SETTINGS)
        exporter = self.profile.spec.exporter
        metrics = tuple(AcceleratorMetric(one.name, one.metric, one.factor) for one in exporter.metrics) \
            if exporter else ()  # fmt: skip
        cameras = pod.cameras(load.cameras, load.rate, MODEL)
        config = replace(
            config, triton_url="", media_url=self.media(load), cameras=cameras,
            accelerator=Accelerator(f"http://{self.device}/metrics", metrics),
        )  # fmt: skip
        replace_file(self._paths.detector / names.FILE_DETECTOR, to_json(config))

    def media(self, load: Load) -> str:
        """Return where the streams are."""
        return f"memory:{load.rate:g}"

    def settle(self, seconds: float = PATIENCE, warm: float = 2.0) -> None:
        """Wait until what is accepted is in force and frames have come for `warm` seconds.

        Raises
        ------
        TimeoutError
            If it does not.
        """
        deadline, since = time.monotonic() + seconds, math.inf
        while time.monotonic() < since + warm:
            found = self.observe()
            served = {model.serving_id for model in found.models} if found else set()
            flows = found is not None and any(model.images > 0 and model.demand > 0 for model in found.models)
            if served != {self.accepted.id} or not flows:
                since = math.inf
            elif since == math.inf:
                since = time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.accepted.id} is not in force: {found and found.models}")
            time.sleep(0.2)

    def measure(self, seconds: float) -> Measured:
        """Return what it serves in so many seconds.

        Raises
        ------
        RuntimeError
            If the pod does not answer.
        """
        before, start, first = self.observe(), time.time(), self.look()
        began = time.monotonic()
        time.sleep(seconds)
        after, last = self.observe(), self.look()
        images = (last["images"] - first["images"]) / (time.monotonic() - began)
        if before is None or after is None:
            raise RuntimeError("the pod does not answer")
        shown = window(
            before, after, pod=POD, knobs=self.known, percentile=99, now=time.time(), start=start
        )  # fmt: skip
        return Measured.of(shown, images)

    def look(self) -> dict[str, Any]:
        """Return what the device says of itself."""
        return ask(self.device, {"op": "describe"})

    def _processors(self) -> tuple[float, float]:
        count, now = os.cpu_count() or 1, time.monotonic()
        if self.host:
            return self.look()["images"] * self.host * count, now * count
        # A process that has ended keeps what it used.
        self._spent |= processes.snapshot(self._roots).used
        return sum(self._spent.values()), now * count


class _Filmed(Box):
    """One whose cameras are read through a media server."""

    address = ""

    def media(self, load: Load) -> str:  # noqa: ARG002 - the cameras' streams are all of one rate
        return self.address


def specified(wanted: Wanted, memory: float) -> tuple[EdgeDetector, AcceleratorProfile]:
    """Return the EdgeDetector that somebody would write, and the profile with its figures verified.

    Capabilities stay as they are shipped: not verified, so that each change is a whole reload.

    Parameters
    ----------
    memory
        Of the device, MB.
    """
    obj = next(one for one in profiles.load() if one["metadata"]["name"] == "denglin-ks20")
    for metric in obj["spec"]["exporter"]["metrics"]:
        metric["verified"] = True
    profile = AcceleratorProfile.parse(obj)
    spec = {
        "acceleratorProfile": profile.name,
        "models": [_model(wanted)],
        "serving": {
            "instances": wanted.start.instances,
            "preferredBatchSizes": list(wanted.start.preferred_batch_sizes),
            "maxQueueDelay": f"{wanted.start.max_queue_delay_microseconds}us",
        },
        "cameras": [{"name": f"cam{i}", "url": f"rtsp://cam{i}/", "frameRate": {"target": wanted.load.rate}}
                    for i in range(wanted.load.cameras)],
        "tuning": {
            "objective": {"goal": wanted.goal, "latency": {"percentile": 99, "max": f"{wanted.latency * 1e3:g}ms"}},
            "headroom": {"accelerator": f"{wanted.accelerator:.0%}", "cpu": f"{wanted.cpu:.0%}"},
            "bounds": {"instances": {"min": 1, "max": wanted.instances}, "acceleratorMemory": f"{memory:.0f}M"},
        },
        "degradation": {"enabled": wanted.ladder},
    }  # fmt: skip
    metadata = {"name": "yard", "namespace": "bench", "uid": "bench", "generation": 1}
    return EdgeDetector.parse({"metadata": metadata, "spec": spec}), profile


def _model(wanted: Wanted) -> dict[str, Any]:
    outputs = [
        {"name": one.name, "dims": list(one.dims), "dataType": one.data_type.removeprefix("TYPE_")}
        for one in models.OUTPUTS
    ]
    return {
        "name": MODEL,
        "source": {"configMap": {"name": "people-model"}},
        "inputs": [{"name": "image", "dims": [SIDE, SIDE, 3], "dataType": "UINT8"}],
        "outputs": outputs,
        "decoder": {"type": "none", "labels": ["thing"]},
        "maxBatchSize": wanted.largest,
    }


def size_of(device: str) -> float:
    """Return the device's memory, MB."""
    return number(ask(device, {"op": "describe"})["profile"], "memory.total")


def become(device: str, wanted: Wanted) -> int:
    """Make the device that of the box, and return the largest batch that it takes.

    Every time of it that there is, its link's included, becomes `slower` times as long.
    """
    ask(device, {"op": "configure", "device": wanted.device, "set": dict(wanted.changes)})
    profile = ask(device, {"op": "describe"})["profile"]
    if wanted.slower != 1.0:
        times = [f"compute.{name}.{part}" for name in profile["compute"] for part in ("base", "per_image")]
        times += [
            "turnaround", "scheduler.switch", "scheduler.switch_per_further_instance", "scheduler.patched_switch",
            "host.time_per_image",
        ]  # fmt: skip
        changes = {name: number(profile, name) * wanted.slower for name in times}
        changes["link.efficiency"] = number(profile, "link.efficiency") / wanted.slower
        ask(device, {"op": "configure", "set": changes})
    return int(profile["max_batch"])


@contextlib.contextmanager
def box(wanted: Wanted) -> Iterator[Box]:
    """Run device, Triton, streams and detector until the block ends.

    Raises
    ------
    TimeoutError
        If something does not start.
    """
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(site.directory())
        device = stack.enter_context(tritonserver.emulated_device(home))
        largest = become(device, wanted)
        wanted = replace(wanted, largest=wanted.largest or largest)
        paths = Paths.under(home)
        paths.models.mkdir(parents=True)
        _engine(paths.sources / MODEL, wanted)
        environment = {"EMULATED_ACCELERATOR_ADDRESS": device}
        triton = stack.enter_context(site.triton(home, paths.models, environment))
        ports = {name: tritonserver.free_port() for name in ("port", "events")}
        roots = {"triton": triton.pid}
        made: type[Box] = Box
        if wanted.load.streams == CAMERAS:
            source = stack.enter_context(site.cameras(home, wanted.load.cameras, spread=True))
            media = stack.enter_context(site.media(home, source, wanted.load.cameras))
            roots["media"] = media.pid
            made = type("Filmed", (_Filmed,), {"address": f"rtsp://127.0.0.1:{media.port}"})
        found = made(wanted, paths, f"http://127.0.0.1:{ports['port']}", device, memory=size_of(device), roots=roots)
        found.image = (
            round(number(found.look()["profile"], "link.elements_per_image")) * ELEMENT_BYTES[wanted.precision]
        )
        found.host = number(found.look()["profile"], "host.time_per_image") / 1e3
        found.serve(found.start)
        found.feed(wanted.load)
        task = {"root": str(home), "grpc": _port(triton.grpc), "metrics": _port(triton.metrics), **ports}
        fed = wanted.load.streams == FED
        agent = stack.enter_context(site.agent(home, "detector", {**task, "fed": fed}))
        roots["detector"] = agent.pid
        try:
            found.settle(site.PATIENCE)
        except TimeoutError as error:
            said = (home / "detector.log").read_text()[-2000:]
            raise TimeoutError(f"{error}\n{said}\n{(home / 'tritonserver.log').read_text()[-2000:]}") from None
        yield found


def _engine(directory: Path, wanted: Wanted) -> None:
    directory.mkdir(parents=True)
    text = json.dumps({"emulatedEngine": {"precision": wanted.precision, "maxBatch": wanted.largest}})
    (directory / f"{MODEL}.engine").write_text(text)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
