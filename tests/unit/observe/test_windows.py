"""From two observations to a window."""

from __future__ import annotations

import math
import types
import typing
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.observation import BUCKETS_AN_OCTAVE, BatchCounters, ModelCounters, Observation, bound, bucket_of
from edgedetector.observe.windows import window
from edgedetector.tuning.window import Knobs, ModelWindow, Window

ONE, TWO = Knobs(instances=2), Knobs(instances=4, max_batch_size=8)
KNOBS = {"one": {"people": ONE}, "two": {"people": TWO}}
MODEL = ModelCounters(
    "people",
    "one",
    images=1000,
    executions=500,
    failures=3,
    queue=4_000_000_000,
    request=9_000_000_000,
    requests=400,
    batches=(BatchCounters(1, 200, 100_000_000, 500_000_000, 100_000_000), BatchCounters(4, 300, 7, 7, 7)),
    ages={"30": 100, "40": 50},
    exchanges={"20": 400},
    exchange=10_000_000_000,
    demand=100.0,
    offered=1200,
    skipped=150,
)
GAUGES = {"utilization": 0.9, "memoryUsed": 3e9, "memoryTotal": 8e9, "temperature": 60.0, "pcieWidth": 4.0}
BEFORE = Observation(
    at=50.0,
    epoch="a",
    models=(MODEL,),
    gauges={**GAUGES, "sharedMemoryFree": 5e8},
    host_busy=100.0,
    host_total=400.0,
    stages={"boxes": 5.0},
    moves=2,
    degraded=1,
    transport="SharedMemory",
    looks=10,
    utilizations=5.0,
)
LATER = replace(
    MODEL,
    images=2000,
    executions=900,
    failures=5,
    queue=5_000_000_000,
    request=12_000_000_000,
    requests=600,
    batches=(
        BatchCounters(1, 300, 200_000_000, 1_000_000_000, 300_000_000),
        BatchCounters(2, 350, 1_000_000_000, 4_000_000_000, 2_000_000_000),
        BatchCounters(4, 300, 7, 7, 7),
    ),
    ages={"30": 400, "40": 50, "50": 100},
    exchanges={"20": 500, "21": 100},
    exchange=13_000_000_000,
    demand=105.0,
    offered=2300,
    skipped=205,
)
AFTER = replace(
    BEFORE,
    at=60.0,
    models=(LATER,),
    gauges={**GAUGES, "memoryUsed": 2e9, "temperature": 61.0, "sharedMemoryFree": 6e8},
    host_busy=105.0,
    host_total=420.0,
    stages={"boxes": 7.0, "read": 1.0},
    looks=14,
    utilizations=6.2,
)


def seen(
    before: Observation = BEFORE,
    after: Observation = AFTER,
    *,
    knobs: Mapping[str, Any] = KNOBS,
    percentile: int = 99,
    now: float = 1010.0,
) -> Window:
    return window(before, after, pod="yard-1", knobs=knobs, percentile=percentile, now=now, start=1000.0)


def test_a_window_has_the_differences() -> None:
    found = seen()
    assert (found.pod, found.start, found.seconds, found.disturbed) == ("yard-1", 1000.0, 10.0, "")
    assert found.utilization == pytest.approx(0.3), "the mean of what the exporter told, not the last"
    assert (found.memory_used, found.memory_total) == (3e9, 8e9)
    assert (found.temperature, found.pcie_width, found.shared_memory_free) == (61.0, 4.0, 5e8)
    assert found.host == 0.25
    assert found.processors == 2, "20 s passed on them in 10 s"
    assert found.stages == {"boxes": 0.2}
    assert found.transport == "SharedMemory"
    model = found.models["people"]
    assert model.knobs == ONE
    assert (model.demand, model.offered, model.rate, model.failed) == (105.0, 110.0, 100.0, 2)
    assert model.skipped == 0.05
    assert model.queue == pytest.approx(0.005), "a mean over 200 requests"
    assert model.request == pytest.approx(0.015)
    assert model.exchange == pytest.approx(0.015)
    assert model.batches.keys() == {1, 2}, "no batch of four was executed"
    assert model.batches[1].executions == 100
    assert model.batches[1].seconds == pytest.approx(0.008)
    assert model.batches[1].share_of_copies == pytest.approx(0.375)
    assert model.busy == pytest.approx((0.8 + 7.0) / (2 * 10.0))
    assert (model.samples, model.stretch) == (400, 10.0)
    assert model.ages == {30: 300, 50: 100}
    assert model.median == pytest.approx(bound(30), rel=0.1)
    assert model.latency == pytest.approx(bound(50), rel=0.1)


def test_what_a_pod_calls_its_things_makes_no_long_story() -> None:
    for name in ("x" * 100_000, "a\nb"):
        broken = seen(after=replace(AFTER, stages={**AFTER.stages, name: -1.0}))
        away = seen(after=replace(AFTER, models=(*AFTER.models, replace(MODEL, name=name))))
        for found in (broken, away):
            assert found.disturbed
            assert len(found.disturbed) <= 400
            assert "\n" not in found.disturbed


STEP = 2 ** (1 / BUCKETS_AN_OCTAVE)


@given(
    st.lists(st.floats(0.0005, 16), max_size=50),
    st.lists(st.floats(0.0005, 16), min_size=1, max_size=40),
    st.sampled_from([50, 90, 95, 99]),
)
def test_percentiles_are_those_of_the_results_in_between(old: list[float], some: list[float], percent: int) -> None:
    new = some * 300
    ages = Counter(str(bucket_of(one)) for one in old)
    grown = ages + Counter(str(bucket_of(one)) for one in new)
    models = (replace(MODEL, ages=dict(ages)),), (replace(LATER, ages=dict(grown)),)
    found = seen(replace(BEFORE, models=models[0]), replace(AFTER, models=models[1]), percentile=percent)
    exact = sorted(new)[math.ceil(percent * len(new) / 100) - 1]
    latency = found.models["people"].latency
    assert latency is not None
    assert max(latency / exact, exact / latency) <= STEP * (1 + 1e-9)


def test_few_results_have_a_median_and_no_99th_percentile() -> None:
    found = seen(after=replace(AFTER, models=(replace(LATER, ages={"30": 200, "40": 50}),))).models["people"]
    assert (found.latency, found.samples, found.stretch) == (None, 100, 10.0)
    assert found.median == pytest.approx(bound(30), rel=0.1)


def earlier(*seconds_and_results: tuple[float, int], demand: float = 100.0) -> tuple[Observation, ...]:
    """Observations so many seconds before the window, when so many results fewer were there; all in bucket 60."""
    return tuple(
        replace(BEFORE, at=BEFORE.at - seconds, models=(replace(MODEL, ages={"60": 900 - count}, demand=demand),))
        for seconds, count in seconds_and_results
    )


START = replace(BEFORE, models=(replace(MODEL, ages={"60": 900}),))


def short(found: int, before: tuple[Observation, ...], **changes: Any) -> ModelWindow:
    """A window with so many results, all in bucket 30, and what was before."""
    end = replace(AFTER, models=(replace(LATER, ages={"30": found, "60": 900}),), **changes)
    return window(START, end, pod="p", knobs=KNOBS, percentile=99, now=10.0, start=0.0, earlier=before).models["people"]


def test_a_window_with_few_results_has_the_percentile_of_the_shortest_stretch_with_enough() -> None:
    found = short(100, earlier((10.0, 150), (20.0, 250), (30.0, 350)))
    assert (found.samples, found.stretch) == (350, 30.0)
    assert found.latency == pytest.approx(bound(60), rel=0.1)
    assert found.median == pytest.approx(bound(30), rel=0.1), "the window has enough for that"
    assert found.ages == {30: 100}


def test_a_window_with_enough_results_has_its_own_percentile() -> None:
    found = short(299, earlier((10.0, 150)))
    assert (found.samples, found.stretch) == (299, 10.0)
    assert found.latency == pytest.approx(bound(30), rel=0.1)


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        ((), {}),
        (earlier((10.0, 150), (20.0, 198)), {}),
        (earlier((10.0, 500), demand=50.0), {}),
        (earlier((10.0, 500)), {"moves": 3}),
    ],
)
def test_without_enough_results_under_one_load_and_configuration_there_is_none(
    before: tuple[Observation, ...], changes: dict[str, Any]
) -> None:
    assert short(100, before, **changes).latency is None


def test_what_is_not_told_is_not_known() -> None:
    dark = {"gauges": {}, "host_busy": None, "host_total": None, "stages": {}, "looks": 0, "utilizations": 0.0}
    found = seen(replace(BEFORE, **dark), replace(AFTER, **dark))
    assert found.disturbed == ""
    assert (found.utilization, found.memory_used, found.memory_total, found.temperature) == (None,) * 4
    assert (found.pcie_width, found.host, found.processors, found.shared_memory_free) == (None,) * 4


def test_a_gauge_that_is_no_number_is_not_known() -> None:
    odd = dict.fromkeys(GAUGES, math.nan) | {"temperature": math.inf}
    found = seen(replace(BEFORE, gauges=odd, looks=14, utilizations=6.2), replace(AFTER, gauges=odd))
    assert (found.utilization, found.memory_used, found.memory_total, found.temperature) == (None,) * 4


def test_models_that_nobody_tunes_are_steps() -> None:
    post = replace(MODEL, name="people+postprocessing")
    both = (*BEFORE.models, post), (*AFTER.models, replace(LATER, name=post.name))
    found = seen(replace(BEFORE, models=both[0]), replace(AFTER, models=both[1]))
    assert (found.disturbed, found.models.keys()) == ("", {"people"})
    step = found.steps["people+postprocessing"]
    assert found.steps.keys() == {"people+postprocessing"}
    assert step.executing == pytest.approx((0.8 + 7.0) / 10.0), "whatever number of instances it has"
    assert step.request == pytest.approx(0.015)
    assert step.batches == found.models["people"].batches, "by images, as of any model"


def models(*, before: dict[str, Any] | None = None, **after: Any) -> dict[str, Observation]:
    return {
        "before": replace(BEFORE, models=(replace(MODEL, **(before or {})),)),
        "after": replace(AFTER, models=(replace(LATER, **after),)),
    }


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"after": replace(AFTER, at=50.0)}, "time went backwards"),
        ({"after": replace(AFTER, at=40.0)}, "time went backwards"),
        ({"now": 999.0}, "time went backwards"),
        ({"now": math.nan}, "time went backwards"),
        (models(images=999), "a counter went backwards: people: images"),
        (models(offered=-1), "figures that can be: people: offered"),
        (models(demand=math.nan), "figures that can be: people: demand"),
        (models(before={"demand": math.nan}), "figures that can be: people: demand"),
        (models(before={"images": -5}), "figures that can be: people: images"),
        (models(ages={"121": 5}), "figures that can be: people: buckets"),
        (models(batches=LATER.batches * 2), "figures that can be: people: batches"),
        (models(queue=10**400), "figures that can be: people: queue"),
        ({"after": replace(AFTER, models=AFTER.models * 2)}, "a model twice"),
        ({"after": replace(AFTER, at=math.inf)}, "figures that can be: at"),
        ({"after": replace(AFTER, measurements=-1)}, "figures that can be: measurements"),
        ({"before": replace(BEFORE, measurements=2)}, "a counter went backwards: measurements"),
        ({"after": replace(AFTER, host_busy=math.nan)}, "figures that can be: hostBusy"),
    ],
)
def test_where_counters_mean_nothing_there_are_no_models(given_: dict[str, Any], words: str) -> None:
    found = seen(**given_)
    assert words in found.disturbed
    assert found.models == {}


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"after": replace(AFTER, models=())}, "Triton did not answer"),
        ({"before": replace(BEFORE, models=())}, "Triton did not answer"),
        ({"before": replace(BEFORE, models=()), "after": replace(AFTER, models=())}, "Triton did not answer"),
        ({"after": replace(AFTER, models=(*AFTER.models, replace(MODEL, name="cars")))}, "model cars was not served"),
        (models(serving_id=""), "a model was being loaded"),
        (models(before={"serving_id": ""}), "a model was being loaded"),
        (models(serving_id="two"), "the serving configuration changed"),
        ({"knobs": {}}, "a configuration that is not known"),
        ({"knobs": {"one": {"people": ONE, "cars": TWO}}}, "model cars is not served"),
        ({"after": replace(AFTER, moves=3)}, "the degradation ladder moved"),
        ({"after": replace(AFTER, degraded=0)}, "the degradation ladder moved"),
        ({"after": replace(AFTER, transport="Grpc")}, "tensors began to travel another way"),
        ({"after": replace(AFTER, measurements=1)}, "a trace or a bench ran"),
        ({"after": replace(AFTER, measurements=2)}, "a trace or a bench ran"),
        ({"before": replace(BEFORE, measurements=1), "after": replace(AFTER, measurements=1)}, "a trace or a bench"),
        ({"before": replace(BEFORE, measurements=1), "after": replace(AFTER, measurements=2)}, "a trace or a bench"),
        (models(demand=111.2), "the demand for people moved from 100.0 to 111.2 images/s"),
        (models(demand=0.0), "the demand for people moved from 100.0 to 0.0 images/s"),
        ({"after": replace(AFTER, at=50.9)}, "0.9 s are too short"),
    ],
)
def test_a_window_in_which_something_else_changed_says_so(given_: dict[str, Any], words: str) -> None:
    assert words in seen(**given_).disturbed


def test_a_measurement_that_is_over_disturbs_nothing() -> None:
    assert seen(replace(BEFORE, measurements=2), replace(AFTER, measurements=2)).disturbed == ""


@pytest.mark.parametrize("demand", [90.1, 99.9, 111.0])
def test_a_demand_that_moves_a_little_disturbs_nothing(demand: float) -> None:
    assert seen(**models(demand=demand)).disturbed == ""


@pytest.mark.parametrize(("failures", "failed"), [(3, 0), (5, 2), (2, 2), (0, 0)])
@pytest.mark.parametrize("serving_id", ["one", "two", "", "unknown"])
def test_of_another_epoch_nothing_is_told_but_what_failed(failures: int, failed: int, serving_id: str) -> None:
    """Fewer failures than before are those since the detector restarted."""
    found = seen(
        **{
            name: replace(one, epoch=name)
            for name, one in models(failures=failures, serving_id=serving_id, images=1, ages={}).items()
        }
    )
    assert "restarted" in found.disturbed
    assert (found.models["people"].failed, found.models["people"].rate, found.host) == (failed, 0.0, None)


def test_what_failed_while_a_model_was_loaded_is_told() -> None:
    found = seen(**models(before={"serving_id": ""}, serving_id=""))
    assert "loaded" in found.disturbed
    assert found.models["people"].failed == 2


def test_failures_are_told_though_the_ladder_moved() -> None:
    found = seen(after=replace(AFTER, moves=3))
    assert found.models["people"].failed == 2


@pytest.mark.parametrize("before", ["one", "two"])
@pytest.mark.parametrize("after", ["one", "two"])
def test_models_that_serve_different_configurations_tell_of_none(before: str, after: str) -> None:
    """As while a change goes from model to model."""
    other = replace(MODEL, name="cars")
    knobs = {name: {"people": ONE, "cars": TWO} for name in ("one", "two")}
    found = seen(
        replace(BEFORE, models=(replace(MODEL, serving_id=before), other)),
        replace(AFTER, models=(replace(LATER, serving_id=after), other)),
        knobs=knobs,
    )
    assert bool(found.disturbed) == ((before, after) != ("one", "one"))


def garbage(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that has the right types."""
    origin = typing.get_origin(kind)
    if origin is tuple:
        return st.lists(garbage(typing.get_args(kind)[0]), max_size=3).map(tuple)
    if origin is dict:
        keys = st.one_of(st.text(max_size=3), st.integers(-2, 130).map(str), st.sampled_from(list(GAUGES)))
        return st.dictionaries(keys, garbage(typing.get_args(kind)[1]), max_size=3)
    if isinstance(kind, types.UnionType):
        return st.one_of(st.none(), garbage(typing.get_args(kind)[0]))
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{field.name: garbage(hints[field.name]) for field in fields(kind)})
    scalars = {
        str: st.sampled_from(["", "a", "one", "two", "people"]),
        int: st.one_of(st.integers(-3, 3), st.integers()),
        float: st.one_of(st.floats(-3, 3), st.floats()),
    }
    return scalars[kind]


ANY = garbage(Observation)


def sound(found: Window) -> None:
    """Every figure of it is one, and none of a model is negative."""
    assert found.seconds >= 0
    for item in fields(Window):
        value = getattr(found, item.name)
        assert not isinstance(value, float) or math.isfinite(value), item.name
    for model in found.models.values():
        for item in fields(ModelWindow):
            value = getattr(model, item.name)
            assert not isinstance(value, int | float) or (math.isfinite(value) and value >= 0), item.name


@given(ANY, ANY, st.integers(1, 99), st.floats())
def test_whatever_a_pod_answers_gives_a_sound_window(
    before: Observation, after: Observation, percent: int, now: float
) -> None:
    sound(seen(before, after, percentile=percent, now=now))


@given(st.data(), st.sampled_from([field.name for field in fields(Observation)]))
def test_one_garbled_field_gives_a_sound_window(data: st.DataObject, name: str) -> None:
    kind = typing.get_type_hints(Observation)[name]
    sound(seen(after=replace(AFTER, **{name: data.draw(garbage(kind))})))
    sound(seen(before=replace(BEFORE, **{name: data.draw(garbage(kind))})))


@given(st.data(), st.sampled_from([field.name for field in fields(ModelCounters)]))
def test_one_garbled_figure_of_a_model_gives_a_sound_window(data: st.DataObject, name: str) -> None:
    kind = typing.get_type_hints(ModelCounters)[name]
    sound(seen(**models(**{name: data.draw(garbage(kind))})))
    sound(seen(**models(before={name: data.draw(garbage(kind))})))


@given(st.sampled_from([field.name for field in fields(ModelCounters) if field.type == "int"]), st.integers(1, 10**12))
def test_a_counter_that_began_anew_disturbs(name: str, less: int) -> None:
    assert seen(**models(**{name: getattr(MODEL, name) - less})).disturbed
