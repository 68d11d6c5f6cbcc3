"""What is too much, and the words for it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.pressure import Limits, Pressure, Signal, blended, eased, findings, limits, relaxed

VALUES = st.one_of(st.none(), st.floats(0.0, 200.0), st.just(math.nan), st.just(math.inf))
PRESSURES = st.builds(Pressure, VALUES, VALUES, VALUES, VALUES, VALUES, VALUES, VALUES)
MARKS = Limits()


@pytest.mark.parametrize(
    ("pressure", "signal", "because"),
    [
        (Pressure(frame_age=1.64), Signal.FRAME_AGE, "results were 1.6 frame intervals old"),
        (Pressure(skipped=0.12), Signal.SKIPPED, "12 % of the frames were skipped"),
        (Pressure(queue_share=0.8), Signal.QUEUE_SHARE, "requests spent 80 % of their time in Triton's queue"),
        (Pressure(accelerator=0.93), Signal.ACCELERATOR, "the accelerator was 93 % busy"),
        (Pressure(host_cpu=0.96), Signal.HOST_CPU, "the host CPU was 96 % busy"),
        (Pressure(temperature=91.0), Signal.TEMPERATURE, "the accelerator was 91 °C hot"),
        (Pressure(objects=83.0), Signal.OBJECTS, "83 objects were in a frame"),
        (
            Pressure(objects=83.0, host_cpu=0.8),
            Signal.OBJECTS,
            "83 objects were in a frame and the host CPU was 80 % busy",
        ),
    ],
)
def test_each_signal_over_its_limit_is_told_in_plain_words(pressure: Pressure, signal: Signal, because: str) -> None:
    (finding,) = findings(pressure, MARKS)
    assert (finding.signal, finding.because) == (signal, because)
    assert not relaxed(pressure, MARKS)


def test_the_worst_comes_first() -> None:
    found = findings(Pressure(host_cpu=0.9, accelerator=0.99), MARKS)
    assert [finding.signal for finding in found] == [Signal.ACCELERATOR, Signal.HOST_CPU]


def test_many_objects_are_no_burden_to_a_cpu_with_room() -> None:
    crowded = Pressure(objects=120.0, host_cpu=0.3)
    assert findings(crowded, MARKS) == ()
    assert relaxed(crowded, MARKS)


def test_between_the_marks_nothing_is_over_and_there_is_no_room() -> None:
    between = Pressure(host_cpu=0.8)
    assert findings(between, MARKS) == ()
    assert not relaxed(between, MARKS)


def test_nothing_known_is_room_and_nothing_to_find() -> None:
    assert findings(Pressure(), MARKS) == ()
    assert relaxed(Pressure(), MARKS)


def test_the_headroom_of_the_specification_sets_the_ceilings() -> None:
    marks = limits(accelerator_headroom=0.4, cpu_headroom=0.1)
    assert findings(Pressure(accelerator=0.61, host_cpu=0.89), marks)[0].signal is Signal.ACCELERATOR
    assert len(findings(Pressure(accelerator=0.61, host_cpu=0.91), marks)) == 2


USUAL = Pressure(frame_age=0.5, skipped=0.02, accelerator=0.5, host_cpu=0.4, queue_share=math.nan)


@pytest.mark.parametrize(
    ("now", "less"),
    [
        (USUAL, False),
        (replace(USUAL, accelerator=0.4), True),
        (replace(USUAL, accelerator=0.45), False),
        (replace(USUAL, accelerator=0.9, host_cpu=0.3), True),
        (replace(USUAL, accelerator=None), False),
        (replace(USUAL, queue_share=0.1), False),
        (replace(USUAL, skipped=0.0, frame_age=0.1), False),
        (replace(USUAL, frame_age=None), True),
        (None, True),
    ],
    ids=[
        "the same",
        "clearly less",
        "hardly less",
        "another one",
        "unknown now",
        "unknown then",
        "late",
        "blind",
        "new",
    ],
)
def test_something_presses_less_where_a_lasting_signal_clearly_fell_or_no_camera_tells(
    now: Pressure | None, *, less: bool
) -> None:
    assert eased(USUAL, now) is less


@given(PRESSURES)
def test_what_stays_as_it_is_presses_no_less(pressure: Pressure) -> None:
    assert not eased(pressure, replace(pressure, frame_age=1.0))


@given(PRESSURES)
def test_nothing_is_both_over_and_free(pressure: Pressure) -> None:
    assert not (findings(pressure, MARKS) and relaxed(pressure, MARKS))
    assert all(finding.excess > 1.0 and math.isfinite(finding.excess) for finding in findings(pressure, MARKS))


@given(PRESSURES, PRESSURES)
def test_what_is_not_known_now_is_not_remembered(before: Pressure, now: Pressure) -> None:
    mixed = blended(before, now, 0.5)
    assert (mixed.host_cpu is None) == (now.host_cpu is None or not math.isfinite(now.host_cpu))
