"""Objects of one camera followed from frame to frame, by ByteTrack, a tracker for each class.

ByteTrack (Zhang et al., 2021, arXiv:2110.06864) as in the library `edgefirst-tracker`: a Kalman filter predicts
each box, and boxes are assigned by overlap. What is added here: ids that do not depend on chance, one clock for the
library and for us, frames that were missed, bounds on memory and time, and events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from edgefirst.tracker import ByteTrack

from edgedetector.detector.detection import Detection
from edgedetector.detector.presence import Crossing, Present, Sighting, Tracked, expire, observe
from edgedetector.detector.zones import Zone, foot, names_at

_NANOSECONDS: Final = 1_000_000_000
_STEP: Final = 0.1
"""Seconds that one step of the library's filter, which knows no time, stands for: over a gap of three frames an object
is then expected three frames further on."""
_STEPS: Final = 20
"""Most steps for one gap; beyond 2 s a prediction is a guess."""
_GAIN: Final = 0.75
"""Weight of a sighting against the prediction. The library's 0.25 is for 30 frames a second; at 5 it loses a box that
moves a third of its width a frame."""
_ABSENCE: Final = 60.0
"""Seconds without any frame after which whoever is there counts as new."""
_BOOKS: Final = 4
"""Times `Tracking.limit`: objects of a class that are kept, lost ones included. Assignment grows with their cube."""
_NOTHING: Final = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.uintp)


@dataclass(frozen=True, slots=True)
class Tracking:
    """How a camera's objects are followed."""

    lost: float = 2.0
    """Seconds for which an object that is not seen is expected back."""
    misses: int = 3
    """Frames that it may be missing from in any case, so that a low frame rate alone loses nobody."""
    confirm: int = 2
    """Sightings after which an object, or its side of a zone's border, is believed: a single one is often an error."""
    overlap: float = 0.1
    """Intersection over union of prediction and sighting from which they can be the same; low, since at a few frames a
    second a walker's boxes hardly overlap."""
    limit: int = 100
    """Objects of a class and frame that are followed, the best by score. A class of which four times as many are kept,
    lost ones included, starts anew."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a frame changed."""

    tracked: tuple[Tracked, ...]
    """Objects in this frame, in the order of its detections."""
    events: tuple[Crossing, ...]


class Tracker:
    """Follows the objects of one camera and model. Not for several threads at once."""

    def __init__(self, config: Tracking, zones: Sequence[Zone] = ()) -> None:
        self._config = config
        self._zones = tuple(zones)
        self._engines: dict[str, ByteTrack] = {}
        self._ids: dict[str, int] = {}
        self._present: Present = {}
        self._next = 1
        self._lifespan = int(config.lost * _NANOSECONDS)
        self._clock = 0
        self._last: float | None = None
        self._size = (0, 0)

    @property
    def present(self) -> Present:
        """The objects that are followed, also those unseen for a moment or not yet confirmed, by id."""
        return self._present

    def update(self, detections: Sequence[Detection], width: int, height: int, now: float) -> Update:
        """Take in the objects of a frame that was inferred.

        Parameters
        ----------
        detections
            Best first, as `Model` gives them: finite, with an area, in pixels of a frame of `width` x `height`.
        now
            Seconds, monotonic, of the frame. One before the last counts as at the same time.
        """
        absent = self.expire(now)
        if not self._engines:
            self._size = width, height
        keys = self._assign(detections, self._advance(now), (self._size[0] / width, self._size[1] / height))
        sightings = [
            Sighting(
                self._id(key),
                detections[index],
                (width, height),
                names_at(self._zones, foot(detections[index].box, width, height)),
            )
            for index, key in sorted(keys.items())
        ]
        present, events = observe(self._present, sightings, now, self._config.confirm)
        self._present, left = expire(present, self._forget(), now)
        return Update(tuple(self._present[one.id] for one in sightings), (*absent, *events, *left))

    def rest(self, now: float) -> tuple[Crossing, ...]:
        """Tell that a frame was not inferred since nothing moves in it: no time passes, and whoever is there stays."""
        absent = self.expire(now)
        self._last = max(now, self._last or now)
        return absent

    def expire(self, now: float) -> tuple[Crossing, ...]:
        """Return the leaving of all if no frame came for a minute; to be asked while a camera is not live."""
        if self._last is None or now - self._last < _ABSENCE:
            return ()
        return self.end(now)

    def end(self, now: float) -> tuple[Crossing, ...]:
        """Forget everybody, and return their leaving."""
        self._present, events = expire(self._present, tuple(self._present), now)
        self._engines.clear()
        self._ids.clear()
        self._last = None
        return events

    def _advance(self, now: float) -> int:
        """Advance the engines' clock, and return how many steps their filters go."""
        elapsed = max(0.0, now - self._last) if self._last is not None else 0.0
        self._last = max(now, self._last) if self._last is not None else now
        # No gap counts for more than its part of `misses`: an engine forgets by this clock alone.
        self._clock += min(int(elapsed * _NANOSECONDS), self._lifespan // self._config.misses)
        return min(_STEPS, max(1, round(elapsed / _STEP)))

    def _assign(self, detections: Sequence[Detection], steps: int, scale: tuple[float, float]) -> dict[int, str]:
        """Return the library's key of each detection that is followed, by its index.

        Parameters
        ----------
        scale
            Pixels of the frame that those who are followed were first seen in, to a pixel of this one, x and y: a
            camera that goes to another resolution loses nobody.
        """
        indices: dict[str, list[int]] = {label: [] for label in self._engines}
        for index, detection in enumerate(detections):
            indices.setdefault(detection.label, []).append(index)
        keys: dict[int, str] = {}
        for label, all_of_class in indices.items():
            engine = self._engine(label)
            followed = all_of_class[: self._config.limit]
            for _ in range(steps - 1):
                engine.update(*_NOTHING, self._clock)
            infos = engine.update(*_arrays([detections[index] for index in followed], scale), self._clock)
            keys.update({index: info.uuid for index, info in zip(followed, infos, strict=True) if info is not None})
        return keys

    def _engine(self, label: str) -> ByteTrack:
        engine = self._engines.get(label)
        if engine is None or len(engine.get_active_tracks()) > _BOOKS * self._config.limit:
            # Every detection may start a track: which score counts was decided before.
            engine = self._engines[label] = ByteTrack(0.0, self._config.overlap, _GAIN, self._lifespan)
        return engine

    def _id(self, key: str) -> int:
        """Return our id for the library's key, which is random."""
        if key not in self._ids:
            self._ids[key] = self._next
            self._next += 1
        return self._ids[key]

    def _forget(self) -> tuple[int, ...]:
        """Return the ids that no engine follows any more."""
        alive = {
            label: {one.info.uuid for one in engine.get_active_tracks()} for label, engine in self._engines.items()
        }
        self._engines = {label: engine for label, engine in self._engines.items() if alive[label]}
        every = set().union(*alive.values())
        gone = tuple(id_ for key, id_ in self._ids.items() if key not in every)
        self._ids = {key: id_ for key, id_ in self._ids.items() if key in every}
        return gone


def _arrays(detections: Sequence[Detection], scale: tuple[float, float]) -> tuple[Any, Any, Any]:
    """Return boxes [n, 4], scores [n] and classes [n], all of one class, as the library takes them."""
    boxes = np.array([detection.box for detection in detections], np.float32).reshape(-1, 4)
    boxes *= np.array([*scale, *scale], np.float32)
    scores = np.array([detection.score for detection in detections], np.float32)
    return boxes, scores, np.zeros(len(detections), np.uintp)
