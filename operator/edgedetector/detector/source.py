"""Frames of one stream, for those who want no more than that; `reader.Reader` tells and takes more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgedetector.detector.cpu import Spent
from edgedetector.detector.frame import Clocks, Frame
from edgedetector.detector.opening import SourceError
from edgedetector.detector.reader import Reader

__all__ = ["Clocks", "Frame", "SourceError", "frames"]


def frames(url: str, clocks: Clocks, on_decode: Callable[[float], None]) -> Iterator[Frame]:
    """Yield a stream's frames as they come, until it ends.

    Parameters
    ----------
    on_decode
        Called with the seconds that decoding of each packet took.

    Raises
    ------
    SourceError
        As `Reader.frames`.
    """

    def told(spent: Spent) -> None:
        on_decode(spent.wall)

    yield from Reader(url, clocks, on_decode=told).frames()
