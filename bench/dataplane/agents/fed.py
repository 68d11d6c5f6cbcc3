"""Streams from memory in the place of `reader.Reader`: what is loaded is the way from a frame on, and no decoder.

A URL is ``memory:RATE/NAME``, frames a second.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator
from typing import Any, Final

import av
import numpy as np

from edgedetector.detector.frame import Clocks, Frame
from edgedetector.detector.reading import Reading, Tally

SIDE: Final = 64
"""Pixels of a picture's sides."""
_NOISE: Final = np.random.default_rng(0)


def _picture() -> Any:
    planes = _NOISE.integers(16, 235, (SIDE * 3 // 2, SIDE), dtype=np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


PICTURES: Final = tuple(_picture() for _ in range(16))
"""Of noise; all cameras show them in turn."""


class Fed:
    """Gives frames at an even rate, from a random moment on; its frames are as old as their arrival here."""

    def __init__(self, url: str, clocks: Clocks, *, due: Callable[[float], bool], **_others: Any) -> None:
        self.url, self.keyframes_only = url, False
        self._clocks, self._due = clocks, due
        self._tally, self._stop = Tally(), threading.Event()

    def frames(self) -> Generator[Frame]:
        """Yield frames until another URL is to be read."""
        url, number = self.url, 0
        interval = 1.0 / float(url.partition(":")[2].partition("/")[0])
        now = self._clocks.monotonic()
        self._tally.opened(now, codec="none", decoder="memory", fallback="", rate=1.0 / interval)
        following = now + random.random() * interval
        while url == self.url and not self._stop.wait(max(0.0, following - self._clocks.monotonic())):
            now, number = self._clocks.monotonic(), number + 1
            self._tally.packet(now, 0, keyframe=True)
            # Behind by a whole interval, it begins anew: what a busy machine keeps back comes in no burst.
            following = max(following + interval, now)
            if self._due(now):
                self._tally.picture(now, SIDE, SIDE)
                yield Frame(PICTURES[number % len(PICTURES)], number, now, self._clocks.wall())
            else:
                self._tally.spared(now, "passed_over")

    def reading(self) -> Reading:
        """Return what is known of the stream."""
        return self._tally.reading()

    def stop(self) -> None:
        """End `frames`."""
        self._stop.set()
