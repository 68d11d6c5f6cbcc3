"""No record can break a plan, and what counts of one is what was made from this very start."""

from __future__ import annotations

import copy
import dataclasses
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan import scenarios
from tests.unit.status import views

from edgedetector import plan
from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.wire import to_json
from edgedetector.controller import terms
from edgedetector.plan.serving import serving_map
from edgedetector.status import tuning
from edgedetector.tuning.ledger import Attempt, Capacity, Ledger, Line
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Goal, Mode
from edgedetector.tuning.window import Knobs

CPU, KS20 = scenarios.PROFILES["cpu"], scenarios.PROFILES["denglin-ks20"]
BOUNDS = {"instances": {"min": 1, "max": 4}, "maxQueueDelay": "5ms"}
NOW = 1000.0


def detector(**spec: Any) -> EdgeDetector:
    """A detector with one model that takes batches of up to eight, unless more is said."""
    found = scenarios.minimal(**spec)
    for model in found["models"]:
        model.setdefault("maxBatchSize", 8)
    return scenarios.detector("yard", found)


def record(owner: EdgeDetector, ledger: Ledger) -> dict[str, Any]:
    return plan.tuning_map(owner, to_json(ledger), to_json(State()))


def ledger(owner: EdgeDetector, **accepted: Knobs) -> Ledger:
    return Ledger(terms.start_of(owner, CPU), 0.0, accepted)


def served(owner: EdgeDetector, found: Ledger, now: float = NOW) -> terms.Terms:
    return terms.served(owner, CPU, (), record(owner, found), now)


UNTUNED = plan.serving_config(detector(), CPU)
NUMBERS = st.integers(-3, 200)
KNOBS = st.builds(Knobs, NUMBERS, NUMBERS, st.lists(NUMBERS, max_size=20).map(tuple), st.integers(-10, 20_000_000))
CONFIGURATIONS = st.dictionaries(st.sampled_from(["people", "nobody"]), KNOBS, max_size=2)


@settings(max_examples=300)
@given(accepted=CONFIGURATIONS, tried=CONFIGURATIONS, former=st.lists(CONFIGURATIONS, max_size=3))
def test_whatever_is_on_record_the_plan_holds_and_stays_within_the_bounds(
    accepted: dict[str, Knobs], tried: dict[str, Knobs], former: list[dict[str, Knobs]]
) -> None:
    owner = detector(tuning={"bounds": BOUNDS})
    found = dataclasses.replace(
        ledger(owner, **accepted), attempt=Attempt("p", "one", tried, 12.0, NOW), former=tuple(former), changed=NOW
    )
    wanted = served(owner, found)
    for config in [wanted.accepted, *([wanted.probe.serving] if wanted.probe else [])]:
        (model,) = config.models
        assert 1 <= model.instances <= 4
        assert 1 <= model.max_batch_size <= 8
        assert all(0 < size <= model.max_batch_size for size in model.preferred_batch_sizes)
        assert 0 <= model.max_queue_delay_microseconds <= 5000
    assert wanted.passing <= wanted.known.keys()
    settings_ = plan.Settings("system", "detector:1")
    assert plan.detector_children(owner, CPU, settings_, plan.Facts(), wanted.accepted, probe=wanted.probe)


GOOD = Knobs(3, 8, (), 1000)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"start": 5}', '{"start": "x", "began": "now"}', "null", '{"accepted": {"people": 4}}']
)
def test_what_cannot_be_read_is_none(text: str) -> None:
    owner = detector()
    obj = record(owner, ledger(owner, people=GOOD))
    obj["data"] = {names.FILE_RECORD: text, names.FILE_STATE: text}
    found = terms.served(owner, CPU, (), obj, NOW)
    assert (found.accepted, found.ledger) == (UNTUNED, None)
    assert terms.remembered(obj) == State()


@settings(max_examples=300)
@given(
    times=st.one_of(st.lists(each, min_size=6, max_size=6) for each in (st.floats(), st.floats(1, 500))),
    rates=st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)) | st.tuples(st.floats(), st.floats()),
    words=st.text(max_size=200),
)
def test_whatever_figures_are_on_record_they_can_be_told(
    times: list[float], rates: tuple[float, float], words: str
) -> None:
    owner, (began, changed, settled, at, renewed, ttl) = detector(), times
    found = dataclasses.replace(
        ledger(owner, people=GOOD), began=began, changed=changed, settled=settled, log=(Line(at, words, words),),
        attempt=Attempt("p", "one", {"people": GOOD}, ttl, renewed), capacity=Capacity(*rates, limit=words, at=at),
    )  # fmt: skip
    text = record(owner, ledger(owner, people=GOOD))
    text["data"][names.FILE_RECORD] = to_json(found)
    read = terms.read(text, owner, CPU)
    if read is None:
        return
    assert datetime.fromtimestamp(read.began, UTC).year < 10_000
    assert read.attempt is not None
    assert 0 < read.attempt.ttl <= 600
    shown = tuning.tuning(dataclasses.replace(views.healthy(), ledger=read))
    assert all(len(line["time"]) == 20 and len(line["decision"]) <= 64 for line in shown["log"])
    assert all(len(value) <= 64 for name, value in tuning.capacity(read).items() if name != "message")


@pytest.mark.parametrize("began", [1e300, -1e13, math.nan, math.inf])
def test_a_time_that_no_calendar_has_makes_the_record_none(began: float) -> None:
    owner = detector()
    assert served(owner, dataclasses.replace(ledger(owner, people=GOOD), began=began)).ledger is None


def test_what_is_accepted_is_served_and_its_knobs_are_known_by_its_id() -> None:
    found = served(detector(), ledger(detector(), people=GOOD))
    (model,) = found.accepted.models
    assert (model.instances, model.max_batch_size, model.max_queue_delay_microseconds) == (3, 8, 1000)
    assert found.known[found.accepted.id] == {"people": GOOD}
    assert found.known[UNTUNED.id] == terms.specified(detector())
    assert terms.is_tuned(detector(), found.ledger)


def test_a_record_of_another_owner_is_none() -> None:
    owner = detector()
    obj = record(dataclasses.replace(owner, uid="another"), ledger(owner, people=GOOD))
    assert terms.served(owner, CPU, (), obj, NOW).accepted == UNTUNED


@pytest.mark.parametrize(
    "change",
    [
        {"serving": {"instances": 2}},
        {"models": [{**scenarios.minimal()["models"][0], "maxBatchSize": 16}]},
        {"models": [{**scenarios.minimal()["models"][0], "maxBatchSize": 8, "source": {"configMap": {"name": "new"}}}]},
        {"models": [{**scenarios.minimal()["models"][0], "maxBatchSize": 8, "name": "other"}]},
    ],
    ids=["start", "compiled batch", "file", "model"],
)
def test_another_start_is_served_as_the_specification_says(change: dict[str, Any]) -> None:
    found, after = ledger(detector(), people=GOOD), detector(**change)
    assert served(after, found).accepted == plan.serving_config(after, CPU)
    assert served(after, found).ledger is None


@pytest.mark.parametrize(
    "change",
    [
        {"tuning": {"headroom": {"cpu": "30%"}}},
        {"cameras": [{"name": "gate", "url": "rtsp://a/1"}]},
        {"tuning": {"bounds": {"instances": {"max": 3}}}},
    ],
    ids=["headroom", "cameras", "bounds"],
)
def test_what_changes_no_engine_leaves_what_was_found(change: dict[str, Any]) -> None:
    found = served(detector(**change), ledger(detector(), people=GOOD))
    assert found.accepted.models[0].instances == 3


def test_out_of_the_bounds_of_now_the_specification_counts() -> None:
    """Rather than something in between, which nobody has seen serve."""
    bounded = detector(tuning={"bounds": {"instances": {"max": 2}}})
    assert served(bounded, ledger(detector(), people=GOOD)).accepted == UNTUNED


def test_the_cameras_of_a_model_are_those_that_it_serves_or_may_stand_in_for() -> None:
    """A batch holds one frame of a camera: of a model that two cameras name none is larger than two."""
    people = scenarios.minimal()["models"][0]
    models = [{**people, "smallerVariant": "small"}, {**people, "name": "small"}, {**people, "name": "plates"}]
    cameras = [{"name": f"c{n}", "url": f"rtsp://a/{n}"} for n in range(5)]
    cameras += [{"name": "gate", "url": "rtsp://a/9", "models": ["plates"]}]
    owner = detector(models=models, cameras=cameras)
    found = terms.situation(owner, CPU, Mode.AUTO, None)
    assert found.cameras == 6
    assert {name: found.cameras_of(name) for name in found.start} == {"people": 5, "small": 5, "plates": 6}
    assert terms.situation(owner, CPU, Mode.AUTO, None, 2).cameras_of("people") == 3
    assert found.cameras_of("not stated") == 6


def trying(owner: EdgeDetector, now: float = NOW) -> terms.Terms:
    attempt = Attempt("p1", "yard-triton-1", {"people": Knobs(4, 8)}, ttl=12.0, renewed=NOW, renewal=2)
    return served(owner, dataclasses.replace(ledger(detector(), people=GOOD), attempt=attempt), now)


def test_a_trial_is_rendered_for_its_pod_for_as_long_as_it_may_run() -> None:
    probe = trying(detector()).probe
    assert probe is not None
    assert (probe.id, probe.pod, probe.ttl_seconds, probe.renewal) == ("p1", "yard-triton-1", 12.0, 2)
    assert probe.serving.models[0].instances == 4
    assert trying(detector(), NOW + 12.0 + terms.SLACK - 0.1).probe is not None
    assert trying(detector(), NOW + 12.0 + terms.SLACK).probe is None


@pytest.mark.parametrize("change", [{"suspend": True}, {"tuning": {"mode": "Off"}}, {"tuning": {"mode": "Recommend"}}])
def test_nothing_is_tried_of_what_may_not_be_touched(change: dict[str, Any]) -> None:
    assert trying(detector(**change)).probe is None


def test_frozen_nothing_is_tried_and_what_was_found_stays() -> None:
    found = trying(dataclasses.replace(detector(), frozen=True))
    assert (found.probe, found.accepted.models[0].instances) == (None, 3)


@pytest.mark.parametrize(
    "owner",
    [
        dataclasses.replace(detector(), frozen=True),
        detector(tuning={"mode": "Recommend"}),
        detector(tuning={"mode": "Off"}),
        detector(),
    ],
    ids=["frozen", "recommend", "off", "outlived"],
)
def test_a_pod_may_be_on_its_way_from_a_trial_whatever_ended_it_until_that_is_noted(owner: EdgeDetector) -> None:
    tried = plan.serving_config(owner, CPU, knobs=terms._planned({"people": Knobs(4, 8)}, owner)).id
    over = NOW + 12.0 + terms.SLACK
    found = trying(owner, over)
    assert found.probe is None
    left = plan.serving_config(owner, CPU, knobs=terms._planned({"people": GOOD}, owner)).id
    assert {tried, left, found.accepted.id} <= found.passing
    assert found.known[tried] == {"people": Knobs(4, 8)}
    assert trying(owner, over + terms.CHANGING.total_seconds()).passing == frozenset()


def test_a_pod_may_be_on_its_way_for_a_while_and_no_longer() -> None:
    found = dataclasses.replace(ledger(detector(), people=GOOD), changed=NOW, former=({"people": Knobs(2, 8)},))
    (before,) = plan.serving_config(detector(), CPU, knobs=terms._planned({"people": Knobs(2, 8)}, detector())).models
    now = served(detector(), found)
    assert len(now.passing) == 3
    assert before.instances == 2
    assert served(detector(), found, NOW + terms.CHANGING.total_seconds()).passing == frozenset()


def test_the_batch_of_an_ensemble_stays_as_it_is() -> None:
    model = copy.deepcopy(scenarios.minimal()["models"][0])
    model |= {"maxBatchSize": 8, "decoder": {"type": "yolov8", "labels": ["a"]}, "postProcessing": {"builtin": "NMS"}}
    owner = detector(models=[model])
    assert terms.situation(owner, CPU, Mode.AUTO, None).engines["people"].fixed_batch
    assert served(owner, ledger(owner, people=Knobs(2, 4))).accepted == plan.serving_config(owner, CPU)
    tuned = served(owner, ledger(owner, people=Knobs(2, 8, post_processing=1))).accepted.models
    assert [(one.name, one.instances, one.max_batch_size) for one in tuned] == [
        ("people", 2, 8),
        ("people+postprocessing", 1, 8),
        ("people+pipeline", 0, 8),
    ]


def boxed(post: dict[str, Any] | None = None, **spec: Any) -> EdgeDetector:
    """A detector whose model has post-processing inside Triton, two instances unless more is said."""
    model = copy.deepcopy(scenarios.minimal()["models"][0])
    model |= {"maxBatchSize": 8, "decoder": {"type": "yolov8", "labels": ["a"]}}
    return detector(models=[{**model, "postProcessing": {"builtin": "NMS", "instances": 2, **(post or {})}}], **spec)


def test_instances_of_post_processing_are_served_as_tuned_and_the_model_stays_as_it_is() -> None:
    owner = boxed()
    usual, more = (
        {
            one.name: one
            for one in served(owner, ledger(owner, people=Knobs(1, 8, post_processing=count))).accepted.models
        }
        for count in (2, 4)
    )
    assert usual == {one.name: one for one in plan.serving_config(owner, CPU).models}
    assert (more["people+postprocessing"].instances, usual["people+postprocessing"].instances) == (4, 2)
    assert "count: 4" in more["people+postprocessing"].config
    assert {name for name, one in more.items() if one != usual[name]} == {"people+postprocessing"}


@settings(max_examples=100)
@given(count=st.integers(-3, 200), instances=st.integers(1, 4), bound=st.sampled_from([None, (1, 3), (2, 8)]))
def test_post_processing_is_served_within_its_bounds_or_as_specified(
    count: int, instances: int, bound: tuple[int, int] | None
) -> None:
    own = {} if bound is None else {"postProcessingInstances": {"min": bound[0], "max": bound[1]}}
    owner = boxed(tuning={"bounds": {**BOUNDS, **own}})
    least, most = bound or (1, 4)
    accepted = served(owner, ledger(owner, people=Knobs(instances, 8, post_processing=count))).accepted
    (post,) = (one for one in accepted.models if one.name == "people+postprocessing")
    assert post.instances == (count if least <= count <= most else 2)


def test_the_bounds_of_post_processing_are_their_own_or_those_of_instances() -> None:
    found = terms.situation(boxed(tuning={"bounds": {"instances": {"max": 6}}}), CPU, Mode.AUTO, None)
    assert (found.limits.min_post_processing, found.limits.max_post_processing) == (1, 6)
    assert found.start == {"people": Knobs(1, 8, post_processing=2)}
    assert found.engines["people"].post_region > 0
    own = boxed(tuning={"bounds": {"postProcessingInstances": {"min": 2, "max": 3}}})
    limits = terms.situation(own, CPU, Mode.AUTO, None).limits
    assert (limits.min_post_processing, limits.max_post_processing, limits.max_instances) == (2, 3, 4)
    without = terms.situation(detector(), CPU, Mode.AUTO, None)
    assert (without.limits.max_post_processing, without.engines["people"].post_region) == (0, 0.0)


def test_post_processing_on_the_accelerator_is_served_as_specified() -> None:
    tensor = {"name": "found", "dims": [64, 6], "dataType": "FP32"}
    model = copy.deepcopy(scenarios.minimal()["models"][0])
    post = {"source": {"configMap": {"name": "b"}}, "outputs": [tensor], "backend": "onnxruntime", "instances": 3}
    model |= {"maxBatchSize": 8, "decoder": {"type": "none", "labels": ["a"]}, "postProcessing": post}
    owner = detector(models=[model])
    assert terms.specified(owner) == {"people": Knobs(1, 8)}
    assert terms.situation(owner, CPU, Mode.AUTO, None).limits.max_post_processing == 0
    for count in (0, 2):
        accepted = served(owner, ledger(owner, people=Knobs(2, 8, post_processing=count))).accepted.models
        assert {one.name: one.instances for one in accepted}["people+postprocessing"] == 3


def test_another_number_of_instances_to_begin_with_begins_anew() -> None:
    assert terms.start_of(boxed(), CPU) != terms.start_of(boxed({"instances": 3}), CPU)
    assert terms.start_of(detector(), CPU) == terms.start_of(detector(), CPU, former=True)


def test_a_record_of_before_post_processing_was_tuned_keeps_what_it_had_found_of_the_model() -> None:
    owner = boxed()
    found = Ledger(
        terms.start_of(owner, CPU, former=True), 0.0, {"people": Knobs(3, 8)},
        attempt=Attempt("p", "one", {"people": Knobs(4, 8)}, 12.0, NOW), former=({"people": Knobs(1, 8)},),
    )  # fmt: skip
    read = terms.read(record(owner, found), owner, CPU)
    assert read is not None
    assert (read.start, read.accepted) == (terms.start_of(owner, CPU), {"people": Knobs(3, 8, post_processing=2)})
    assert read.attempt is None
    now = {one.name: one.instances for one in served(owner, found).accepted.models}
    assert now == {"people": 3, "people+postprocessing": 2, "people+pipeline": 0}


def test_a_smaller_batch_is_rendered_and_told() -> None:
    (model,) = served(detector(), ledger(detector(), people=Knobs(2, 4, (2, 4)))).accepted.models
    assert model.max_batch_size == 4
    assert "max_batch_size: 4" in model.config
    assert "preferred_batch_size: [ 2, 4 ]" in model.config


def test_the_situation_is_what_user_and_profile_say() -> None:
    owner = scenarios.load(scenarios.REPOSITORY / "manifests/samples/denglin-ks20.yaml")
    found = terms.situation(owner, KS20, Mode.AUTO, None)
    assert (found.goal, found.mode, found.accepted) == (Goal.THROUGHPUT, Mode.AUTO, None)
    assert found.start == {"people": Knobs(2, 32, (2, 4, 8), 1000)}
    limits = found.limits
    assert (limits.latency, limits.percentile, limits.memory) == (0.05, 99, 8 * 2**30)
    assert (limits.accelerator, limits.host) == (pytest.approx(0.8), pytest.approx(0.85))
    assert (limits.min_instances, limits.max_instances, limits.max_queue_delay_microseconds) == (1, 4, 5000)
    assert found.engines["people"].largest_batch == 32
    # FP16 in and out: 3 x 640 x 640 and 84 x 8400, each to whole 64 bytes.
    assert found.engines["people"].region == 2 * 3 * 640 * 640 + 2 * 84 * 8400
    assert (found.in_place, found.coexisting) == (False, False), "nobody has verified it"


def test_memory_is_what_the_detector_says_or_else_the_profile() -> None:
    stated = dataclasses.replace(KS20, spec=dataclasses.replace(KS20.spec, memory="8Gi"))  # type: ignore[arg-type]
    owner = detector(tuning={"bounds": {"acceleratorMemory": "4Gi"}})
    assert terms.memory(detector(), KS20) is None
    assert terms.memory(detector(), stated) == 8 * 2**30
    assert terms.memory(owner, stated) == terms.memory(owner, KS20) == 4 * 2**30
    assert terms.memory(detector(), CPU) == terms.NO_DEVICE


AUTO, OFF = detector(), detector(tuning={"mode": "Off"})


@pytest.mark.parametrize(
    ("owner", "told", "at", "on_its_way"),
    [
        (OFF, GOOD, NOW - 3600, True),
        (OFF, None, NOW - 10, True),
        (OFF, None, NOW + 10, True),
        (OFF, None, NOW - 31, False),
        (OFF, None, NOW + 3600, False),
        (AUTO, None, NOW - 3600, True),
        (AUTO, GOOD, NOW - 10, True),
        (AUTO, GOOD, NOW - 31, False),
        (AUTO, GOOD, 0.0, False),
    ],
)
def test_pods_may_be_on_their_way_once_they_are_told_to_serve_something_else(
    owner: EdgeDetector, told: Knobs | None, at: float, *, on_its_way: bool
) -> None:
    """Whatever was decided: switching tuning off or on decides nothing."""
    found = ledger(owner, people=GOOD)
    tuned = plan.serving_config(owner, CPU, knobs=terms._planned({"people": GOOD}, owner)).id
    published = terms.Published(tuned if told is not None else UNTUNED.id, at)
    wanted = terms.served(owner, CPU, (), record(owner, found), NOW, published=published)
    assert (wanted.passing == {tuned, UNTUNED.id}) is on_its_way
    assert (wanted.until > NOW) is on_its_way


def test_what_pods_are_told_is_read_from_the_live_object_whoever_else_has_touched_it() -> None:
    live = serving_map(detector(), UNTUNED, None)
    assert terms.published([live], "yard", "us") == terms.Published(UNTUNED.id, 0.0)
    live["metadata"]["managedFields"] = [
        {"manager": "us", "time": "2026-11-23T10:00:00Z"},
        {"manager": "kubectl", "time": "2026-11-23T11:00:00Z"},
    ]
    found = terms.published([live], "yard", "us")
    assert found is not None
    assert datetime.fromtimestamp(found.at, UTC) == datetime(2026, 11, 23, 10, tzinfo=UTC)
    live["data"] = {names.FILE_ACCEPTED: "{"}
    assert terms.published([live], "yard", "us") is None
    assert terms.published([], "yard", "us") is None
