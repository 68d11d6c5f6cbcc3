"""A stream is read: always drained, and decoded only as far as somebody can want its frames.

What may be left out, and what that costs:

- Frames that no other refers to (all of MJPEG; in H.264 and HEVC what the encoder marks so, mostly B-frames) are left
  undecoded when they are not due. That costs nothing. Many cameras mark none: then each frame is decoded, since the
  next ones build on it.
- With `keyframes_only` all between keyframes is left out. The frames that come are as fresh as ever, but there is one a
  keyframe interval: what happens is seen up to that interval later. It begins with the next packet; it ends with the
  next keyframe, for the frames before that build on ones that were never decoded.
- A stream over its CPU budget is decoded as with `keyframes_only`, and not at all while the budget is exceeded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, Final

import av.error

from edgedetector.detector.cpu import Budget, Spent, Stopwatch, Tell
from edgedetector.detector.frame import Clocks, Frame
from edgedetector.detector.health import Stillness
from edgedetector.detector.lifecycle import SILENCE
from edgedetector.detector.opening import SOFTWARE, Opened, Opening, SourceError, open_stream, silent, translate
from edgedetector.detector.reading import Reading, Tally

HARDWARE_AGAIN: Final = 600.0
"""Seconds for which hardware that failed is not tried again: a session in software costs CPU, each try some frames."""
UNDECODABLE: Final = 10.0
"""Seconds of damaged packets without one picture after which the stream is given up: five keyframe intervals."""


class _HardwareFailedError(Exception):
    """What decodes in place of software does not; the message says what and why."""


def _always(_now: float) -> bool:
    return True


def _untold(_spent: Spent) -> None:
    return


class Reader:
    """Reads one stream, session after session.

    Parameters
    ----------
    due
        Asked once for each packet, with the time: whether a frame that arrives now is wanted. It keeps the count of
        arrivals too (`Pacer.seen`), for what is not decoded never shows as a frame.
    on_read, on_decode
        Told what reading and decoding each packet took.
    budget
        CPU that reading and decoding may take; None: as much as they need.
    watch_stillness
        Whether to look once a second if the picture is the very same (`Reading.same_since`).
    """

    def __init__(
        self,
        url: str,
        clocks: Clocks,
        *,
        opening: Opening | None = None,
        due: Callable[[float], bool] = _always,
        on_read: Tell = _untold,
        on_decode: Tell = _untold,
        budget: Budget | None = None,
        watch_stillness: bool = False,
    ) -> None:
        self.url = url
        """May be set at any time, from any thread: the session ends at its next packet, and `frames` with it."""
        self.keyframes_only = False
        """May be set at any time, from any thread."""
        self._clocks = clocks
        self._opening = opening or Opening()
        self._due = due
        self._on_read = on_read
        self._on_decode = on_decode
        self._budget = budget
        self._still = Stillness() if watch_stillness else None
        self._tally = Tally()
        self._stopped = False
        self._whole = True  # Whether the frames that the next one builds on were decoded.
        self._failed: tuple[float, str] | None = None  # When the hardware failed, and how.
        self._saving = False  # Whether the budget was exceeded and has not recovered.

    def stop(self) -> None:
        """End the session at its next packet, or at the time-out of one that is silent; for any thread."""
        self._stopped = True

    def reading(self) -> Reading:
        """Return what is known of the stream; for any thread."""
        return self._tally.reading()

    def frames(self) -> Generator[Frame]:
        """Open the stream and yield its frames as they come, until it ends.

        Raises
        ------
        SourceError
            At the end, unless it was stopped or turned to another URL: it cannot be opened, ended, broke off, was
            silent for 20 s, or cannot be decoded.
        """
        while True:
            url = self.url
            try:
                yield from self._session(url)
            except _HardwareFailedError as error:
                # At once and without a word to the camera, which is well.
                self._failed = self._clocks.monotonic(), str(error)
            else:
                break
        if not self._stopped and self.url == url:
            raise SourceError("StreamEnded", "the stream ended")

    def _session(self, url: str) -> Iterator[Frame]:
        opened = open_stream(url, self._opening_now())
        with opened.container:
            self._note(opened)
            try:
                yield from self._decoded(opened, url)
            except av.error.FFmpegError as error:
                raise translate(error) from None

    def _opening_now(self) -> Opening:
        if self._failed is not None and self._clocks.monotonic() - self._failed[0] >= HARDWARE_AGAIN:
            self._failed = None
        return self._opening if self._failed is None else Opening(options=self._opening.options)

    def _note(self, opened: Opened) -> None:
        stated = opened.stream.average_rate or opened.context.framerate
        self._whole = True
        self._still = None if self._still is None else Stillness()
        self._tally.opened(
            self._clocks.monotonic(),
            codec=opened.context.name,
            decoder=opened.decoder,
            fallback=opened.fallback or (self._failed[1] if self._failed else ""),
            rate=float(stated) if stated else None,
        )

    def _decoded(self, opened: Opened, url: str) -> Iterator[Frame]:
        last = self._clocks.monotonic()
        damaged: float | None = None  # Since when packets are refused and nothing else came.
        for packet in self._packets(opened, url):
            now = self._clocks.monotonic()
            if now - last >= SILENCE:
                # At its time-out FFmpeg first hands out the packet that the parser held back, and only then, after
                # another 20 s, the error.
                raise silent()
            last = now
            if packet.size:
                self._tally.packet(now, packet.size, keyframe=packet.is_keyframe)
            if packet.size and self._spare(opened.context, packet, now):
                damaged = None
                continue
            try:
                pictures = self._decode(opened.context, packet)
            except av.error.InvalidDataError as error:
                # A damaged packet, or one before the first keyframe.
                self._tally.damaged(str(error.strerror))
                damaged = now if damaged is None else damaged
                if now - damaged >= UNDECODABLE:
                    _blame_hardware(opened, error)
                    raise SourceError("Undecodable", f"no picture could be decoded: {error.strerror}") from None
                continue
            except av.error.FFmpegError as error:
                _blame_hardware(opened, error)
                raise
            for frame in self._frames(pictures):
                damaged = None
                yield frame

    def _packets(self, opened: Opened, url: str) -> Iterator[Any]:
        packets = opened.container.demux(opened.stream)
        watch = Stopwatch(self._clocks, self._read)
        while True:
            with watch:
                packet = next(packets, None)
            if packet is None or self._stopped or self.url != url:
                return
            yield packet

    def _decode(self, context: Any, packet: Any) -> list[Any]:
        with Stopwatch(self._clocks, self._decode_told):
            pictures: list[Any] = context.decode(packet)
        return pictures

    def _frames(self, pictures: list[Any]) -> Iterator[Frame]:
        arrived, captured = self._clocks.monotonic(), self._clocks.wall()
        for picture in pictures:
            if picture.is_corrupt:
                self._tally.corrupt()
                continue
            self._tally.picture(arrived, picture.width, picture.height)
            frame = Frame(picture, picture.pts, arrived, captured)
            self._watch(frame)
            yield frame

    def _watch(self, frame: Frame) -> None:
        if self._still is not None and self._still.wants(frame.arrived):
            self._still = self._still.seen(frame.arrived, frame.luma())
            self._tally.same(self._still.since)

    def _spare(self, context: Any, packet: Any, now: float) -> bool:
        """Return whether the packet is left undecoded; count it, and tell the decoder what it may leave out itself."""
        due = self._due(now)
        result = self._result(packet, due=due, independent=context.codec.intra_only)
        if result:
            self._whole = context.codec.intra_only
            self._tally.spared(now, result)
            return True
        self._whole = True
        context.skip_frame = "DEFAULT" if due else "NONREF"
        return False

    def _result(self, packet: Any, *, due: bool, independent: bool) -> str:
        """Return as what a packet is left undecoded; empty: it is decoded."""
        if self._saving and (self._budget is not None and self._budget.exceeded):
            return "over_budget"
        if packet.is_keyframe and not independent:
            return ""
        if self._saving and not independent:
            return "over_budget"
        if independent:
            return "" if due else "passed_over"
        return "passed_over" if self.keyframes_only or not self._whole else ""

    def _read(self, spent: Spent) -> None:
        self._spend(spent)
        self._on_read(spent)

    def _decode_told(self, spent: Spent) -> None:
        self._spend(spent)
        self._on_decode(spent)

    def _spend(self, spent: Spent) -> None:
        if self._budget is not None:
            self._budget = self._budget.advance(self._clocks.monotonic(), spent.cpu)
            self._saving = self._budget.exceeded or (self._saving and not self._budget.recovered)


def _blame_hardware(opened: Opened, error: Any) -> None:
    """Raise if it is not software that fails to decode: whether the stream is at fault, software will tell."""
    if opened.decoder != SOFTWARE:
        raise _HardwareFailedError(f"{opened.decoder}: {error.strerror}") from None
