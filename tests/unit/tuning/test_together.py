"""Several models on one device: each as alone where there is room, all slower where there is none, and told apart."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tuning.pairs import heavy, light, server, shown

from edgedetector.tuning import batcher, together
from edgedetector.tuning.batcher import Server
from edgedetector.tuning.curve import learn
from edgedetector.tuning.evidence import ModelVisit, Visit
from edgedetector.tuning.situation import Engine
from edgedetector.tuning.window import BatchTime, Knobs


@settings(max_examples=8)
@given(st.sampled_from([10.0, 50.0, 150.0, 400.0]), st.integers(1, 3))
def test_one_model_is_served_as_alone(rate: float, instances: int) -> None:
    one = server(instances=instances)
    assert together.passages((one,), (rate,)) == (batcher.passage(one, rate),)


def test_where_there_is_room_a_model_hardly_notices_another() -> None:
    little, alone = together.passages((server(), server()), (2.0, 20.0)), batcher.passage(server(), 20.0)
    assert little[1].mean == pytest.approx(alone.mean, rel=0.1)


def test_two_alike_have_half_each() -> None:
    one = server(part=1.0)
    both = together.capacity((one, one), (50.0, 50.0), (0.2, 0.2), 99)
    assert both * 50.0 == pytest.approx(0.5 * batcher.capacity(one, 0.1), rel=0.1)


def test_two_that_hide_each_others_way_have_more_than_half() -> None:
    both = together.capacity((server(), server()), (50.0, 50.0), (0.1, 0.1), 99)
    assert 0.7 * batcher.capacity(server(), 0.1) < both * 50.0


@settings(max_examples=8)
@given(st.floats(0.5, 3.0), st.sampled_from([0.03, 0.06, 0.2]))
def test_more_time_allows_more(times: float, bound: float) -> None:
    servers, demands = (server(), server(0.008)), (30.0, 30.0 * times)
    few, many = (together.capacity(servers, demands, (one, one), 99) for one in (bound, 1.5 * bound))
    assert few <= many * 1.02


@given(st.sampled_from([10.0, 100.0, 400.0]), st.integers(1, 3), st.sampled_from([0.0, 0.06, 0.5]))
def test_a_pause_makes_frames_of_one_model_late_as_alone(rate: float, instances: int, pause: float) -> None:
    one = server(instances=instances)
    assert together.late((one,), (rate,), pause, 0.05) == [batcher.late(one, rate, pause, 0.05)]


def test_where_no_image_is_quick_enough_nothing_can_be_served() -> None:
    assert together.capacity((server(), server()), (10.0, 10.0), (0.1, 0.005), 99) == 0.0


@pytest.mark.parametrize("seldom", [2.0, 0.5])
@pytest.mark.parametrize("frames", [160, batcher.FRAMES])
def test_what_comes_seldom_is_never_alone_on_a_device_that_another_model_uses(seldom: float, frames: int) -> None:
    """At 40 to 0.5 frames a second all that counted of the second came once the first had ended, as if it was alone."""
    runs = together.served((heavy(), light()), (40.0, seldom), frames)
    assert runs[1].arrivals[-1] <= runs[0].arrivals[-1]
    assert len(runs[1].arrivals) == pytest.approx(len(runs[0].arrivals) * seldom / 40.0, abs=2)


@pytest.mark.parametrize("frames", [160, batcher.FRAMES])
def test_a_short_look_tells_what_a_long_one_does_of_a_model_that_comes_seldom(frames: int) -> None:
    servers, rates = (server(0.017, 8, part=0.9), light()), (40.0, 2.0)
    told, true = (together.passages(servers, rates, 99, count)[1].mean for count in (frames, 20_000))
    assert told == pytest.approx(true, rel=0.15)
    assert told > 1.5 * batcher.passage(light(), 2.0).mean


def test_what_is_short_does_not_wait_for_what_began_before_it_and_still_computes_nothing() -> None:
    """It did, so that it took 10 ms beside one of 9, on a device that both hardly used, and 5 alone."""
    one = Server(1, (0.00475,), (0.00025,))
    other = Server(1, (0.0089,), (0.0005,))
    short, _ = together.served((one, other), (100.0, 90.0))
    assert max(seconds for _, seconds in short.executed) < 0.0056


def test_what_hardly_ever_comes_is_told_from_one_frame() -> None:
    runs = together.served((heavy(), light()), (40.0, 1e-3))
    assert len(runs[1].latencies) == 1
    assert 0.0 < runs[1].arrivals[0] < runs[0].arrivals[-1]


def test_what_always_waits_for_larger_batches_is_not_taken_for_dear() -> None:
    servers = (server(0.005, 16, part=0.95), server(0.005, 1, part=0.95))
    visit = shown(servers, (200.0, 100.0))
    seen = visit.models["second"].batches[1].seconds
    assert seen > 5 * 0.008
    curves = learn([visit], {"first": Engine(16), "second": Engine(16)})
    told = curves.of("second").seconds(1)
    assert 0.5 * 0.008 < told.mean < 2 * 0.008
    assert told.low < 0.008 < told.high
    assert curves.of("first").seconds(16).mean == pytest.approx(0.083, rel=0.2)


@settings(max_examples=8)
@given(st.sampled_from([0.002, 0.004, 0.01]), st.floats(0.4, 0.8))
def test_costs_are_told_apart_where_there_is_room(each: float, part: float) -> None:
    servers = (server(0.004, 4, part=part), server(each, 4, part=part))
    visit = shown(servers, (40.0, 30.0))
    curves = learn([visit], {"first": Engine(4), "second": Engine(4)})
    for name, one in zip(("first", "second"), servers, strict=True):
        seconds = one.apart[0] + one.alone[0]
        assert curves.of(name).seconds(1).mean == pytest.approx(seconds, rel=0.15)
    assert curves.of("first").part.low <= part <= curves.of("first").part.high


def test_costs_of_what_comes_seldom_are_told_apart() -> None:
    """It was learnt as dear as it is in company: in the simulation it had the device for itself most of the time."""
    visit = shown((heavy(), light()), (35.0, 2.0))
    told = learn([visit], {"first": Engine(8), "second": Engine(8)}).of("second").seconds(1)
    assert told.low < 0.005 < told.high


def test_costs_are_told_apart_behind_which_post_processing_is_always_at_work() -> None:
    """20 images a second come and 17 get through; without the step behind them executions gather in no batches."""
    first = replace(heavy(), steps=1, step=tuple(0.06 * size for size in range(1, 9)))
    second = replace(light(), steps=1, step=tuple(0.001 * size for size in range(1, 9)))
    visit = shown((first, second), (20.0, 20.0))
    assert visit.models["first"].busy < 0.5
    assert visit.models["first"].busiest > 0.9
    curves = learn([visit], {"first": Engine(8), "second": Engine(8)})
    assert curves.of("first").seconds(1).mean == pytest.approx(0.020, rel=0.1)
    assert curves.of("second").seconds(1).mean == pytest.approx(0.005, rel=0.25)


def test_figures_that_are_no_numbers_tell_nothing() -> None:
    visit = shown((server(), server()), (40.0, 30.0))
    spoilt = Visit(
        {
            **visit.models,
            "second": ModelVisit(Knobs(1, 4), {1: BatchTime(5, math.nan), 2: BatchTime(9, math.inf)}, 30.0, math.nan),
        },
        60.0,
        1000.0,
    )
    curves = learn([spoilt], {"first": Engine(4), "second": Engine(4)})
    assert math.isfinite(curves.of("first").seconds(2).mean)
    assert learn([visit, spoilt], {"first": Engine(4), "second": Engine(4)}).of("second").costs
