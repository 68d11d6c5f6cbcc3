"""What one camera makes of its frames: whether anything moves, which objects count, and who they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from edgedetector.api.dataplane import DetectorCamera
from edgedetector.detector import motion
from edgedetector.detector.detection import Detection
from edgedetector.detector.filtering import Filter, select
from edgedetector.detector.frame import Plane
from edgedetector.detector.motion import Motion, MotionGate, shrink
from edgedetector.detector.presence import Crossing
from edgedetector.detector.tracking import Tracker, Tracking
from edgedetector.detector.zones import Kind, Zone

Events = Mapping[str, tuple[Crossing, ...]]
"""Who came and went, by model."""

_LINGERS: Final = 2.0
"""Seconds for which a camera counts as active after something moved, came or went: a step between two frames of a slow
camera must not look like rest."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What counts in a frame."""

    detections: tuple[Detection, ...]
    """Best first."""
    ids: tuple[int | None, ...]
    """Of the objects, in the same order; None: not followed, there are too many."""
    events: tuple[Crossing, ...]


class Perception:
    """Remembers one camera's scene. For several threads."""

    def __init__(self, config: DetectorCamera, tracking: Tracking | None = None) -> None:
        self._lock = threading.Lock()
        self._tracking = tracking or Tracking()
        self._rule = rule(config)
        self._gate = gate(config)
        self._watches = watches(config)
        self._motion = Motion()
        self._trackers: dict[str, Tracker] = {}
        self._active = -_LINGERS

    def configure(self, config: DetectorCamera, now: float) -> Events:
        """Take over what counts; with other zones everybody goes and comes anew, since borders moved."""
        wanted = rule(config)
        with self._lock:
            moved = wanted.zones != self._rule.zones
            self._rule, self._gate, self._watches = wanted, gate(config), watches(config)
            if not moved:
                return {}
            gone = {model: tracker.end(now) for model, tracker in self._trackers.items()}
            self._trackers.clear()
            return gone

    def keep(self, models: Container[str], now: float) -> Events:
        """Forget what was found by any other model, and return the leaving of all whom only those saw."""
        with self._lock:
            others = [model for model in self._trackers if model not in models]
            return {model: self._trackers.pop(model).end(now) for model in others}

    @property
    def confidence(self) -> float | None:
        """Score from which an object counts; None: the model's own."""
        return self._rule.confidence

    def admits(self, luma: Callable[[], Plane], now: float) -> tuple[bool, Events]:
        """Return whether a frame is worth inferring, and who left meanwhile.

        Parameters
        ----------
        luma
            Gives the brightness, uint8 [height, width].
        now
            Seconds, monotonic, when it came.
        """
        if not self._watches:
            return True, {}
        picture = shrink(luma())
        with self._lock:
            interval = self._gate.interval if self._gate else MotionGate().interval
            self._motion, verdict = motion.step(replace(MotionGate(), interval=interval), self._motion, picture, now)
            if verdict.reason in {"Motion", "Scene"}:
                self._active = now
            if self._gate is None or verdict.passes:
                return True, {}
            return False, {model: tracker.rest(now) for model, tracker in self._trackers.items()}

    def found(self, model: str, detections: Sequence[Detection], width: int, height: int, now: float) -> Seen:
        """Return what counts of what a model found in a frame of `width` x `height` pixels that came at `now`."""
        with self._lock:
            counted = select(self._rule, detections, width, height)
            tracker = self._trackers.setdefault(model, Tracker(self._tracking, self._rule.zones))
            update = tracker.update(counted, width, height, now)
            if update.events:
                self._active = now
        known = {id(one.detection): one.id for one in update.tracked}
        return Seen(counted, tuple(known.get(id(detection)) for detection in counted), update.events)

    def absent(self, now: float) -> Events:
        """Return the leaving of all whom no frame showed for long; to be asked while no frames come."""
        with self._lock:
            return {model: tracker.expire(now) for model, tracker in self._trackers.items()}

    def active(self, now: float) -> bool:
        """Return whether something moved, came or went just now."""
        with self._lock:
            return now - self._active < _LINGERS


def rule(config: DetectorCamera) -> Filter:
    """Return what counts for a camera."""
    zones = tuple(
        Zone(zone.name, tuple((corner[0], corner[1]) for corner in zone.polygon), cast("Kind", zone.kind))
        for zone in config.zones
    )
    return Filter(config.confidence, config.classes, zones)


def gate(config: DetectorCamera) -> MotionGate | None:
    """Return the camera's motion gate, None if it has none."""
    wanted = config.motion_gate
    return MotionGate(interval=wanted.interval) if wanted.enabled else None


def watches(config: DetectorCamera) -> bool:
    """Return whether it matters if anything moves."""
    return config.motion_gate.enabled or config.frame_rate.maximum > config.frame_rate.target
