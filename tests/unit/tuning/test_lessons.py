"""What a trial that disappointed says of others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tuning.truths import ALONE, EPOCH, MODEL, Truth, situation

from edgedetector.tuning import lessons, memory
from edgedetector.tuning.curve import learn
from edgedetector.tuning.evidence import Visit
from edgedetector.tuning.lessons import Lesson
from edgedetector.tuning.prediction import predict
from edgedetector.tuning.record import State
from edgedetector.tuning.window import Knobs

TRUTH = Truth(serial=0.5)
TWO = Knobs(2, 1)
WHERE = situation(ALONE, latency=0.05)
KNOBS = st.builds(
    Knobs, st.integers(1, 6), st.sampled_from([1, 2, 3, 8, 32]), st.just(()), st.sampled_from([0, 500, 5000])
)


def learnt(visit: Visit, *, denied: bool = True, demand: float = 1.0) -> list[Lesson]:
    """The lessons of a trial with two instances."""
    base = replace(TRUTH.visit(ALONE, use=0.95, latency=0.03), windows=30, spread=0.005)
    seen = replace(visit, windows=30, spread=0.005)
    wanted = {MODEL: visit.models[MODEL].demand * demand}
    state = State(accepted={MODEL: ALONE}, visits=(seen, base), demand=wanted)
    if denied:
        state = memory.deny(state, {MODEL: TWO}, EPOCH, 3600.0, "measured -5%")
    curves = learn(state.visits, WHERE.engines)
    present = predict(state.accepted, curves, state.visits, WHERE, state.accepted)
    return lessons.lessons(state, curves, present, WHERE, EPOCH + 60)


def saturated(rate: float) -> Visit:
    """Two instances that are always at work and serve less than their executions say that they could."""
    visit = TRUTH.visit(TWO, use=0.97, latency=0.03, ended=EPOCH - 60)
    model = replace(visit.models[MODEL], rate=rate, demand=400.0)
    return replace(visit, models={MODEL: model})


def test_a_trial_that_served_less_than_is_promised_is_a_lesson() -> None:
    (short,) = learnt(saturated(120.0))
    (shorter,) = learnt(saturated(90.0))
    assert short.configuration == {MODEL: TWO}
    assert 0.05 < short.short < shorter.short


def test_what_was_not_denied_or_was_of_another_load_is_none() -> None:
    assert learnt(saturated(120.0), denied=False) == []
    assert learnt(saturated(120.0), demand=2.0) == []


def test_a_trial_that_showed_what_is_promised_takes_nothing_of_others() -> None:
    (lesson,) = learnt(TRUTH.visit(TWO, use=0.5, latency=0.02, ended=EPOCH - 60))
    assert lesson.short == pytest.approx(0.0, abs=0.02)


@given(KNOBS, KNOBS)
def test_nearness_is_a_share_the_same_from_both_sides_and_whole_only_for_what_is_served_alike(
    one: Knobs, other: Knobs
) -> None:
    near = lessons.nearness({MODEL: one}, {MODEL: other})
    assert 0.0 < near <= 1.0
    assert near == pytest.approx(lessons.nearness({MODEL: other}, {MODEL: one}))
    assert (near == 1.0) is (one == other)


def test_the_nearest_disappointment_counts_and_less_with_each_step() -> None:
    told = [Lesson({MODEL: Knobs(2, 8)}, 0.08), Lesson({MODEL: Knobs(1, 1)}, 0.02)]
    off = [
        lessons.shortfall({MODEL: knobs}, told)
        for knobs in (Knobs(2, 8), Knobs(3, 8), Knobs(2, 16), Knobs(4, 8), Knobs(1, 1))
    ]
    assert off == pytest.approx([0.08, 0.04, 0.04, 0.02, 0.02])
    assert lessons.shortfall({MODEL: ALONE}, []) == 0.0


def test_an_instance_of_post_processing_is_a_step_like_any_other() -> None:
    one, two = {MODEL: Knobs(2, 4, post_processing=1)}, {MODEL: Knobs(2, 4, post_processing=2)}
    assert lessons.nearness(one, two) == 0.5
    assert lessons.nearness(two, two) == 1.0
