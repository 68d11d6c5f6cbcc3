"""Which of a camera's two streams is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.streams import LASTING, SPOILT, Session, Streams

TWO = Streams("rtsp://m/main", "rtsp://m/sub")


def test_the_smaller_one_is_read_when_fewer_pixels_are_wanted_and_the_usual_one_again_after() -> None:
    assert TWO.url(0.0, smaller=True) == "rtsp://m/sub"
    assert TWO.url(0.0, smaller=False) == "rtsp://m/main"


def session(url: str, lasted: float | None = None) -> Session:
    """Return a session that gave frames for some seconds, or none at all."""
    opened = Session(url)
    return opened if lasted is None else opened.frame(50.0).frame(50.0 + lasted)


SUB, MAIN = session("rtsp://m/sub"), session("rtsp://m/main")


def test_a_smaller_one_without_frames_is_left_alone_for_minutes_and_then_tried_again() -> None:
    spoilt = TWO.failed(SUB, 100.0)
    assert not spoilt.has_smaller(100.0 + SPOILT - 1)
    assert spoilt.url(100.0 + SPOILT - 1, smaller=True) == "rtsp://m/main"
    assert spoilt.url(100.0 + SPOILT, smaller=True) == "rtsp://m/sub"


def test_a_smaller_one_that_worked_and_broke_is_opened_again_and_given_up_at_its_second_failure() -> None:
    broke = TWO.failed(session("rtsp://m/sub", LASTING), 100.0)
    assert broke.url(101.0, smaller=True) == "rtsp://m/sub"
    again = broke.failed(SUB, 101.0)
    assert again.url(103.0, smaller=True) == "rtsp://m/sub"
    assert again.failed(SUB, 103.0).url(107.0, smaller=True) == "rtsp://m/main"


def test_a_smaller_one_that_breaks_within_seconds_is_as_good_as_none() -> None:
    assert not TWO.failed(session("rtsp://m/sub", LASTING - 1), 100.0).has_smaller(101.0)


def test_a_usual_one_that_fails_says_nothing_of_the_smaller_one() -> None:
    assert TWO.failed(MAIN, 100.0) == TWO


def test_when_both_fail_it_was_not_the_smaller_one_that_was_at_fault() -> None:
    assert TWO.failed(SUB, 100.0).failed(MAIN, 104.0).url(105.0, smaller=True) == "rtsp://m/sub"


@given(now=st.floats(0, 1e9), failed=st.booleans(), smaller=st.booleans())
def test_a_camera_with_one_stream_reads_that(now: float, *, failed: bool, smaller: bool) -> None:
    only = Streams("rtsp://m/only")
    only = only.failed(Session("rtsp://m/only"), now) if failed else only
    assert only.url(now, smaller=smaller) == "rtsp://m/only"
    assert not only.has_smaller(now)
