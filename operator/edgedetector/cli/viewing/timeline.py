"""Which frame of the video a result belongs to. Pure: times of arrival are passed in, in seconds of one clock.

Frames come from the media pod and results from the inference pods. Both carry the camera's own ticks, but each counts
them from another moment, so that the difference is the same for all frames of a session. Each result shows it, within
what it and the video were held up: the median counts, which no burst shifts.

The detector gets a frame of H.264 or H.265 when the next one begins, since only that ends it: one frame interval, which
is taken off. What remains is the time that decoding takes: a box can be one frame late. It takes a machine that keeps
up: where the video lies about unread for longer than the results, all boxes are off by the difference.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import deque
from typing import Final

CLOCK_RATE: Final = 90_000
"""Ticks a second of a frame's `pts`, as RTP has them for every kind of video (RFC 3551)."""
HISTORY: Final = 10.0
"""Seconds of frames that are known: no result is that late, and none that early."""
COUNT: Final = 51
"""Frame intervals, and results, of which a median is taken: ten seconds of a usual camera."""
JUMP: Final = 1.5
"""Seconds by which the difference moves only if one side was opened anew and counts from another moment."""
JUMPED: Final = 3
"""Results in a row that say so until it is believed."""


class Frames:
    """A video that arrives."""

    def __init__(self) -> None:
        self._arrived: deque[float] = deque()
        self._times: deque[float] = deque()
        self._apart: deque[float] = deque(maxlen=COUNT)

    def add(self, arrived: float, time: float) -> None:
        """Take a frame into account, with its time in the video."""
        if self._times and time > self._times[-1]:
            self._apart.append(time - self._times[-1])
        self._arrived.append(arrived)
        self._times.append(time)
        while arrived - self._arrived[0] > HISTORY:
            self._arrived.popleft()
            self._times.popleft()

    @property
    def interval(self) -> float:
        """Return the seconds from frame to frame, median; 0 while that is not known."""
        return statistics.median(self._apart) if self._apart else 0.0

    def at(self, moment: float) -> float | None:
        """Return how far the video was at a moment, None if that is before all that is known."""
        place = bisect_right(self._arrived, moment) - 1
        if place < 0:
            return None
        return self._times[place] + min(moment - self._arrived[place], self.interval)


class Placement:
    """Places the results of one camera in one video."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self._differences: deque[float] = deque(maxlen=COUNT)
        self._strange: deque[float] = deque(maxlen=JUMPED)

    def place(self, arrived: float, age: float, pts: int | None) -> float | None:
        """Return the video's time of the frame that a result is of, None while that is not known.

        The first results after the detector opened the stream anew are not: their ticks count from another moment,
        hours away, and nothing says yet from which.

        Parameters
        ----------
        age
            Seconds from the decoded frame to the result.
        pts
            The frame's own time in ticks; None: it has none.
        """
        at = self.frames.at(arrived - age)
        if at is None:
            return None
        if pts is None:
            return at - self.frames.interval
        time = pts / CLOCK_RATE
        found = time - self._difference(time - at)
        return found - self.frames.interval if abs(found - at) <= HISTORY else None

    def _difference(self, seen: float) -> float:
        usual = statistics.median(self._differences) if self._differences else seen
        if abs(seen - usual) <= JUMP:
            self._differences.append(seen)
            self._strange.clear()
            return usual
        self._strange.append(seen)
        if len(self._strange) == JUMPED:
            self._differences.clear()
            self._differences.extend(self._strange)
            self._strange.clear()
        return statistics.median(self._differences)
