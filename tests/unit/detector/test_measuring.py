"""One measurement at a time, and a count of their beginnings and ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.detector.faketriton import FakeTriton

from edgedetector.api.trace import Order
from edgedetector.detector.measuring import BusyError, Measurements
from edgedetector.detector.tracer import Tracer, TraceRefusedError


def test_the_count_is_odd_while_one_runs() -> None:
    measurements = Measurements()
    counts = [measurements.count]
    for _ in range(2):
        with measurements.of("a trace"):
            counts.append(measurements.count)
        counts.append(measurements.count)

    assert counts == [0, 1, 2, 3, 4]


def test_one_that_fails_has_ended() -> None:
    measurements = Measurements()
    with pytest.raises(ZeroDivisionError), measurements.of("a trace"):
        _ = 1 / 0

    assert measurements.count == 2
    with measurements.of("a trace"):
        assert measurements.count == 3


def test_a_second_one_is_told_who_has_the_first() -> None:
    measurements = Measurements()
    with (
        measurements.of("a bench", "ann@laptop"),
        pytest.raises(BusyError, match=r"a bench of ann@laptop runs; it ends by itself"),
        measurements.of("a trace"),
    ):
        pytest.fail("two at once")
    assert measurements.count == 2


def test_a_trace_counts_and_waits_for_no_other_measurement(tmp_path: Path) -> None:
    triton, measurements = FakeTriton(tmp_path / "trace"), Measurements()
    tracer = Tracer(triton, tmp_path / "tracing", file=str(triton.file), measurements=measurements)
    seen = []

    def gone() -> bool:
        seen.append(measurements.count)
        return True

    triton.comes = 0
    tracer.trace(Order(5), gone)
    with measurements.of("a bench", "ann"), pytest.raises(BusyError, match="a bench of ann"):
        tracer.trace(Order(5), lambda: True)

    assert seen == [1]
    assert measurements.count == 4


def test_a_trace_that_triton_refuses_has_ended(tmp_path: Path) -> None:
    triton, measurements = FakeTriton(tmp_path / "trace"), Measurements()
    triton.down = 1
    tracer = Tracer(triton, tmp_path / "tracing", file=str(triton.file), measurements=measurements)
    with pytest.raises(TraceRefusedError):
        tracer.trace(Order(5), lambda: True)

    assert measurements.count == 2
