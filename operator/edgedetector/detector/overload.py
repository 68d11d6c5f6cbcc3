"""Overload: what presses on this replica is measured about once a second, and the ladder says what its cameras give."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from edgedetector.api.dataplane import Accelerator, Degradation, FrameRate
from edgedetector.detector.asked import Asked, Sample
from edgedetector.detector.gauges import Device, Gauges
from edgedetector.detector.ladder import Change, Ladder, Settings, Standing
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.passage import Passage
from edgedetector.detector.pressure import Pressure, Signal, limits
from edgedetector.detector.rates import Room
from edgedetector.detector.rungs import Options, Step
from edgedetector.detector.sentences import given_up

log = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between measurements."""
WINDOW: Final = 3.0
"""Seconds whose results are judged: at 5 frames/s 15 of them, whose oldest is the 99th percentile."""
NO_ACCELERATOR: Final = Accelerator()
_OLD: Final = 0.99
_MANY: Final = 0.95


class Watched(Protocol):
    """What is asked of a camera."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def priority(self) -> int:
        """The higher, the later it gives way."""

    @property
    def frame_rate(self) -> FrameRate:
        """Frames a second that are wanted of it."""

    @property
    def has_substream(self) -> bool:
        """Whether it has a sub-stream to read in place of its main one."""

    @property
    def narrows(self) -> bool:
        """Whether that can be read now."""

    @property
    def variants(self) -> frozenset[str]:
        """Smaller models that could take the place of its own."""

    @property
    def load(self) -> tuple[int, int]:
        """Frames offered so far, and those of them that came too late."""

    def samples(self, since: float) -> tuple[Sample, ...]:
        """Return the results since a time."""

    def ask(self, asked: Asked, room: Room, now: float) -> None:
        """Take over what the ladder says."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was counted when it was last looked at, by camera."""

    at: float
    load: Mapping[str, tuple[int, int]]


class Overload:
    """Keeps one replica's cameras at what the box can bear. For one thread.

    Parameters
    ----------
    ready
        Whether no model is being loaded. While one is, frames come too late for another reason than load.
    delayed
        Whether Triton lets requests wait for others: then a long queue is what was asked for.
    serves
        Whether Triton serves a model: one that it does not takes no other's place.
    measured
        Whether a bench loads the box beside the cameras. For as long as one does, how full the box is says nothing of
        them, and counts as it was before; harm that is done to them counts as ever, and ends the bench, too.
    """

    def __init__(
        self,
        gauges: Gauges,
        metrics: Metrics,
        ready: Callable[[], bool],
        *,
        delayed: Callable[[], bool] = lambda: False,
        serves: Callable[[str], bool] = lambda _: True,
        measured: Callable[[], bool] = lambda: False,
    ) -> None:
        self._serves = serves
        self._measured = measured
        self._full = Pressure()
        self._ready = ready
        self._delayed = delayed
        self._gauges = gauges
        self._metrics = metrics
        self._ladder = Ladder()
        self._last: _Look | None = None
        self._passage = Passage()

    def round(
        self, cameras: Sequence[Watched], wanted: Degradation, now: float, accelerator: Accelerator = NO_ACCELERATOR
    ) -> None:
        """Measure, and tell the cameras; does nothing within a second of the last time.

        Parameters
        ----------
        now
            Seconds, monotonic.
        """
        if self._last is not None and now - self._last.at < EVERY:
            return
        pressure = self._measure(cameras, now, self._gauges.device(accelerator, now))
        variants = {camera.name: frozenset(filter(self._serves, camera.variants)) for camera in cameras}
        options = [_options(camera, variants[camera.name]) for camera in cameras]
        configured, changed = self._ladder.configured(settings(wanted), options)
        self._ladder, moved = configured.advance(pressure, now)
        for change in (*changed, *moved):
            self._told(change)
            self._passage = Passage.at(now)
        room = self._ladder.room if wanted.enabled else Room.HOLD
        standings = {standing.camera: standing for standing in self._ladder.standings()}
        for camera in cameras:
            camera.ask(asked(standings[camera.name], variants[camera.name]), room, now)

    def _measure(self, cameras: Sequence[Watched], now: float, device: Device) -> Pressure:
        before, self._last = self._last, _Look(now, {camera.name: camera.load for camera in cameras})
        samples = self._samples(cameras, now - WINDOW)
        pressure = Pressure(
            frame_age=_worst(([one.age for one in found] for found in samples.values()), _OLD),
            skipped=skipped(before.load if before else {}, self._last.load),
            queue_share=None if self._delayed() else self._gauges.queue_share(),
            accelerator=device.utilization,
            temperature=device.temperature,
            host_cpu=self._gauges.host_cpu(),
            objects=_worst(([float(one.objects) for one in found] for found in samples.values()), _MANY),
        )
        if self._measured():
            full = self._full
            pressure = replace(
                pressure, queue_share=full.queue_share, accelerator=full.accelerator, host_cpu=full.host_cpu
            )
        self._full = pressure
        if not self._ready():
            pressure = Pressure(host_cpu=pressure.host_cpu, temperature=pressure.temperature)
        self._show(pressure)
        return pressure

    def _samples(self, cameras: Sequence[Watched], since: float) -> dict[str, tuple[Sample, ...]]:
        found = {camera.name: camera.samples(since) for camera in cameras}
        self._passage = self._passage.seen((one.arrived, one.at) for samples in found.values() for one in samples)
        return {
            name: tuple(one for one in samples if self._passage.tells(one.arrived)) for name, samples in found.items()
        }

    def _show(self, pressure: Pressure) -> None:
        marks = self._ladder.settings.limits
        for signal in Signal:
            name = _snake(signal)
            value = getattr(pressure, name)
            self._metrics.pressure.labels(signal).set(math.nan if value is None else value / getattr(marks, name).limit)

    def _told(self, change: Change) -> None:
        log.warning("%s", change.sentence) if change.down else log.info("%s", change.sentence)
        direction = "down" if change.down else "up"
        self._metrics.moves.labels(direction, change.signal or "").inc(len(change.cameras))


def settings(wanted: Degradation) -> Settings:
    """Return the ladder's settings; a step that this release does not know is passed over."""
    known = {str(step): step for step in Step}
    return Settings(
        enabled=wanted.enabled,
        steps=tuple(known[name] for name in wanted.steps if name in known),
        protected_priority=wanted.protected_priority,
        react_after=wanted.react_after,
        recover_after=wanted.recover_after,
        limits=limits(wanted.accelerator_headroom, wanted.cpu_headroom),
    )


def asked(standing: Standing, variants: frozenset[str] = frozenset()) -> Asked:
    """Return what a camera is asked to give, which with a smaller input is all that makes it smaller."""
    level = standing.level
    if not standing.rungs:
        return Asked()
    return Asked(
        ceiling=level.rate,
        keyframes_only=level.keyframes_only,
        suspended=level.suspended,
        sentence=given_up(level, standing.because),
        rungs=standing.rungs,
        substream=level.smaller,
        variants=variants if level.smaller else frozenset(),
    )


def skipped(before: Mapping[str, tuple[int, int]], now: Mapping[str, tuple[int, int]]) -> float | None:
    """Return which share of the frames offered in between came too late; None if there were none."""
    both = [(before[name], now[name]) for name in now if name in before]
    offered = sum(after[0] - old[0] for old, after in both)
    lost = sum(after[1] - old[1] for old, after in both)
    return min(1.0, lost / offered) if offered > 0 else None


def _options(camera: Watched, variants: frozenset[str]) -> Options:
    """Return what a camera has to give; `variants`: those of its variants that Triton serves now.

    Which rungs there are follows from what is configured alone: one that could not be used for a moment would be gone
    from the ladder, and with it the move that had taken it.
    """
    rate = camera.frame_rate
    smaller = camera.has_substream or bool(camera.variants)
    now = camera.narrows or bool(variants)
    return Options(camera.name, camera.priority, rate.minimum, rate.target, smaller=smaller, smaller_now=now)


def _worst(samples: Iterable[Sequence[float]], share: float) -> float | None:
    """Return the highest of the cameras' quantiles, None if there are no samples."""
    return max((quantile(values, share) for values in samples if values), default=None)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of the values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _snake(signal: Signal) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in signal).lstrip("_")
