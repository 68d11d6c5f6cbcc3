"""Heads and suppression against plain Python that shares no code with them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.api.dataplane import Decoder, DetectorModel, Tensor
from edgedetector.detector.decoders import CANDIDATES, HEADS, Boxes, Request, decode, suppress
from edgedetector.detector.detection import UnexpectedOutputError

CONFIDENCE, OVERLAP = 0.3, 0.5
ASKED = Request(CONFIDENCE, 320, 240)
ODD = [math.nan, math.inf, -math.inf, 0.0, -5.0]

Row = tuple[float, float, float, float, float, int]


def model(head: str, labels: int = 0) -> DetectorModel:
    names = tuple(f"c{index}" for index in range(labels))
    return DetectorModel("m", (Tensor("i", (3, 240, 320), "FP32"),), (), Decoder(head, names, CONFIDENCE, OVERLAP), 0)


# ---- The independent implementation: loops over Python's numbers ----------------------------------------------------


def overlap(one: Row, other: Row) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((row[2] - row[0]) * (row[3] - row[1]) for row in (one, other))
    return width * height / (areas - width * height)


def greedy(rows: list[Row]) -> list[Row]:
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: -row[4]):
        if all(row[5] != better[5] or overlap(row, better) <= OVERLAP for better in kept):
            kept.append(row)
    return kept


def corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def plain_yolo(anchors: list[list[float]], *, objectness: bool) -> list[Row]:
    rows: list[Row] = []
    for values in anchors:
        classes = values[5:] if objectness else values[4:]
        best = max(range(len(classes)), key=classes.__getitem__)
        score = classes[best] * values[4] if objectness else classes[best]
        if score >= CONFIDENCE:
            rows.append((*corners(*values[:4]), score, best))
    return greedy(rows)


def as_rows(found: Boxes) -> list[Row]:
    rows = [
        (*map(float, box), float(score), int(kind))
        for box, score, kind in zip(found.corners, found.scores, found.classes, strict=True)
    ]
    return sorted(rows, key=lambda row: -row[4])


def ambiguous(rows: list[Row]) -> bool:
    """Whether rounding alone could decide: equal scores, or an overlap or a score at its limit."""
    scores = sorted(row[4] for row in rows)
    near = any(abs(overlap(a, b) - OVERLAP) < 1e-3 for a in rows for b in rows if a is not b and a[5] == b[5])
    return near or any(b - a < 1e-6 for a, b in itertools.pairwise(scores))


# Multiples of 1/8 up to 320 and of 1/256 up to 1 are exact in FP16, so that both data types must agree to the last bit.
COORDINATE, SIZE = st.integers(0, 1280).map(lambda n: n / 8), st.integers(8, 640).map(lambda n: n / 8)
SCORE = st.integers(0, 256).map(lambda n: n / 256)


def tensors(objectness: int) -> Any:
    anchor = st.integers(1, 4).flatmap(
        lambda classes: st.lists(
            st.tuples(COORDINATE, COORDINATE, SIZE, SIZE, *[SCORE] * (objectness + classes)).map(list),
            min_size=0,
            max_size=30,
        ).map(lambda rows: (rows, classes))
    )
    return st.tuples(anchor, st.sampled_from([np.float16, np.float32]))


@settings(deadline=None, max_examples=200)
@given(case=tensors(0))
def test_yolov8_agrees_with_plain_loops(case) -> None:
    (anchors, classes), dtype = case
    expected = plain_yolo(anchors, objectness=False)
    raw = np.array(anchors, dtype).reshape(-1, 4 + classes).T
    # Boxes that rounding could decide are left to the next property.
    if not ambiguous([(*corners(*a[:4]), max(a[4:]), a[4:].index(max(a[4:]))) for a in anchors]):
        found = as_rows(decode(model("yolov8"), {"out": raw}, ASKED))
        assert np.array(found).reshape(-1, 6) == pytest.approx(np.array(expected).reshape(-1, 6))


@settings(deadline=None, max_examples=200)
@given(case=tensors(1))
def test_yolov5_agrees_with_plain_loops(case) -> None:
    (anchors, classes), dtype = case
    expected = plain_yolo(anchors, objectness=True)
    raw = np.array(anchors, dtype).reshape(1, -1, 5 + classes)
    if not ambiguous([(*corners(*a[:4]), a[4] * max(a[5:]), a[5:].index(max(a[5:]))) for a in anchors]):
        found = as_rows(decode(model("yolov5"), {"out": raw}, ASKED))
        assert np.array(found).reshape(-1, 6) == pytest.approx(np.array(expected).reshape(-1, 6))


@settings(deadline=None, max_examples=200)
@given(case=tensors(0))
def test_what_survives_overlaps_nothing_better_and_what_does_not_is_overlapped(case) -> None:
    """Holds whatever rounding decides, for ties too."""
    (anchors, classes), dtype = case
    raw = np.array(anchors, dtype).reshape(-1, 4 + classes).T
    found = as_rows(decode(model("yolov8"), {"out": raw}, ASKED))
    assert all(a[5] != b[5] or overlap(a, b) <= OVERLAP + 1e-6 for i, a in enumerate(found) for b in found[i + 1 :])
    for values in anchors:
        score = max(values[4:])
        row = (*corners(*values[:4]), score, values[4:].index(score))
        if score >= CONFIDENCE:
            assert any(row[5] == b[5] and b[4] >= score and overlap(row, b) > OVERLAP - 1e-6 for b in found)


@settings(deadline=None, max_examples=300)
@given(data=st.data(), head=st.sampled_from(["yolov8", "yolov5"]), dtype=st.sampled_from([np.float16, np.float32]))
def test_odd_numbers_never_crash_and_never_come_out(data, head: str, dtype: type) -> None:
    values = 6 if head == "yolov8" else 7
    number = st.one_of(st.sampled_from(ODD), COORDINATE, SCORE)
    rows = data.draw(st.lists(st.lists(number, min_size=values, max_size=values), max_size=12))
    raw = np.array(rows, dtype).reshape(-1, values)
    try:
        found = decode(model(head), {"out": raw.T if head == "yolov8" else raw}, ASKED)
    except UnexpectedOutputError:
        assert (raw[:, 4:] > 1).any()  # so it is no head with scores at all
        return
    assert np.isfinite(found.corners).all()
    assert np.isfinite(found.scores).all()
    assert (found.corners[:, 2:] > found.corners[:, :2]).all()
    assert (found.scores >= CONFIDENCE).all()


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ([math.nan, 10, 5, 5, 0.9], "NotFinite"),
        ([10, 10, math.inf, 5, 0.9], "NotFinite"),
        ([10, 10, 5, 5, math.nan], "NotFinite"),
        ([10, 10, 5, 5, math.inf], "NotFinite"),
        ([10, 10, 0, 5, 0.9], "NoArea"),
        ([10, 10, 5, -5, 0.9], "NoArea"),
    ],
)
def test_what_is_no_box_is_dropped_and_counted(column: list[float], reason: str) -> None:
    good = [100.0, 100.0, 20.0, 20.0, 0.8]
    found = decode(model("yolov8"), {"out": np.array([column, good], np.float32).T}, ASKED)
    assert found.dropped == {reason: 1}
    assert as_rows(found) == [pytest.approx((90, 90, 110, 110, 0.8, 0))]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_no_anchors_are_no_boxes(dtype: type) -> None:
    assert len(decode(model("yolov8"), {"out": np.zeros((6, 0), dtype)}, ASKED).scores) == 0
    assert len(decode(model("yolov5"), {"out": np.zeros((0, 7), dtype)}, ASKED).scores) == 0


@pytest.mark.parametrize("head", ["yolov8", "yolov5"])
@pytest.mark.parametrize("shape", [(), (6,), (4, 4), (2, 6, 8), (1, 1, 6, 8)])
def test_a_shape_of_another_head_is_an_error_in_words(head: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnexpectedOutputError, match=f"decoder {head} needs .* got \\({', '.join(map(str, shape))}"):
        decode(model(head), {"out": np.zeros(shape, np.float32)}, ASKED)


@pytest.mark.parametrize(("head", "shape"), [("yolov8", (50, 7)), ("yolov5", (8, 50))])
def test_a_transposed_output_is_called_that(head: str, shape: tuple[int, int]) -> None:
    with pytest.raises(UnexpectedOutputError, match="which is transposed"):
        decode(model(head, labels=3), {"out": np.zeros(shape, np.float32)}, ASKED)


def test_logits_are_told_from_scores() -> None:
    raw = np.array([[10, 10, 5, 5, 7.25]], np.float32).T
    with pytest.raises(UnexpectedOutputError, match=r"scores up to 7.25 .* sigmoid"):
        decode(model("yolov8"), {"out": raw}, ASKED)


@pytest.mark.parametrize("head", sorted(HEADS))
def test_no_outputs_at_all_are_an_error(head: str) -> None:
    with pytest.raises(UnexpectedOutputError, match=r"no outputs|needs an output"):
        decode(model(head), {}, ASKED)


# ---- SSD and none ---------------------------------------------------------------------------------------------------

LISTED = st.lists(st.tuples(SCORE, SCORE, SCORE, SCORE, SCORE, st.integers(0, 5)), max_size=10)


@settings(deadline=None)
@given(rows=LISTED, extra=st.integers(0, 3), batch=st.booleans(), dtype=st.sampled_from([np.float16, np.float32]))
def test_ssd_agrees_with_plain_loops(rows, extra: int, batch, dtype: type) -> None:
    lead = (1,) if batch else ()
    length = len(rows) + extra
    outputs = {
        "detection_boxes": np.zeros((*lead, length, 4), dtype),
        "detection_scores": np.full((*lead, length), 0.99, dtype),
        "detection_classes": np.zeros((*lead, length), dtype),
        "num_detections": np.array([len(rows)], np.float32),
    }
    for index, (y1, x1, y2, x2, score, kind) in enumerate(rows):
        at = (0, index) if batch else (index,)
        outputs["detection_boxes"][at] = y1, x1, y2, x2
        outputs["detection_scores"][at], outputs["detection_classes"][at] = score, kind
    expected = [
        (x1 * 320, y1 * 240, x2 * 320, y2 * 240, score, kind)
        for y1, x1, y2, x2, score, kind in rows
        if score >= CONFIDENCE and x2 > x1 and y2 > y1
    ]
    found = as_rows(decode(model("ssd"), outputs, ASKED))
    assert found == sorted(expected, key=lambda row: -row[4])


def test_openvinos_single_output_ends_at_image_minus_one() -> None:
    raw = np.zeros((1, 1, 4, 7), np.float32)
    raw[0, 0, 0] = [0, 2, 0.9, 0.25, 0.5, 0.75, 1.0]
    raw[0, 0, 1] = [0, 1, 0.1, 0.0, 0.0, 1.0, 1.0]
    raw[0, 0, 2, 0] = -1
    raw[0, 0, 3] = [0, 1, 0.9, 0.0, 0.0, 1.0, 1.0]
    assert as_rows(decode(model("ssd"), {"detection_out": raw[0]}, ASKED)) == [
        pytest.approx((80, 120, 240, 240, 0.9, 2))
    ]
    with pytest.raises(UnexpectedOutputError, match=r"or one output \[N, 7\]; got one of \(3, 6\)"):
        decode(model("ssd"), {"detection_out": np.zeros((3, 6))}, ASKED)


def listed(**arrays: Any) -> dict[str, np.ndarray]:
    plain = {"boxes": [[0, 0, 9, 9], [5, 5, 8, 8]], "scores": [0.9, 0.5], "classes": [0, 1]}
    return {name: np.array(value, np.float32) for name, value in {**plain, **arrays}.items()}


def test_boxes_of_a_model_with_suppression_are_taken_as_they_are() -> None:
    """Two of one class upon each other stay two: whether they are one object was for the model to say."""
    twice = listed(boxes=[[0, 0, 9, 9], [0, 0, 9, 9]], classes=[0, 0])
    assert as_rows(decode(model("none"), twice, ASKED)) == [
        pytest.approx((0, 0, 9, 9, 0.9, 0)),
        pytest.approx((0, 0, 9, 9, 0.5, 0)),
    ]


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (2, 2), (900, 2)])
def test_no_more_rows_than_the_count_and_than_there_are(count: int, expected: int) -> None:
    assert len(decode(model("none"), listed(count=[count]), ASKED).scores) == expected


@pytest.mark.parametrize("count", [[-1], [math.nan], [math.inf], [], [1, 2]])
def test_a_count_that_is_none_is_an_error(count: list[float]) -> None:
    with pytest.raises(UnexpectedOutputError, match="is no number of boxes"):
        decode(model("none"), listed(count=count), ASKED)


@pytest.mark.parametrize("arrays", [{"boxes": [[0, 0, 9, 9]]}, {"classes": [1]}, {"scores": [0.9] * 5}])
def test_lists_of_unequal_length_are_an_error(arrays: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedOutputError, match="are not of one length"):
        decode(model("none"), listed(**arrays), ASKED)


@settings(deadline=None)
@given(numbers=st.lists(st.one_of(st.sampled_from(ODD), SCORE), min_size=12, max_size=12))
def test_odd_numbers_in_lists_never_come_out(numbers: list[float]) -> None:
    outputs = listed(boxes=[numbers[:4], numbers[4:8]], scores=numbers[8:10], classes=numbers[10:])
    found = decode(model("none"), outputs, ASKED)
    assert np.isfinite(found.corners).all()
    assert (found.scores >= CONFIDENCE).all()
    assert (found.corners[:, 2:] > found.corners[:, :2]).all()


# ---- Suppression ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 60), shift=st.sampled_from([0, -500]))
def test_suppression_agrees_with_the_textbook(seed: int, count: int, shift: int) -> None:
    random = np.random.default_rng(seed)
    corner, size = random.uniform(0, 100, (count, 2)) + shift, random.uniform(5, 60, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    scores, classes = random.uniform(0.5, 1.0, count), random.integers(0, 3, count)
    kept = suppress(boxes, scores, classes, OVERLAP)
    rows = [(*boxes[i].tolist(), float(scores[i]), int(classes[i])) for i in range(count)]
    assert [rows[i] for i in kept] == greedy(rows)


def test_classes_stay_apart_where_coordinates_are_negative() -> None:
    """OpenCV alone loses the second box: it moves classes apart by the largest coordinate only."""
    boxes = np.array([[590.0, 590, 640, 640], [-51, -51, -1, -1]])
    assert suppress(boxes, np.array([0.9, 0.8]), np.array([0, 1]), OVERLAP).tolist() == [0, 1]


def test_a_flood_of_boxes_is_cut_to_the_best_and_counted() -> None:
    count = CANDIDATES + 100
    raw = np.zeros((5, count), np.float32)
    raw[0], raw[1], raw[2:4] = np.arange(count) * 10, 50, 5
    raw[4] = np.linspace(0.4, 0.9, count)
    found = decode(model("yolov8"), {"out": raw}, ASKED)
    assert found.dropped == {"TooMany": 100}
    assert (len(found.scores), found.scores.min()) == (CANDIDATES, raw[4, 100])
