"""Sessions over RTSP that end in every way, many at a time: what the process holds before and after."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.detector import realpod

from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.opening import Opening, SourceError
from edgedetector.detector.reader import Reader

CAMERAS = 20
WAYS = ("left", "broken off", "left in silence")


def held() -> tuple[int, int]:
    """Return descriptors and threads, FFmpeg's too."""
    descriptors, threads = (len(list(Path(f"/proc/self/{kind}").iterdir())) for kind in ("fd", "task"))
    return descriptors, threads


def session(cameras: realpod.Cameras, camera: str, way: str) -> str:
    """Open a camera once, and let it end that way; return how it ended."""
    reader = Reader(f"{cameras.url}/{camera}", CLOCKS)
    cameras.play(camera, "plain")
    frames = reader.frames()
    try:
        next(frames)
        if way == "broken off":
            cameras.play(camera, "plain", again=True)
            for _ in frames:
                pass
        if way == "left in silence":
            cameras.play(camera, "nothing")
    except SourceError as error:
        return error.reason
    finally:
        frames.close()
    return "left"


def test_a_camera_that_falls_silent_over_rtsp_is_given_up(tmp_path: Path) -> None:
    with realpod.cameras(tmp_path / "cameras") as cameras:
        cameras.play("cam0", "plain")
        frames = Reader(f"{cameras.url}/cam0", CLOCKS, opening=Opening(options={"timeout": "500000"})).frames()
        next(frames)
        cameras.play("cam0", "nothing")
        with pytest.raises(SourceError) as caught:
            list(frames)
    assert caught.value.reason == "Silent"


@pytest.mark.parametrize("sessions", [60, pytest.param(1000, marks=pytest.mark.soak)])
def test_sessions_over_rtsp_leave_no_descriptor_and_no_thread(tmp_path: Path, sessions: int) -> None:
    with realpod.cameras(tmp_path / "cameras") as cameras, ThreadPoolExecutor(CAMERAS) as pool:

        def turns(number: int, count: int) -> list[str]:
            return [session(cameras, f"cam{number}", WAYS[turn % len(WAYS)]) for turn in range(count)]

        def run(count: int) -> Counter[str]:
            ended = pool.map(turns, range(CAMERAS), [count // CAMERAS] * CAMERAS)
            return Counter(way for each in ended for way in each)

        run(CAMERAS * len(WAYS))
        before = held()
        ends = run(sessions)
        after = held()
        watched = realpod.until(
            "no session is left at the cameras",
            lambda: cameras.play("nobody", "plain"),
            lambda now: not any(count for _, count in now.values()),
        )
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert len(watched) == CAMERAS + 1
    assert sum(ends.values()) == sessions
    assert ends.keys() == {"left", "StreamEnded"}
