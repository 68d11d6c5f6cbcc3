"""The demo's detector, without Triton: the same function that the server runs."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

# By path: it is delivered as one file, not as a module of a package.
_FILE = Path(__file__).parents[3] / "demo" / "people" / "model.py"
_specification = importlib.util.spec_from_file_location("people_model", _FILE)
model = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(model)


def person(height=576, width=768, x=400, y=100, size=300):
    """A grey picture with a dark human silhouette of `size` pixels, drawn so that HOG takes it for a person."""
    picture = np.full((height, width, 3), 190, np.uint8)
    unit = size / 8
    cv2.ellipse(
        picture, (int(x), int(y + 0.6 * unit)), (int(0.45 * unit), int(0.6 * unit)), 0, 0, 360, (40, 40, 40), -1
    )
    torso = [(-1.0, 1.4), (1.0, 1.4), (0.8, 4.2), (-0.8, 4.2)]
    left_leg, right_leg = (
        [(-0.8, 4.0), (0, 4.0), (-0.5, 7.8), (-1.1, 7.8)],
        [(0, 4.0), (0.8, 4.0), (1.1, 7.8), (0.5, 7.8)],
    )
    for part in (torso, left_leg, right_leg):
        points = np.array([(x + dx * unit, y + dy * unit) for dx, dy in part], np.int32)
        cv2.fillPoly(picture, [points], (40, 40, 40))
    return picture


def test_a_drawn_person_is_found_where_it_was_drawn():
    boxes, scores = model.detect(person(x=400, y=100, size=300))

    assert len(boxes) >= 1
    x0, y0, x1, y1 = boxes[0]
    assert x0 < 400 < x1
    assert y0 < 100 + 150 < y1
    assert scores[0] > 0.5


def test_the_box_moves_with_the_person():
    here, _ = model.detect(person(x=300))
    there, _ = model.detect(person(x=300 + 160))

    assert there[0][0] - here[0][0] == pytest.approx(160, abs=16)


def test_an_empty_picture_has_nobody():
    boxes, scores = model.detect(np.full((576, 768, 3), 128, np.uint8))

    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(128, 260), width=st.integers(64, 260))
def test_any_picture_gives_equal_ordered_boxes_inside_it_every_time(seed, height, width):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)

    boxes, scores = model.detect(picture)
    again, scores_again = model.detect(picture)

    np.testing.assert_array_equal(boxes, again)
    np.testing.assert_array_equal(scores, scores_again)
    assert len(boxes) == len(scores) <= model.MAX_DETECTIONS
    assert (np.diff(scores) <= 0).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    assert (boxes >= 0).all()
    assert (boxes[:, [0, 2]] <= width).all()
    assert (boxes[:, [1, 3]] <= height).all()


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((576, 768), np.uint8),
        np.zeros((576, 768, 4), np.uint8),
        np.zeros((576, 768, 3), np.float32),
        np.zeros((127, 768, 3), np.uint8),
        np.zeros((576, 63, 3), np.uint8),
    ],
    ids=["grey", "four channels", "float", "too low", "too narrow"],
)
def test_what_is_no_picture_is_refused_with_its_shape(frame):
    with pytest.raises(ValueError, match="picture"):
        model.detect(frame)


def test_the_padding_says_how_many_rows_count():
    boxes, scores = model.detect(person())

    tensors = model.pad(boxes, scores)

    assert {name: (tensor.shape, tensor.dtype.name) for name, tensor in tensors.items()} == {
        "boxes": ((64, 4), "float32"),
        "scores": ((64,), "float32"),
        "classes": ((64,), "int32"),
        "count": ((1,), "int32"),
    }
    count = int(tensors["count"][0])
    np.testing.assert_array_equal(tensors["boxes"][:count], boxes)
    assert not tensors["boxes"][count:].any()
    assert not tensors["scores"][count:].any()


def test_the_file_fits_into_a_config_map():
    assert _FILE.stat().st_size < 1_000_000
