"""Counters of frames by model."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.observation import bucket_of
from edgedetector.detector.batching import Outcome
from edgedetector.detector.ledger import Counted, Ledger


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(Outcome))))
def test_each_outcome_is_counted_where_it_belongs(settled: list[tuple[str, Outcome]]) -> None:
    ledger = Ledger()
    for model, outcome in settled:
        ledger.offered(model)
        ledger.settled(model, outcome)
    for model in "ab":
        mine = [outcome for name, outcome in settled if name == model]
        skipped = mine.count(Outcome.SUPERSEDED) + mine.count(Outcome.EXPIRED)
        assert ledger.counted(model) == Counted(len(mine), skipped, mine.count(Outcome.FAILED))


@given(st.lists(st.floats(0, 60), max_size=50))
def test_durations_are_counted_in_their_buckets(seconds: list[float]) -> None:
    ledger = Ledger()
    for one in seconds:
        ledger.aged("a", one)
        ledger.answered("a", one)
    found = ledger.counted("a")
    assert sum(found.ages.values()) == len(seconds)
    assert found.ages == found.exchanges
    assert all(found.ages[str(bucket_of(one))] for one in seconds)
    assert abs(found.exchange - sum(seconds) * 1e9) <= len(seconds)


def test_no_count_of_many_threads_is_lost() -> None:
    ledger, begin = Ledger(), threading.Barrier(8)

    def work() -> None:
        begin.wait()
        for _ in range(5_000):
            ledger.offered("a")
            ledger.aged("a", 0.01)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = ledger.counted("a")
    assert (found.offered, sum(found.ages.values())) == (40_000, 40_000)
