"""An open page: what waits for it, what it watches, and where in each video its results belong."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from typing import Final

from edgedetector.cli.viewing.message import packed
from edgedetector.cli.viewing.mp4 import Piece
from edgedetector.cli.viewing.results import Result
from edgedetector.cli.viewing.timeline import Frames, Placement

LONGEST: Final = 32 << 20
"""Bytes that wait for a page. One that lets more wait is cut off, and begins anew where the cameras are now."""


class Session:
    """One connection to a page. For several threads; who puts something never waits."""

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(12)
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._placements: dict[str, Placement] = {}
        self.closed = False

    def put(self, message: bytes) -> None:
        """Have a message sent."""
        with self._changed:
            self._size += len(message)
            if self._size > LONGEST:
                self.closed = True
            else:
                self._waiting.append(message)
            self._changed.notify_all()

    def take(self, timeout: float) -> bytes:
        """Return what waits, after at most `timeout` seconds; empty: nothing."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self.closed, timeout)
            content = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            return content

    def close(self) -> None:
        """End it."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def video(self, camera: str, piece: Piece, kind: str, now: float) -> None:
        """Take a piece of a camera's video that has arrived at `now` (monotonic)."""
        if piece.time is None:
            with self._changed:
                self._placements[camera] = Placement(Frames())
            self.put(packed("begin", piece.content, camera=camera, type=kind))
            return
        with self._changed:
            placement = self._placements.setdefault(camera, Placement(Frames()))
            placement.frames.add(now, piece.time)
        self.put(packed("video", piece.content, camera=camera, at=piece.time))

    def result(self, event: Result, now: float) -> None:
        """Take a result that has arrived at `now` (monotonic), and say to which moment of the video it belongs."""
        with self._changed:
            placement = self._placements.get(event.camera)
            at = placement.place(now, event.age, event.pts) if placement is not None else None
        self.put(packed("result", camera=event.camera, at=at, **event.told()))

    def end(self, camera: str, kind: str, why: str) -> None:
        """Say that a camera's video or pictures have ended, and why."""
        with self._changed:
            self._placements.pop(camera, None)
        self.put(packed("end", camera=camera, of=kind, why=why))
