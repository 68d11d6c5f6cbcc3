"""Frames from memory into a dispatcher, as fast as it takes them: what is measured is the way from there on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bench.dataplane import pipeline

from edgedetector.detector.batching import Capacity, Outcome
from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.dispatch import Shot
from edgedetector.detector.frame import Frame
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Decoded, Model
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.opening import SourceError
from edgedetector.detector.reader import Reader
from edgedetector.triton.client import Client

PATIENCE = 60.0
"""Seconds that a frame may wait: none is dropped here for its age."""


class Served(Protocol):
    """A model that Triton has loaded."""

    @property
    def name(self) -> str:
        """Its name."""

    def model(self) -> Model:
        """Return it as the data plane sees it."""


def pictures(video: Path, count: int = 40) -> list[Frame]:
    """Return the first frames of a file, decoded."""
    found: list[Frame] = []
    try:
        for frame in Reader(str(video), CLOCKS).frames():
            found.append(frame)
            if len(found) == count:
                break
    except SourceError as error:
        if error.reason != "StreamEnded":
            raise
    return found


@dataclass
class Fed:
    """What became of the frames of a run."""

    seconds: float = 0.0
    ages: list[float] = field(default_factory=list)
    """Milliseconds from a frame's arrival to its result."""
    fates: dict[str, int] = field(default_factory=dict)
    errors: set[str] = field(default_factory=set)
    boxes: int = 0

    @property
    def rate(self) -> float:
        """Return results a second."""
        return len(self.ages) / self.seconds


class Feeder:
    """Keeps one frame of each of some cameras waiting or on its way, until it is told to stop.

    A context: its threads and its shared memory go with the block.
    """

    def __init__(self, client: Client, served: Served, room: Capacity, frames: Sequence[Frame], cameras: int) -> None:
        self._served, self._frames = served, frames
        self._guard, self._metrics = Guard(), Metrics()
        self._dispatcher = pipeline.dispatcher(client, self._guard, self._metrics)
        self._names = [f"cam{number}" for number in range(cameras)]
        self._dispatcher.configure({served.name: served.model()}, {served.name: room}, dict.fromkeys(self._names, 0))
        self._back: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._fed = Fed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._dispatcher.close()

    def run(self, seconds: float) -> Fed:
        """Feed for so long and wait for what is on its way.

        Raises
        ------
        RuntimeError
            If a thread of the data plane failed or shared memory could not be had.
        """
        with self._lock:
            self._fed = fed = Fed()
        began, number = time.monotonic(), 0
        for name in self._names:
            self._offer(name, number := number + 1)
        left = len(self._names)
        while left:
            name = self._back.get(timeout=PATIENCE)
            if time.monotonic() - began < seconds:
                self._offer(name, number := number + 1)
            else:
                left -= 1
        fed.seconds = time.monotonic() - began
        if trouble := self._guard.failed or self._dispatcher.trouble:
            raise RuntimeError(trouble)
        return fed

    def stages(self) -> dict[str, float]:
        """Return CPU seconds by stage so far."""
        return pipeline.stages(self._metrics)

    def _offer(self, name: str, number: int) -> None:
        known, now = self._frames[number % len(self._frames)], time.monotonic()
        shot = Shot(_Owner(name, self), Frame(known.picture, known.pts, now, time.time()), 1)
        self._dispatcher.offer(name, (self._served.name,), shot, arrived=now, wait=PATIENCE)

    def found(self, arrived: float, boxes: int) -> None:
        with self._lock:
            self._fed.boxes += boxes
            self._fed.ages.append((time.monotonic() - arrived) * 1e3)

    def failed(self, error: Exception) -> None:
        with self._lock:
            self._fed.errors.add(str(error))

    def settled(self, name: str, fate: Outcome) -> None:
        with self._lock:
            self._fed.fates[fate.value] = self._fed.fates.get(fate.value, 0) + 1
        self._back.put(name)


@dataclass(frozen=True)
class _Owner:
    """A camera of the feeder; see `dispatch.Owner`."""

    name: str
    feeder: Feeder
    confidence: float | None = None

    def found(self, shot: Any, _model: str, decoded: Decoded, _seconds: float) -> None:
        self.feeder.found(shot.frame.arrived, len(decoded.detections))

    def failed(self, _shot: Any, _model: str, error: Exception) -> None:
        self.feeder.failed(error)

    def settled(self, _shot: Any, fate: Outcome) -> None:
        self.feeder.settled(self.name, fate)
