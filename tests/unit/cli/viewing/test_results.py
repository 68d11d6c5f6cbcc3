"""What inference pods tell, as far as a page believes it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.cli.viewing.feeds import Feed
from edgedetector.cli.viewing.results import parse

FRAME = {"width": 160, "height": 120, "pts": 7, "ageSeconds": 0.03}
EVENT = {
    "camera": "gate",
    "model": "people",
    "frame": FRAME,
    "detections": [{"label": "person", "score": 0.75, "box": [1, 2, 3, 4]}],
}
PATIENCE = 60.0
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*EVENT, *FRAME, "box"]), inner),
    max_leaves=8,
)


def test_a_result_is_read() -> None:
    found = parse(EVENT)

    assert (found.camera, found.model, found.width, found.height, found.pts, found.age) == (
        "gate", "people", 160, 120, 7, 0.03,
    )  # fmt: skip
    assert [one.box for one in found.boxes] == [(1.0, 2.0, 3.0, 4.0)]


@pytest.mark.parametrize("frame", ["x", 5, None, [], ["width"], {}, {**FRAME, "width": 0}, {**FRAME, "ageSeconds": -1}])
def test_a_frame_that_is_none_is_refused(frame: Any) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        parse({**EVENT, "frame": frame})


@given(event=VALUES, key=st.sampled_from([*EVENT]), value=VALUES)
def test_nothing_else_is_raised_whatever_comes(event: Any, key: str, value: Any) -> None:
    for one in (event, {**EVENT, key: value}):
        with contextlib.suppress(ValueError, TypeError, LookupError):
            assert parse(one).width > 0


def test_a_feed_goes_on_after_a_frame_that_is_a_text() -> None:
    told, again = list[str](), threading.Event()

    def read() -> Generator[None]:
        if told:
            again.set()
        parse({**EVENT, "frame": "x"})
        yield

    feed = Feed("results", read, told.append)
    try:
        assert again.wait(PATIENCE), told
    finally:
        feed.stop()
    assert told[0] == "what comes cannot be read: TypeError"
