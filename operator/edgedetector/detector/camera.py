"""One camera: a reader that always drains, and the frames that are due, which go to its models while they are new."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from edgedetector.api.dataplane import CameraState, DetectorCamera
from edgedetector.detector.batching import Outcome
from edgedetector.detector.cpu import Spent
from edgedetector.detector.detection import Detection
from edgedetector.detector.dispatch import Shot
from edgedetector.detector.events import Hub, Result
from edgedetector.detector.frame import Clocks, Frame
from edgedetector.detector.guard import Guard
from edgedetector.detector.health import remark
from edgedetector.detector.inference import Model
from edgedetector.detector.lifecycle import Lifecycle
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.opening import SourceError
from edgedetector.detector.pacing import Pacer
from edgedetector.detector.reading import Reading

log = logging.getLogger(__name__)

_DETECTING: Final = 10.0
"""Seconds since the last result for which a camera counts as detecting (CameraState.detecting)."""
CLOCKS: Final = Clocks(time.monotonic, time.time)
_RESULTS: Final[Mapping[Outcome, str]] = {Outcome.SERVED: "inferred", Outcome.FAILED: "failed"}
"""What became of a frame, for its counter; all else is skipped."""
_UNDECODED: Final = ("passed_over", "over_budget")


class Stream(Protocol):
    """What a camera needs of a `reader.Reader`."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the stream ends with a SourceError."""

    def reading(self) -> Reading:
        """Return what is known of the stream."""

    def stop(self) -> None:
        """End `frames`."""


class Offers(Protocol):
    """What a camera needs of a `dispatch.Dispatcher`."""

    def offer(self, camera: str, models: tuple[str, ...], shot: Shot, *, arrived: float, wait: float) -> None:
        """Offer a frame to models."""


MakeStream = Callable[[Callable[[float], bool], Callable[[Spent], None]], Stream]
"""Makes the reader of a stream of what says whether a frame is due, and of what is told what decoding took."""


class Camera:
    """A camera that is served here.

    Parameters
    ----------
    url
        The stream in the media server.
    make_stream
        Makes its reader.
    offers
        Takes the frames that are due.
    jitter
        Random numbers in [0, 1) for the backoff.
    """

    def __init__(
        self,
        config: DetectorCamera,
        url: str,
        *,
        make_stream: MakeStream,
        offers: Offers,
        hub: Hub,
        metrics: Metrics,
        clocks: Clocks = CLOCKS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = url
        self._offers = offers
        self._hub = hub
        self._metrics = metrics
        self._clocks = clocks
        self._jitter = jitter
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._config = config
        self._models: tuple[str, ...] = ()
        self._pacer = Pacer(1.0 / config.frame_rate.target)
        self._lifecycle = Lifecycle(since=clocks.monotonic())
        self._since: tuple[float, str] | None = None
        self._inferred: float | None = None
        self._trouble = ""
        self._undecoded = 0
        self._stream = make_stream(self._due, lambda spent: metrics.spent("decode", spent))
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
            self._models = tuple(name for name in config.models if name in models)

    def start(self, guard: Guard) -> None:
        """Start to read."""
        guard.start(f"read:{self.name}", self._read, essential=False)

    def stop(self) -> None:
        """End at the next frame or time-out; does not wait, since a dead stream blocks for long."""
        self._stop.set()
        self._stream.stop()

    def state(self) -> CameraState:
        """Return where the camera stands now."""
        now, spared = self._clocks.monotonic(), self._stream.reading().spared
        with self._lock:
            self._lifecycle = known = self._lifecycle.observed(now, spared)
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

    def found(self, shot: Shot, model: str, detections: tuple[Detection, ...], seconds: float) -> None:
        """Publish what a model found; see `dispatch.Owner`."""
        if self._stop.is_set():
            return  # Removed meanwhile: its series and pictures must not come back.
        frame, now = shot.frame, self._clocks.monotonic()
        age = now - frame.arrived
        self._metrics.age.labels(self.name).observe(age)
        self._metrics.inference.labels(self.name).observe(seconds)
        for detection in detections:
            self._metrics.detections.labels(self.name, model, detection.label).inc()
        self._hub.publish(
            Result(
                camera=self.name,
                model=model,
                image=shot.image(),
                pts=frame.pts,
                captured=frame.captured,
                age=age,
                inference=seconds,
                detections=detections,
            )
        )
        with self._lock:
            self._inferred = now
        self._note("")

    def failed(self, shot: Shot, model: str, error: Exception) -> None:  # noqa: ARG002 - dispatch.Owner's signature
        """Say why there is no result."""
        self._note(str(error))

    def settled(self, shot: Shot, fate: Outcome) -> None:  # noqa: ARG002 - dispatch.Owner's signature
        """Count what became of a frame."""
        self._count(_RESULTS.get(fate, "skipped"))

    def _time_of(self, seconds_ago: float) -> str:
        time_of_day = datetime.fromtimestamp(self._clocks.wall() - seconds_ago, UTC)
        return time_of_day.isoformat(timespec="seconds").replace("+00:00", "Z")

    def _read(self) -> None:
        while not self._stop.is_set():
            self._metrics.opened.labels(self.name).inc()
            try:
                for frame in self._stream.frames():
                    if self._stop.is_set():
                        return
                    self._take(frame)
            except SourceError as error:
                self._stop.wait(self._failed(error))

    def _failed(self, error: SourceError) -> float:
        with self._lock:
            before = self._lifecycle
            after = before.failed(self._clocks.monotonic(), error.reason, str(error), unauthorized=error.unauthorized)
            self._lifecycle = after
        if (before.state, before.message) != (after.state, after.message) and not self._stop.is_set():
            log.warning("camera %s: %s: %s", self.name, error.reason, error)
        return after.backoff(self._jitter())

    def _due(self, now: float) -> bool:
        with self._lock:
            wanted = self._pacer.admits(now)
            self._pacer = self._pacer.seen(now)
        return wanted

    def _take(self, frame: Frame) -> None:
        """Count a frame, and hand it on if it is due."""
        reading = self._stream.reading()
        with self._lock:
            self._lifecycle = self._lifecycle.frame(frame.arrived, remark(reading, frame.arrived))
            wanted, models = self._pacer.admits(frame.arrived), self._models
            if wanted:
                self._pacer = self._pacer.admitted(frame.arrived)
            wait = self._pacer.interval
        self._count_undecoded(reading)
        if not self._stop.is_set():
            self._metrics.decoding(self.name, reading)
        self._count("read")
        if not wanted or not models:
            self._count("skipped")
            return
        self._offers.offer(self.name, models, Shot(self, frame, len(models)), arrived=frame.arrived, wait=wait)

    def _count_undecoded(self, reading: Reading) -> None:
        undecoded = sum(reading.frames[result] for result in _UNDECODED)
        new, self._undecoded = undecoded - self._undecoded, undecoded
        for result in ("read", "skipped"):
            self._count(result, new)

    def _count(self, result: str, number: int = 1) -> None:
        if not self._stop.is_set():
            self._metrics.frames.labels(self.name, result).inc(number)

    def _note(self, trouble: str) -> None:
        with self._lock:
            before, self._trouble = self._trouble, trouble
        if trouble and trouble != before:
            log.warning("camera %s: %s", self.name, trouble)
