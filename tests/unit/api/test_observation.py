"""Histograms and counters of an observation."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.observation import (
    BUCKETS,
    BUCKETS_AN_OCTAVE,
    SHORTEST,
    BatchCounters,
    ModelCounters,
    Observation,
    bound,
    bucket_of,
    least,
    percentile,
    shrunk,
)

STEP = 2 ** (1 / BUCKETS_AN_OCTAVE)
DURATIONS = st.floats(SHORTEST, bound(BUCKETS - 1))


@given(DURATIONS)
def test_a_duration_lies_in_its_bucket(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert seconds <= bound(bucket) * (1 + 1e-9)
    assert bucket == 0 or seconds > bound(bucket - 1) * (1 - 1e-9)


@given(st.floats(-10, 1e9))
def test_every_duration_has_a_bucket(seconds: float) -> None:
    assert 0 <= bucket_of(seconds) < BUCKETS


@given(
    st.lists(DURATIONS, min_size=1, max_size=40),
    st.lists(st.integers(1, 60), min_size=40, max_size=40),
    st.integers(1, 99),
)
def test_a_percentile_is_that_of_the_sorted_results_within_the_width_of_a_bucket(
    values: list[float], times: list[int], percent: int
) -> None:
    results = sorted(value for value, count in zip(values, times, strict=False) for _ in range(count))
    found = percentile(Counter(map(bucket_of, results)), percent)
    if len(results) < least(percent):
        assert found is None
    else:
        exact = results[math.ceil(percent * len(results) / 100) - 1]
        assert found is not None
        assert found / exact * (1 + 1e-9) >= 1 / STEP
        assert found / exact <= STEP * (1 + 1e-9)


@pytest.mark.parametrize(("percent", "enough"), [(99, 299), (95, 59), (90, 29), (50, 5)])
def test_fewer_results_than_show_a_percentile_give_none(percent: int, enough: int) -> None:
    assert least(percent) == enough
    assert (percent / 100) ** enough <= 0.05 < (percent / 100) ** (enough - 1)
    assert percentile({40: enough - 1}, percent) is None
    assert percentile({40: enough}, percent) == pytest.approx(bound(40), rel=STEP - 1)


def test_half_of_a_bucket_is_its_middle_by_logarithm() -> None:
    assert percentile({8: 1001}, 50) == pytest.approx(math.sqrt(bound(7) * bound(8)), rel=1e-3)


@pytest.mark.parametrize("percent", [-1, 0, 100, 999])
def test_what_is_no_percentile_is_refused(percent: int) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        least(percent)


MODEL = ModelCounters(
    "people",
    "one",
    images=5,
    executions=4,
    failures=3,
    queue=20,
    request=30,
    requests=4,
    batches=(BatchCounters(2, 4, 5, 6, 7),),
    ages={"3": 2},
    exchanges={"4": 2},
    exchange=9,
    demand=5.0,
    offered=9,
    skipped=2,
)
ONE = Observation(
    at=10.0,
    epoch="a",
    models=(MODEL,),
    host_busy=3.0,
    host_total=9.0,
    stages={"boxes": 1.0},
    moves=2,
    looks=3,
    utilizations=1.5,
)


@pytest.mark.parametrize(
    "fields",
    [
        *({name: getattr(ONE, name) - 1} for name in ("host_busy", "host_total", "moves", "looks", "utilizations")),
        {"stages": {"boxes": 0.5}},
        *(
            {"models": (replace(MODEL, **{name: getattr(MODEL, name) - 1}),)}
            for name in (
                *("images", "executions", "failures", "queue", "request", "requests", "exchange", "offered", "skipped"),
            )
        ),
        *({"models": (replace(MODEL, ages=ages),)} for ages in ({}, {"3": 1})),
        *({"models": (replace(MODEL, exchanges=found),)} for found in ({}, {"4": 1})),
        *(
            {"models": (replace(MODEL, batches=found),)}
            for found in (
                (),
                (BatchCounters(2, 3, 5, 6, 7),),
                (BatchCounters(2, 4, 4, 6, 7),),
                (BatchCounters(2, 4, 5, 5, 7),),
                (BatchCounters(2, 4, 5, 6, 6),),
            )
        ),
    ],
)
def test_any_counter_that_is_lower_is_found(fields: dict[str, object]) -> None:
    assert shrunk(ONE, replace(ONE, **fields))
    assert not shrunk(replace(ONE, **fields), ONE), "the other way it grew"


def test_what_one_of_them_lacks_is_not_lower() -> None:
    nothing = Observation(at=11.0, epoch="a", moves=2, looks=3, utilizations=1.5)
    assert not shrunk(ONE, nothing)
    assert not shrunk(nothing, ONE)


def test_gauges_may_fall() -> None:
    lower = replace(ONE, degraded=0, gauges={}, models=(replace(MODEL, demand=0.0),))
    assert not shrunk(replace(ONE, degraded=4, gauges={"memoryUsed": 5.0}), lower)
