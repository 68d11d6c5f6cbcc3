"""What Triton's trace file says of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detector.faketriton import EXCHANGE, MILLISECOND, STEPS, entries

from edgedetector.api import trace
from edgedetector.triton.tracing import Span, UnreadableTraceError, parts, requests, spans

CALLED = (0, int(EXCHANGE * MILLISECOND))
MINE = "edgedetector-1-"


def read(*found: Any) -> tuple[Span, ...]:
    return spans(json.dumps([entry for one in found for entry in one]))


def test_the_parts_of_a_request() -> None:
    (one,) = requests(read(entries(1, f"{MINE}0")), {f"{MINE}0": CALLED}, MINE).requests

    assert {name: round(seconds * 1000, 6) for name, seconds in one.seconds.items()} == {
        "network": 2.9,
        "serialisation": 1.0,
        "queue": 3.0,
        "inputCopy": 1.0,
        "compute": 10.0,
        "outputCopy": 1.0,
        "rest": 0.1,
    }


def test_steps_of_an_ensemble_are_added_up() -> None:
    whole = entries(1, f"{MINE}0", "people+pipeline")
    whole = [one for one in whole if "COMPUTE" not in str(one) and "QUEUE" not in str(one)]
    found = read(whole, entries(2, "", "people", parent_id=1), entries(3, "", "people+postprocessing", parent_id=1))

    (one,) = requests(found, {f"{MINE}0": (0, 40 * MILLISECOND)}, MINE).requests

    assert one.model == "people+pipeline"
    assert one.seconds[trace.QUEUE] == pytest.approx(0.006)
    assert one.seconds[trace.COMPUTE] == pytest.approx(0.020)


def test_a_batch_that_is_still_copied_delays_no_answer_that_is_there() -> None:
    found = entries(1, f"{MINE}0")
    for entry in found[1:]:
        if entry["timestamps"][0]["name"] == "COMPUTE_END":
            entry["timestamps"][0]["ns"] += 30 * MILLISECOND

    (one,) = requests(read(found), {f"{MINE}0": CALLED}, MINE).requests

    assert one.seconds[trace.OUTPUT_COPY] == pytest.approx(0.001)


def test_what_is_not_ours_or_not_whole_is_counted() -> None:
    failed = [one for one in entries(2, f"{MINE}1") if "COMPUTE" not in str(one)]
    found = read(entries(1, f"{MINE}0"), failed, entries(3, "somebody"), entries(4, ""), entries(5, f"{MINE}2"))

    settled = requests(found, {f"{MINE}0": CALLED, f"{MINE}1": CALLED}, MINE)

    assert (len(settled.requests), settled.incomplete, settled.foreign) == (1, 2, 2)


@pytest.mark.parametrize("text", ["", "[{", "{}[", '[{"model_name": "x"}]', "[1]", '[{"id": 1, "timestamps": [{}]}]'])
def test_half_a_file_is_no_trace(text: str) -> None:
    with pytest.raises(UnreadableTraceError):
        spans(text)


@given(
    steps=st.lists(st.integers(0, 10**9), min_size=len(STEPS) + 1, max_size=len(STEPS) + 1),
    late=st.integers(-(10**9), 10**9),
)
def test_parts_are_never_negative_and_all_of_a_request_where_times_are_in_order(steps: list[int], late: int) -> None:
    ends = [sum(steps[: index + 1]) for index in range(len(steps))]
    span = Span(1, times={name: end for (name, _), end in zip(STEPS, ends, strict=False)})

    found = parts(span, (), (0, ends[-1]))
    assert found is not None
    assert sum(found.values()) == pytest.approx(ends[-1] / 1e9)
    span.times["REQUEST_START"] += late
    odd = parts(span, (), (0, ends[-1]))
    assert odd is not None
    assert min(odd.values()) >= 0
