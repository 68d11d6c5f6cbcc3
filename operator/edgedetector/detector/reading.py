"""What is known of a stream by reading it: counted in one thread, told to others as a value."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

WINDOW: Final = 2.0
"""Seconds over which the rate is measured: a camera of 1 frame/s still shows in it."""
RESULTS: Final = ("decoded", "passed_over", "over_budget", "damaged", "corrupt")


@dataclass(frozen=True, slots=True)
class Reading:
    """A stream as it was read so far; counts go on over reconnects. Times in seconds, monotonic."""

    frames: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    """By result: `decoded`; `passed_over`, not decoded since it was not due or no keyframe; `over_budget`, not decoded
    since the stream takes more CPU than it may; `damaged`, a packet that the decoder refused; `corrupt`, a picture that
    it declared broken. The packets that are missing here are in the decoder, or were left out by it: not due, and no
    other frame refers to them."""
    damage: str = ""
    """What the decoder said of the last damaged packet."""
    packets: int = 0
    bytes: int = 0
    sessions: int = 0
    """Times the stream was opened."""
    codec: str = ""
    decoder: str = ""
    """`software`, or the hardware device or decoder by name."""
    fallback: str = ""
    """Why decoding is done in software though hardware was asked for."""
    width: int = 0
    height: int = 0
    resized: int = 0
    """Times the resolution changed within a session."""
    stated_rate: float | None = None
    """Frames a second that the stream says it has."""
    rate: float | None = None
    """Packets of video a second, over the last whole window."""
    keyframe_interval: float | None = None
    """Seconds between the last two keyframes."""
    picture: float | None = None
    """When a picture was last decoded."""
    spared: float | None = None
    """When a packet was last left undecoded by choice."""
    over_budget: float | None = None
    """When that was last for its CPU budget."""
    same_since: float | None = None
    """Since when the picture is the very same; None: it is not watched."""


class Tally:
    """Counts for one stream: one thread writes, any reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known = Reading()
        self._frames = dict(self._known.frames)
        self._keyframe: float | None = None
        self._window = (0.0, 0)
        self._packets = self._bytes = 0
        self._spared: float | None = None
        self._over_budget: float | None = None
        self._same_since: float | None = None
        self._picture: float | None = None

    def opened(self, now: float, *, codec: str, decoder: str, fallback: str, rate: float | None) -> None:
        """Note a session: a new start for what belongs to one."""
        with self._lock:
            self._window, self._keyframe, self._same_since = (now, 0), None, None
            self._known = replace(
                self._known,
                sessions=self._known.sessions + 1,
                codec=codec,
                decoder=decoder,
                fallback=fallback,
                stated_rate=rate,
                rate=None,
                width=0,
                height=0,
                keyframe_interval=None,
            )

    def packet(self, now: float, size: int, *, keyframe: bool) -> None:
        """Count a packet of `size` bytes."""
        with self._lock:
            self._packets += 1
            self._bytes += size
            since, count = self._window
            self._window = since, count + 1
            if now - since >= WINDOW:
                self._known = replace(self._known, rate=(count + 1) / (now - since))
                self._window = now, 0
            if keyframe:
                if self._keyframe is not None:
                    self._known = replace(self._known, keyframe_interval=now - self._keyframe)
                self._keyframe = now

    def picture(self, now: float, width: int, height: int) -> None:
        """Count a picture that was decoded."""
        with self._lock:
            self._frames["decoded"] += 1
            self._picture = now
            known = self._known
            if (known.width, known.height) != (width, height):
                resized = known.resized + (known.width > 0)
                self._known = replace(known, width=width, height=height, resized=resized)

    def spared(self, now: float, result: str) -> None:
        """Count a packet that was left undecoded by choice: `passed_over` or `over_budget`."""
        with self._lock:
            self._frames[result] += 1
            self._spared = now
            if result == "over_budget":
                self._over_budget = now

    def damaged(self, reason: str) -> None:
        """Count a packet that the decoder refused."""
        with self._lock:
            self._frames["damaged"] += 1
            if reason != self._known.damage:
                self._known = replace(self._known, damage=reason)

    def corrupt(self) -> None:
        """Count a picture that the decoder declared broken."""
        with self._lock:
            self._frames["corrupt"] += 1

    def same(self, since: float) -> None:
        """Note since when the picture is the very same."""
        with self._lock:
            self._same_since = since

    def reading(self) -> Reading:
        """Return what is known now."""
        with self._lock:
            return replace(
                self._known,
                frames=dict(self._frames),
                packets=self._packets,
                bytes=self._bytes,
                picture=self._picture,
                spared=self._spared,
                over_budget=self._over_budget,
                same_since=self._same_since,
            )
