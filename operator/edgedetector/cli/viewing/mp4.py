"""Fragmented MP4 (ISO 14496-12) cut into what a browser appends: the head, then each fragment with its time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 32 << 20
"""Bytes of one box: a keyframe of an 8K camera has a tenth of that. What is longer is no video."""
_HEAD: Final = 8
_NESTED: Final = frozenset({b"moov", b"trak", b"mdia", b"moof", b"traf"})


class NoVideoError(Exception):
    """What comes is no fragmented MP4."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The head (`time` None), or a fragment with the time of its first frame in seconds of the stream."""

    content: bytes
    time: float | None = None


class Splitter:
    """Takes bytes as they arrive and gives whole pieces."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._piece = bytearray()
        self._time: float | None = None
        self._scale = 0

    def feed(self, content: bytes) -> Iterator[Piece]:
        """Yield the pieces that `content` completes.

        Raises
        ------
        NoVideoError
            If a box is out of bounds, or a fragment comes before its head.
        """
        self._waiting += content
        while len(self._waiting) >= _HEAD:
            size, kind = int.from_bytes(self._waiting[:4]), bytes(self._waiting[4:8])
            if not _HEAD <= size <= LONGEST:
                raise NoVideoError(f"a box of {size} bytes")
            if len(self._waiting) < size:
                return
            box = bytes(self._waiting[:size])
            del self._waiting[:size]
            yield from self._boxed(kind, box)

    def _boxed(self, kind: bytes, box: bytes) -> Iterator[Piece]:
        self._piece += box
        if kind == b"moov":
            self._scale = _number(_find(box, b"mdhd"), (12, 4), (20, 4))
            yield self._done(None)
        elif kind == b"moof":
            if not self._scale:
                raise NoVideoError("a fragment without a head")
            self._time = _number(_find(box, b"tfdt"), (4, 4), (4, 8)) / self._scale
        elif kind == b"mdat":
            yield self._done(self._time)

    def _done(self, time: float | None) -> Piece:
        piece = Piece(bytes(self._piece), time)
        self._piece.clear()
        return piece


def _find(box: bytes, wanted: bytes) -> bytes:
    """Return the body of the first box of a kind inside another one."""
    at = _HEAD
    while at + _HEAD <= len(box):
        size, kind = int.from_bytes(box[at : at + 4]), box[at + 4 : at + 8]
        if size < _HEAD:
            break
        inner = box[at : at + size]
        if kind == wanted:
            return inner[_HEAD:]
        if kind in _NESTED:
            try:
                return _find(inner, wanted)
            except NoVideoError:
                pass
        at += size
    raise NoVideoError(f"no {wanted.decode()}")


def _number(body: bytes, short: tuple[int, int], long: tuple[int, int]) -> int:
    """Return a number of a box with version 0 (`short`: offset and bytes) or 1 (`long`)."""
    at, size = long if body[:1] == b"\1" else short
    return int.from_bytes(body[at : at + size])
