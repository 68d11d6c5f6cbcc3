"""What is learnt of costs: measured sizes come back, intervals hold the truth and shrink, garbage teaches nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tuning.truths import COMPILED, EPOCH, MODEL, Truth

from edgedetector.tuning.curve import Curve, learn
from edgedetector.tuning.evidence import ModelVisit, Visit
from edgedetector.tuning.sharing import Company, Sharing
from edgedetector.tuning.situation import Engine
from edgedetector.tuning.window import BatchTime, Knobs

LINES = st.builds(Truth, fixed=st.floats(0.0005, 0.015), each=st.floats(0.001, 0.01), serial=st.floats(0.3, 1.0))
SIZES = st.sets(st.integers(1, 32), min_size=1, max_size=6).map(sorted)


def curve(*visits: Visit, engine: Engine = COMPILED) -> Curve:
    return learn(visits, {MODEL: engine}).of(MODEL)


@given(LINES, SIZES)
def test_measured_sizes_come_back(truth: Truth, sizes: list[int]) -> None:
    found = curve(truth.visit(Knobs(1, 32), sizes=sizes))
    for size in sizes:
        assert found.seconds(size).mean == pytest.approx(truth.alone(size), rel=0.02)


@given(LINES, SIZES)
def test_intervals_of_unseen_sizes_hold_a_line(truth: Truth, sizes: list[int]) -> None:
    found = curve(truth.visit(Knobs(1, 32), sizes=sizes))
    for size in range(1, 33):
        seconds = found.seconds(size)
        assert seconds.low <= seconds.mean <= seconds.high
        assert seconds.low * 0.97 <= truth.alone(size) <= seconds.high * 1.03


@given(LINES, SIZES, st.integers(1, 32))
def test_more_sizes_do_not_make_a_line_less_certain(truth: Truth, sizes: list[int], size: int) -> None:
    def width(seen: list[int]) -> float:
        seconds = curve(truth.visit(Knobs(1, 32), sizes=seen)).seconds(size)
        return seconds.high / seconds.low

    assert width(sorted({*sizes, size})) <= width(sizes) * 1.05


@given(LINES, st.integers(2, 4), st.floats(0.5, 1.0))
def test_two_counts_of_instances_tell_how_they_share(truth: Truth, count: int, use: float) -> None:
    found = curve(truth.visit(), truth.visit(Knobs(count, 1), use=use, ended=EPOCH + 60))
    seconds = found.seconds(1, Company(count, count - 1.0))
    assert seconds.low * 0.95 <= truth.together(1, count) <= seconds.high * 1.05


@given(LINES, st.integers(2, 4))
def test_a_count_that_was_never_tried_is_between_overlap_and_a_serial_device(truth: Truth, count: int) -> None:
    seconds = curve(truth.visit()).seconds(1, Company(count, count - 1.0))
    assert seconds.low <= truth.together(1, count) * 1.02
    assert seconds.high >= truth.together(1, count) * 0.98
    assert seconds.high > seconds.low * 1.1


@pytest.mark.parametrize("contention", [0.0, 0.1, 0.4])
def test_utilisation_tells_what_each_instance_adds_to_the_devices_part(contention: float) -> None:
    truth = Truth(serial=0.4, contention=contention)
    visits = truth.visit(sizes=[1, 2]), truth.visit(Knobs(2, 2), sizes=[1, 2], use=0.9, ended=EPOCH + 60)
    found = curve(*visits).contention(2)
    assert found.low - 0.02 <= contention <= found.high + 0.02
    assert found.mean == pytest.approx(contention, abs=0.1)


def test_sizes_that_were_seen_in_company_only_do_not_bend_the_line_of_those_that_were_not() -> None:
    """Beside a large batch a small one takes much longer, a large one hardly: in company the line is too flat."""
    truth = Truth()
    alone = truth.visit(Knobs(1, 4), sizes=[1, 2, 3, 4])
    beside = {1: 14e-3, 2: 15e-3, 4: 17e-3, 6: 20e-3}
    model = ModelVisit(Knobs(2, 8), {size: BatchTime(100, seconds) for size, seconds in beside.items()}, busy=0.65)
    found = curve(alone, Visit({MODEL: model}, 60.0, EPOCH + 60))
    assert found.alone(8, found.shared(1)) == pytest.approx(truth.alone(8), rel=0.12)


@pytest.mark.parametrize("serial", [0.6, 0.9])
def test_a_large_batch_waits_for_others_no_longer_than_a_small_one(serial: float) -> None:
    """By one factor for all, those that came up in a trial only were taken for quicker than they are."""
    truth = Truth(serial=serial)
    found = curve(truth.visit(), truth.visit(Knobs(2, 4), sizes=[1, 2, 4], use=0.6, ended=EPOCH + 60))
    assert found.alone(4, found.shared(1)) == pytest.approx(truth.alone(4), rel=0.06)


def test_small_batches_that_waited_for_large_ones_are_not_taken_for_dear() -> None:
    """An overloaded server showed its largest batch alone; beside such, small ones take five times as long."""
    truth = Truth(fixed=0.004, each=0.005, serial=0.45)
    alone = truth.visit(Knobs(1, 16), sizes=[16], use=1.0)
    beside = {1: 60e-3, 2: 62e-3, 4: 60e-3, 8: 70e-3, 16: 86e-3}
    model = ModelVisit(Knobs(2, 16), {size: BatchTime(60, seconds) for size, seconds in beside.items()}, busy=1.0)
    found = curve(alone, Visit({MODEL: model}, 60.0, EPOCH + 60))
    assert found.alone(1, found.shared(1)) < 2.5 * truth.alone(1)


@pytest.mark.parametrize("truth", [Truth(0.001, 0.006, 0.5), Truth(0.012, 0.002, 0.5)])
def test_how_long_the_device_worked_tells_the_line_of_sizes_that_were_seen_in_company_only(truth: Truth) -> None:
    alone = truth.visit(Knobs(1, 32), sizes=[32], use=1.0)
    beside = truth.visit(Knobs(2, 8), sizes=[1, 2, 4, 8], use=0.9, ended=EPOCH + 60)
    told, untold = (
        curve(alone, visit).alone(1, Sharing(0.5)) / truth.alone(1)
        for visit in (beside, replace(beside, utilization=None))
    )
    assert abs(math.log(told)) < min(0.35, abs(math.log(untold)))


def test_a_device_that_is_always_at_work_tells_only_how_small_a_part_cannot_be() -> None:
    truth = Truth(serial=0.7)
    part = curve(truth.visit(Knobs(2, 8), sizes=[8], use=1.0)).part
    assert part.low < 0.6
    assert part.low < truth.serial < part.high
    assert part.mean < 0.9


@pytest.mark.parametrize("serial", [0.6, 0.7, 0.8])
@pytest.mark.parametrize("off", [-0.01, 0.01])
def test_of_a_nearly_full_device_a_little_error_of_its_utilisation_is_much_of_the_part(
    serial: float, off: float
) -> None:
    """Two instances nearly always at work: 94 or 96 % of the device's time tell very different parts."""
    visit = Truth(serial=serial).visit(Knobs(2, 8), sizes=[1, 2], use=0.95)
    assert visit.utilization is not None
    part = curve(replace(visit, utilization=visit.utilization * (1 + off))).part
    assert part.low < serial < part.high


def test_without_utilisation_less_is_known() -> None:
    truth = Truth(serial=0.8)
    told, untold = (
        curve(truth.visit(utilization=utilization)).seconds(1, Company(3, 2.0)) for utilization in (True, False)
    )
    assert untold.high / untold.low > told.high / told.low


def test_a_cliff_that_was_measured_wins_over_the_line_and_is_a_dip_before() -> None:
    truth = Truth(cliff=4)
    found = curve(truth.visit(Knobs(1, 16), sizes=[1, 2, 4, 8, 16]))
    assert found.seconds(8).mean == pytest.approx(truth.alone(8), rel=0.02)
    assert found.dips() == (4,)


def test_sizes_between_compiled_ones_may_cost_as_much_as_the_next() -> None:
    truth = Truth()
    found = curve(truth.visit(Knobs(1, 16), sizes=[1, 4]), engine=Engine(16, (1, 4, 16)))
    assert found.seconds(5).high >= found.seconds(16).high
    assert found.seconds(5).mean > truth.alone(5)


def test_few_executions_are_drawn_to_the_line() -> None:
    truth = Truth()
    honest = truth.visit(Knobs(1, 32), sizes=[1, 2, 4, 8]).models[MODEL]
    odd = {**honest.batches, 6: BatchTime(1, truth.alone(6) * 2)}
    visit = Visit({MODEL: ModelVisit(honest.knobs, odd, busy=0.5)}, 60.0, EPOCH)
    assert curve(visit).seconds(6).mean < truth.alone(6) * 1.6


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -0.01, 0.0, 1e9])
def test_what_is_no_duration_is_not_learnt(seconds: float) -> None:
    visit = Visit({MODEL: ModelVisit(Knobs(), {1: BatchTime(100, seconds)}, busy=0.5)}, 60.0, EPOCH)
    known = curve(visit).seconds(1)
    assert known.high / known.low > 1000


def test_sizes_above_the_compiled_one_are_not_believed() -> None:
    visit = Visit({MODEL: ModelVisit(Knobs(), {10**9: BatchTime(100, 0.01)}, busy=0.5)}, 60.0, EPOCH)
    assert curve(visit).largest == 0


@given(LINES, SIZES)
def test_the_dearest_curve_differs_in_what_was_not_seen_only(truth: Truth, sizes: list[int]) -> None:
    found = curve(truth.visit(Knobs(1, 32), sizes=sizes))
    dearer, largest = found.dearer(), sizes[-1]
    for size in range(1, 33):
        if size <= largest:
            assert dearer.costs[size - 1] == found.costs[size - 1]
        else:
            most = found.seconds(largest).mean * (1 + 3 * (size - largest) / largest)
            assert dearer.seconds(size).mean >= max(0.99 * most, found.seconds(size).high * 0.99)


@pytest.mark.parametrize("dearer", [1.5, 2.5, 3.0])
def test_the_dearest_curve_holds_images_beyond_a_cliff(dearer: float) -> None:
    """Behind the largest size that was seen, each further image takes so many times as long."""
    truth = Truth()
    found = curve(truth.visit(Knobs(1, 32), sizes=[1, 2, 4])).dearer()
    for size in range(5, 33):
        assert truth.alone(4) + dearer * truth.each * (size - 4) <= found.seconds(size).mean * 1.01
