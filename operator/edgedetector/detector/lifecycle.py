"""States of a camera, pure: what was seen and when -> Connecting, Live, Stalled, Failing or Unauthorized.

    Connecting ──frame──> Live ──5 s without a frame──> Stalled ──frame──> Live
        │                  └───────connection lost──────> Failing / Unauthorized ──frame──> Live
        └──open failed──> Failing / Unauthorized

A state stays while nothing new is known: attempts to reopen a camera do not flap Failing -> Connecting -> Failing,
because status must not change at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STALL: Final = 5.0
"""Seconds without a frame after which a camera is Stalled: go2rtc leaves consumers' sockets open and silent."""
SILENCE: Final = 20.0
"""Seconds without a packet after which the stream is opened anew; go2rtc redials a camera within 13-19 s."""
BACKOFF_FIRST: Final = 1.0
BACKOFF_MAX: Final = 30.0


class State(StrEnum):
    """Where a camera stands."""

    CONNECTING = "Connecting"
    LIVE = "Live"
    STALLED = "Stalled"
    FAILING = "Failing"
    UNAUTHORIZED = "Unauthorized"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What is known of one camera. Times in seconds, monotonic."""

    state: State = State.CONNECTING
    reason: str = "Opening"
    message: str = "the stream is being opened"
    since: float = 0.0
    last_frame: float | None = None
    failures: int = 0
    """Attempts that failed since the last frame."""

    def frame(self, now: float) -> Lifecycle:
        """Return the lifecycle after a frame was decoded."""
        return self._enter(State.LIVE, "FramesArriving", "", now, last_frame=now)

    def failed(self, now: float, reason: str, message: str, *, unauthorized: bool = False) -> Lifecycle:
        """Return the lifecycle after the stream could not be opened, or broke off."""
        state = State.UNAUTHORIZED if unauthorized else State.FAILING
        return self._enter(state, reason, message, now, failures=self.failures + 1)

    def observed(self, now: float) -> Lifecycle:
        """Return the lifecycle as of now: a camera that was Live stalls by the passing of time alone."""
        if self.state is State.LIVE and self.last_frame is not None and now - self.last_frame >= STALL:
            return self._enter(State.STALLED, "NoFrames", f"no frame for {STALL:.0f} s", now)
        if self.state is State.CONNECTING and now - self.since >= SILENCE:
            return self._enter(State.STALLED, "NoFrames", "the stream opened, but no frame has come", now)
        return self

    def backoff(self, jitter: float) -> float:
        """Return the seconds to wait before the stream is opened anew.

        Parameters
        ----------
        jitter
            Random number in [0, 1): cameras that failed together do not come back together.
        """
        full = min(BACKOFF_MAX, BACKOFF_FIRST * 2.0 ** min(max(self.failures - 1, 0), 10))
        return full * (0.5 + jitter / 2)

    def _enter(
        self,
        state: State,
        reason: str,
        message: str,
        now: float,
        *,
        last_frame: float | None = None,
        failures: int = 0,
    ) -> Lifecycle:
        return Lifecycle(
            state=state,
            reason=reason,
            message=message,
            since=self.since if state is self.state else now,
            last_frame=self.last_frame if last_frame is None else last_frame,
            failures=failures,
        )
