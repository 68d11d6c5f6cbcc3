"""What a bench is made of that needs no server."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.bench import MOST_FRAMES, Order, refusal
from edgedetector.api.observation import Observation, bound, bucket_of
from edgedetector.detector.batching import Outcome
from edgedetector.detector.bench import Bencher, BenchRefusedError, Sight, exchanges, grown, lost, nearest, of
from edgedetector.detector.dispatch import Beside, Tap
from edgedetector.detector.ledger import Ledger
from edgedetector.detector.load import levels, slots
from edgedetector.detector.measuring import Measurements


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"seconds": 5.0, "frames": 1, "latency": 0.05, "percentile": 50}, ""),
        ({"seconds": 120.0, "frames": 64}, ""),
        ({"seconds": 4.9}, "5 to 120"),
        ({"seconds": 120.1}, "5 to 120"),
        ({"seconds": float("nan")}, "5 to 120"),
        ({"frames": 0}, "1 to 64"),
        ({"frames": 65}, "1 to 64"),
        ({"latency": 0.0}, "above 0"),
        ({"latency": float("nan")}, "above 0"),
        ({"percentile": 100}, "1 to 99"),
        ({"by": "x" * 101}, "at most 100"),
    ],
)
def test_orders_have_bounds(changes: Mapping[str, Any], said: str) -> None:
    found = refusal(replace(Order(), **changes))

    assert said in found
    assert bool(found) == bool(said)


@given(most=st.integers(1, MOST_FRAMES))
def test_the_load_grows_to_the_most_and_no_further(most: int) -> None:
    found = levels(most)

    assert (found[0], found[-1]) == (1, most)
    assert all(one < other <= 2 * one for one, other in pairwise(found))


@given(most=st.integers(1, MOST_FRAMES), rows=st.integers(1, 64))
def test_there_are_slots_for_all_frames(most: int, rows: int) -> None:
    assert (slots(most, rows) - 1) * rows >= most
    assert (slots(most, rows) - 2) * rows < most


@given(values=st.lists(st.floats(0, 10), min_size=1), percent=st.integers(1, 99))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    found = of(values, percent)

    assert found in values
    assert sum(one <= found for one in values) * 100 >= percent * len(values)
    assert sum(one < found for one in values) * 100 < percent * len(values)


def test_of_nothing_there_is_no_percentile() -> None:
    assert of((), 99) is None
    assert nearest({}, 99) is None


def test_exchanges_are_those_since_of_all_models() -> None:
    ledger = Ledger()
    ledger.answered("people", 0.010, [])
    before = {name: ledger.counted(name) for name in ("people", "cars")}
    ledger.answered("people", 0.010, [])
    ledger.answered("cars", 0.010, [])
    ledger.answered("cars", 0.500, [])
    after = {name: ledger.counted(name) for name in ("people", "cars")}

    found = exchanges(before, after)

    assert found == {bucket_of(0.010): 2, bucket_of(0.500): 1}
    assert nearest(found, 50) == bound(bucket_of(0.010))
    assert nearest(found, 99) == bound(bucket_of(0.500))
    assert grown({"3": 1}, {"3": 1, "4": 2}) == {4: 2}


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([], ""),
        ([Outcome.SERVED, Outcome.WITHDRAWN], ""),
        ([Outcome.SUPERSEDED], "a frame of a camera was dropped"),
        ([Outcome.EXPIRED, Outcome.SUPERSEDED], "2 frames of cameras were dropped"),
        ([Outcome.FAILED], "a frame of a camera failed"),
        ([Outcome.FAILED, Outcome.FAILED, Outcome.EXPIRED], "2 frames of cameras failed"),
    ],
)
def test_the_first_frame_that_a_camera_loses_is_told(outcomes: list[Outcome], said: str) -> None:
    ledger = Ledger()
    ledger.settled("people", Outcome.EXPIRED)
    before = {"people": ledger.counted("people")}
    for outcome in outcomes:
        ledger.settled("people", outcome)

    assert lost(before, {"people": ledger.counted("people")}) == said


class Silent:
    """Ways on which no frame of a camera goes."""

    tap: Tap | None = None

    def beside(self, models: Any) -> dict[str, Beside]:  # noqa: ARG002 - the protocol's
        return {}

    def waiting(self, model: str) -> int:  # noqa: ARG002 - the protocol's
        return 0


def test_without_a_frame_there_is_nothing_to_send() -> None:
    ways, measurements, gone = Silent(), Measurements(), threading.Event()
    sight = Sight(lambda: {"people": 5.0}, Ledger().counted, lambda: Observation(0.0, ""), dict, dict)
    bencher = Bencher(ways, sight, measurements)
    seen = []

    def leave() -> bool:
        seen.append((bencher.running, measurements.count, ways.tap is not None))
        gone.set()
        return gone.is_set()

    with pytest.raises(BenchRefusedError, match="are cameras of this pod live"):
        bencher.bench(Order(), leave)

    assert seen == [(True, 1, True)]
    assert (bencher.running, measurements.count, ways.tap) == (False, 2, None)
