"""The cases that a real Triton is held against, and what the simulator makes of a client that is not a machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.batcher import Batching
from judge.calibration import Case, Overheads, cases, predict

QUIET = Overheads(execution=0.0007, image=0.0001, turn=0.0002, way=0.0004, serial=0.00035)
TOGETHER = Case(0, Batching(4, 8, (4, 8), 0.002), 0.016, 0.0114, flights=12)


def test_the_cases_are_the_same_every_time_and_there_are_fifty() -> None:
    assert cases() == cases()
    assert len({case.name for case in cases()}) == 50
    assert sum(case.flights > 0 for case in cases()) == 25


def test_what_was_answered_together_does_not_stay_together_for_ever() -> None:
    """Twelve in flight in batches of exactly four: a real client's answers come one by one, some too late for that."""
    locked = predict(TOGETHER, replace(QUIET, serial=0.0), seconds=3.5)
    loose = predict(TOGETHER, QUIET, seconds=3.5)
    assert locked.median == pytest.approx(TOGETHER.base + 4 * TOGETHER.image, rel=0.05), "one batch like the other"
    assert loose.throughput > 1.05 * locked.throughput, "three of four instances are not all that work"


@settings(max_examples=15)
@given(st.integers(1, 4), st.integers(1, 16), st.floats(0.01, 0.05))
def test_a_client_that_wavers_is_as_quick_in_the_mean(instances: int, flights: int, base: float) -> None:
    """By Little's law, where nothing waits: what is on its way is the rate times the whole way."""
    case = Case(0, Batching(instances, 1), base, 0.0, flights=min(flights, instances))
    found = predict(case, QUIET, seconds=5.0)
    assert found.throughput <= case.flights / base
    assert found.throughput >= 0.8 * case.flights / (base + QUIET.execution + QUIET.turn + QUIET.way)


def test_the_same_case_gives_the_same_figures() -> None:
    for case in cases(6):
        sent = [0.01 * number for number in range(300)]
        assert predict(case, QUIET, seconds=3.0, sent=sent) == predict(case, QUIET, seconds=3.0, sent=sent)
