"""The batcher model against queueing theory and what must hold of any batcher."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.tuning.batcher import Passage, Server, capacity, late, passage, requests_at_once

INDEPENDENT = math.inf


def server(
    instances: int = 1,
    largest: int = 1,
    *,
    fixed: float = 0.004,
    each: float = 0.002,
    serial: float = 1.0,
    interval: float = INDEPENDENT,
    delay: float = 0.0,
    preferred: tuple[int, ...] = (),
) -> Server:
    seconds = [fixed + each * size for size in range(1, largest + 1)]
    return Server(
        instances,
        apart=tuple(value * (1 - serial) for value in seconds),
        alone=tuple(value * serial for value in seconds),
        interval=interval,
        delay=delay,
        preferred=preferred,
    )


SERVERS = st.builds(
    server,
    st.integers(1, 4),
    st.sampled_from([1, 2, 4, 8]),
    fixed=st.floats(0.001, 0.01),
    each=st.floats(0.001, 0.01),
    serial=st.floats(0.1, 1.0),
    interval=st.sampled_from([INDEPENDENT, 0.1, 0.5]),
    delay=st.sampled_from([0.0, 0.002]),
)


def waits_less(seconds: float, rate: float, service: float) -> float:
    """Return P(W <= seconds) of M/D/1 (Erlang 1909)."""
    total = 0.0
    for served in range(int(seconds / service) + 1):
        left = rate * (served * service - seconds)
        total += left**served / math.factorial(served) * math.exp(-left)
    return (1 - rate * service) * total


@pytest.mark.parametrize("use", [0.3, 0.5, 0.7])
def test_one_instance_without_batches_is_a_queue_with_constant_service(use: float) -> None:
    service = 0.006
    found = passage(server(), use / service, 90, frames=20_000).latency - service
    assert waits_less(found * 0.93, use / service, service) < 0.9 < waits_less(found * 1.07, use / service, service)


@given(SERVERS)
def test_a_saturated_server_does_full_batches_all_the_time(one: Server) -> None:
    one = replace(one, interval=INDEPENDENT, delay=0.0)
    found = passage(one, 3 * one.saturated)
    assert found.busy > 0.9
    assert found.batch > 0.85 * one.largest


@given(st.integers(1, 4), st.sampled_from([1, 2, 4, 8]), st.floats(0.1, 1.0))
def test_what_a_saturated_server_serves_is_what_instances_and_device_can_do(
    count: int, largest: int, serial: float
) -> None:
    one = server(count, largest, serial=serial)
    seconds = 0.004 + 0.002 * largest
    assert one.saturated == pytest.approx(min(count, 1 / serial) * largest / seconds)
    found = passage(one, 3 * one.saturated)
    assert count * found.batch * found.busy / found.execution == pytest.approx(one.saturated, rel=0.1)


@given(SERVERS)
def test_a_lonely_frame_passes_at_once_but_for_the_delay(one: Server) -> None:
    held = one.delay if one.largest > 1 else 0.0
    lonely = one.apart[0] + one.alone[0] + held
    assert passage(one, 0.0).latency == pytest.approx(lonely)
    assert passage(one, 0.01, 50).latency == pytest.approx(lonely)


@given(st.floats(1, 80), st.floats(1.05, 3))
def test_more_demand_never_makes_a_queue_quicker(rate: float, more: float) -> None:
    assert passage(server(), rate * more).latency >= passage(server(), rate).latency * (1 - 1e-9)


@given(SERVERS, st.floats(0.1, 0.5))
def test_near_its_limit_a_server_is_slower_than_at_rest(one: Server, load: float) -> None:
    one = replace(one, delay=0.0)
    quiet, full = (passage(one, share * one.saturated).latency for share in (load, 0.98))
    assert full >= quiet * 0.9


@given(SERVERS, st.floats(0.005, 0.3), st.floats(1.0, 3.0))
def test_a_looser_bound_never_leaves_less_capacity(one: Server, bound: float, more: float) -> None:
    assert capacity(one, bound * more) >= capacity(one, bound) * (1 - 1e-9)


@given(SERVERS)
def test_capacity_is_within_what_the_server_can_do(one: Server) -> None:
    assert 0.0 <= capacity(one, 0.05) <= 1.03 * one.saturated
    assert capacity(one, 0.5 * (one.apart[0] + one.alone[0])) == 0.0


def test_batches_make_up_for_a_fixed_cost() -> None:
    """4 + 2 b milliseconds: 167/s one by one, 400/s in eights."""
    assert capacity(server(1, 8), 0.1) > 2 * capacity(server(1, 1), 0.1)


def test_a_delay_costs_quiet_frames_its_length_and_makes_batches() -> None:
    prompt, held = (passage(server(1, 8, delay=delay), 60.0, 50) for delay in (0.0, 0.01))
    assert held.latency - prompt.latency > 0.005
    assert held.batch > prompt.batch


def test_a_preferred_size_ends_the_delay() -> None:
    held, ended = (passage(server(2, 8, delay=0.05, preferred=sizes), 100.0, 50) for sizes in ((), (2,)))
    assert ended.latency < held.latency
    assert ended.batch < held.batch


def test_cameras_whose_frames_wait_too_long_lose_them() -> None:
    one = server(interval=0.1)
    assert passage(one, 0.8 * one.saturated).skipped == 0.0
    overloaded = passage(one, 2 * one.saturated)
    assert overloaded.skipped > 0.3
    assert overloaded.latency < 0.2


def test_a_small_request_passes_a_large_one_that_is_still_being_prepared() -> None:
    """So the instance works while the detector prepares: it did not when batches went in the order of their frames."""
    one = replace(server(1, 32, fixed=0.006, each=0.0025), prepare=0.002)
    assert passage(one, 0.65 * one.saturated).busy > 0.9


def test_the_device_is_at_work_for_the_part_of_executions_that_is_its_own() -> None:
    found = passage(server(2, 1, serial=0.4), 100.0)
    assert found.device == pytest.approx(100.0 * 0.006 * 0.4, rel=0.1)


def test_the_mean_age_holds_what_an_image_needs_to_be_prepared() -> None:
    plain, prepared = (passage(replace(server(1, 8), prepare=seconds), 50.0) for seconds in (0.0, 0.003))
    assert prepared.mean - plain.mean == pytest.approx(0.003 * prepared.request, rel=0.3)


def test_the_detector_sends_no_more_requests_than_it_has_threads() -> None:
    assert [requests_at_once(count) for count in (0, 1, 4, 100)] == [1, 2, 8, 16]


def test_a_pause_makes_late_what_comes_in_it_and_cannot_be_caught_up_with() -> None:
    roomy = server(largest=8, interval=1.0)
    assert late(roomy, 100.0, 0.0, 0.050) == 0.0
    assert late(roomy, 100.0, 0.030, 0.050) == 0.0
    # What came at first waits for 80 ms; what came in the last 40 does not, and is soon served in batches.
    assert 0.02 <= late(roomy, 100.0, 0.080, 0.050) <= 0.10


def test_a_pause_harms_longer_the_less_room_there_is_to_catch_up() -> None:
    full = server(largest=1, interval=1.0)
    most = full.saturated
    found = [late(full, share * most, 0.100, 0.050) for share in (0.5, 0.8, 0.95)]
    assert found == sorted(found)
    assert found[-1] > 4 * found[0] > 0.0


@given(SERVERS, st.floats(0.1, 0.9), st.floats(0.01, 0.2))
def test_a_longer_pause_makes_no_fewer_frames_late_where_nothing_joins_them(
    found: Server, use: float, pause: float
) -> None:
    single = replace(found, apart=found.apart[:1], alone=found.alone[:1], delay=0.0, interval=10.0)
    rate = use * single.saturated
    assert late(single, rate, pause, 0.05) <= late(single, rate, 2 * pause, 0.05) + 1e-9


@pytest.mark.parametrize(
    ("one", "rate", "expected"),
    [
        (
            server(1, 8, serial=0.6, interval=0.2),
            40.0,
            Passage(
                latency=0.01425013901210015,
                batch=1.0030395136778116,
                busy=0.23947409961453736,
                skipped=0.0,
                execution=0.006006079027355608,
                device=0.1436844597687242,
                mean=0.006633183727918377,
                request=1.006060606060606,
            ),
        ),
        (
            server(2, 4, serial=0.6, interval=0.2, delay=0.002),
            150.0,
            Passage(
                latency=0.015005216758999351,
                batch=1.306930693069307,
                busy=0.39932651992146323,
                skipped=0.0,
                execution=0.006972798786904027,
                device=0.45452456001398883,
                mean=0.009343654269080985,
                request=1.018181818181818,
            ),
        ),
        (
            server(1, 4, each=0.008, interval=0.5),
            400.0,
            Passage(
                latency=0.5718406805323064,
                batch=3.903225806451613,
                busy=0.9984610720530239,
                skipped=0.6333333333333333,
                execution=0.035225806451612926,
                device=0.9984610720530239,
                mean=0.5530674236807223,
                request=3.975206611570248,
            ),
        ),
    ],
)
def test_a_model_alone_is_told_the_same_to_the_last_bit(one: Server, rate: float, expected: Passage) -> None:
    """Frames with cameras' phases need no logarithm, so that they are the same on every machine."""
    assert replace(passage(one, rate), rate=0.0) == expected
