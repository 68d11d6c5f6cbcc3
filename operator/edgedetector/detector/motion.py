"""Whether anything moves, so that frames of a still scene need not be inferred: grey differences on a small picture.

Pure over a sequence of pictures: `step` takes the state before and gives the one after; times are passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
"""[height, width]."""
Reason = Literal["First", "Motion", "Scene", "Settling", "Interval", "Still"]

SIZE: Final = (96, 54)
"""Width and height of the picture that is compared: averaging some hundred pixels into one takes the noise out, and
comparing it costs a hundredth of decoding a frame's pixels."""


@dataclass(frozen=True, slots=True)
class MotionGate:
    """When a camera's frames are worth inferring."""

    threshold: float = 12.0
    """Grey levels (of 256) by which a pixel of the small picture must differ from the background to have changed."""
    start: float = 0.004
    """Share of changed pixels from which the scene moves: about 20 of the small picture."""
    stop: float = 0.002
    """Share below which it has come to rest; less than `start`, so that it does not flicker."""
    settle: float = 2.0
    """Seconds that frames still pass after the scene came to rest."""
    scene: float = 0.6
    """Share from which not something moved, but the light or the camera: the background starts anew."""
    interval: float = 10.0
    """Seconds after which a frame passes whatever happens."""
    adapts: float = 20.0
    """Seconds in which the background takes on two thirds of a lasting change: passing clouds, a parked car."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What the gate remembers of one camera; of fixed size. Times in seconds, monotonic."""

    background: npt.NDArray[Any] | None = None
    """float32, as the small picture."""
    seen: float = 0.0
    """When the last frame came."""
    moved: float | None = None
    """When the scene moved last; None: it is at rest."""
    passed: float = 0.0
    """When the last frame passed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one frame."""

    passes: bool
    reason: Reason
    share: float
    """Of pixels that changed, 0 to 1."""


def shrink(image: npt.NDArray[np.uint8]) -> Grey:
    """Return the small grey picture of a frame: RGB [height, width, 3], or its luma plane [height, width] alone.

    The luma plane saves the conversion of the whole frame: with PyAV
    ``picture.to_ndarray(format="gray")``, or scaled by it, ``..., width=96, height=54``.
    """
    small = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)  # noqa: PLR2004 - a plane
    return np.asarray(grey, dtype=np.uint8)


def step(gate: MotionGate, before: Motion, picture: Grey, now: float) -> tuple[Motion, Verdict]:
    """Return what is remembered after a frame, and whether it is worth inferring.

    Parameters
    ----------
    picture
        The frame, from `shrink`.
    now
        Seconds, monotonic, when it came.
    """
    fresh = Motion(picture.astype(np.float32), now, now, now)
    if before.background is None or before.background.shape != picture.shape:
        return fresh, Verdict(passes=True, reason="First", share=1.0)
    share = float(np.mean(np.abs(picture - before.background) > gate.threshold))
    if share >= gate.scene:
        return fresh, Verdict(passes=True, reason="Scene", share=share)
    moved = _moved(gate, before, share, now)
    reason = _reason(gate, before, moved, now)
    passes = reason != "Still"
    background = _adapted(gate, before.background, picture, now - before.seen)
    return Motion(background, now, moved, now if passes else before.passed), Verdict(passes, reason, share)


def passed(state: Motion, now: float) -> Motion:
    """Return the state after a frame was inferred for another reason, so that the interval counts from it."""
    return replace(state, passed=now)


def _moved(gate: MotionGate, before: Motion, share: float, now: float) -> float | None:
    """Return when the scene moved last, None once it has settled."""
    if share >= gate.start or (before.moved is not None and share >= gate.stop):
        return now
    if before.moved is None or now - before.moved >= gate.settle:
        return None
    return before.moved


def _reason(gate: MotionGate, before: Motion, moved: float | None, now: float) -> Reason:
    if moved is not None:
        return "Motion" if moved == now else "Settling"
    # A clock that went back must not close the gate until it has caught up.
    return "Still" if 0.0 <= now - before.passed < gate.interval else "Interval"


def _adapted(gate: MotionGate, background: npt.NDArray[Any], picture: Grey, elapsed: float) -> npt.NDArray[Any]:
    """Return the background after `elapsed` seconds: a moving average that is the same at any frame rate."""
    weight = 1.0 - math.exp(-max(0.0, elapsed) / gate.adapts)
    adapted: npt.NDArray[Any] = background + np.float32(weight) * (picture - background)
    return adapted
