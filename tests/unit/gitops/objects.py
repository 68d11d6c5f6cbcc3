"""Resources as they stand in a cluster, with the status that the operator's own code writes."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from tests.unit.status.breaks import failed
from tests.unit.status.views import camera, healthy, pod, resource, said, seen, state, workload

from edgedetector import profiles as shipped
from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.api.dataplane import ModelState
from edgedetector.api.errors import MissingProfileError, OperatorError, RetryError
from edgedetector.controller import terms
from edgedetector.observe.snapshot import PodView, Problem, Workload
from edgedetector.status import compose, document, profiles
from edgedetector.status.view import View
from edgedetector.tuning.ledger import Capacity, Ledger, Line
from edgedetector.tuning.window import Knobs

Json = dict[str, Any]

NOW: Final = "2026-11-22T12:00:00Z"
AT: Final = 1795348800.0
"""The same in seconds since the epoch."""
TOLD: Final = "people: 1 -> 3 instances: capacity of a pod 120 -> 166 images/s; kept"


def detector(view: View | None = None, error: OperatorError | None = None, **spec: Any) -> Json:
    """An EdgeDetector as one pass over it leaves it: by what it saw, or by why it could not be planned."""
    obj = resource(**spec)
    judged = compose.judge_error(error) if error else compose.judge(view) if view else compose.judge_pending()
    return {**obj, "status": document.status(obj, judged, view, NOW)}


def tuned() -> View:
    """A view of a detector that serves what tuning found, and not what its specification says."""
    log = (Line(AT, "Begun", "tuning begins with what spec.serving says"), Line(AT + 60, "Kept", TOLD))
    knobs, capacity = {"people": Knobs(3, 4)}, Capacity(166.0, 10.0, "accelerator", AT)
    ledger = Ledger("s", AT, knobs, why=TOLD, converged=True, log=log, capacity=capacity)
    view = healthy()
    accepted = terms.document(view.detector, view.profile, (), knobs)
    model = ModelState("people", "Ready", serving_id=accepted.id, instances=3)
    return dataclasses.replace(
        said(view, state(accepted.id, models=(model,))), accepted=accepted, ledger=ledger, tuned=True
    )


def stopped() -> View:
    """A view of a suspended detector whose pods are gone."""
    none: Json = {"desired": 0, "updated": 0, "available": 0, "total": 0}
    workloads = {names.triton("yard"): workload("triton", **none), names.media("yard"): workload("media", **none)}
    return seen(healthy(suspend=True), workloads=workloads, pods=(), states={}, media=None)


def detectors() -> dict[str, Json]:
    """EdgeDetectors by the name of a file."""
    good, nothing = healthy(), seen(healthy(), workloads={}, pods=(), states={}, media=None)
    unauthorized = camera("dock", state="Unauthorized", message="401 Unauthorized", detecting=False)
    stale = detector(good)
    stale["metadata"] = {**stale["metadata"], "generation": 4}
    return {
        "new": resource(),
        "pending": detector(),
        "starting": detector(nothing),
        "detecting": detector(good),
        "tuned": detector(tuned()),
        "unmonitored": detector(seen(good, served=frozenset())),
        "stale": stale,
        "suspended": detector(stopped(), suspend=True),
        "suspended-and-wrong": detector(error=MissingProfileError("nope"), suspend=True),
        "model-fails": detector(said(good, state(good.accepted.id, models=(failed("unexpected end of file"),)))),
        "camera-unauthorized": detector(said(good, state(good.accepted.id, camera("gate"), unauthorized))),
        "profile-missing": detector(error=MissingProfileError("nope")),
        "retrying": detector(error=RetryError("the API server has not answered")),
    }


def acted_on() -> dict[str, Json]:
    """EdgeDetectors before and after actions, by the name of a file. Their status is of before."""
    serving = detector(tuned(), suspend=False, tuning={"mode": "Auto"})
    return {
        "serving": serving,
        "suspended": {**serving, "spec": {**serving["spec"], "suspend": True}},
        "frozen": _annotated(serving, {names.ANNOTATION_TUNING: names.FROZEN}),
        "retuned": _annotated(serving, {names.ANNOTATION_RETUNE: "Argo CD, 2026-11-22T12:00:00Z"}),
        "untuned": {**serving, "spec": {**serving["spec"], "tuning": {"mode": "Off"}}},
    }


def profile(judged: tuple[c.Condition, ...] | None) -> Json:
    """A shipped AcceleratorProfile with what was judged of it, if anything was."""
    obj = next(obj for obj in shipped.load() if obj["metadata"]["name"] == "denglin-ks20")
    obj = {**obj, "metadata": {"name": "denglin-ks20", "uid": "2", "generation": 1}}
    if judged is None:
        return obj
    return {**obj, "status": {"observedGeneration": 1, "conditions": compose.timed(judged, (), 1, NOW)}}


def acceleratorprofiles() -> dict[str, Json]:
    """AcceleratorProfiles by the name of a file."""
    up, starting = workload("exporter"), workload("exporter", available=0)
    not_pulled = pod("exporter", ready=False, problem=Problem(c.REASON_IMAGE_PULL_FAILED, 'cannot pull image "x:1"'))

    def judged(exporter: Workload | None, *pods: PodView, in_use: bool = True) -> tuple[c.Condition, ...]:
        return profiles.judge("denglin-ks20", exporter, pods, in_use=in_use)

    stale = profile(judged(up))
    stale["metadata"] = {**stale["metadata"], "generation": 2}
    return {
        "new": profile(None),
        "unused": profile(judged(None, in_use=False)),
        "in-use": profile(judged(up)),
        "exporter-starting": profile(judged(starting, pod("exporter", ready=False))),
        "exporter-held": profile(judged(starting, not_pulled)),
        "stale": stale,
    }


def _annotated(obj: Json, annotations: dict[str, str]) -> Json:
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}
