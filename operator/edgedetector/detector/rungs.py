"""What each camera can give up, and in which order all of them do.

A rung takes one thing from all cameras of one priority: equal cameras stay equal. The rungs are sorted by step, then
lowest priority first, then from little to much. The cameras of the highest priority, where there are lower ones, give
way last of all: their rungs come after the others' last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """What can be given up. Names as in `spec.degradation.steps`."""

    REDUCE_FRAME_RATE = "ReduceFrameRate"
    """Down to frameRate.minimum."""
    USE_SUBSTREAM = "UseSubstream"
    """A smaller input: the sub-stream in place of the main one, and smaller variants of models. The name is older than
    the variants, and stands in stored resources."""
    KEYFRAMES_ONLY = "KeyframesOnly"
    """Only frames that need no others to be decoded."""
    PAUSE_CAMERAS = "PauseCameras"


RATE_FACTOR: Final = 0.6
"""Between a frame rate and the next lower one: 5, 3, 1.8, 1."""
KEYFRAME_RATE: Final = 0.5
"""Keyframes a second that are reckoned with: a group of pictures of 2 s is usual."""
_SMALLER_WORK: Final = 0.5
"""Work of a smaller input over the usual one: an estimate that only decides how many rungs a move takes."""


@dataclass(frozen=True, slots=True)
class Options:
    """What one camera has to give. Rates in frames a second, ``0 < minimum <= target``."""

    camera: str
    priority: int
    minimum: float
    target: float
    smaller: bool = False
    """It has a smaller input that it does not use yet."""
    smaller_now: bool = True
    """That one can be used at present. If not, the rung stays where it is and takes nothing until it can."""
    keyframes: bool = True
    """Its reader can leave out all but keyframes."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a camera is left with."""

    rate: float
    """Ceiling of its frame rate."""
    smaller: bool = False
    keyframes_only: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Rung:
    """One thing that all cameras of a priority give up; its order is that of the ladder."""

    top: bool
    """The highest of several priorities."""
    place: int
    """Of the step in the list of steps."""
    priority: int
    index: int
    """Of several rungs of a step, from 1."""


def ladder(cameras: Iterable[Options], steps: tuple[Step, ...], protected: int) -> tuple[Rung, ...]:
    """Return all rungs in the order in which they are taken.

    Parameters
    ----------
    protected
        Cameras of this priority or a higher one are never suspended.
    """
    classes: dict[int, list[Options]] = {}
    for camera in cameras:
        classes.setdefault(camera.priority, []).append(camera)
    highest = max(classes, default=0)
    return tuple(
        sorted(
            Rung(len(classes) > 1 and priority == highest, place, priority, index)
            for priority, members in classes.items()
            for place, step in enumerate(steps)
            for index in range(1, 1 + _count(step, members, protected=priority >= protected))
        )
    )


def level(camera: Options, taken: Iterable[Rung], steps: tuple[Step, ...]) -> Level:
    """Return what a camera is left with when these rungs are taken."""
    left = Level(camera.target)
    for rung in taken:
        if rung.priority == camera.priority:
            left = _given(camera, left, steps[rung.place], rung.index)
    return left


def work(left: Level) -> float:
    """Return about how much work a camera makes at a level, in frames a second of its usual input."""
    if left.suspended:
        return 0.0
    rate = min(left.rate, KEYFRAME_RATE) if left.keyframes_only else left.rate
    return rate * (_SMALLER_WORK if left.smaller else 1.0)


def _count(step: Step, members: list[Options], *, protected: bool) -> int:
    match step:
        case Step.REDUCE_FRAME_RATE:
            return max(_rates(member) for member in members)
        case Step.USE_SUBSTREAM:
            return int(any(member.smaller for member in members))
        case Step.KEYFRAMES_ONLY:
            return int(any(member.keyframes for member in members))
        case Step.PAUSE_CAMERAS:
            return int(not protected)


def _rates(camera: Options) -> int:
    """Return how often the rate can be lowered; what would be left of a last rung below 1 % is none."""
    return max(0, math.ceil(math.log(camera.minimum / camera.target) / math.log(RATE_FACTOR) - 0.02))


def _given(camera: Options, left: Level, step: Step, index: int) -> Level:
    match step:
        case Step.REDUCE_FRAME_RATE:
            last = index >= _rates(camera)
            rate = camera.minimum if last else camera.target * RATE_FACTOR**index
            return replace(left, rate=min(left.rate, rate))
        case Step.USE_SUBSTREAM:
            return replace(left, smaller=camera.smaller and camera.smaller_now)
        case Step.KEYFRAMES_ONLY:
            return replace(left, keyframes_only=camera.keyframes)
        case Step.PAUSE_CAMERAS:
            return replace(left, suspended=True)
