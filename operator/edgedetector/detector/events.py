"""Results of inference: the newest of each camera, and a bounded queue for everybody who listens."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Final

from edgedetector.detector.inference import Detection, Image

_QUEUE: Final = 256
"""Events kept for a listener that is slow: 25 s of one camera at 10 frames/s."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one model found in one frame."""

    camera: str
    model: str
    width: int
    height: int
    """Of the frame, in pixels."""
    pixels: Callable[[], Image]
    """Gives the frame as RGB uint8 [height, width, 3]: converted only for whoever looks at it."""
    pts: int | None
    captured: float
    """Seconds since the epoch when the frame was decoded."""
    age: float
    """Seconds from then until the result was there."""
    inference: float
    """Seconds that Triton took to answer, transport included."""
    detections: tuple[Detection, ...]
    ids: tuple[int | None, ...] = ()
    """Of the objects that are followed, in the order of the detections."""
    variant: str = ""
    """The smaller model that found it in place of `model`; empty: `model` itself did."""

    @property
    def image(self) -> Image:
        """The frame as RGB uint8 [height, width, 3]."""
        return self.pixels()

    def document(self, *, digest: bool = False) -> dict[str, Any]:
        """Return the event as JSON values, with the frame's digest if it is asked for: it costs 2 ms a megapixel."""
        frame = {
            "width": self.width,
            "height": self.height,
            "pts": self.pts,
            "capturedAt": datetime.fromtimestamp(self.captured, UTC).isoformat(timespec="milliseconds"),
            "ageSeconds": round(self.age, 6),
            "inferenceSeconds": round(self.inference, 6),
        }
        return {
            "camera": self.camera,
            "model": self.model,
            **({"variant": self.variant} if self.variant else {}),
            "frame": {**frame, "digest": self.digest()} if digest else frame,
            "detections": [
                {"label": found.label, "score": found.score, "box": list(found.box)}
                | ({} if identity is None else {"id": identity})
                for found, identity in zip_longest(self.detections, self.ids)
            ],
        }

    def digest(self) -> str:
        """Return a 128-bit digest of the frame's RGB pixels, by which a result can be checked against its frame."""
        return hashlib.blake2b(self.image.tobytes(), digest_size=16).hexdigest()


@dataclass(slots=True)
class Listener:
    """One client of /events."""

    digest: bool = False
    queue: deque[str] = field(default_factory=deque)
    dropped: int = 0
    """Events lost since the last that was delivered."""


class Hub:
    """Hands results to listeners, and keeps the newest of each camera and model for snapshots."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._listeners: list[Listener] = []
        self._latest: dict[str, dict[str, Result]] = {}

    def publish(self, result: Result) -> None:
        """Hand out a result; costs next to nothing while nobody listens, and never waits for a listener."""
        with self._changed:
            self._latest.setdefault(result.camera, {})[result.model] = result
            listeners = list(self._listeners)
        if not listeners:
            return
        plain = json.dumps(result.document())
        digest = any(listener.digest for listener in listeners)
        full = json.dumps(result.document(digest=True)) if digest else plain
        with self._changed:
            for listener in listeners:
                if len(listener.queue) >= _QUEUE:
                    listener.queue.popleft()
                    listener.dropped += 1
                listener.queue.append(full if listener.digest else plain)
            self._changed.notify_all()

    def latest(self, camera: str) -> tuple[Result, ...]:
        """Return the newest result of each model of a camera, none if there is none."""
        with self._changed:
            return tuple(self._latest.get(camera, {}).values())

    def forget(self, camera: str) -> None:
        """Drop the pictures of a camera that was removed."""
        with self._changed:
            self._latest.pop(camera, None)

    @contextmanager
    def listen(self, *, digest: bool) -> Iterator[Listener]:
        """Add a listener for as long as the context lasts."""
        listener = Listener(digest=digest)
        with self._changed:
            self._listeners.append(listener)
        try:
            yield listener
        finally:
            with self._changed:
                self._listeners.remove(listener)

    def take(self, listener: Listener, timeout: float) -> tuple[list[str], int]:
        """Return the events that wait for a listener and how many it lost, after at most `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(listener.queue), timeout)
            events, dropped = list(listener.queue), listener.dropped
            listener.queue.clear()
            listener.dropped = 0
            return events, dropped
