"""One thing goes wrong at a time: which condition says so, why, and whether somebody has to act."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.status.breaks import BLOCKED, WAITING, Break, judged, with_workload
from tests.unit.status.gating import GATING
from tests.unit.status.informing import INFORMING
from tests.unit.status.views import (
    camera,
    healthy,
    resource,
    said,
    seen,
    state,
)

from edgedetector.api import conditions as c
from edgedetector.api.dataplane import DetectorState, ModelState
from edgedetector.status import remedies


def test_when_nothing_is_wrong_every_condition_holds_and_nothing_is_under_way() -> None:
    found = judged(healthy())
    absent = {c.RECONCILING, c.STALLED, c.DEGRADED, c.TUNING_ACTIVE}
    assert {name: entry.status for name, entry in found.items()} == {
        name: "False" if name in absent else "True" for name in found
    }
    assert found[c.READY] == c.Condition(c.READY, "True", c.REASON_DETECTING, "2 cameras are live and detecting")


@pytest.mark.parametrize(
    ("break_it", "condition", "reason", "words", "kind"),
    [case[1:] for case in GATING],
    ids=[case[0] for case in GATING],
)
def test_one_thing_wrong(break_it: Break, condition: str, reason: str, words: str, kind: str) -> None:
    found = judged(break_it(healthy()))
    assert found[condition].status != "True"
    assert found[condition].reason == reason
    assert words in found[condition].message
    assert (found[c.READY].status, found[c.READY].reason) == ("False", reason)
    assert found[c.READY].message == found[condition].message
    assert found[c.RECONCILING].is_true is (kind == WAITING)
    assert found[c.STALLED].is_true is (kind == BLOCKED)


@pytest.mark.parametrize(
    ("break_it", "condition", "reason", "words"), [case[1:] for case in INFORMING], ids=[case[0] for case in INFORMING]
)
def test_what_detections_do_not_need_is_said_and_holds_nothing_up(
    break_it: Break, condition: str, reason: str, words: str
) -> None:
    found = judged(break_it(healthy()))
    assert found[condition].status != "True"
    assert found[condition].reason == reason
    assert words in found[condition].message
    assert found[c.READY].is_true


def test_every_verdict_that_somebody_has_to_act_upon_says_what_helps() -> None:
    for break_it, condition, reason, _, kind in (case[1:] for case in GATING):
        message = judged(break_it(healthy()))[condition].message
        remedy = remedies.REMEDIES.get(reason, "").split("$")[0]
        assert bool(remedy) is (kind == BLOCKED) or reason == c.REASON_UNSCHEDULABLE
        assert kind != BLOCKED or remedy in message


def test_a_remedy_is_no_template_for_words_of_others() -> None:
    told = remedies.told(c.REASON_SHARED_MEMORY_TOO_SMALL, "cost: $profile ${x} $", profile="cpu$profile")
    assert told == "cost: $profile ${x} $; raise spec.triton.sharedMemory of AcceleratorProfile cpu$profile"


def test_what_needs_somebody_explains_more_than_what_merely_waits_for_it() -> None:
    view = seen(healthy(), media=None)
    view = said(view, state(view.accepted.id, models=(ModelState("people", "Failed", "no file"),)))
    assert judged(view)[c.READY].reason == c.REASON_MODEL_LOAD_FAILED


def test_a_suspended_detector_is_neither_ready_nor_on_its_way_nor_stuck() -> None:
    found = judged(seen(healthy(suspend=True), workloads={}, pods=(), states={}, media=None))
    assert found[c.READY].reason == c.REASON_SUSPENDED
    assert [found[name].status for name in (c.READY, c.RECONCILING, c.STALLED)] == ["False"] * 3


def test_without_cameras_a_detector_is_ready_and_says_so() -> None:
    found = judged(healthy(cameras=[]))
    assert found[c.READY].is_true
    assert found[c.STREAMS_READY].reason == c.REASON_NO_CAMERAS


def test_a_replica_that_has_the_picture_knows_better_than_one_that_lost_the_camera() -> None:
    view = healthy()
    lost = camera("dock", state="Failing", detecting=False)
    found = said(view, state(view.accepted.id, lost), state(view.accepted.id))
    assert judged(found)[c.READY].is_true
    assert {entry.name: entry.replica for entry in found.cameras} == {
        "gate": "yard-triton-2",
        "dock": "yard-triton-2",
    }


def test_a_replica_more_on_its_way_does_not_take_readiness_away() -> None:
    view = with_workload(healthy(), "triton", desired=2, updated=2, total=2)
    starting = DetectorState(0, "")
    assert judged(said(view, state(view.accepted.id), starting))[c.READY].is_true


def test_a_replica_more_that_cannot_load_a_model_does() -> None:
    view = healthy()
    broken = state("", camera("gate", state="Connecting", detecting=False), models=(ModelState("people", "Failed"),))
    assert judged(said(view, state(view.accepted.id), broken))[c.READY].reason == c.REASON_MODEL_LOAD_FAILED


@pytest.mark.parametrize("found", ["Ready", "Failed"])
def test_while_tuning_changes_it_a_model_may_serve_what_it_did_before_or_what_is_on_trial(found: str) -> None:
    """Also where what is tried does not load: all the while Triton serves what it did."""
    view = healthy()
    models = (ModelState("people", found, serving_id="trial"),)
    changing = said(view, state("another", models=models, probe_id="p1", probe_outcome="Running"))
    assert judged(dataclasses.replace(changing, passing=frozenset({"trial"})))[c.MODEL_READY].is_true
    assert not judged(changing)[c.MODEL_READY].is_true


def test_what_is_wrong_with_post_processing_is_said_of_its_field() -> None:
    spec = resource()["spec"]["models"][0]
    post = {"source": {"configMap": {"name": "p"}}, "outputs": [{"name": "y", "dims": [4], "dataType": "FP32"}]}
    view = healthy(models=[{**spec, "postProcessing": post}])

    def message(what: ModelState) -> str:
        good = (ModelState(name, "Ready", serving_id=view.accepted.id) for name in ("people", "people+pipeline"))
        return judged(said(view, state(view.accepted.id, models=(*good, what))))[c.MODEL_READY].message

    failed = message(ModelState("people+postprocessing", "Failed", "load people+postprocessing: unexpected platform x"))
    assert "model people+postprocessing: spec.models[people].postProcessing.backend: unexpected platform" in failed
    ready = message(ModelState("people+postprocessing", "Ready", serving_id=view.accepted.id, instances=1))
    assert ready == "people, people+postprocessing loaded"
