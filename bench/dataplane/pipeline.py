"""Our data plane as a pod runs it, without Kubernetes: Reader, Camera and Dispatcher, and what they tell of themselves.

The only place of the benchmark that builds the data plane's parts; the detector does it in `detector/run.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.dataplane.models import Served

from edgedetector.api.dataplane import DetectorCamera, FrameRate
from edgedetector.detector.batching import Capacity
from edgedetector.detector.camera import CLOCKS, Camera
from edgedetector.detector.cpu import Budget, Stopwatch
from edgedetector.detector.dispatch import Dispatcher, Shot
from edgedetector.detector.events import Hub, Result
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Model
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.outputs.outputs import Outputs
from edgedetector.detector.reader import Reader
from edgedetector.triton.client import Client
from edgedetector.triton.shared_memory import Regions


class Recorder(Hub):
    """A hub that remembers how old each result's frame was, until it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._ages: list[float] = []
        self._results: dict[str, int] = {}

    def publish(self, result: Result) -> None:
        super().publish(result)
        with self._lock:
            self._ages.append(result.age)
            self._results[result.camera] = self._results.get(result.camera, 0) + 1

    def taken(self) -> tuple[list[float], dict[str, int]]:
        """Return the ages, in seconds, since this was last called, and the results of each camera in all."""
        with self._lock:
            ages, self._ages = self._ages, []
            return ages, dict(self._results)


class Counted:
    """Offers to a dispatcher, counted: the frames that are due.

    The camera's own counters do not tell those that were not due from those for which there was no room.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._lock = threading.Lock()
        self._offered: dict[str, int] = {}

    def offer(self, camera: str, models: tuple[str, ...], shot: Shot, *, arrived: float, wait: float) -> None:
        with self._lock:
            self._offered[camera] = self._offered.get(camera, 0) + 1
        self._dispatcher.offer(camera, models, shot, arrived=arrived, wait=wait)

    def offered(self) -> dict[str, int]:
        with self._lock:
            return dict(self._offered)


def dispatcher(client: Client, guard: Guard, metrics: Metrics, regions: Regions | None = None) -> Dispatcher:
    """Return a dispatcher with shared memory, wired as the detector's."""
    return Dispatcher(
        client,
        regions=regions or Regions(),
        start=lambda name, work: guard.start(name, work, essential=False),
        stage=lambda name: Stopwatch(CLOCKS, lambda spent: metrics.spent(name, spent)),
        clock=time.monotonic,
    )


def stages(metrics: Metrics) -> dict[str, float]:
    """Return CPU seconds by stage."""
    samples = [sample for family in metrics.cpu.collect() for sample in family.samples]
    return {sample.labels["stage"]: sample.value for sample in samples if sample.name.endswith("_total")}


class Pipeline:
    """Streams that are read and inferred with one model.

    Parameters
    ----------
    streams
        Camera -> URL in the media server.
    rate
        Frames a second of each camera that are inferred.
    """

    def __init__(
        self, streams: Mapping[str, str], client: Client, served: Served, *, rate: float, room: Capacity
    ) -> None:
        self.guard, self.metrics, self.hub = Guard(), Metrics(), Recorder()
        self.dispatcher = dispatcher(client, self.guard, self.metrics)
        self.offers = Counted(self.dispatcher)
        models: dict[str, Model] = {served.name: served.model()}
        self.dispatcher.configure(models, {served.name: room}, dict.fromkeys(streams, 0))
        self.cameras = [self._camera(name, url, models, rate) for name, url in streams.items()]

    def _camera(self, name: str, url: str, models: Mapping[str, Model], rate: float) -> Camera:
        def make_stream(due: Callable[[float], bool]) -> Reader:
            return Reader(
                url,
                CLOCKS,
                due=due,
                on_read=lambda spent: self.metrics.spent("read", spent),
                on_decode=lambda spent: self.metrics.spent("decode", spent),
                budget=Budget(),
            )

        config = DetectorCamera(name, name, tuple(models), FrameRate(rate, rate, rate))
        camera = Camera(
            config,
            url,
            make_stream=make_stream,
            offers=self.offers,
            hub=self.hub,
            metrics=self.metrics,
            outputs=Outputs((), lambda *_: None),
        )
        camera.configure(config, models)
        return camera

    def start(self) -> None:
        for camera in self.cameras:
            camera.start(self.guard)

    def counters(self) -> dict[str, Any]:
        """Return what happened so far; `ages` are those since the last call, in milliseconds."""
        ages, results = self.hub.taken()
        return {
            "inferred": {camera.name: results.get(camera.name, 0) for camera in self.cameras},
            "offered": self.offers.offered(),
            "states": {camera.name: str(camera.state().state) for camera in self.cameras},
            "stages": stages(self.metrics),
            "ages": [round(age * 1e3, 3) for age in ages],
            "trouble": self.dispatcher.trouble or self.guard.failed,
        }

    def close(self) -> None:
        """Stop to read, and remove the shared memory; a reader ends with its stream's next packet."""
        for camera in self.cameras:
            camera.stop()
        self.dispatcher.close()
