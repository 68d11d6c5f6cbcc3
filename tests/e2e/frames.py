"""Watch a detector's frames while something happens, and say for how long a camera gave none."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from edgedetector.api import names
from events import events
from forward import forward, serving_pod
from harness import poll

MINUTES: float = 3600.0


@dataclass
class Frames:
    """When frames were captured, by camera and in seconds of the detector's clock, so that no listener delays them."""

    seen: dict[str, list[float]] = field(default_factory=dict)

    def mark(self) -> dict[str, int]:
        """Remember where the streams are now."""
        return {camera: len(times) for camera, times in self.seen.items()}

    def wait(self, camera: str, mark: dict[str, int], count: int = 3) -> None:
        """Wait for frames after the mark, so that a gap that lasts is over and counts in full."""
        poll(f"frames of {camera}", lambda: len(self._times(camera)) - mark.get(camera, 0), lambda new: new >= count)

    def longest_gap(self, camera: str, mark: dict[str, int]) -> float:
        """Return the longest time between two frames, the last one before the mark included."""
        times = self._times(camera)[max(0, mark.get(camera, 0) - 1) :]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def _times(self, camera: str) -> list[float]:
        return list(self.seen.get(camera, ()))


@contextlib.contextmanager
def watch(namespace: str, detector: str, camera: str) -> Iterator[Frames]:
    """Watch the replica that has the camera for as long as the block runs, from the first frame on.

    Raises
    ------
    AssertionError
        At the end, if the stream of events broke off meanwhile.
    """
    frames, broken, over = Frames(), threading.Event(), threading.Event()
    with forward(namespace, serving_pod(namespace, detector, camera), names.PORT_DETECTOR_EVENTS) as base:

        def listen() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                for event in events(base, MINUTES):
                    captured = datetime.fromisoformat(event["frame"]["capturedAt"]).timestamp()
                    frames.seen.setdefault(event["camera"], []).append(captured)
            if not over.is_set():
                broken.set()

        threading.Thread(target=listen, name=f"frames of {namespace}/{detector}", daemon=True).start()
        frames.wait(camera, {}, 1)
        yield frames
        over.set()
    assert not broken.is_set(), f"the events of {namespace}/{detector} broke off"
