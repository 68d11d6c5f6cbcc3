"""A stream is opened: options, hardware if the profile asks for it, and every refusal as a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import av
import av.error
from av.codec.codec import UnknownCodecError
from av.codec.hwaccel import HWAccel, hwdevices_available

from edgedetector.detector.lifecycle import SILENCE

_OPEN: Final = 15.0
"""Seconds for opening: go2rtc answers only after it has reached the camera."""
_OPTIONS: Final = {
    "rtsp_transport": "tcp",
    # Microseconds to look at the stream for what the session description did not tell, and no guess at its rate:
    # both only delay the first frame.
    "analyzeduration": "1000000",
    "fpsprobesize": "0",
    # Microseconds without a byte; see `_patience`.
    "timeout": f"{SILENCE * 1e6:.0f}",
}
SOFTWARE: Final = "software"
"""`Opened.decoder` where nothing else decodes."""
_PROBES: Final = ("h264", "hevc")
"""Codecs with which a device is tried: what cameras send."""
_LARGEST: Final = 7680 * 4320
"""Pixels of a frame, 8K: one header of garbage could otherwise ask for 16384x16384, 400 MB a picture."""


class SourceError(Exception):
    """A stream cannot be opened, or broke off."""

    def __init__(self, reason: str, message: str, *, unauthorized: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.unauthorized = unauthorized


@dataclass(frozen=True, slots=True)
class Opening:
    """How the streams of a node are opened; from the accelerator profile, so that no vendor is named here."""

    options: Mapping[str, str] = field(default_factory=dict)
    """FFmpeg's input options, above ours."""
    hardware: str = ""
    """Kind of device that decodes, as FFmpeg names it; empty: software."""
    device: str = ""
    """Which of them, e.g. a render node; empty: the first."""
    decoders: Mapping[str, str] = field(default_factory=dict)
    """Codec -> decoder by name, for hardware that FFmpeg knows as decoders of their own."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open stream."""

    container: Any
    stream: Any
    """Its first video stream."""
    context: Any
    """The decoder; one thread."""
    decoder: str
    """`software`, or what decodes instead."""
    fallback: str = ""
    """Why it is software though something else was asked for."""


def open_stream(url: str, opening: Opening) -> Opened:
    """Return the open stream; its container is the caller's to close.

    Raises
    ------
    SourceError
        If it cannot be reached, or has no video that can be decoded here.
    """
    container, refused = _open(url, opening)
    try:
        return _decoder(container, opening, refused)
    except BaseException:
        container.close()
        raise


def translate(error: Any) -> SourceError:
    """Return FFmpeg's error as ours."""
    text = str(error.strerror or error)
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return SourceError("Unauthorized", "the camera refuses the credentials", unauthorized=True)
    if isinstance(error, av.error.HTTPNotFoundError):
        return SourceError("NotFound", "the media server has no such stream, or cannot reach the camera")
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)) or "mmediate exit" in text:
        return silent()
    if isinstance(error, (av.error.InvalidDataError, av.error.DemuxerNotFoundError)):
        return SourceError("InvalidData", "what the camera sends is no video stream")
    if isinstance(error, av.error.EOFError):
        return SourceError("StreamEnded", "the stream ended")
    return SourceError("StreamFailed", text)


def silent() -> SourceError:
    """Return the error of a stream on which nothing comes."""
    return SourceError("Silent", f"nothing was received for {SILENCE:.0f} s")


def _open(url: str, opening: Opening) -> tuple[Any, str]:
    """Return the container, and why it was opened without the hardware."""
    options = {**(_OPTIONS if url.startswith("rtsp") else {}), **opening.options}
    refused = _unknown(opening.hardware) if opening.hardware else ""
    if opening.hardware and not refused:
        accelerator = HWAccel(opening.hardware, opening.device or None, allow_software_fallback=True)
        try:
            return av.open(url, options=options, timeout=_patience(url), hwaccel=accelerator), ""
        except av.error.FFmpegError as error:
            reason = _refusal(accelerator)
            if not reason:  # The device is there: it was the camera.
                raise translate(error) from None
            refused = f"{opening.hardware}: {reason}"
    try:
        return av.open(url, options=options, timeout=_patience(url)), refused
    except av.error.FFmpegError as error:
        raise translate(error) from None


def _patience(url: str) -> tuple[float, float | None]:
    """Return for how many seconds PyAV lets FFmpeg open and read.

    PyAV takes the interpreter's lock for each look at the clock, which FFmpeg asks for about twice a call of the
    system, 16 times a small frame: with many cameras each is a wait for the others. FFmpeg's own time-out for the
    sockets of RTSP takes none. It counts any byte, but go2rtc sends none besides media (1.9.14, `pkg/rtsp`).
    """
    return _OPEN, None if url.startswith("rtsp") else SILENCE


def _refusal(accelerator: HWAccel) -> str:
    """Return why the device cannot be had; empty if it can."""
    for codec in _PROBES:
        try:
            accelerator.create(av.Codec(codec, "r"))
        except NotImplementedError:
            continue  # This kind of device does not decode this codec.
        except av.error.FFmpegError as error:
            return str(error.strerror)
    return ""


def _unknown(hardware: str) -> str:
    """Return why there is no such kind of device; PyAV takes a name that it does not know for any kind."""
    known = hwdevices_available()
    return "" if hardware in known else f"{hardware}: this FFmpeg has {', '.join(known) or 'no hardware'}"


def _decoder(container: Any, opening: Opening, refused: str) -> Opened:
    if not container.streams.video:
        raise SourceError("NoVideo", "the stream has no video")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None:
        raise SourceError("UnknownCodec", "there is no decoder for the stream's video")
    if context.width * context.height > _LARGEST:
        raise SourceError("TooLarge", f"pictures of {context.width}x{context.height} are larger than 8K")
    name = opening.decoders.get(context.name, "")
    if name:
        try:
            return Opened(container, stream, _single(_named(name, context)), name)
        except (UnknownCodecError, av.error.FFmpegError, ValueError) as error:
            refused = f"{name}: {getattr(error, 'strerror', None) or 'no such decoder'}"
    if context.is_hwaccel:
        return Opened(container, stream, _single(context), opening.hardware)
    if opening.hardware and not refused:
        refused = f"{opening.hardware}: does not decode {context.name}"
    return Opened(container, stream, _single(context), SOFTWARE, refused)


def _named(name: str, like: Any) -> Any:
    context: Any = av.CodecContext.create(name, "r")
    context.extradata = like.extradata
    context.width, context.height = like.width, like.height
    context.options = {"max_pixels": str(_LARGEST)}
    context.open()
    return context


def _single(context: Any) -> Any:
    # One thread a stream: frame threading holds frames back, many cameras fill the cores anyway, and CPU time is told
    # by the clock of the thread that decodes.
    if not context.is_open:
        context.thread_count = 1
        context.options = {**context.options, "max_pixels": str(_LARGEST)}
    return context
