"""Watch a detector's frames while something happens, and say for how long a camera gave none."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

import api
import sites
from edgedetector.api import names
from edgedetector.cluster import kinds
from events import events
from forward import forward
from harness import poll

Event = dict[str, Any]

MINUTES: Final = 3600.0
LOOK_SECONDS: Final = 0.5
"""Between looks at which replicas there are: a new one takes longer than that to serve."""
PAUSE: Final = 2.0
"""Seconds without a frame after which a replica no longer serves a camera: far more than a frame interval."""
_BROKEN: Final = (OSError, http.client.HTTPException, ValueError)


@dataclass
class Frames:
    """When frames were captured, by camera and in seconds of the detector's clock, so that no listener delays them."""

    seen: dict[str, list[float]] = field(default_factory=dict)
    by: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """The same by camera and replica."""
    newest: dict[str, Event] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Note when the frame of an event was captured."""
        camera, replica = event["camera"], event.get("replica", "")
        captured = datetime.fromisoformat(event["frame"]["capturedAt"]).timestamp()
        self.seen.setdefault(camera, []).append(captured)
        self.by.setdefault(camera, {}).setdefault(replica, []).append(captured)
        self.newest[camera] = event

    def mark(self) -> dict[str, int]:
        """Remember where the streams are now."""
        return {camera: len(times) for camera, times in self.seen.items()}

    def wait(self, camera: str, mark: dict[str, int], count: int = 3) -> None:
        """Wait for frames after the mark, so that a gap that lasts is over and counts in full."""
        poll(f"frames of {camera}", lambda: len(self._times(camera)) - mark.get(camera, 0), lambda new: new >= count)

    def longest_gap(self, camera: str, mark: dict[str, int]) -> float:
        """Return the longest time between two frames, the last one before the mark included."""
        times = sorted(self._times(camera)[max(0, mark.get(camera, 0) - 1) :])
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def longest_double(self, camera: str) -> float:
        """Return the longest time for which two replicas gave frames of a camera."""
        replicas = dict(self.by.get(camera, {}))
        return longest_overlap([list(times) for times in replicas.values()])

    def _times(self, camera: str) -> list[float]:
        return list(self.seen.get(camera, ()))


def longest_overlap(series: Sequence[Sequence[float]]) -> float:
    """Return the longest time for which two series have values, neither with a pause of `PAUSE` seconds or more."""
    spells = [_spells(sorted(times)) for times in series]
    common = (
        min(one[1], other[1]) - max(one[0], other[0])
        for ones, others in itertools.combinations(spells, 2)
        for one in ones
        for other in others
    )
    return max(0.0, *common, 0.0)


def _spells(times: Sequence[float]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for time in times:
        if found and time - found[-1][1] < PAUSE:
            found[-1] = found[-1][0], time
        else:
            found.append((time, time))
    return found


@contextlib.contextmanager
def watch(namespace: str, detector: str, camera: str) -> Iterator[Frames]:
    """Watch all cameras of a detector for as long as the block runs, from the first frame of `camera` on."""
    frames = Frames()
    with follow(namespace, detector, frames.take):
        frames.wait(camera, {}, 1)
        yield frames


@contextlib.contextmanager
def follow(namespace: str, detector: str, sink: Callable[[Event], None], *, digest: bool = False) -> Iterator[None]:
    """Hand over every event of every replica while the block runs.

    Replicas come and go, and cameras with them: an autoscaler may think so at any time. A stream that breaks off is
    opened again for as long as its pod is there; what was missed meanwhile is a gap like any other.
    """
    over = threading.Event()

    def listen(pod: str) -> None:
        while not over.is_set() and pod in _replicas(namespace, detector):
            with (
                contextlib.suppress(*_BROKEN),
                forward(namespace, f"pod/{pod}", names.PORT_DETECTOR_EVENTS) as base,
            ):
                for event in events(base, MINUTES, digest=digest):
                    if over.is_set():
                        return
                    sink(event | {"replica": pod})
            over.wait(LOOK_SECONDS)

    def attend() -> None:
        listeners: dict[str, threading.Thread] = {}
        while not over.is_set():
            for pod in _replicas(namespace, detector):
                if pod not in listeners or not listeners[pod].is_alive():
                    listeners[pod] = threading.Thread(target=listen, args=(pod,), name=f"events of {pod}", daemon=True)
                    listeners[pod].start()
            over.wait(LOOK_SECONDS)

    threading.Thread(target=attend, name=f"replicas of {namespace}/{detector}", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _replicas(namespace: str, detector: str) -> frozenset[str]:
    """Return the names of the pods that run, those included that are told to end; none if nobody says."""
    try:
        pods = api.items(kinds.POD, namespace, sites.selector(detector, names.COMPONENT_TRITON))
    except (ApiException, HTTPError, api.RefusedError):
        return frozenset()
    return frozenset(pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running")
