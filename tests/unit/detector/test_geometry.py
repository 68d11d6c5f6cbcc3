"""Pixels into an input and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.geometry import centre_to_corners, letterbox, stretch

SIDE = st.integers(1, 4096)
SIZE = st.tuples(SIDE, SIDE)
UNIT = st.floats(0.0, 1.0)


@given(frame=SIZE, target=SIZE, corners=st.tuples(UNIT, UNIT, UNIT, UNIT))
@pytest.mark.parametrize("make", [letterbox, stretch])
def test_a_box_comes_back_where_it_was(make, frame, target, corners) -> None:
    (width, height), mapping = frame, make(*frame, *target)
    box = np.array([[corners[0] * width, corners[1] * height, corners[2] * width, corners[3] * height]])
    assert mapping.to_frame(mapping.to_input(box)) == pytest.approx(box, abs=1e-6 * max(width, height))


@given(width=SIDE, height=SIDE, to_width=SIDE, to_height=SIDE)
def test_a_letterbox_fits_and_touches_two_sides(width: int, height: int, to_width: int, to_height: int) -> None:
    mapping = letterbox(width, height, to_width, to_height)
    inner_width, inner_height = mapping.inner
    assert 1 <= inner_width <= to_width
    assert 1 <= inner_height <= to_height
    assert inner_width == to_width or inner_height == to_height
    assert 0 <= mapping.left <= (to_width - inner_width + 1) // 2
    assert 0 <= mapping.top <= (to_height - inner_height + 1) // 2


@given(frame=SIZE, target=SIZE)
def test_a_letterbox_ends_where_the_scaled_frame_ends(frame: tuple[int, int], target: tuple[int, int]) -> None:
    mapping = letterbox(*frame, *target)
    (inner_width, inner_height), left, top = mapping.inner, mapping.left, mapping.top
    whole = mapping.to_input(np.array([[0.0, 0.0, *map(float, frame)]]))
    assert whole[0] == pytest.approx([left, top, left + inner_width, top + inner_height])


@given(width=SIDE, height=SIDE, boxes=st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 4), min_size=1, max_size=5))
def test_no_box_leaves_the_frame(width: int, height: int, boxes: list[tuple[float, ...]]) -> None:
    found = letterbox(width, height, 640, 640).to_frame(np.array(boxes))
    assert (found >= 0).all()
    assert (found[:, [0, 2]] <= width).all()
    assert (found[:, [1, 3]] <= height).all()


def test_the_standard_letterbox_of_a_wide_frame() -> None:
    mapping = letterbox(1280, 720, 640, 640)
    assert (mapping.scale_x, mapping.left, mapping.top, mapping.inner) == (0.5, 0, 140, (640, 360))
    assert mapping.to_frame(np.array([[100.0, 240.0, 200.0, 340.0]])).tolist() == [[200.0, 200.0, 400.0, 400.0]]


def test_centre_and_size_become_corners() -> None:
    assert centre_to_corners(np.array([[10.0, 20.0, 4.0, 6.0]])).tolist() == [[8.0, 17.0, 12.0, 23.0]]
