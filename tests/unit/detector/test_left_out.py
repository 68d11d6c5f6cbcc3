"""A camera tells what the ladder leaves out from what does not move, what comes too late and what never came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from tests.unit.detector.test_camera import CLOCKS, CONFIG, MODEL, Bench, until

from edgedetector.api.dataplane import DetectorCamera, FrameRate, MotionGate
from edgedetector.detector.asked import Asked
from edgedetector.detector.opening import SourceError
from edgedetector.detector.rates import Room

EACH = replace(CONFIG, frame_rate=FrameRate(minimum=0.1, target=0.5, maximum=0.5))
"""Of which each frame of the stream is due."""
HALF = Asked(ceiling=0.25, rungs=1, sentence="given")


@contextmanager
def running(asked: Asked, config: DetectorCamera = EACH) -> Iterator[Bench]:
    bench = Bench(config)
    bench.camera.ask(asked, Room.HOLD, CLOCKS.monotonic())
    bench.camera.start(bench.guard)
    yield bench
    bench.camera.stop()
    bench.stream.items.put(1)
    bench.dispatcher.close()


def frames(bench: Bench, number: int) -> None:
    for _ in range(number):
        bench.stream.items.put(8)
    until("all read", lambda: bench.count("read") == number)


def test_what_a_lower_rate_takes_is_the_ladders() -> None:
    with running(HALF) as bench:
        frames(bench, 11)
        assert bench.left_out()["ladder"] == 5


def test_what_lies_between_keyframes_is_the_ladders() -> None:
    with running(Asked(ceiling=0.5, keyframes_only=True, rungs=2)) as bench:
        for item in (8, None, None, None, None, 8):
            bench.stream.items.put(item)
        until("all read", lambda: bench.count("read") == 2)
        assert bench.left_out()["ladder"] == 4


@pytest.mark.parametrize("asked", [Asked(), Asked(ceiling=0.5, substream=True, rungs=3)], ids=["nothing", "smaller"])
def test_a_ladder_that_takes_no_frames_leaves_none_out(asked: Asked) -> None:
    with running(asked) as bench:
        frames(bench, 11)
        assert bench.left_out()["ladder"] == 0


def test_in_a_still_scene_nothing_is_the_ladders() -> None:
    config = replace(EACH, motion_gate=MotionGate(enabled=True, interval=1000.0))
    with running(HALF, config) as bench:
        frames(bench, 11)
        until("told", lambda: bench.left_out()["motion"] == 5)
        assert bench.left_out()["ladder"] == 1, "before it was seen to be still"


def test_frames_without_a_model_are_not_the_ladders() -> None:
    with running(HALF) as bench:
        bench.camera.configure(EACH, {})
        frames(bench, 11)
        assert bench.left_out()["ladder"] == 0


def test_of_a_paused_camera_all_frames_of_its_target_are_the_ladders() -> None:
    with running(Asked(suspended=True, rungs=4)) as bench:
        until("told", lambda: (bench.left_out()["ladder"] or 0.0) > 0.5)
        assert bench.count("read") == 0


def test_a_camera_that_was_paused_when_it_was_lost_misses_nothing() -> None:
    bench = Bench(EACH)
    bench.camera._failed(SourceError("StreamEnded", "the stream ended"))
    bench.camera.ask(Asked(suspended=True, rungs=4), Room.HOLD, CLOCKS.monotonic())
    bench.camera._pause()
    assert bench.left_out()["ladder"] == 0


def test_another_target_is_what_is_left_out_of_from_then_on() -> None:
    with running(HALF) as bench:
        frames(bench, 11)
        bench.camera.configure(replace(EACH, frame_rate=FrameRate(0.1, 0.25, 0.25)), {"any": MODEL})
        bench.camera.ask(HALF, Room.HOLD, CLOCKS.monotonic())
        for _ in range(10):
            bench.stream.items.put(8)
        until("all read", lambda: bench.count("read") == 21)
        assert bench.left_out()["ladder"] == 5
