"""One camera: a reader that always drains, a slot for the newest frame, and a stage that infers at the target rate."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

from edgedetector.api.dataplane import CameraState, DetectorCamera
from edgedetector.detector.events import Hub, Result
from edgedetector.detector.guard import Guard
from edgedetector.detector.inference import Model, UnexpectedOutputError
from edgedetector.detector.lifecycle import Lifecycle
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.pacing import Pacer
from edgedetector.detector.source import Clocks, Frame, SourceError, frames
from edgedetector.triton.client import Client
from edgedetector.triton.errors import TritonError

log = logging.getLogger(__name__)

T = TypeVar("T")

_IDLE: Final = 0.5
"""Seconds after which a waiting stage looks whether it should stop."""
_DETECTING: Final = 10.0
"""Seconds since the last result for which a camera counts as detecting (CameraState.detecting)."""
CLOCKS: Final = Clocks(time.monotonic, time.time)

Open = Callable[[str, Clocks, Callable[[float], None]], Iterator[Frame]]


class Slot(Generic[T]):
    """Room for one item; a newer one takes its place."""

    def __init__(self) -> None:
        self._filled = threading.Condition()
        self._item: T | None = None

    def put(self, item: T) -> bool:
        """Store the item; return whether one that nobody had taken was lost."""
        with self._filled:
            lost, self._item = self._item is not None, item
            self._filled.notify()
            return lost

    def waiting(self) -> bool:
        """Return whether an item waits to be taken."""
        with self._filled:
            return self._item is not None

    def take(self, timeout: float) -> T | None:
        """Return the item, or None after `timeout` seconds without one."""
        with self._filled:
            self._filled.wait_for(lambda: self._item is not None, timeout)
            item, self._item = self._item, None
            return item


class Camera:
    """A camera that is served here.

    Parameters
    ----------
    url
        The stream in the media server.
    open_stream
        Yields its frames, as `source.frames`.
    jitter
        Random numbers in [0, 1) for the backoff.
    """

    def __init__(
        self,
        config: DetectorCamera,
        url: str,
        *,
        client: Client,
        hub: Hub,
        metrics: Metrics,
        clocks: Clocks = CLOCKS,
        open_stream: Open = frames,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = url
        self._client = client
        self._hub = hub
        self._metrics = metrics
        self._clocks = clocks
        self._open = open_stream
        self._jitter = jitter
        self._stop = threading.Event()
        self._slot: Slot[Frame] = Slot()
        self._lock = threading.Lock()
        self._config = config
        self._models: tuple[Model, ...] = ()
        self._pacer = Pacer(1.0 / config.frame_rate.target)
        self._lifecycle = Lifecycle(since=clocks.monotonic())
        self._since: tuple[float, str] | None = None
        self._inferred: float | None = None
        self._trouble = ""
        metrics.add_camera(config.name, config.frame_rate.target)

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._config.name

    def configure(self, config: DetectorCamera, models: Mapping[str, Model]) -> None:
        """Take over another rate or other models without touching the stream."""
        with self._lock:
            if config.frame_rate.target != self._config.frame_rate.target:
                self._pacer = self._pacer.at(config.frame_rate.target)
                self._metrics.target.labels(config.name).set(config.frame_rate.target)
            self._config = config
            self._models = tuple(models[name] for name in config.models if name in models)

    def start(self, guard: Guard) -> None:
        """Start both stages."""
        guard.start(f"read:{self.name}", self._read, essential=False)
        guard.start(f"detect:{self.name}", self._detect, essential=False)

    def stop(self) -> None:
        """End both stages at their next frame or time-out; does not wait, since a dead stream blocks for long."""
        self._stop.set()

    def state(self) -> CameraState:
        """Return where the camera stands now."""
        now = self._clocks.monotonic()
        with self._lock:
            self._lifecycle = known = self._lifecycle.observed(now)
            inferred, trouble = self._inferred, self._trouble
            if self._since is None or self._since[0] != known.since:
                # Once a state: a wall clock that is being adjusted would move it, and each move would be a write.
                self._since = known.since, self._time_of(now - known.since)
            since = self._since[1]
        return CameraState(
            name=self.name,
            state=known.state,
            reason=known.reason,
            message=known.message or trouble,
            since=since,
            detecting=inferred is not None and now - inferred < _DETECTING,
        )

    def _time_of(self, seconds_ago: float) -> str:
        time_of_day = datetime.fromtimestamp(self._clocks.wall() - seconds_ago, UTC)
        return time_of_day.isoformat(timespec="seconds").replace("+00:00", "Z")

    def _read(self) -> None:
        while not self._stop.is_set():
            self._metrics.opened.labels(self.name).inc()
            try:
                for frame in self._open(self.url, self._clocks, self._metrics.stages.labels("decode").inc):
                    if self._stop.is_set():
                        return
                    self._offer(frame)
            except SourceError as error:
                self._stop.wait(self._failed(error))

    def _failed(self, error: SourceError) -> float:
        with self._lock:
            before = self._lifecycle
            after = before.failed(self._clocks.monotonic(), error.reason, str(error), unauthorized=error.unauthorized)
            self._lifecycle = after
        if (before.state, before.message) != (after.state, after.message):
            log.warning("camera %s: %s: %s", self.name, error.reason, error)
        return after.backoff(self._jitter())

    def _offer(self, frame: Frame) -> None:
        """Count a frame, and hand it on if it is due or if the one that waits is older anyway."""
        with self._lock:
            self._lifecycle = self._lifecycle.frame(frame.arrived)
            wanted = self._pacer.admits(frame.arrived)
            self._pacer = self._pacer.seen(frame.arrived)
            if wanted:
                self._pacer = self._pacer.admitted(frame.arrived)
        self._count("read")
        if not (wanted or self._slot.waiting()) or self._slot.put(frame):
            self._count("skipped")

    def _detect(self) -> None:
        while not self._stop.is_set():
            frame = self._slot.take(_IDLE)
            if frame is not None:
                self._infer(frame)

    def _infer(self, frame: Frame) -> None:
        with self._lock:
            models = self._models
        if not models:
            self._count("skipped")
            return
        with self._stage("convert"):
            image = frame.image()
        try:
            for model in models:
                self._ask(model, frame, image)
        except (TritonError, UnexpectedOutputError) as error:
            self._count("failed")
            self._note(str(error))
            return
        self._count("inferred")
        with self._lock:
            self._inferred = self._clocks.monotonic()
        self._note("")

    def _ask(self, model: Model, frame: Frame, image: Any) -> None:
        with self._stage("prepare"):
            inputs, mapping = model.prepare(image)
        sent = self._clocks.monotonic()
        with self._stage("request"):
            outputs = self._client.infer(model.name, inputs, model.outputs)
        answered = self._clocks.monotonic()
        with self._stage("boxes"):
            detections = model.decode(outputs, mapping)
        age = self._clocks.monotonic() - frame.arrived
        if self._stop.is_set():
            return  # Removed meanwhile: its series and pictures must not come back.
        self._metrics.age.labels(self.name).observe(age)
        self._metrics.inference.labels(self.name).observe(answered - sent)
        for detection in detections:
            self._metrics.detections.labels(self.name, model.name, detection.label).inc()
        self._hub.publish(
            Result(
                camera=self.name,
                model=model.name,
                image=image,
                pts=frame.pts,
                captured=frame.captured,
                age=age,
                inference=answered - sent,
                detections=detections,
            )
        )

    def _count(self, result: str) -> None:
        if not self._stop.is_set():
            self._metrics.frames.labels(self.name, result).inc()

    def _note(self, trouble: str) -> None:
        with self._lock:
            before, self._trouble = self._trouble, trouble
        if trouble and trouble != before:
            log.warning("camera %s: %s", self.name, trouble)

    def _stage(self, name: str) -> Stopwatch:
        return Stopwatch(self._clocks.monotonic, self._metrics.stages.labels(name).inc)


class Stopwatch:
    """Tells how long a block took, also if it failed."""

    def __init__(self, clock: Callable[[], float], tell: Callable[[float], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = self._clock()

    def __exit__(self, *_: object) -> None:
        self._tell(max(0.0, self._clock() - self._started))
