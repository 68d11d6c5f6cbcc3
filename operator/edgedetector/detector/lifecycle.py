"""States of a camera, pure: what was seen and when -> Connecting, Live, Stalled, Failing, Unauthorized or Suspended.

    Connecting ──frame──> Live ──5 s without a frame──> Stalled ──frame──> Live
        │                  └───────connection lost──────> Failing / Unauthorized ──frame──> Live
        └──open failed──> Failing / Unauthorized

    any ──suspended──> Suspended ──resumed──> Connecting

A state stays while nothing new is known: attempts to reopen a camera do not flap Failing -> Connecting -> Failing,
because status must not change at rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

STALL: Final = 5.0
"""Seconds without a frame after which a camera is Stalled: go2rtc leaves consumers' sockets open and silent."""
SILENCE: Final = 20.0
"""Seconds without a packet after which the stream is opened anew; go2rtc redials a camera within 13-19 s."""
BACKOFF_FIRST: Final = 1.0
BACKOFF_MAX: Final = 30.0
STABLE: Final = 10.0
"""Seconds of frames after which earlier failures are forgotten: a camera that breaks off after each first frame would
else be opened twice a second for ever."""


class State(StrEnum):
    """Where a camera stands."""

    CONNECTING = "Connecting"
    LIVE = "Live"
    STALLED = "Stalled"
    FAILING = "Failing"
    UNAUTHORIZED = "Unauthorized"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class Remark:
    """What is odd about a camera though frames come."""

    state: State
    """`LIVE`, or `STALLED` for frames that show nothing new."""
    reason: str
    message: str
    """Without figures that change: status must not change at rest."""


_WELL: Final = Remark(State.LIVE, "FramesArriving", "")


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What is known of one camera. Times in seconds, monotonic."""

    state: State = State.CONNECTING
    reason: str = "Opening"
    message: str = "the stream is being opened"
    since: float = 0.0
    last_frame: float | None = None
    began: float | None = None
    """When the first frame since the last failure came."""
    failures: int = 0
    """Attempts that failed since frames last came for `STABLE` seconds."""

    def frame(self, now: float, remark: Remark | None = None) -> Lifecycle:
        """Return the lifecycle after a frame was decoded."""
        if self.state is State.SUSPENDED:
            return self  # One that was on its way.
        began = now if self.began is None else self.began
        failures = 0 if now - began >= STABLE else self.failures
        found = remark or _WELL
        since = self.since if found.state is self.state else now
        # By the constructor, since this happens with every frame: `dataclasses.replace` takes six times as long.
        return Lifecycle(found.state, found.reason, found.message, since, now, began, failures)

    def failed(self, now: float, reason: str, message: str, *, unauthorized: bool = False) -> Lifecycle:
        """Return the lifecycle after the stream could not be opened, or broke off."""
        if self.state is State.SUSPENDED:
            return self
        state = State.UNAUTHORIZED if unauthorized else State.FAILING
        return _enter(replace(self, began=None, failures=self.failures + 1), state, reason, message, now)

    def observed(self, now: float, spared: float | None = None) -> Lifecycle:
        """Return the lifecycle as of now: a camera that was Live stalls by the passing of time alone.

        Parameters
        ----------
        spared
            When a packet was last left undecoded by choice (`Reading.spared`): with keyframes alone pictures may be
            further apart than a stall is long, and the camera is well.
        """
        if self.state is State.LIVE and self.last_frame is not None:
            seen = self.last_frame if spared is None else max(self.last_frame, spared)
            if now - seen >= STALL:
                return _enter(self, State.STALLED, "NoFrames", f"no frame for {STALL:.0f} s", now)
        if self.state is State.CONNECTING and now - self.since >= SILENCE:
            return _enter(self, State.STALLED, "NoFrames", "the stream opened, but no frame has come", now)
        return self

    def suspended(self, now: float, message: str) -> Lifecycle:
        """Return the lifecycle of a camera that is not served for now, and why."""
        return _enter(self, State.SUSPENDED, "Suspended", message, now)

    def resumed(self, now: float) -> Lifecycle:
        """Return the lifecycle of a camera that is served again."""
        return Lifecycle(since=now, last_frame=self.last_frame) if self.state is State.SUSPENDED else self

    @property
    def lost(self) -> bool:
        """Whether it failed and no frame came since; of one that is suspended: when it was."""
        return self.began is None and self.failures > 0

    def backoff(self, jitter: float) -> float:
        """Return the seconds to wait before the stream is opened anew.

        Parameters
        ----------
        jitter
            Random number in [0, 1): cameras that failed together do not come back together.
        """
        full = min(BACKOFF_MAX, BACKOFF_FIRST * 2.0 ** min(max(self.failures - 1, 0), 10))
        return full * (0.5 + jitter / 2)


def _enter(known: Lifecycle, state: State, reason: str, message: str, now: float) -> Lifecycle:
    since = known.since if state is known.state else now
    return replace(known, state=state, reason=reason, message=message, since=since)
