"""The status as it stands in the resource: bounded, steady at rest, and as the schema has it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.status.views import camera, healthy, media, resource, said, seen, state, workload

from edgedetector import plan
from edgedetector.api import conditions as c
from edgedetector.api.dataplane import ModelState
from edgedetector.api.errors import MissingProfileError, RetryError
from edgedetector.status import checks, compose, document
from edgedetector.status.view import View, remains

CRD = yaml.safe_load(Path("crds/edgedetector.dev_edgedetectors.yaml").read_text())["spec"]["versions"][0]
SCHEMA = CRD["schema"]["openAPIV3Schema"]["properties"]["status"]
EARLIER, LATER = "2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z"


def strict(schema: Any) -> Any:
    """The schema as the API server means it: fields that it does not name are dropped, hence wrong."""
    if isinstance(schema, dict):
        closed = {key: strict(value) for key, value in schema.items()}
        if schema.get("type") == "object" and "properties" in schema:
            closed["additionalProperties"] = False
        return closed
    return [strict(item) for item in schema] if isinstance(schema, list) else schema


VALIDATOR = jsonschema.Draft202012Validator(strict(SCHEMA), format_checker=jsonschema.FormatChecker())


def status(view: View | None, obj: dict[str, Any], now: str = EARLIER) -> dict[str, Any]:
    judged = compose.judge(view) if view else compose.judge_error(MissingProfileError("nope"))
    found = document.status(obj, judged, view, now)
    VALIDATOR.validate(found)
    return found


def at(path: str, found: dict[str, Any]) -> Any:
    value: Any = {"status": found}
    for step in path.strip(".").split("."):
        value = value[step]
    return value


def test_at_rest_the_same_look_gives_the_same_status_at_any_time() -> None:
    obj = resource()
    obj["status"] = status(healthy(), obj)
    assert status(healthy(), obj, LATER) == obj["status"]


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    obj = resource()
    obj["status"] = status(healthy(), obj)
    view = healthy()
    after = status(said(view, state(view.accepted.id, camera("gate"))), obj, LATER)
    times = {entry["type"]: entry["lastTransitionTime"] for entry in after["conditions"]}
    assert times[c.READY] == times[c.STREAMS_READY] == times[c.RECONCILING] == LATER
    assert times[c.SERVER_READY] == times[c.STALLED] == EARLIER


def test_the_columns_of_kubectl_get_find_what_they_look_for() -> None:
    found = status(healthy(serving={"instances": 2, "preferredBatchSizes": [2, 4]}), resource())
    columns = {column["name"]: column["jsonPath"] for column in CRD["additionalPrinterColumns"]}
    wanted = {"REPLICAS": "1/1", "STREAMS": "2/2", "MODEL": "people", "INSTANCES": "2", "BATCH": "2/4"}
    assert {name: at(columns[name], found) for name in wanted} == wanted


def test_a_detector_that_cannot_be_planned_keeps_what_is_known_of_what_runs() -> None:
    obj = resource()
    obj["status"] = before = status(healthy(), obj)
    obj["metadata"]["generation"] = 4
    after = status(None, obj, LATER)
    assert after["observedGeneration"] == 4
    assert after["cameras"] == before["cameras"]
    found = {entry["type"]: entry for entry in after["conditions"]}
    assert found[c.READY]["reason"] == c.REASON_PROFILE_NOT_FOUND
    assert found[c.STALLED]["status"] == "True"
    assert found[c.SERVER_READY] == next(e for e in before["conditions"] if e["type"] == c.SERVER_READY)


def spoilt(obj: dict[str, Any], view: View, now: str = LATER) -> dict[str, Any]:
    """The status of a detector that cannot be planned any more, while its children do what `view` shows."""
    left = remains(obj, view.snapshot, view.now)
    found = document.status(obj, compose.judge_error(MissingProfileError("nope"), left), left, now)
    VALIDATOR.validate(found)
    return found


def test_a_detector_that_cannot_be_planned_still_tells_what_its_cameras_and_models_do() -> None:
    obj, view = resource(), healthy()
    obj["status"] = before = status(view, obj)
    obj["metadata"]["generation"] = 4
    dark = camera("dock", state="Unauthorized", message="401", detecting=False)
    broken = state(view.accepted.id, camera("gate"), dark, models=(ModelState("people", "Failed", "no memory"),))
    after = spoilt(obj, said(view, broken))
    assert [entry["state"] for entry in after["cameras"]] == ["Live", "Unauthorized"]
    assert (after["models"][0]["state"], after["models"][0]["since"]) == ("Failed", LATER)
    assert after["summary"] == {**before["summary"], "streams": "1/2"}
    assert after["serving"] == before["serving"]
    found = {entry["type"]: entry for entry in after["conditions"]}
    assert found[c.READY]["reason"] == c.REASON_PROFILE_NOT_FOUND
    assert (found[c.STREAMS_READY]["status"], found[c.STREAMS_READY]["reason"]) == ("False", "CameraUnauthorized")


def published(view: View) -> View:
    """The view with the ConfigMaps that its children read."""
    config = plan.detector_children(view.detector, view.profile, plan.Settings("s", "d:1"), plan.Facts(), view.accepted)
    data = [obj["data"] for obj in config if obj["kind"] == "ConfigMap"]
    return seen(view, documents={key: text for texts in data for key, text in texts.items()})


def left_of(view: View, **obj: Any) -> dict[str, c.Condition]:
    """The conditions of a detector that was planned as `view` shows and cannot be planned any more."""
    error = MissingProfileError("nope")
    before = {**resource(), "status": status(view, resource()), **obj}
    return {x.type: x for x in compose.judge_error(error, remains(before, view.snapshot, view.now))}


def test_a_detector_that_cannot_be_planned_is_judged_by_what_was_planned_last() -> None:
    found = left_of(published(healthy()))
    assert found[c.READY].reason == c.REASON_PROFILE_NOT_FOUND
    assert {name: found[name].status for name, _ in checks.GATING} == {name: "True" for name, _ in checks.GATING}


@pytest.mark.parametrize(
    ("changes", "condition", "reason"),
    [
        ({"workloads": {}}, c.SERVER_READY, c.REASON_PROGRESSING),
        ({"media": None}, c.MEDIA_READY, c.REASON_UNKNOWN),
        ({"media": media(streams=())}, c.MEDIA_READY, c.REASON_PROGRESSING),
        ({"media": media(generation=2)}, c.MEDIA_READY, c.REASON_PROGRESSING),
        ({"states": {"yard-triton-1": state("another")}}, c.MODEL_READY, c.REASON_SERVING_CONFIG_DIFFERS),
        ({"states": {}}, c.MODEL_READY, c.REASON_UNKNOWN),
    ],
)
def test_of_a_detector_that_cannot_be_planned_what_fails_is_told(
    changes: dict[str, Any], condition: str, reason: str
) -> None:
    found = left_of(seen(published(healthy()), **changes))
    assert (found[condition].status != "True", found[condition].reason) == (True, reason)
    assert found[c.READY].reason == c.REASON_PROFILE_NOT_FOUND


def test_documents_that_another_version_wrote_are_none() -> None:
    odd = seen(healthy(), documents={"accepted.json": "{}", "detector.json": "[]", "media.json": "no JSON"})
    assert left_of(odd).keys() == {c.READY, c.RECONCILING, c.STALLED, c.STREAMS_READY}


def test_a_detector_that_cannot_be_planned_is_at_rest_while_nothing_happens() -> None:
    obj = resource()
    obj["status"] = status(healthy(), obj)
    obj["status"] = spoilt(obj, healthy())
    assert spoilt(obj, healthy(), "2026-11-22T14:00:00Z") == obj["status"]


def test_a_detector_that_never_could_be_planned_tells_of_no_cameras() -> None:
    nothing = seen(healthy(), workloads={}, pods=(), states={}, media=None)
    assert spoilt(resource(), nothing).keys() == {"conditions", "observedGeneration"}


def test_a_suspended_detector_that_cannot_be_planned_stays_suspended() -> None:
    obj = resource()
    obj["status"] = status(seen(healthy(suspend=True), pods=(), states={}, media=None), obj)
    asleep = workload("triton", desired=0, updated=0, available=0, total=0)
    view = seen(healthy(), workloads={"yard-triton": asleep}, pods=(), states={}, media=None)
    after = spoilt(obj, view)
    assert {entry["state"] for entry in after["cameras"]} == {"Suspended"}
    found = {entry["type"]: entry for entry in after["conditions"]}
    assert found[c.STREAMS_READY]["reason"] == c.REASON_SUSPENDED


def test_an_error_that_passes_is_progress_and_one_that_does_not_is_none() -> None:
    passing = {x.type: x.status for x in compose.judge_error(RetryError("busy"))}
    lasting = {x.type: x.status for x in compose.judge_error(MissingProfileError("nope"))}
    assert passing == {c.READY: "False", c.RECONCILING: "True", c.STALLED: "False"}
    assert lasting == {c.READY: "False", c.RECONCILING: "False", c.STALLED: "True"}


def test_what_tuning_told_stays_while_the_specification_cannot_be_planned() -> None:
    obj = resource()
    obj["status"] = {"tuning": {"phase": "Converged"}, "summary": {"replicas": "9/9"}}
    assert status(None, obj)["tuning"] == {"phase": "Converged"}


def test_what_was_there_before_is_replaced() -> None:
    obj = resource()
    obj["status"] = {"summary": {"replicas": "9/9"}}
    found = status(healthy(), obj)
    assert found["summary"]["replicas"] == "1/1"


@settings(deadline=None)  # no timed pass or fail
@given(message=st.text(max_size=6000), since=st.text(max_size=30), name=st.sampled_from(["Live", "Failing", "Odd"]))
def test_whatever_a_pod_says_the_status_stays_within_its_schema(message: str, since: str, name: str) -> None:
    view = healthy()
    said_so = camera("dock", state=name, message=message, reason="R" * 200, since=since)
    status(said(view, state(view.accepted.id, camera("gate"), said_so)), resource())


@pytest.mark.parametrize("since", ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.25+01:00"])
def test_a_time_that_is_one_is_kept(since: str) -> None:
    view = healthy()
    found = status(said(view, state(view.accepted.id, camera("gate", since=since))), resource())
    assert found["cameras"][0]["since"] == since


def test_an_event_is_worth_a_new_status_or_a_new_reason_but_no_new_message() -> None:
    obj = resource()
    before = status(healthy(), obj)["conditions"]
    assert compose.transitions(compose.judge(healthy()), before) == ()
    changed = compose.judge(seen(healthy(), media=None))
    assert {x.type for x in compose.transitions(changed, before)} == {c.READY, c.RECONCILING, c.MEDIA_READY}
    other = copy.deepcopy(before)
    other[0]["message"] = "said otherwise"
    assert compose.transitions(compose.judge(healthy()), other) == ()


def test_a_model_that_fails_again_and_again_is_at_rest() -> None:
    obj, view = resource(), healthy()
    for region in ("8f9a", "11ee"):
        failed = (ModelState("people", "Failed", f"key 'triton_python_backend_shm_region_{region}': no memory"),)
        after = status(said(view, state(view.accepted.id, models=failed)), obj, LATER)
        assert obj.get("status") in (None, after)
        obj["status"] = after


def worth_an_event(view: View, before: View) -> list[tuple[str, str, bool]]:
    entries = status(before, resource())["conditions"]
    return [(x.type, x.reason, warning) for x, warning in compose.told(compose.judge(view), entries)]


def test_events_tell_of_readiness_and_of_what_somebody_has_to_mend() -> None:
    good, unmonitored = healthy(), seen(healthy(), served=frozenset())
    uncertain = seen(healthy(), scaler=None)
    broken = said(good, state(good.accepted.id, models=(ModelState("people", "Failed", "no memory"),)))
    starting = seen(good, media=None)
    assert worth_an_event(good, good) == []
    assert worth_an_event(unmonitored, good) == [(c.MONITORING_READY, c.REASON_MONITORING_NOT_INSTALLED, True)]
    assert worth_an_event(unmonitored, unmonitored) == []
    assert worth_an_event(good, unmonitored) == [(c.MONITORING_READY, c.REASON_MONITORING_CONFIGURED, False)]
    assert worth_an_event(uncertain, good) == []
    assert worth_an_event(good, uncertain) == []
    assert worth_an_event(broken, good) == [(c.READY, c.REASON_MODEL_LOAD_FAILED, True)]
    assert worth_an_event(starting, good) == [(c.READY, c.REASON_UNKNOWN, False)]
    assert worth_an_event(good, broken) == [(c.READY, c.REASON_DETECTING, False)]


def test_a_thousand_cameras_that_all_complain_at_length_fit_into_a_resource() -> None:
    """Spec, status and their bookkeeping share the 1.5 MiB that etcd takes at once."""
    names = [f"camera-{number:04}" for number in range(1000)]
    cameras = [{"name": name, "url": "rtsp://a/1"} for name in names]
    failing = [camera(name, state="Failing", reason="SourceFailed", message="x" * 2000) for name in names]
    view = healthy(cameras=cameras)
    found = status(said(view, state(view.accepted.id, *failing)), resource(cameras=cameras))
    assert len(json.dumps(found)) < 512 * 1024
    assert all(len(entry["message"]) >= 128 for entry in found["cameras"]), "enough to name the cause"


def test_post_processing_is_listed_beside_its_model_and_the_ensemble_of_the_two_is_not() -> None:
    spec = resource()["spec"]["models"][0]
    post = {
        "source": {"configMap": {"name": "p"}},
        "outputs": [{"name": "y", "dims": [4], "dataType": "FP32"}],
        "instances": 2,
    }
    view = healthy(models=[{**spec, "postProcessing": post}])
    assert [model.name for model in view.accepted.models] == ["people", "people+postprocessing", "people+pipeline"]
    found = document.status(resource(), (), view, EARLIER)
    assert [(m["name"], m["instances"]) for m in found["serving"]["models"]] == [
        ("people", 1),
        ("people+postprocessing", 2),
    ]
    assert [model["name"] for model in found["models"]] == ["people", "people+postprocessing"]
    assert list(VALIDATOR.iter_errors(found)) == []
    assert (found["summary"]["models"], found["summary"]["instances"]) == ("people,people+postprocessing", "1,2")
