"""Which of a camera's two streams is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.streams import SPOILT, Streams

TWO = Streams("rtsp://m/main", "rtsp://m/sub")


def test_the_smaller_one_is_read_when_fewer_pixels_are_wanted_and_the_usual_one_again_after() -> None:
    assert TWO.url(0.0, smaller=True) == "rtsp://m/sub"
    assert TWO.url(0.0, smaller=False) == "rtsp://m/main"


def test_a_smaller_one_that_fails_is_left_alone_for_minutes_and_then_tried_again() -> None:
    spoilt = TWO.failed("rtsp://m/sub", 100.0)
    assert not spoilt.has_smaller(100.0 + SPOILT - 1)
    assert spoilt.url(100.0 + SPOILT - 1, smaller=True) == "rtsp://m/main"
    assert spoilt.url(100.0 + SPOILT, smaller=True) == "rtsp://m/sub"


def test_a_usual_one_that_fails_says_nothing_of_the_smaller_one() -> None:
    assert TWO.failed("rtsp://m/main", 100.0) == TWO


@given(now=st.floats(0, 1e9), failed=st.booleans(), smaller=st.booleans())
def test_a_camera_with_one_stream_reads_that(now: float, *, failed: bool, smaller: bool) -> None:
    only = Streams("rtsp://m/only")
    only = only.failed("rtsp://m/only", now) if failed else only
    assert only.url(now, smaller=smaller) == "rtsp://m/only"
    assert not only.has_smaller(now)
