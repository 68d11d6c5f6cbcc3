"""What the misbehaving camera (tests/e2e/unruly.py) plays: small videos, as the JSON document that it reads."""

from __future__ import annotations

import base64
import functools
import io
import json
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np

SECONDS: Final = 2
_RATE: Final = 10

SIZES: Final = {"plain": (64, 48), "large": (128, 96), "4k": (3840, 2160), "pixel": (1, 1), "hevc": (96, 64)}
"""Clip -> width and height of its pictures."""


@functools.cache
def document() -> str:
    """Return all clips. Cached, since encoding takes seconds."""
    return json.dumps({name: _clip(name) for name in SIZES})


def _clip(name: str) -> dict[str, Any]:
    width, height = SIZES[name]
    hevc = name == "hevc"
    pixels = "yuv444p" if name == "pixel" else "yuv420p"  # half a pixel of colour is none
    # A large picture twice a second: what is shown is that it passes, not how much of it a core can take.
    every, count = (5, 2) if name == "4k" else (1, SECONDS * _RATE)
    data = encode(width, height, "libx265" if hevc else "libx264", pixels=pixels, count=count)
    return {"codec": "H265" if hevc else "H264", "every": every, "data": base64.b64encode(data).decode()}


def encode(width: int, height: int, codec: str, *, pixels: str, count: int) -> bytes:
    """Return an Annex B stream of pictures that grow brighter, one slice each, none of which refers to a later one."""
    made = io.BytesIO()
    settings = {
        "libx264": {"x264-params": "slices=1:sliced-threads=0:repeat-headers=1:bframes=0:keyint=10:scenecut=0"},
        "libx265": {"x265-params": "bframes=0:repeat-headers=1:keyint=10:scenecut=0:log-level=none"},
    }[codec]
    with av.open(made, "w", format="h264" if codec == "libx264" else "hevc") as container:
        stream = container.add_stream(codec, rate=_RATE, options={"preset": "ultrafast", **settings})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), number * 9 % 240, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, _RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return made.getvalue()
