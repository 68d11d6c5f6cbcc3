"""Whose turn it is, without time."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from edgedetector.detector.fairness import PRIORITY_LEVELS, PRIORITY_RATIO, FairQueue, weights

WEIGHTS = st.dictionaries(st.text("abcdefghij", min_size=1, max_size=3), st.integers(1, 10), min_size=1, max_size=6)


def serve_always_waiting(wanted: dict[str, int], count: int, batch: int) -> list[str]:
    queue, order = FairQueue(), []
    queue.set_weights(wanted)
    while len(order) < count:
        for flow in wanted:
            queue.arrive(flow)
        chosen = queue.first(min(batch, len(wanted)))
        queue.serve(chosen)
        order += chosen
    return order


@given(wanted=WEIGHTS)
@settings(max_examples=50, deadline=None)
def test_shares_of_flows_that_always_wait_follow_their_weights(wanted: dict[str, int]) -> None:
    rounds = 5
    total = sum(wanted.values())
    served = Counter(serve_always_waiting(wanted, rounds * total, 1))
    for flow, weight in wanted.items():
        # Off by one frame at each end of the stretch (SIGCOMM 1996, theorem 1: bounded by one frame of each flow).
        assert abs(served[flow] - rounds * weight) <= 2 * len(wanted)


@given(wanted=WEIGHTS)
@settings(max_examples=50, deadline=None)
def test_no_flow_that_waits_is_passed_over_for_longer_than_its_weight_says(wanted: dict[str, int]) -> None:
    total = sum(wanted.values())
    order = serve_always_waiting(wanted, 5 * total, 1)
    for flow, weight in wanted.items():
        turns = [-1, *(i for i, name in enumerate(order) if name == flow)]
        longest = max(after - before for before, after in itertools.pairwise(turns))
        assert longest <= total / weight + len(wanted) + 1


def test_equal_flows_take_turns_in_batches_too() -> None:
    served = Counter(serve_always_waiting(dict.fromkeys("abcdefg", 1), 70, 4))
    assert max(served.values()) - min(served.values()) <= 1


def test_a_flow_that_was_idle_saves_up_no_service() -> None:
    queue = FairQueue()
    queue.set_weights({"idle": 1, "busy": 1})
    for _ in range(100):
        queue.arrive("busy")
        queue.serve(queue.first(1))
    order = []
    for _ in range(10):
        queue.arrive("idle")
        queue.arrive("busy")
        chosen = queue.first(1)
        queue.serve(chosen)
        order += chosen
    assert Counter(order) == {"idle": 5, "busy": 5}


def test_a_flow_whose_frame_left_unserved_is_not_put_back() -> None:
    queue = FairQueue()
    queue.set_weights({"unlucky": 1, "other": 1})
    queue.arrive("unlucky")
    queue.leave("unlucky")
    for _ in range(2):
        queue.arrive("other")
        queue.serve(queue.first(1))
    queue.arrive("other")
    queue.arrive("unlucky")
    assert queue.first(2) == ["unlucky", "other"]


def test_flows_that_are_gone_neither_wait_nor_count() -> None:
    queue = FairQueue()
    queue.set_weights({"a": 1, "b": 1})
    queue.arrive("a")
    assert queue.set_weights({"b": 1}) == ("a",)
    assert queue.first(5) == []
    assert "a" not in queue


def test_only_the_order_of_priorities_counts() -> None:
    assert weights({"a": 1, "b": 2}) == weights({"a": 0, "b": 1000})
    assert set(weights({"a": 7, "b": 7}).values()) == {PRIORITY_RATIO ** (PRIORITY_LEVELS - 1)}


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 1000), max_size=40))
def test_a_higher_priority_never_weighs_less(priorities: dict[str, int]) -> None:
    by_name = weights(priorities)
    for a, pa in priorities.items():
        for b, pb in priorities.items():
            assert (pa > pb and by_name[a] >= by_name[b]) or pa <= pb
            assert pa != pb or by_name[a] == by_name[b]


def test_fairness_among_heavy_flows_survives_weeks_of_service() -> None:
    queue = FairQueue()
    wanted = {"x": PRIORITY_RATIO**2, "y": PRIORITY_RATIO**2, "low": 1}
    queue.set_weights(wanted)
    queue._virtual = 10**9 << 32  # 1e9 frames of weight 1: eleven days of 1,000 a second.
    order = []
    for _ in range(1000):
        for flow in wanted:
            queue.arrive(flow)
        chosen = queue.first(1)
        queue.serve(chosen)
        order += chosen
    assert abs(order.count("x") - order.count("y")) <= 1
    assert order.count("x") > 490
