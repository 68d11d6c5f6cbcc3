"""What work costs, on virtual time and by the real clock."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.cpu import Budget, Spent, Stopwatch
from edgedetector.detector.frame import Clocks


def test_a_stopwatch_tells_wall_and_cpu_also_of_a_failure() -> None:
    wall, cpu = iter([1.0, 4.0]), iter([10.0, 10.5])
    told: list[Spent] = []
    with (
        pytest.raises(KeyError),
        Stopwatch(Clocks(lambda: next(wall), time.time, lambda: next(cpu)), told.append),
    ):
        raise KeyError
    assert told == [Spent(3.0, 0.5)]


def test_the_cpu_seconds_are_those_of_the_thread_alone() -> None:
    """Work of another thread, and waiting for it, costs wall time only."""
    told: list[Spent] = []
    before = time.process_time()
    with Stopwatch(Clocks(time.monotonic, time.time), told.append):
        other = threading.Thread(target=lambda: sum(range(3_000_000)))
        other.start()
        other.join()
    burnt = time.process_time() - before
    assert told[0].cpu < burnt / 2
    assert told[0].cpu <= told[0].wall + 0.01


@given(
    share=st.floats(0.01, 4.0),
    burst=st.floats(0.1, 10.0),
    pieces=st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 2.0)), min_size=1, max_size=200),
)
def test_work_that_stops_when_the_budget_is_exceeded_never_takes_more_than_its_share(
    share: float, burst: float, pieces: list[tuple[float, float]]
) -> None:
    """All that is spent: the burst, what was earned, and the piece that went over."""
    budget, now, spent, largest = Budget(share, burst).advance(0.0), 0.0, 0.0, 0.0
    for pause, cost in pieces:
        now += pause
        budget = budget.advance(now)
        if not budget.exceeded:
            budget = budget.advance(now, cost)
            spent, largest = spent + cost, max(largest, cost)
        assert spent <= burst + share * now + largest + 1e-6


def test_a_budget_recovers_by_time_and_not_by_a_clock_that_goes_back() -> None:
    budget = Budget(share=0.5, burst=1.0).advance(10.0, 2.0)
    assert budget.exceeded
    assert budget.advance(5.0).exceeded
    assert not budget.advance(12.1).exceeded
    assert not budget.advance(12.1).recovered
    assert budget.advance(13.0).recovered
