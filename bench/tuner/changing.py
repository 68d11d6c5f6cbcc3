"""A pod whose serving configuration is changed as the operator changes it: a real tritonserver, the detector's process.

The detector reads cameras, sends their frames through shared memory, and applies what the files say. Nothing here loads
a model: the files are written, and the detector's own word says what serves.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.calibration import tritonserver
from bench.dataplane import models, pod, processes, site
from bench.dataplane.models import Served
from bench.tuner.gaps import Result

from edgedetector import profiles
from edgedetector.api import names
from edgedetector.api.dataplane import DetectorState, Probe, ServingConfig
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.observation import Observation
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.wire import from_json, to_json
from edgedetector.detector.batching import REQUESTS_PER_INSTANCE
from edgedetector.detector.repository import Paths, Repository, replace_file
from edgedetector.detector.trial import Outcome
from edgedetector.plan.serving import serving_config
from edgedetector.plan.triton_config import Knobs
from edgedetector.triton.client import Client

VERSIONS = {"24.10": "0.7.0", "23.07": "0.4.0"}
"""Triton -> the release of the wheel nvidia-pytriton that brings it."""
SERVED = Served("people", max_batch=8, base=4.0, each=2.0)
"""4 + 2b ms for a batch of b: 160 frames/s with one instance and no batching, twice what the cameras send."""
BACKENDS = ("native", "python")
"""What executes: a library in the server's own process, as a vendor's is, which takes `LOAD` and `UNLOAD` milliseconds
to make and to end an instance (`sleeper.c`); or Triton's python backend, an interpreter an instance."""
LOAD, UNLOAD = 50.0, 50.0
RATE = 10.0
"""Frames a second of a camera, all of which are due."""
POD = "bench"
LOOK = 0.03
"""Seconds between looks at the detector's state: the resolution of times to effect."""
_RESTRICTED = "model-repository,shared-memory,trace,logging"
"""As in `plan/triton.py`."""


@dataclass(frozen=True)
class Held:
    """What the two processes hold that does not go by itself, and a configuration does not ask for."""

    detector_descriptors: int
    detector_threads: int
    detector_memory: float
    """MiB, without shared memory; `triton_memory` likewise, without its instances' processes."""
    detector_regions: int
    """Mapped regions of tensors."""
    triton_descriptors: int
    triton_threads: int
    triton_memory: float
    triton_regions: int
    """Mapped regions of tensors, those of the instances' processes apart."""
    registered: int
    """Regions that Triton says it knows."""
    instances: int
    shared: int
    """Mapped regions between Triton and the processes of its instances."""


@dataclass(frozen=True)
class Counts:
    """Counters since the beginning."""

    offered: int
    late: int
    """Frames that a newer one superseded or whose time ran out: the reason of each is counted."""
    failed: int
    requests: int
    """Requests that Triton answered."""


class Changing:
    """The pod, and what is seen of it."""

    def __init__(
        self, home: Path, *, backend: str, server: tritonserver.Server, metrics: str, agent: site.Agent, port: int
    ) -> None:
        self.home, self.agent, self._server, self._metrics, self._port = home, agent, server, metrics, port
        self.paths, self._detector, self._native = Paths.under(home), detector(backend), backend == "native"
        self.client = Client(server.grpc, key=Repository(self.paths).key())
        self.results: list[Result] = []

    def config(self, knobs: Knobs) -> ServingConfig:
        """Return the configuration with these knobs, as the operator plans it."""
        return serving_config(self._detector, PROFILE, knobs={SERVED.name: knobs})

    def accept(self, config: ServingConfig) -> None:
        """Write the accepted configuration; a probe stays as it is."""
        replace_file(self.paths.serving / names.FILE_ACCEPTED, to_json(config))

    def try_(self, name: str, config: ServingConfig, ttl: float) -> None:
        """Write a probe."""
        replace_file(self.paths.serving / names.FILE_PROBE, to_json(Probe(name, POD, ttl, 0, config)))

    def withdraw(self) -> None:
        """Remove the probe's document."""
        (self.paths.serving / names.FILE_PROBE).unlink(missing_ok=True)

    def state(self) -> DetectorState:
        """Return the detector's own word."""
        return from_json(DetectorState, self._get(f"http://127.0.0.1:{self._port}/state"))

    def serves(self, config: ServingConfig) -> bool:
        """Return whether this configuration is in force."""
        return [(one.state, one.serving_id) for one in self.state().models] == [("Ready", config.id)]

    def undone(self, probe: str, usual: ServingConfig) -> bool:
        """Return whether a probe's time is over and the pod serves as before."""
        state = self.state()
        return (state.probe_id, state.probe_outcome) == (probe, Outcome.EXPIRED) and self.serves(usual)

    def until_serves(self, config: ServingConfig, or_else: Callable[[], bool] = lambda: False) -> bool:
        """Wait until this configuration is in force; return False if something else came true instead.

        Raises
        ------
        TimeoutError
            Says what serves instead.
        """
        deadline = time.monotonic() + site.PATIENCE
        while not self.serves(config):
            if or_else():
                return False
            if time.monotonic() > deadline:
                raise TimeoutError(f"{config.id} is not in force: {self.state()}\n{self._log[-4000:]}")
            time.sleep(LOOK)
        return True

    def take(self) -> dict[str, Any]:
        """Take over the results since the last time; return the detector's other counters."""
        counters = self.agent.counters()
        self.results += [Result(*one) for one in counters.pop("published")]
        return counters

    def counts(self) -> Counts:
        """Return the counters of `GET /observation`."""
        deadline = time.monotonic() + site.PATIENCE
        while not (found := from_json(Observation, self._get(f"http://127.0.0.1:{self._port}/observation")).models):
            if time.monotonic() > deadline:
                raise TimeoutError("Triton tells nothing of its models")
            time.sleep(LOOK)
        (model,) = found
        return Counts(model.offered, model.skipped, model.failures, sum(model.exchanges.values()))

    def refused(self) -> int:
        """Return the requests that Triton says have failed, of all models and for all reasons."""
        lines = self._get(f"http://{self._metrics}/metrics").splitlines()
        values = (line.rpartition(" ")[2] for line in lines if line.startswith("nv_inference_request_failure{"))
        return sum(int(float(value)) for value in values)

    def loads(self) -> list[float]:
        """Return the seconds that each load took, from the detector's log."""
        return [float(seconds) for seconds in re.findall(r"serves \w+ after ([\d.]+) s", self._log)]

    def complaints(self) -> list[str]:
        """Return what the detector's log says above information."""
        return [line for line in self._log.splitlines() if re.match(r"(WARNING|ERROR|CRITICAL|Traceback)", line)]

    def instances(self) -> frozenset[int]:
        """Return what tells instances apart, those of former copies included: process ids, or inodes of `sleeper.c`."""
        opened = Path(f"/proc/{self._server.process.pid}/fd")
        if self._native:
            return frozenset(_inode(one) for one in opened.iterdir() if "sleeper-instance" in _target(one))
        return frozenset(processes.tree(self._server.process.pid)) - {self._server.process.pid}

    def settle(self, knobs: Knobs) -> None:
        """Wait until what is done in the background has been done.

        Triton ends the instances of former copies. The detector, which asks once a second what it may send, removes
        the regions of requests that are of another size or too many.
        """
        most = REQUESTS_PER_INSTANCE * knobs.instances
        site.until("former instances end", lambda: len(self.instances()) == knobs.instances)
        site.until(
            "former regions go", lambda: self._regions() <= most and self._regions() == len(self.client.regions())
        )

    def held(self) -> Held:
        """Look at both processes."""
        counters, pid = self.take(), self._server.process.pid
        ours, theirs = _mapped(self.agent.pid), _mapped(pid)
        return Held(
            detector_descriptors=counters["descriptors"],
            detector_threads=counters["threads"],
            detector_memory=processes.resident(self.agent.pid),
            detector_regions=len(_tensors(ours)),
            triton_descriptors=_count(Path(f"/proc/{pid}/fd")),
            triton_threads=_count(Path(f"/proc/{pid}/task")),
            triton_memory=processes.resident(pid),
            triton_regions=len(_tensors(theirs)),
            registered=len(self.client.regions()),
            instances=len(self.instances()),
            shared=len(theirs) - len(_tensors(theirs)),
        )

    def unaccounted(self) -> int:
        """Return the frames that were read and of which no counter says what became of them.

        Those in flight are among them: to be asked once the cameras have ended.
        """
        found: dict[str, int] = {}
        for _, result, value in self.take()["frames"]:
            found[result] = found.get(result, 0) + int(value)
        return found.pop("read") - sum(found.values())

    def _regions(self) -> int:
        return len(_tensors(_mapped(self.agent.pid)))

    @property
    def _log(self) -> str:
        return (self.home / "detector.log").read_text()

    @staticmethod
    def _get(url: str) -> str:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())


class Ground:
    """Cameras, which can be ended before the rest."""

    def __init__(self, stack: contextlib.ExitStack, pod: Changing) -> None:
        self._stack, self.pod = stack, pod

    def end_cameras(self) -> None:
        """Let every stream end."""
        self._stack.close()


@contextlib.contextmanager
def ground(version: str, backend: str, cameras: int, start: Knobs) -> Iterator[Ground]:
    """Run everything until the block ends; yields once each camera has a result with `start` in force."""
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as filming:
        home = stack.enter_context(site.directory())
        source = filming.enter_context(site.cameras(home, cameras, spread=True))
        paths = Paths.under(home)
        replace_file(paths.sources / SERVED.name / _FILES[backend], models.CODE if backend == "python" else "none")
        if backend == "native":
            _build(home / "backends" / "sleeper")
        paths.models.mkdir(parents=True)
        watched = pod.cameras(cameras, RATE, SERVED.name)
        pod.write(home, pod.Wanted((SERVED,), watched, f"rtsp://127.0.0.1:{source.port}", ladder=False))
        server, metrics = stack.enter_context(_triton(version, home, Repository(paths).key()))
        port, events = tritonserver.free_port(), tritonserver.free_port()
        task = {
            "root": str(home),
            "grpc": _port(server.grpc),
            "metrics": _port(metrics),
            "port": port,
            "events": events,
        }
        agent = stack.enter_context(site.agent(home, "detector", task))
        found = Changing(home, backend=backend, server=server, metrics=metrics, agent=agent, port=port)
        stack.callback(found.client.close)
        found.accept(found.config(start))
        site.until("the detector listens", lambda: site.listens(port))
        found.until_serves(found.config(start))
        site.until(f"{cameras} cameras are live", lambda: pod.live(found.take(), cameras))
        yield Ground(filming, found)


@contextlib.contextmanager
def _triton(version: str, home: Path, key: str) -> Iterator[tuple[tritonserver.Server, str]]:
    """Run tritonserver as a pod does, but for its addresses; yields it and where its metrics are."""
    metrics = tritonserver.free_port()
    options = (
        "--strict-readiness=false", "--exit-timeout-secs=10", "--disable-auto-complete-config", "--allow-metrics=true",
        f"--metrics-port={metrics}", "--metrics-address=127.0.0.1",
        f"--grpc-restricted-protocol={_RESTRICTED}:admin={key}",
    )  # fmt: skip
    installation = tritonserver.prepare(VERSIONS[version])
    with tritonserver.running(installation, home, Paths.under(home).models, *options) as server:
        yield server, f"127.0.0.1:{metrics}"


def _mapped(pid: int) -> set[str]:
    """Return the files of shared memory that a process has mapped, with those that have no name any more."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.partition("/dev/shm/")[2] for line in lines if "/dev/shm/" in line}


def _count(directory: Path) -> int:
    return sum(1 for _ in directory.iterdir())


def _tensors(mapped: set[str]) -> set[str]:
    return {name for name in mapped if name.startswith("edgedetector-tensors-")}


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "dims": list(tensor.dims), "dataType": tensor.data_type}


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _inode(link: Path) -> int:
    try:
        return link.stat().st_ino
    except OSError:
        return 0


def _build(directory: Path) -> None:
    """Compile the native backend to where Triton looks for it."""
    directory.mkdir(parents=True)
    times = {"BASE": SERVED.base, "EACH": SERVED.each, "LOAD": LOAD, "UNLOAD": UNLOAD}
    defined = [f"-D{name}_US={round(value * 1e3)}" for name, value in times.items()]
    source, library = Path(__file__).with_name("sleeper.c"), directory / "libtriton_sleeper.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", *defined, "-o", str(library), str(source)], check=True)


PROFILE = AcceleratorProfile.parse(next(one for one in profiles.load() if one["metadata"]["name"] == "cpu"))
_FILES = {"native": "model.bin", "python": "model.py"}


def detector(backend: str) -> EdgeDetector:
    """Return the EdgeDetector that an operator would plan for."""
    model = {
        "name": SERVED.name,
        "source": {"configMap": {"name": SERVED.name}},
        "backend": "sleeper" if backend == "native" else "python",
        "modelFile": _FILES[backend],
        "inputs": [_tensor(models.IMAGE)],
        "outputs": [_tensor(output) for output in models.OUTPUTS],
        "decoder": {"type": "none", "labels": ["thing"]},
        "maxBatchSize": SERVED.max_batch,
        "parameters": {"base": str(SERVED.base), "each": str(SERVED.each)},
    }
    cameras = [{"name": "cam0", "url": "rtsp://cam0.example/"}]
    spec = {"acceleratorProfile": PROFILE.name, "models": [model], "cameras": cameras}
    return EdgeDetector.parse({"metadata": {"name": POD, "namespace": POD}, "spec": spec})
