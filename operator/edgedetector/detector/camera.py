"""One camera: a reader that always drains, and the frames that are due, which go to its models while they are new."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

from edgedetector.api.dataplane import CameraState, DetectorCamera, FrameRate
from edgedetector.detector.asked import Asked, Sample, served_by
from edgedetector.detector.batching import Outcome
from edgedetector.detector.cpu import Stopwatch
from edgedetector.detector.dispatch import Shot
from edgedetector.detector.events import Hub, Result
from edgedetector.detector.frame import Clocks, Frame
from edgedetector.detector.guard import Guard
from edgedetector.detector.health import remark
from edgedetector.detector.inference import Decoded, Model
from edgedetector.detector.lifecycle import Lifecycle, Remark
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.opening import SourceError
from edgedetector.detector.pacing import Pacer
from edgedetector.detector.perception import Events, Perception
from edgedetector.detector.rates import AdaptiveRate, Room
from edgedetector.detector.reading import Reading
from edgedetector.detector.shortfall import Shortfall
from edgedetector.detector.streams import Session, Streams
from edgedetector.detector.surroundings import Listener, MakeStream, Offers

log = logging.getLogger(__name__)

_DETECTING: Final = 10.0
"""Seconds since the last result for which a camera counts as detecting (CameraState.detecting)."""
CLOCKS: Final = Clocks(time.monotonic, time.time)
_RESULTS: Final[Mapping[Outcome, str]] = {Outcome.SERVED: "inferred", Outcome.FAILED: "failed"}
"""What became of a frame, for its counter; all else is skipped."""
_LATE: Final = frozenset({Outcome.SUPERSEDED, Outcome.EXPIRED})
_SAMPLES: Final = 512
"""Results that are remembered: 17 s at 30 frames/s, more than pressure is judged by."""
_LOOK: Final = 0.5
"""Seconds between looks at whether a suspended camera is wanted again, and at what is odd about a stream."""
_SUPPRESSED_HERE: Final = frozenset({"yolov5", "yolov8"})
"""Decoders that compare boxes on the CPU (non-maximum suppression)."""
_UNDECODED: Final = ("passed_over", "over_budget")


class Camera:
    """A camera that is served here.

    Parameters
    ----------
    url
        The stream in the media server.
    substream
        URL of the sub-stream that is read under overload; empty: there is none.
    make_stream
        Makes its reader.
    offers
        Takes the frames that are due.
    jitter
        Random numbers in [0, 1) for the backoff, and for where a lower rate's grid begins.
    """

    def __init__(
        self,
        config: DetectorCamera,
        url: str,
        substream: str = "",
        *,
        make_stream: MakeStream,
        offers: Offers,
        hub: Hub,
        metrics: Metrics,
        outputs: Listener,
        clocks: Clocks = CLOCKS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.urls = url, substream
        self._streams = Streams(url, substream)
        self._session = Session(url)  # Of the thread that reads alone.
        self._offers = offers
        self._hub = hub
        self._metrics = metrics
        self._outputs = outputs
        self._clocks = clocks
        self._jitter = jitter
        self._stop = threading.Event()
        self._publishing = threading.Lock()
        self._lock = threading.Lock()
        self._config = config
        self._models: tuple[str, ...] = ()
        self._variants: Mapping[str, str] = {}
        self._served: Mapping[str, tuple[str, ...]] = {}
        self._suppressing: set[str] = set()
        self._perception = Perception(config)
        self._rate = AdaptiveRate.of(config.frame_rate)
        self._pacer = Pacer(1.0 / config.frame_rate.target)
        self._asked = Asked()
        self._shortfall: Shortfall | None = None  # None: the ladder takes no frames.
        self._still = False  # Whether nothing moved in the frame that was due last.
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self._offered = self._lost = 0
        self._lifecycle = Lifecycle(since=clocks.monotonic())
        self._since: tuple[float, str] | None = None
        self._inferred: float | None = None
        self._trouble = ""
        self._undecoded = 0
        self._looked = -math.inf
        self._remark: Remark | None = None
        self._stream = make_stream(self._due)
        self._stream.url = url
        metrics.add_camera(config.name, config.frame_rate.target)

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._config.name

    def configure(self, config: DetectorCamera, models: Mapping[str, Model]) -> None:
        """Take over another rate or other models without touching the stream."""
        now = self._clocks.monotonic()
        used = {name: models[name] for name in config.models if name in models}
        variants = {name: model.config.smaller_variant for name, model in used.items()}
        variants = {name: variant for name, variant in variants.items() if variant in models}
        known = [*used.values(), *(models[variant] for variant in variants.values())]
        if config != self._config:
            self._tell(self._perception.configure(config, now))
        self._tell(self._perception.keep(used, now))
        with self._lock:
            self._suppressing = {model.name for model in known if model.config.decoder.type in _SUPPRESSED_HERE}
            self._rate = self._rate.configured(config.frame_rate)
            if config.frame_rate != self._config.frame_rate:
                self._shortfall = None
            self._config = config
            self._models, self._variants = tuple(used), variants
            self._served = served_by(self._models, variants, self._asked.variants)
        self._metrics.offered.labels(self.name).set(config.frame_rate.target)
        self._pace()

    def ask(self, asked: Asked, room: Room, now: float) -> None:
        """Take over what the ladder says, and rise with activity where there is room; about once a second."""
        active = self._perception.active(now)
        with self._lock:
            before, self._asked = self._asked, asked
            self._served = served_by(self._models, self._variants, asked.variants)
            self._rate = self._rate.advance(now, active=active, room=room, ceiling=asked.ceiling)
            target = self._config.frame_rate.target
            self._shortfall = (self._shortfall or Shortfall.of(target)) if asked.fewer(target) else None
            if asked.suspended:
                self._lifecycle = self._lifecycle.suspended(now, asked.sentence)
            elif before.suspended:
                self._lifecycle = self._lifecycle.resumed(now)
            self._stream.url = self._streams.url(now, smaller=asked.substream)
        self._stream.keyframes_only = asked.keyframes_only
        self._metrics.rungs.labels(self.name).set(asked.rungs)
        self._pace()
        self._tell(self._perception.absent(now))

    @property
    def priority(self) -> int:
        """The higher, the later it gives way."""
        return self._config.priority

    @property
    def frame_rate(self) -> FrameRate:
        """Frames a second that are wanted of it."""
        return self._config.frame_rate

    @property
    def has_substream(self) -> bool:
        """Whether it has a sub-stream to read in place of its main one."""
        return bool(self._streams.smaller)

    @property
    def narrows(self) -> bool:
        """Whether that can be read now."""
        return self._streams.has_smaller(self._clocks.monotonic())

    @property
    def variants(self) -> frozenset[str]:
        """Smaller models that could take the place of its own."""
        return frozenset(self._variants.values())

    @property
    def confidence(self) -> float | None:
        """Score from which an object counts; None: the model's own."""
        return self._perception.confidence

    @property
    def demand(self) -> Mapping[str, float]:
        """Frames a second that are wanted of each of its models, whatever the ladder takes."""
        with self._lock:
            return dict.fromkeys(self._models, self._config.frame_rate.target)

    @property
    def load(self) -> tuple[int, int]:
        """Frames offered, and those of them that came too late, since it is served here."""
        with self._lock:
            return self._offered, self._lost

    def samples(self, since: float) -> tuple[Sample, ...]:
        """Return the results since a time."""
        with self._lock:
            return tuple(sample for sample in self._samples if sample.at >= since)

    def _pace(self) -> None:
        with self._lock:
            rate = self._rate.rate
            if self._pacer.interval == 1.0 / rate:
                return
            self._pacer = self._pacer.at(rate, late=self._jitter())
        self._metrics.target.labels(self.name).set(rate)

    def _tell(self, events: Events) -> None:
        for model, crossings in events.items():
            if crossings and not self._stop.is_set():
                self._outputs.publish(self.name, model, crossings)

    def start(self, guard: Guard) -> None:
        """Start to read."""
        guard.start(f"read:{self.name}", self._read, essential=False)

    def stop(self) -> None:
        """End at the next frame or time-out; does not wait, since a dead stream blocks for long."""
        with self._publishing:  # What comes later must not bring series and pictures back.
            self._stop.set()
        self._stream.stop()

    def state(self) -> CameraState:
        """Return where the camera stands now."""
        now, spared = self._clocks.monotonic(), self._stream.reading().spared
        with self._lock:
            self._lifecycle = known = self._lifecycle.observed(now, spared)
            inferred, trouble, degraded = self._inferred, self._trouble, self._asked.sentence
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
            degraded=degraded,
        )

    def found(self, shot: Shot, model: str, decoded: Decoded, seconds: float) -> None:
        """Publish what a model found; see `dispatch.Owner`."""
        with self._publishing:
            if not self._stop.is_set():
                self._publish(shot, model, decoded, seconds)

    def _publish(self, shot: Shot, model: str, decoded: Decoded, seconds: float) -> None:
        frame = shot.frame
        with Stopwatch(self._clocks, lambda spent: self._metrics.spent("track", spent)):
            seen = {
                name: self._perception.found(name, decoded.detections, frame.width, frame.height, frame.arrived)
                for name in shot.answers.get(model, (model,))
            }
        self._tell({name: one.events for name, one in seen.items()})
        now = self._clocks.monotonic()
        age = now - frame.arrived
        self._metrics.age.labels(self.name).observe(age)
        self._metrics.inference.labels(self.name).observe(seconds)
        for reason, rows in decoded.dropped.items():
            self._metrics.dropped.labels(model, reason).inc(rows)
        for name, one in seen.items():
            for detection in one.detections:
                self._metrics.detections.labels(self.name, name, detection.label).inc()
            self._hub.publish(
                Result(
                    camera=self.name,
                    model=name,
                    variant=model if model != name else "",
                    width=frame.width,
                    height=frame.height,
                    pixels=shot.image,
                    pts=frame.pts,
                    captured=frame.captured,
                    age=age,
                    inference=seconds,
                    detections=one.detections,
                    ids=one.ids,
                )
            )
        with self._lock:
            self._inferred = now
            # By the interval in force: how long a result takes, no lower rate can cure.
            rate = min(self._rate.rate, self._config.frame_rate.target)
            objects = len(decoded.detections) if model in self._suppressing else 0
            self._samples.append(Sample(now, frame.arrived, age * rate, objects))
        self._note("")

    def failed(self, shot: Shot, model: str, error: Exception) -> None:  # noqa: ARG002 - dispatch.Owner's signature
        """Say why there is no result."""
        self._note(str(error))

    def settled(self, shot: Shot, fate: Outcome) -> None:  # noqa: ARG002 - dispatch.Owner's signature
        """Count what became of a frame."""
        self._count(_RESULTS.get(fate, "skipped"))
        if fate in _LATE:
            self._leave_out("late")
            with self._lock:
                self._lost += 1

    def _time_of(self, seconds_ago: float) -> str:
        time_of_day = datetime.fromtimestamp(self._clocks.wall() - seconds_ago, UTC)
        return time_of_day.isoformat(timespec="seconds").replace("+00:00", "Z")

    def _read(self) -> None:
        while not self._stop.is_set():
            if self._asked.suspended:
                self._pause()
                continue
            self._metrics.opened.labels(self.name).inc()
            # The ladder may ask for another stream while this one is read; it is this one that fails then.
            self._session, self._looked = Session(self._stream.url), -math.inf
            try:
                # Closed where it is left, since the session is somebody else's bandwidth.
                with closing(self._stream.frames()) as frames:
                    self._drain(frames)
            except SourceError as error:
                self._stop.wait(self._failed(error))

    def _pause(self) -> None:
        """Let some time pass without frames, and count those of the target: nobody sees which would have come."""
        began = self._clocks.monotonic()
        self._stop.wait(_LOOK)
        with self._lock:
            missed = 0.0 if self._lifecycle.lost or not self._served else self._config.frame_rate.target
        self._leave_out("ladder", missed * (self._clocks.monotonic() - began))

    def _drain(self, frames: Iterator[Frame]) -> None:
        """Take frames until the camera is stopped or suspended, or the stream ends."""
        for frame in frames:
            if self._stop.is_set() or self._asked.suspended:
                return
            self._session = self._session.frame(frame.arrived)
            self._take(frame)

    def _failed(self, error: SourceError) -> float:
        now = self._clocks.monotonic()
        with self._lock:
            self._streams = self._streams.failed(self._session, now)
            self._stream.url = self._streams.url(now, smaller=self._asked.substream)
            before = self._lifecycle
            after = before.failed(now, error.reason, str(error), unauthorized=error.unauthorized)
            self._lifecycle = after
        if (before.state, before.message) != (after.state, after.message) and not self._stop.is_set():
            log.warning("camera %s: %s: %s", self.name, error.reason, error)
        return after.backoff(self._jitter())

    def _due(self, now: float) -> bool:
        with self._lock:
            wanted, short = self._pacer.admits(now), False
            self._pacer = self._pacer.seen(now)
            if self._shortfall is not None:
                # Where keyframes alone are read, it is the ladder's doing that another frame is not there.
                let = wanted and not self._asked.keyframes_only
                self._shortfall, short = self._shortfall.arrived(now, let=let)
        if short and self._served and not self._still:
            self._leave_out("ladder")
        return wanted

    def _take(self, frame: Frame) -> None:
        """Count a frame, and hand it on if it is due."""
        if frame.arrived - self._looked >= _LOOK:
            self._look(frame.arrived)
        with self._lock:
            self._lifecycle = self._lifecycle.frame(frame.arrived, self._remark)
            wanted, served = self._pacer.admits(frame.arrived), self._served
            if wanted:
                self._pacer = self._pacer.admitted(frame.arrived)
                self._shortfall = self._shortfall and self._shortfall.taken()
            wait = self._pacer.interval
        self._count("read")
        if not wanted or not served or not self._moves(frame):
            self._count("skipped")
            return
        with self._lock:
            self._offered += 1
        shot = Shot(self, frame, len(served), served)
        self._offers.offer(self.name, tuple(served), shot, arrived=frame.arrived, wait=wait)

    def _look(self, now: float) -> None:
        """See what is odd about the stream; not at each frame, since it costs as much as all else that is counted."""
        reading = self._stream.reading()
        self._looked, self._remark = now, remark(reading, now)
        self._count_undecoded(reading)
        if not self._stop.is_set():
            self._metrics.decoding(self.name, reading)

    def _moves(self, frame: Frame) -> bool:
        """Return whether a frame is worth inferring."""
        with Stopwatch(self._clocks, lambda spent: self._metrics.spent("motion", spent)):
            worth, gone = self._perception.admits(frame.luma, frame.arrived)
        self._still = not worth
        if self._still:
            self._leave_out("motion")
        self._tell(gone)
        return worth

    def _count_undecoded(self, reading: Reading) -> None:
        undecoded = sum(reading.frames[result] for result in _UNDECODED)
        new, self._undecoded = undecoded - self._undecoded, undecoded
        if new:
            for result in ("read", "skipped"):
                self._count(result, new)

    def _count(self, result: str, number: int = 1) -> None:
        if not self._stop.is_set():
            self._metrics.count(self.name, result, number)

    def _leave_out(self, reason: str, number: float = 1.0) -> None:
        if not self._stop.is_set():
            self._metrics.left_out.labels(self.name, reason).inc(number)

    def _note(self, trouble: str) -> None:
        with self._lock:
            before, self._trouble = self._trouble, trouble
        if trouble and trouble != before:
            log.warning("camera %s: %s", self.name, trouble)
