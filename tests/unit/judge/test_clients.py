"""The detector's side: the newest frame of each camera, in batches, none lost without being counted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from judge.batcher import Batching, Model
from judge.calibration import Sleeper
from judge.clients import Detector
from judge.events import Clock
from judge.traffic import Frames, Traffic


def detector(
    batching: Batching, base: float, *, prepare: float = 0.0, way: float = 0.0
) -> tuple[Clock, Detector, Model]:
    clock = Clock()
    model = Model("m", batching, Sleeper(base, 0.0), clock)
    found = Detector(clock, model.enqueue, prepare=prepare, way=way)
    found.serve(batching.instances, batching.max_batch, batching.preferred)
    return clock, found, model


@given(
    instances=st.integers(1, 3),
    batch=st.sampled_from([1, 4, 8]),
    cameras=st.integers(1, 40),
    rate=st.floats(1.0, 20.0),
    base=st.floats(0.001, 0.2),
    delay=st.sampled_from([0.0, 0.005]),
)
@settings(max_examples=25)
def test_every_frame_has_a_result_or_a_reason(
    *, instances: int, batch: int, cameras: int, rate: float, base: float, delay: float
) -> None:
    clock, found, _ = detector(Batching(instances, batch, (), delay), base, prepare=0.001, way=0.002)
    frames = Frames("x", jitter=0.2)
    for second in range(4):
        found.expect(*frames.second(second, cameras, rate), 1.0 / rate)
        clock.run(second + 1.0)
        assert found.frames == found.results + found.dropped + found.open
    clock.run(1000.0)
    assert found.open == 0
    assert found.results == len(found.ages)


def test_a_frame_that_waits_gives_way_to_the_cameras_next() -> None:
    clock, found, _ = detector(Batching(1, 1), 1.0)
    # Two are on their way; the third camera's first frame is superseded, its second waits.
    found.expect([0.0, 0.0, 0.1, 0.3], [0, 1, 2, 2], 10.0)
    clock.run(0.5)
    found.catch_up()
    assert found.dropped == 1
    clock.run(10.0)
    assert found.results == 3


def test_a_frame_older_than_its_interval_is_not_sent() -> None:
    clock, found, _ = detector(Batching(1, 1), 1.0)
    found.expect([0.0, 0.0, 0.1], [0, 1, 2], 0.5)
    clock.run(10.0)
    assert (found.results, found.dropped) == (2, 1)


def test_no_more_requests_are_on_their_way_than_two_an_instance() -> None:
    clock, found, model = detector(Batching(2, 4), 1.0)
    found.expect([0.0] * 40, list(range(40)), 100.0)
    clock.run(0.5)
    assert model.running == 2
    assert found._flying == 4


def test_waiting_frames_go_in_one_request_up_to_the_largest_preferred_size() -> None:
    clock, found, model = detector(Batching(1, 8, (2, 4)), 0.1)
    found.expect([0.0, 0.0, *[0.05] * 12], list(range(14)), 100.0)
    clock.run(100.0)
    assert max(size for size in model.counters.batches) == 4


@given(cameras=st.integers(1, 60), rate=st.floats(0.5, 30.0), second=st.integers(0, 1000))
def test_each_camera_has_its_rate_and_the_frames_of_a_second_lie_in_it(cameras: int, rate: float, second: int) -> None:
    frames = Frames("y", jitter=0.3)
    times, named = frames.second(second, cameras, rate)
    assert times == sorted(times)
    assert all(second <= one < second + 1 for one in times)
    assert len(times) == len(named)
    whole = sum(len(frames.second(number, cameras, rate)[0]) for number in range(second, second + 8))
    assert abs(whole - 8 * cameras * rate) <= cameras + 1e-6
    assert frames.second(second, cameras, rate) == (times, named)


def test_levels_come_round_with_the_period() -> None:
    traffic = Traffic(10, 5.0, levels=((0.0, 0.5), (10.0, 1.0)), period=20.0)
    assert [traffic.on(now) for now in (0, 9.9, 10, 19, 20, 31)] == [5, 5, 10, 10, 5, 10]
    assert traffic.extremes == (5, 10)
