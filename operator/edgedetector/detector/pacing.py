"""Which frames of a camera are inferred: a grid of due times, met by the frame that arrives nearest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

# Weight of the newest gap in the moving average of the camera's own interval: settles in about ten frames.
_SMOOTHING: Final = 0.2


@dataclass(frozen=True, slots=True)
class Pacer:
    """Admits frames so that they come at the target rate, each as fresh as it can be. Times in seconds, monotonic.

    A frame is admitted when it arrives after its due time less half the camera's own interval: with a tolerance of
    zero a frame that is 1 ms early would be passed over and the next, a whole camera interval late, taken instead.
    Due times lie on a grid, so that such jitter does not add up to a lower rate.

    What happens with every frame makes a new one by its constructor: `dataclasses.replace` takes four times as long.
    """

    interval: float
    """Between inferred frames: 1 / target rate."""
    due: float | None = None
    arrived: float | None = None
    gap: float = 0.0
    """Moving average of the time between frames of the camera."""
    shift: float = 0.0
    """By how much the next frame is due later, since the rate was lowered after the frame before."""

    def admits(self, now: float) -> bool:
        """Return whether a frame that arrives now is wanted."""
        return self.due is None or now >= self.due - min(self.gap, self.interval) / 2

    def seen(self, now: float) -> Pacer:
        """Return the pacer after a frame arrived, whether it was admitted or not."""
        if self.arrived is None:
            return Pacer(self.interval, self.due, now, self.gap, self.shift)
        # A pause (camera gone for a while) says nothing about the camera's rate.
        last = min(now - self.arrived, self.interval)
        gap = last if self.gap == 0.0 else self.gap + _SMOOTHING * (last - self.gap)
        return Pacer(self.interval, self.due, now, gap, self.shift)

    def admitted(self, now: float) -> Pacer:
        """Return the pacer after a frame was admitted: the next is due one interval on, and never twice at once."""
        due = now + self.interval if self.due is None else self.due + self.interval
        # Behind by a whole interval, the grid starts anew: a backlog of due frames would be a burst.
        return Pacer(self.interval, now + self.interval if due <= now else due, self.arrived, self.gap)

    def at(self, rate: float, *, late: float = 0.0) -> Pacer:
        """Return the pacer for another target rate in frames a second, counted from the frame that was admitted last.

        A grid that starts anew would admit the next frame at once: a rate that changes often would be exceeded. Of
        several changes only the last counts: shifts that add up would leave a camera without frames for long.

        Parameters
        ----------
        late
            Share of the new interval, in [0, 1), by which the first frame at a lower rate comes later. The ladder
            lowers many cameras at once; counted from their last frames alone, all would come within one of the old
            intervals from then on: a burst that looks like overload, and for which the ladder would take still more.
        """
        interval = 1.0 / rate
        shift = late * interval if interval > self.interval else 0.0
        due = None if self.due is None else self.due - self.shift - self.interval + interval + shift
        return replace(self, interval=interval, due=due, gap=min(self.gap, interval), shift=shift)
