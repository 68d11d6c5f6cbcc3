"""The pure parts of the data plane's benchmark."""

from __future__ import annotations

import math

import pytest
from bench.dataplane.figures import (
    Column,
    Snapshot,
    cores,
    growth,
    medians,
    of,
    percentile,
    perf_analyzer,
    ratio,
    spread,
    table,
    tenths,
)
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.lists(st.floats(0.0, 1e6), min_size=1)


@given(VALUES, st.floats(0.0, 1.0))
def test_a_percentile_is_a_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) <= share * len(values) + 1e-9


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile([1.0], share)


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="of 0 values"):
        percentile([], 0.5)


def test_the_99th_of_a_hundred_leaves_one_out() -> None:
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99.0


def test_a_ratio_has_two_places_and_none_where_nothing_is_divided_by() -> None:
    assert ratio(1.0, 3.0) == 0.33
    assert ratio(1.0, 0.0) is None


def test_cpu_is_summed_by_name_and_a_new_process_counts_from_its_beginning() -> None:
    before = Snapshot(10.0, {("reader", 1): 5.0, ("reader/ffmpeg", 2): 1.0, ("reader/ffmpeg", 3): 9.0})
    after = Snapshot(
        14.0, {("reader", 1): 6.0, ("reader/ffmpeg", 2): 3.0, ("reader/ffmpeg", 4): 1.0, ("other", 9): 2.0}
    )
    used = cores(before, after)
    assert used == {"reader": 0.25, "reader/ffmpeg": 0.75, "other": 0.5}
    assert of(["reader"], used) == 1.0
    assert of(["reader/ffmpeg"], used) == 0.0, "only whole trees are named"


@given(st.dictionaries(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), st.floats(0, 100)), st.floats(0.1, 100))
def test_a_machine_at_rest_uses_nothing(used: dict[tuple[str, int], float], seconds: float) -> None:
    assert all(value == 0.0 for value in cores(Snapshot(0.0, used), Snapshot(seconds, used)).values())


def test_the_median_of_each_figure_is_over_the_turns_that_have_it() -> None:
    assert medians([{"a": 1.0}, {"a": 9.0, "b": 4.0}, {"a": 2.0}]) == {"a": 2.0, "b": 4.0}


def test_a_table_puts_texts_left_and_numbers_right_and_dashes_where_nothing_is() -> None:
    columns = (Column("who", "who", 6), Column("rate", "frames/s", 9, ".1f"), Column("more", "x", 4, ".2f"))
    rows = [{"who": "ours", "rate": 5.04, "more": 1.0}, {"who": "theirs", "rate": 12.0, "more": None}]
    assert table(columns, rows).splitlines() == [
        "who     frames/s    x",
        "ours         5.0 1.00",
        "theirs      12.0    -",
    ]


def test_the_best_line_of_perf_analyzer_is_taken() -> None:
    text = "Concurrency,Inferences/Second,Client Send\n1,100.5,3\n4,180.25,9\n"
    assert perf_analyzer(text) == 180.25


@pytest.mark.parametrize("text", ["", "Concurrency\n1\n", "Failed to obtain stable measurement"])
def test_what_is_not_its_csv_is_no_measurement(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of two kinds: no such column, no line at all
        perf_analyzer(text)


@pytest.mark.parametrize(("rates", "expected"), [([], None), ([0.0, 0.0], None), ([5.0, 5.0], 0.0), ([4.0, 5.0], 0.2)])
def test_equals_that_are_served_unequally_show(rates: list[float], expected: float | None) -> None:
    assert spread(rates) == expected


def test_what_is_made_in_the_first_quarter_is_no_growth() -> None:
    assert growth([10.0, 20.0, 50.0, 50.0, 50.0, 50.0, 50.0, 50.0]) == 0.0
    assert growth([50.0, 50.0, 50.0, 50.0, 60.0, 60.0, 75.0, 75.0]) == 0.5
    with pytest.raises(ValueError, match="3 samples"):
        growth([1.0, 2.0, 3.0])


def test_tenths_tell_growth_that_ends_from_growth_that_goes_on() -> None:
    assert tenths([float(number // 3) for number in range(31)]) == [float(number) for number in range(10)]
    assert tenths([1.0, 2.0]) == [1.0, 2.0]
