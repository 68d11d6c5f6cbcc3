"""Windows become visits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.observation import bound
from edgedetector.tuning import visits
from edgedetector.tuning.evidence import Visit
from edgedetector.tuning.window import BatchTime, Knobs, ModelWindow, Window

KNOBS = Knobs(2, 8)


def window(seconds: float = 10.0, cost: float = 0.01, latency: float | None = 0.03, **changes: object) -> Window:
    model = ModelWindow(
        KNOBS, 50.0, 50.0, 50.0, batches={1: BatchTime(300, cost, 0.1), 4: BatchTime(50, 2 * cost, 0.1)},
        busy=0.4, queue=0.002, request=0.02, latency=latency, samples=500,
    )  # fmt: skip
    return replace(Window("pod-0", 0.0, seconds, {"people": model}), **changes)  # type: ignore[arg-type]


def seen(*costs: float) -> Visit:
    visit = None
    for at, cost in enumerate(costs):
        visit = visits.merged(visit, window(cost=cost), float(at))
    assert visit is not None
    return visit


def test_equal_windows_give_a_visit_that_shows_the_same_with_more_weight() -> None:
    visit = seen(0.01, 0.01, 0.01)
    model = visit.models["people"]
    assert (visit.seconds, visit.windows, model.rate, model.busy) == (30.0, 3, 50.0, 0.4)
    assert model.batches[1] == BatchTime(900, 0.01, 0.1)
    assert model.latency is not None
    assert model.latency.mean == pytest.approx(0.03)
    assert model.latency.high - model.latency.low < seen(0.01).models["people"].latency.high  # type: ignore[union-attr]


def test_windows_that_differ_widen_the_spread_and_equal_ones_narrow_it() -> None:
    assert seen(*[0.01] * 12).spread < visits.PRIOR_SPREAD / 2
    assert seen(*[0.01, 0.013] * 6).spread > 2 * visits.PRIOR_SPREAD


def test_a_visit_follows_a_server_that_became_slower_within_some_minutes() -> None:
    visit = seen(*[0.01] * 60, *[0.02] * 36)
    assert visit.seconds <= visits.MEMORY + 10
    assert visit.models["people"].batches[1].seconds == pytest.approx(0.02, rel=0.06)
    assert visits.cost_ratio(visit, seen(0.01)) == pytest.approx(2.0, rel=0.06)


def test_a_visits_percentile_is_that_of_all_results_and_not_the_mean_of_windows_percentiles() -> None:
    quiet, late = {24: 1000}, {24: 950, 56: 50}
    visit = None
    for ages in (quiet, quiet, quiet, late):
        told = window()
        model = replace(told.models["people"], ages=ages)
        visit = visits.merged(visit, replace(told, models={"people": model}), 0.0, 99)
    assert visit is not None
    found = visit.models["people"].latency
    assert found is not None
    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(bound(56), rel=0.1), "1.25 % of all are late"
    assert visits.mean_age(visit.models["people"].ages) == pytest.approx(bound(24), rel=0.3)


def test_too_few_results_are_no_percentile() -> None:
    told = window()
    few = replace(told.models["people"], ages={24: 100})
    visit = visits.merged(None, replace(told, models={"people": few}), 0.0, 99)
    assert visit.models["people"].latency is None


def test_a_visit_begun_anew_knows_the_costs_and_nothing_of_load_or_time() -> None:
    anew = visits.begun_anew(seen(0.01, 0.01))
    assert anew.seconds == 0
    assert anew.models["people"].latency is None
    assert anew.models["people"].batches[4].seconds == pytest.approx(0.02)
    again = visits.merged(anew, window(latency=0.08), 5.0).models["people"].latency
    assert again is not None
    assert again.mean == pytest.approx(0.08)


@given(
    st.sampled_from(["demand", "rate", "busy", "queue", "request"]),
    st.sampled_from([math.nan, math.inf, -math.inf, -1.0]),
)
def test_a_window_with_a_figure_that_cannot_be_is_not_believed(field: str, figure: float) -> None:
    model = replace(window().models["people"], **{field: figure})
    assert visits.believable(replace(window(), models={"people": model})) is None


@pytest.mark.parametrize(
    "batches",
    [{1: BatchTime(0, 0.1)}, {1: BatchTime(3, math.nan)}, {1: BatchTime(3, -0.1)}, {1: BatchTime(3, 0.0)}],
)
def test_executions_that_cannot_be_are_not_believed(batches: dict[int, BatchTime]) -> None:
    model = replace(window().models["people"], batches=batches)
    assert visits.believable(replace(window(), models={"people": model})) is None


def test_garbage_of_the_exporter_leaves_the_rest_of_a_window_usable() -> None:
    garbage = window(utilization=37.0, memory_used=math.nan, memory_total=-5.0, host=math.inf)
    assert visits.believable(garbage) == window()
    assert visits.believable(window(utilization=1.02)) == window(utilization=1.0)


@given(st.lists(st.tuples(st.floats(1e-5, 5), st.floats(0.5, 20), st.floats(0, 20)), min_size=1, max_size=40))
def test_a_visit_of_any_believable_windows_has_figures_between_theirs(
    told: list[tuple[float, float, float]],
) -> None:
    visit = None
    for cost, seconds, latency in told:
        visit = visits.merged(visit, window(seconds=seconds, cost=cost, latency=latency), 0.0)
    assert visit is not None
    model = visit.models["people"]
    lowest, highest = min(cost for cost, *_ in told), max(cost for cost, *_ in told)
    assert lowest * 0.999 <= model.batches[1].seconds <= highest * 1.001
    assert model.latency is not None
    assert model.latency.low <= model.latency.mean <= model.latency.high
    assert math.isfinite(visit.spread)
