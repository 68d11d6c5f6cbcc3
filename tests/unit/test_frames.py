"""For how long a camera was served twice, as the end-to-end tests measure it."""

from __future__ import annotations

import pytest

from frames import PAUSE, Frames, longest_overlap


def every(step: float, start: float, end: float) -> list[float]:
    return [start + step * number for number in range(round((end - start) / step) + 1)]


@pytest.mark.parametrize(
    ("series", "seconds"),
    [
        ([], 0.0),
        ([every(0.5, 0, 10)], 0.0),
        ([every(0.5, 0, 10), every(0.5, 10.5, 20)], 0.0),
        ([every(0.5, 0, 10), every(0.5, 7, 20)], 3.0),
        ([every(0.5, 0, 30), every(0.5, 5, 8), every(0.5, 20, 24)], 4.0),
        # Twice for a moment, with a pause in between: not once for long.
        ([every(0.5, 0, 2) + every(0.5, 2 + PAUSE, 6), every(0.5, 0, 6)], 2.0),
    ],
)
def test_the_longest_time_in_which_two_give_frames(series: list[list[float]], seconds: float) -> None:
    assert longest_overlap(series) == pytest.approx(seconds)


def test_frames_are_told_apart_by_replica() -> None:
    frames = Frames()
    for replica, second in (("a", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("b", 3)):
        captured = f"2026-01-01T00:00:0{second}.000+00:00"
        frames.take({"camera": "gate", "replica": replica, "frame": {"capturedAt": captured}})
    assert frames.longest_double("gate") == 1.0
    assert frames.longest_gap("gate", {}) == 1.0
    assert frames.longest_double("dock") == 0.0
