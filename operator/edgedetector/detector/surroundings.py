"""What a camera needs of what stands around it: its reader, the dispatcher, the outputs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from edgedetector.detector.dispatch import Shot
from edgedetector.detector.frame import Frame
from edgedetector.detector.presence import Crossing
from edgedetector.detector.reading import Reading


class Stream(Protocol):
    """What a camera needs of a `reader.Reader`."""

    url: str
    """May be set at any time: what is being read ends then."""
    keyframes_only: bool

    def frames(self) -> Generator[Frame]:
        """Yield frames until the stream ends with a SourceError, or another URL is to be read."""

    def reading(self) -> Reading:
        """Return what is known of the stream."""

    def stop(self) -> None:
        """End `frames`."""


class Offers(Protocol):
    """What a camera needs of a `dispatch.Dispatcher`."""

    def offer(self, camera: str, models: tuple[str, ...], shot: Shot, *, arrived: float, wait: float) -> None:
        """Offer a frame to models."""


MakeStream = Callable[[Callable[[float], bool]], Stream]
"""Makes the reader of a stream of what says whether a frame is due."""


class Listener(Protocol):
    """What a camera needs of the outputs."""

    def publish(self, camera: str, model: str, events: Sequence[Crossing]) -> None:
        """Tell of objects that came and went."""
