"""Counters of frames by model."""

from __future__ import annotations

import threading
from collections import Counter

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


@given(st.lists(st.tuples(st.floats(0, 60), st.lists(st.floats(0, 60), max_size=4)), max_size=20))
def test_durations_are_counted_in_their_buckets(requests: list[tuple[float, list[float]]]) -> None:
    ledger = Ledger()
    for seconds, ages in requests:
        ledger.answered("a", seconds, ages)
    found = ledger.counted("a")
    assert found.exchanges == Counter(str(bucket_of(seconds)) for seconds, _ in requests)
    assert found.ages == Counter(str(bucket_of(age)) for _, ages in requests for age in ages)
    assert abs(found.exchange - sum(seconds for seconds, _ in requests) * 1e9) <= 2 * len(requests)


def test_no_count_of_many_threads_is_lost() -> None:
    ledger, begin = Ledger(), threading.Barrier(8)

    def work() -> None:
        begin.wait()
        for _ in range(5_000):
            ledger.offered("a")
            ledger.answered("a", 0.01, (0.02, 0.02))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = ledger.counted("a")
    assert (found.offered, found.exchange) == (40_000, 40_000 * 10_000_000)
    assert (found.ages, found.exchanges) == ({str(bucket_of(0.02)): 80_000}, {str(bucket_of(0.01)): 40_000})
