"""Several models of a configuration: told from measurements, as far as each of them tells something."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.tuning.pairs import NAMES, heavy, light, server, shown

from edgedetector.api.observation import bucket_of
from edgedetector.tuning import choice, lane, several
from edgedetector.tuning.choice import PAUSE
from edgedetector.tuning.curve import learn
from edgedetector.tuning.evidence import ModelPrediction, Range, Visit
from edgedetector.tuning.lane import Correction, lanes
from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.window import Configuration, Knobs

NOW = dict.fromkeys(NAMES, Knobs(1, 8))
SITUATION = Situation(NOW, dict.fromkeys(NAMES, Engine(8)), limits=Limits(latency=0.1))
RATES = (20.0, 2.0)


def predicted(configuration: Configuration, visit: Visit) -> dict[str, ModelPrediction]:
    curves = learn((visit,), SITUATION.engines)
    return several.outcomes(lanes(configuration, curves, (visit,), SITUATION), (visit,), SITUATION)


def anchor(visit: Visit) -> several._Anchor:
    curves = learn((visit,), SITUATION.engines)
    return several._anchor(lanes(NOW, curves, (visit,), SITUATION), (visit,), SITUATION)


def slower(visit: Visit, times: float, *, second: bool) -> Visit:
    """Return the visit with the first model's percentile so many times as long, and with the second's or without."""
    first, other = (visit.models[name] for name in NAMES)
    assert first.latency is not None
    latency = Range(*(times * end for end in (first.latency.low, first.latency.mean, first.latency.high)))
    return replace(
        visit,
        models={
            "first": replace(first, latency=latency),
            "second": other if second else replace(other, latency=None),
        },
    )


def test_a_model_with_too_few_results_for_a_percentile_takes_no_other_models_away() -> None:
    """The first model's was twice what it is expected to be; the second had 240 results, and a p99 needs 299."""
    seen = shown((heavy(), light()), RATES)
    later = {**NOW, "first": Knobs(1, 8, (), 20_000)}
    both, one = (predicted(later, slower(seen, 2.0, second=second))["first"].latency for second in (True, False))
    steady = predicted(later, slower(seen, 1.0, second=False))["first"].latency
    assert one.mean > 1.3 * steady.mean
    assert one.mean == pytest.approx(both.mean, rel=0.02)


def test_a_percentile_that_is_no_number_counts_as_none() -> None:
    seen = shown((heavy(), light()), RATES)
    spoilt = replace(seen.models["second"], latency=Range(0.0, float("nan"), 1.0))
    found = anchor(replace(seen, models={**seen.models, "second": spoilt}))
    assert found.seen is not None
    assert found.seen["second"].latency is None
    assert found.seen["first"].latency == seen.models["first"].latency


def test_where_no_model_tells_a_latency_there_is_nothing_to_tell_others_from() -> None:
    seen = shown((heavy(), light()), RATES)
    none = {name: replace(model, latency=None) for name, model in seen.models.items()}
    assert anchor(replace(seen, models=none)).seen is None
    assert anchor(replace(seen, models={"first": seen.models["first"]})).seen is None


def test_a_surge_of_the_load_shows_in_the_models_that_tell_a_percentile() -> None:
    seen = slower(shown((heavy(), light()), RATES), 1.8, second=False)
    usual = {bucket_of(0.025): 1000.0}
    surging = {**seen.models, "first": replace(seen.models["first"], ages=usual)}
    assert anchor(replace(seen, models=surging)).surge > 1.0
    assert anchor(seen).surge == 1.0


def test_what_waits_for_post_processing_that_is_always_at_work_corrects_nothing() -> None:
    """It waits for as long as it lags behind, which says nothing of another number of instances."""
    step = tuple(0.06 * size for size in range(1, 9))
    seen = shown((replace(heavy(), steps=1, step=step), light()), (15.0, 15.0))
    first = seen.models["first"]
    behind = first.step
    assert behind is not None
    knobs = {**NOW, "first": Knobs(1, 8, post_processing=1)}
    curves = learn((seen,), SITUATION.engines)
    told = lanes(knobs, curves, (seen,), SITUATION)
    world = several._expected(told)

    def corrected(busy: float) -> Correction:
        visit = {**seen.models, "first": replace(first, step=replace(behind, busy=busy))}
        return several._Anchor(SITUATION, visit).corrections(told, world, 99, 160)[0]

    assert corrected(0.95) == Correction(extra=corrected(0.95).extra)
    assert corrected(0.5) != corrected(0.95)


def test_a_quick_model_is_late_after_a_pause_for_executions_of_a_slow_one_that_catches_up() -> None:
    seen = (shown((server(0.041, 8, part=0.95), light()), (5.0, 100.0)),)
    models = lanes(NOW, learn(seen, SITUATION.engines), seen, SITUATION)
    assert lane.late(models[1], seen, SITUATION, PAUSE) == 0.0
    late = several.late(models, seen, SITUATION, PAUSE)
    assert late[1] > 0.1
    assert choice._frail(late, SITUATION)


def test_a_slow_model_is_hardly_slower_after_a_pause_for_a_quick_one() -> None:
    seen = (shown((server(0.047, 8), light()), (4.0, 20.0)),)
    models = lanes(NOW, learn(seen, SITUATION.engines), seen, SITUATION)
    assert choice._frail([lane.late(model, seen, SITUATION, PAUSE) for model in models], SITUATION)
    assert not choice._frail(several.late(models, seen, SITUATION, PAUSE), SITUATION)


def test_one_model_is_late_after_a_pause_as_it_is_alone() -> None:
    seen = (shown((heavy(), light()), RATES),)
    models = lanes(NOW, learn(seen, SITUATION.engines), seen, SITUATION)[:1]
    assert several.late(models, seen, SITUATION, 0.3) == [lane.late(models[0], seen, SITUATION, 0.3)]
    assert several.late(models, seen, SITUATION, 0.3) > [0.0]


def test_of_what_nothing_is_known_a_pause_makes_nothing_late() -> None:
    seen = (shown((heavy(), light()), RATES),)
    models = lanes(NOW, learn((), SITUATION.engines), seen, SITUATION)
    assert several.late(models, seen, SITUATION, 0.3) == [0.0, 0.0]
