"""A decoded frame, and ways from its planes to pixels: none of them is taken before somebody wants the pixels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from edgedetector.detector.preparation import Image, Render

Plane = npt.NDArray[np.uint8]
"""[height, width]."""

_KEPT: Final = 8
"""Set-up converters that are kept: two models of two input sizes, and the sizes before a change."""
_LINEAR: Final = cv2.INTER_LINEAR
_HALVED: Final = frozenset({"yuv420p", "yuvj420p"})
"""Planar formats of 8 bits whose colours have half the width and height: what nearly all cameras send."""
_BT601: Final = frozenset({2, 5, 6})
"""Colour matrices (ITU-T H.273, table 4) that OpenCV's conversion has: unspecified, for which FFmpeg takes BT.601 too,
BT.470BG and SMPTE 170M, which are BT.601 of 625 and 525 lines."""
_LIMITED: Final = frozenset({0, 1})
"""Colour ranges (AVColorRange) in which black is 16 and white 235, as OpenCV takes them: unspecified, and MPEG's."""
_PLANAR: Final = ("yuv4", "yuvj4", "nv12", "nv21", "gray")
"""Beginnings of pixel formats whose first plane is the luma, a byte a pixel where the format says 8 bits."""
_BYTE: Final = 8


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a stage, passed in; all in seconds."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    cpu: Callable[[], float] = time.thread_time
    """CPU seconds of the calling thread (CLOCK_THREAD_CPUTIME_ID)."""


class Scaler:
    """Frames to RGB of a wanted size. For one thread.

    A frame of other size is scaled in YUV, as planes of which two are a quarter of the size, and made RGB when it is
    small: a third to a seventh of what swscale takes for both in one pass, and of what scaling in RGB takes (1280x720
    to 640x360: 0.2 ms against 0.7 to 1.0 ms).
    """

    def __init__(self) -> None:
        # Set up for one size and format each; to set one up costs more than to convert a small frame.
        self._made: dict[tuple[str, int, int], Any] = {}
        # Memory that is used again: what malloc takes from the kernel and gives back for each frame is paged in anew,
        # and to do that costs more than the conversion.
        self._planes: dict[tuple[int, int], Plane] = {}
        self._pixels: dict[tuple[int, int], Image] = {}

    def render(self, picture: Any, width: int, height: int, out: Image | None = None) -> Image:
        """Return `picture` (`av.VideoFrame`) as RGB [height, width, 3].

        A view of memory that belongs to the array alone, whose rows may be padded; copy it into place.

        Parameters
        ----------
        out
            Memory of that shape that may be used for the result.
        """
        if (picture.width, picture.height) == (width, height):
            return self._rgb(picture)
        if picture.format.name in _HALVED and not (width % 2 or height % 2 or picture.width % 2 or picture.height % 2):
            return self._converted(picture, self._scaled(picture, width, height), out)
        return np.asarray(cv2.resize(self._rgb(picture), (width, height), interpolation=_LINEAR), dtype=np.uint8)

    def of(self, frame: Frame) -> Render:
        """Return what `Preparation.render_into` wants: the frame's pixels by width and height, until the next ones."""
        return lambda width, height: self.render(
            frame.picture, width, height, _kept(self._pixels, (width, height), (height, width, 3))
        )

    def _converted(self, picture: Any, planes: Plane, out: Image | None) -> Image:
        """Return the planes of a picture in RGB."""
        if picture.format.name == "yuv420p" and picture.colorspace in _BT601 and picture.color_range in _LIMITED:
            return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420, dst=out), dtype=np.uint8)
        made = av.VideoFrame.from_ndarray(planes, format=picture.format.name)
        made.colorspace, made.color_range = picture.colorspace, picture.color_range
        return self._rgb(made)

    def _rgb(self, picture: Any) -> Image:
        key = picture.format.name, picture.width, picture.height
        reformatter = self._made.get(key)
        if reformatter is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            reformatter = self._made[key] = VideoReformatter()
        # One thread: PyAV's default starts one for each CPU with every frame, and their time is on nobody's clock.
        return _pixels(reformatter.reformat(picture, format="rgb24", threads=1), 3)

    def _scaled(self, picture: Any, width: int, height: int) -> Plane:
        """Return the planes of planar YUV with halved colours in another size, until the next; all sizes are even."""
        small = _kept(self._planes, (width, height), (height * 3 // 2, width))
        colours = small[height:].reshape(2, height // 2, width // 2)
        for index, out in enumerate((small[:height], colours[0], colours[1])):
            plane = picture.planes[index]
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
            cv2.resize(rows, out.shape[::-1], dst=out, interpolation=_LINEAR)
        return small


def _kept(
    memory: dict[tuple[int, int], npt.NDArray[np.uint8]], key: tuple[int, int], shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Return memory of a shape that was made before for the same key."""
    found = memory.get(key)
    if found is None:
        if len(memory) >= _KEPT:
            memory.clear()
        found = memory[key] = np.empty(shape, np.uint8)
    return found


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

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.picture.width)

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.picture.height)

    def image(self) -> Image:
        """Return all pixels as RGB [height, width, 3]."""
        # One thread: PyAV's default starts one for each CPU with every frame, and their time is on nobody's clock.
        return np.asarray(self.picture.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)

    def luma(self) -> Plane:
        """Return the brightness of each pixel, [height, width]; where the decoder has it as a plane, a view of that.

        In the range that the camera uses, 16 to 235 for most: good for comparing frames of one camera.
        """
        form = self.picture.format
        if form.name.startswith(_PLANAR) and form.components[0].bits == _BYTE:
            return _pixels(self.picture, 1)[:, :, 0]
        return np.asarray(self.picture.to_ndarray(format="gray", threads=1), dtype=np.uint8)


def _pixels(picture: Any, channels: int) -> npt.NDArray[np.uint8]:
    """Return the first plane as [height, width, channels], without its padding and without a copy."""
    plane = picture.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: picture.height, : picture.width * channels]
    pixels = rows.reshape(picture.height, picture.width, channels)
    pixels.flags.writeable = False  # The decoder may still refer to this picture.
    return pixels
