"""One plain sentence for each thing that the ladder does to some cameras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from edgedetector.detector.rungs import Level

_NAMED: Final = 3
"""Cameras that are named; of more, one is and the rest is counted."""


def sentences(cameras: Sequence[str], before: Level, after: Level, why: str) -> tuple[str, ...]:
    """Return what happened to the cameras on their way from one level to the other, one sentence a kind of change.

    Parameters
    ----------
    why
        The reason as a clause: "because the host CPU was 96 % busy".
    """
    return tuple(f"{change} {why}" for change in _changes(named(cameras), before, after))


def given_up(left: Level, because: str) -> str:
    """Return what a camera is left with and why: "at most 3 frames/s because the host CPU was 96 % busy"."""
    if left.suspended:
        return f"suspended because {because}"
    parts = ["keyframes only"] if left.keyframes_only else []
    parts += ["the smaller input"] if left.smaller else []
    return f"{', '.join([*parts, f'at most {left.rate:.3g} frames/s'])} because {because}"


def named(cameras: Sequence[str]) -> str:
    """Return some names in words: "gate", "gate and yard", "gate and 33 others"."""
    if len(cameras) > _NAMED:
        return f"{cameras[0]} and {len(cameras) - 1} others"
    *most, last = cameras
    return f"{', '.join(most)} and {last}" if most else last


def _changes(who: str, before: Level, after: Level) -> Iterator[str]:
    if before.suspended != after.suspended:
        yield f"suspended {who}" if after.suspended else f"resumed {who}"
    if before.keyframes_only != after.keyframes_only:
        yield (
            f"reduced {who} to keyframes"
            if after.keyframes_only
            else f"gave {who} all frames again, not keyframes only"
        )
    if before.smaller != after.smaller:
        yield f"switched {who} to the smaller input" if after.smaller else f"gave {who} the usual input again"
    if before.rate != after.rate:
        verb = "lowered" if after.rate < before.rate else "raised"
        yield f"{verb} {who} from {before.rate:.3g} to {after.rate:.3g} frames/s"
