"""The built-in suppression of Triton's python backend, against plain loops and against the detector's own."""

from __future__ import annotations

import json
import math
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detector.test_decoders import (
    ASKED,
    CONFIDENCE,
    COORDINATE,
    ODD,
    OVERLAP,
    SCORE,
    ambiguous,
    as_rows,
    corners,
    greedy,
    model,
    plain_yolo,
    tensors,
)

from edgedetector.detector.builtin import nms
from edgedetector.detector.builtin.nms import Boxes, RawOutputError, Rule, detect, pad, suppress
from edgedetector.detector.decoders import CANDIDATES, decode
from edgedetector.detector.detection import UnexpectedOutputError
from edgedetector.plan.post_processing import BUILTIN_OUTPUTS, MOST_BOXES


def rule(head: str = "yolov8", labels: int = 0) -> Rule:
    return Rule(head, CONFIDENCE, OVERLAP, CANDIDATES, labels)


def laid_out(anchors: list[list[float]], values: int, head: str, dtype: type) -> np.ndarray:
    rows = np.array(anchors, dtype).reshape(-1, values)
    return rows.T if head == "yolov8" else rows


@given(case=tensors(0))
def test_yolov8_agrees_with_plain_loops(case: Any) -> None:
    (anchors, classes), dtype = case
    if not ambiguous([(*corners(*a[:4]), max(a[4:]), a[4:].index(max(a[4:]))) for a in anchors]):
        found = as_rows(detect(laid_out(anchors, 4 + classes, "yolov8", dtype), rule()))
        expected = np.array(plain_yolo(anchors, objectness=False)).reshape(-1, 6)
        assert np.array(found).reshape(-1, 6) == pytest.approx(expected)


@given(case=tensors(1))
def test_yolov5_agrees_with_plain_loops(case: Any) -> None:
    (anchors, classes), dtype = case
    if not ambiguous([(*corners(*a[:4]), a[4] * max(a[5:]), a[5:].index(max(a[5:]))) for a in anchors]):
        found = as_rows(detect(laid_out(anchors, 5 + classes, "yolov5", dtype), rule("yolov5")))
        expected = np.array(plain_yolo(anchors, objectness=True)).reshape(-1, 6)
        assert np.array(found).reshape(-1, 6) == pytest.approx(expected)


@pytest.mark.parametrize("head", ["yolov8", "yolov5"])
@given(data=st.data())
def test_it_is_what_the_detector_finds_whatever_the_numbers(head: str, data: st.DataObject) -> None:
    """Of pictures with no two boxes at the limit; with what is no number at all, and what are no scores."""
    values = data.draw(st.integers(5, 8)) + (head == "yolov5")
    number = st.one_of(COORDINATE, SCORE, st.sampled_from(ODD))
    place = st.tuples(st.integers(0, 9).map(lambda n: n * 100.0), COORDINATE, st.just(40.0), st.just(30.0))
    good = place.flatmap(
        lambda box: st.lists(SCORE, min_size=values - 4, max_size=values - 4).map(lambda s: [*box, *s])
    )
    bad = st.lists(number, min_size=values, max_size=values)
    anchors = data.draw(st.lists(st.one_of(good, bad), max_size=20))
    raw = laid_out(anchors, values, head, data.draw(st.sampled_from([np.float16, np.float32])))
    try:
        expected = as_rows(decode(model(head), {"out": raw}, ASKED))
    except UnexpectedOutputError:
        with pytest.raises(RawOutputError, match="no probabilities"):
            detect(raw, rule(head))
        return
    if not ambiguous(as_rows(unsuppressed(raw, head))):
        assert as_rows(detect(raw, rule(head))) == expected


def unsuppressed(raw: np.ndarray, head: str) -> Boxes:
    """Every box that counts: at an overlap above 1 none is dropped."""
    return detect(raw, Rule(head, CONFIDENCE, 2.0, CANDIDATES))


@given(seed=st.integers(0, 10_000), count=st.integers(0, 80), shift=st.sampled_from([0, -500]))
def test_suppression_agrees_with_the_textbook(seed: int, count: int, shift: int) -> None:
    random = np.random.default_rng(seed)
    corner, size = random.uniform(0, 100, (count, 2)) + shift, random.uniform(5, 60, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    scores, classes = random.uniform(0.5, 1.0, count), random.integers(0, 3, count)
    rows = [(*boxes[i].tolist(), float(scores[i]), int(classes[i])) for i in range(count)]
    assert as_rows(suppress(Boxes(boxes, scores, classes), rule())) == greedy(rows)


def test_a_flood_of_boxes_is_cut_to_the_best_as_in_the_detector() -> None:
    count = CANDIDATES + 100
    raw = np.zeros((5, count), np.float32)
    raw[0], raw[1], raw[2:4] = np.arange(count) * 10, 50, 5
    raw[4] = np.linspace(0.4, 0.9, count)
    found = as_rows(detect(raw, rule()))
    assert found == as_rows(decode(model("yolov8"), {"out": raw}, ASKED))
    assert len(found) == CANDIDATES == MOST_BOXES


@pytest.mark.parametrize("head", ["yolov8", "yolov5"])
@pytest.mark.parametrize("shape", [(), (6,), (4, 4), (2, 6, 8), (1, 1, 6, 8)])
def test_a_shape_of_another_head_is_an_error_in_the_detectors_words(head: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnexpectedOutputError) as theirs:
        decode(model(head), {"out": np.zeros(shape, np.float32)}, ASKED)
    with pytest.raises(RawOutputError) as ours:
        detect(np.zeros(shape, np.float32), rule(head))
    assert str(theirs.value) == f"model m: {ours.value}"


@pytest.mark.parametrize(("head", "shape"), [("yolov8", (50, 7)), ("yolov5", (8, 50))])
def test_a_transposed_output_is_called_that(head: str, shape: tuple[int, int]) -> None:
    with pytest.raises(RawOutputError, match="which is transposed"):
        detect(np.zeros(shape, np.float32), rule(head, labels=3))


@given(count=st.integers(0, 9))
def test_rows_behind_the_count_are_zero(count: int) -> None:
    found = Boxes(np.ones((count, 4), np.float32), np.ones(count, np.float32), np.ones(count, np.int64))
    outputs = pad(found, 7)
    kept = min(count, 7)
    assert outputs["count"].tolist() == [kept]
    assert [outputs[name].sum() for name in ("boxes", "scores", "classes")] == [4 * kept, kept, kept]
    assert {name: array.dtype.name for name, array in outputs.items()} == {
        "boxes": "float32", "scores": "float32", "classes": "int32", "count": "int32",
    }  # fmt: skip


class Tensor:
    """Of Triton's python backend."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> np.ndarray:
        return self.array


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the backend's module has; the real one is asked in test_post_processing.py."""
    found = types.SimpleNamespace(
        Tensor=Tensor,
        TritonError=str,
        InferenceResponse=lambda output_tensors=(), error="": types.SimpleNamespace(
            outputs={tensor.name: tensor.array for tensor in output_tensors}, error=error
        ),
        get_input_tensor_by_name=lambda request, name: request[name],
    )
    monkeypatch.setattr(nms, "pb_utils", found)


def loaded(batch: int) -> nms.TritonPythonModel:
    found = nms.TritonPythonModel()
    given_ = {"head": "yolov8", "confidence": "0.4", "iou": "0.5", "labels": "0", "model": "people"}
    config = {
        "max_batch_size": batch,
        "input": [{"name": "output0", "dims": ["6", "8"]}],
        "output": [{"name": one.name, "dims": [str(dim) for dim in one.dims]} for one in BUILTIN_OUTPUTS],
        "parameters": {key: {"string_value": value} for key, value in given_.items()},
    }
    found.initialize({"model_config": json.dumps(config), "model_name": "people+postprocessing"})
    return found


def request(raw: np.ndarray) -> dict[str, Tensor]:
    return {"output0": Tensor("output0", raw)}


@pytest.mark.usefixtures("backend")
def test_a_bad_request_fails_alone() -> None:
    good, bad = np.zeros((2, 6, 8), np.float32), np.full((1, 6, 8), 7, np.float32)
    good[1, :4, 3], good[1, 5, 3] = 10, 0.75
    one, two = loaded(8).execute([request(good), request(bad)])
    assert one.outputs["count"].tolist() == [[0], [1]]
    assert one.outputs["boxes"][1, 0].tolist() == [5, 5, 15, 15]
    assert (one.outputs["classes"][1, 0], one.outputs["scores"][1, 0]) == (1, 0.75)
    assert two.error.startswith("model people: scores up to 7 are no probabilities")


@pytest.mark.usefixtures("backend")
def test_without_a_batch_dimension_outputs_have_none() -> None:
    (answer,) = loaded(0).execute([request(np.zeros((6, 8), np.float16))])
    assert {name: array.shape for name, array in answer.outputs.items()} == {
        one.name: one.dims for one in BUILTIN_OUTPUTS
    }
    assert not any(math.isnan(value) for value in answer.outputs["scores"])
