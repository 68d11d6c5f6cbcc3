"""What is odd about a stream though pictures come: pure, from its reading."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from edgedetector.detector.frame import Plane
from edgedetector.detector.lifecycle import Remark, State
from edgedetector.detector.reading import Reading

FLOOD: Final = 3.0
"""Times its stated rate from which a camera floods; twice is common: fields that are stated as frames."""
FLOOD_LEAST: Final = 60.0
"""Frames a second below which no rate is a flood, whatever the stream states."""
LINGERS: Final = 30.0
"""Seconds that a stream counts as over its budget after a packet was left undecoded for it: remarks must not flap."""
LOOK: Final = 1.0
"""Seconds between looks at whether the picture changes."""
_EVERY: Final = 8
"""Every eighth pixel of every eighth row is looked at: a sensor's noise is everywhere."""


@dataclass(frozen=True, slots=True)
class Stillness:
    """Whether the picture is the very same, bit for bit. Times in seconds, monotonic.

    A sensor has noise, also at night; an encoder may still repeat itself between keyframes. So one must wait for longer
    than some keyframe intervals before a camera counts as frozen.
    """

    signature: int | None = None
    since: float = 0.0
    """When this picture was first seen."""
    looked: float | None = None

    def wants(self, now: float) -> bool:
        """Return whether it is time to look."""
        return self.looked is None or now - self.looked >= LOOK

    def seen(self, now: float, luma: Plane) -> Stillness:
        """Return what is known after a look at a picture."""
        signature = zlib.crc32(luma[::_EVERY, ::_EVERY].tobytes())
        return Stillness(signature, self.since if signature == self.signature else now, now)


def remark(reading: Reading, now: float, *, frozen_after: float | None = None) -> Remark | None:
    """Return what an operator should know of a stream that gives pictures; None: nothing.

    Parameters
    ----------
    frozen_after
        Seconds of the same picture after which a camera counts as frozen; None: it never does.
    """
    if frozen_after is not None and reading.same_since is not None and now - reading.same_since >= frozen_after:
        return Remark(
            State.STALLED, "Frozen", f"packets come, but the picture has not changed for {frozen_after:.0f} s"
        )
    if _floods(reading):
        stated = f"; it states {reading.stated_rate:g}" if reading.stated_rate else ""
        return Remark(State.LIVE, "Flooding", f"the camera sends far more frames than it should{stated}")
    if reading.over_budget is not None and now - reading.over_budget < LINGERS:
        return Remark(State.LIVE, "OverBudget", "decoding takes more CPU than the camera may: keyframes only")
    if reading.fallback:
        return Remark(State.LIVE, "SoftwareDecoding", f"decoded in software: {reading.fallback}")
    return None


def _floods(reading: Reading) -> bool:
    limit = max(FLOOD_LEAST, FLOOD * (reading.stated_rate or 0.0))
    return reading.rate is not None and reading.rate > limit
