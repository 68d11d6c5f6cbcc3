"""Frames of one stream, decoded by PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import av
import av.error
import numpy as np

from edgedetector.detector.inference import Image
from edgedetector.detector.lifecycle import SILENCE

_OPEN: Final = 15.0
"""Seconds for opening: go2rtc answers only after it has reached the camera."""
_OPTIONS: Final = {
    "rtsp_transport": "tcp",
    # Microseconds to look at the stream for what the session description did not tell, and no guess at its rate:
    # both only delay the first frame.
    "analyzeduration": "1000000",
    "fpsprobesize": "0",
}


class SourceError(Exception):
    """A stream cannot be opened, or broke off."""

    def __init__(self, reason: str, message: str, *, unauthorized: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.unauthorized = unauthorized


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame; its pixels are converted only if somebody wants them."""

    picture: Any
    """`av.VideoFrame`."""
    pts: int | None
    """Presentation time in units of the stream's time base."""
    arrived: float
    """Seconds, monotonic, when it was decoded."""
    captured: float
    """Seconds since the epoch at the same moment."""

    def image(self) -> Image:
        """Return the pixels as RGB [height, width, 3]."""
        return np.asarray(self.picture.to_ndarray(format="rgb24"), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a stage, passed in."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]


def frames(url: str, clocks: Clocks, on_decode: Callable[[float], None]) -> Iterator[Frame]:
    """Yield a stream's frames as they come, until it ends.

    Parameters
    ----------
    on_decode
        Called with the seconds that decoding of each packet took.

    Raises
    ------
    SourceError
        If the stream cannot be opened, breaks off, or is silent for 20 s.
    """
    try:
        with av.open(url, options=_OPTIONS if url.startswith("rtsp") else {}, timeout=(_OPEN, SILENCE)) as container:
            yield from _decode(container, clocks, on_decode)
    except av.error.FFmpegError as error:
        raise _translate(error) from None
    raise SourceError("StreamEnded", "the stream ended")


def _decode(container: Any, clocks: Clocks, on_decode: Callable[[float], None]) -> Iterator[Frame]:
    if not container.streams.video:
        raise SourceError("NoVideo", "the stream has no video")
    stream = container.streams.video[0]
    # One thread a stream: frame threading holds frames back, and many cameras fill the cores anyway.
    stream.codec_context.thread_count = 1
    last = clocks.monotonic()
    for packet in container.demux(stream):
        started = clocks.monotonic()
        if started - last >= SILENCE:
            # At its time-out FFmpeg first hands out the packet that the parser held back, and only then, after
            # another 20 s, the error.
            raise _silent()
        last = started
        try:
            pictures = packet.decode()
        except av.error.InvalidDataError:
            continue  # A damaged packet, or one before the first keyframe.
        arrived, captured = clocks.monotonic(), clocks.wall()
        on_decode(arrived - started)
        for picture in pictures:
            if not picture.is_corrupt:
                yield Frame(picture, picture.pts, arrived, captured)


def _translate(error: Any) -> SourceError:
    text = str(error.strerror or error)
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return SourceError("Unauthorized", "the camera refuses the credentials", unauthorized=True)
    if isinstance(error, av.error.HTTPNotFoundError):
        return SourceError("NotFound", "the media server has no such stream, or cannot reach the camera")
    if isinstance(error, av.error.ExitError) or "mmediate exit" in text:
        return _silent()
    return SourceError("StreamFailed", text)


def _silent() -> SourceError:
    return SourceError("Silent", f"nothing was received for {SILENCE:.0f} s")
