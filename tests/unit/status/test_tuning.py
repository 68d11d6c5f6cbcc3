"""What is told of tuning: each state in words that say what helps, and nothing that changes at rest."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.unit.status.test_document import EARLIER, LATER, status
from tests.unit.status.views import healthy, resource, said, state

from edgedetector.api import conditions as c
from edgedetector.api.dataplane import ModelState
from edgedetector.status import compose, scaling
from edgedetector.status.view import Standing, View
from edgedetector.tuning.ledger import Attempt, Capacity, Ledger, Line
from edgedetector.tuning.window import Knobs

BEGUN = Ledger("s", 0.0, {"people": Knobs(1, 4)}, log=(Line(1.0, "Begun", "tuning begins"),))
ATTEMPT = Attempt("p1", "yard-triton-1", {"people": Knobs(2, 4)}, 12.0, 1.0)


def view(ledger: Ledger | None = BEGUN, *, frozen: bool = False, standing: Standing | None = None, **spec: Any) -> View:
    base = healthy(**spec)
    detector = dataclasses.replace(base.detector, frozen=frozen)
    return dataclasses.replace(base, detector=detector, ledger=ledger, standing=standing or Standing())


def condition(found: View) -> c.Condition:
    return next(entry for entry in compose.judge(found) if entry.type == c.TUNING_ACTIVE)


CASES: list[tuple[str, View, str, str]] = [
    ("Off", view(tuning={"mode": "Off"}), "False", "Off"),
    ("Off", view(None, tuning={"mode": "Off"}), "False", "Off"),
    ("Suspended", view(suspend=True), "False", "Suspended"),
    ("Progressing", view(None), "False", "Progressing"),
    ("Tuning", view(), "True", "Tuning"),
    ("Probing", view(dataclasses.replace(BEGUN, attempt=ATTEMPT)), "True", "Tuning"),
    ("Converged", view(dataclasses.replace(BEGUN, converged=True)), "True", "Converged"),
    ("Recommending", view(tuning={"mode": "Recommend"}), "True", "Recommending"),
    ("Frozen", view(frozen=True), "False", "Frozen"),
    ("NotObserved", view(standing=Standing(unobserved=True)), "False", "NotObserved"),
    ("RecordNotWritten", view(standing=Standing(refused="HTTP 403")), "False", "RecordNotWritten"),
    ("InternalError", view(standing=Standing(broken="defect in the operator")), "False", "InternalError"),
    ("TuningHindered", view(dataclasses.replace(BEGUN, trouble="the bounds contradict")), "False", "TuningHindered"),
    ("Tuning", view(dataclasses.replace(BEGUN, memory_unknown=True)), "True", "MemoryUnknown"),
]


@pytest.mark.parametrize(
    ("phase", "found", "said", "reason"), CASES, ids=[case[3] + str(n) for n, case in enumerate(CASES)]
)
def test_each_state_is_told(phase: str, found: View, said: str, reason: str) -> None:
    assert (condition(found).status, condition(found).reason) == (said, reason)
    assert status(found, resource())["tuning"]["phase"] == phase


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (view(dataclasses.replace(BEGUN, memory_unknown=True)), "spec.tuning.bounds.acceleratorMemory"),
        (view(dataclasses.replace(BEGUN, memory_unknown=True)), "AcceleratorProfile cpu"),
        (view(frozen=True), "remove the annotation edgedetector.dev/tuning"),
        (view(standing=Standing(unobserved=True)), "kubectl rollout restart"),
        (view(standing=Standing(refused="HTTP 403")), "HTTP 403; remove a ConfigMap NAME-tuning"),
        (view(standing=Standing(broken="defect (KeyError)")), "defect (KeyError); report it with the operator's log"),
    ],
)
def test_whoever_has_to_act_is_told_how(found: View, words: str) -> None:
    assert words in condition(found).message


def unready(found: View) -> View:
    """Whose only pod loads its model."""
    return said(found, state(found.accepted.id, models=(ModelState("people", "Loading"),)))


def test_while_models_are_not_served_it_says_that_it_waits_and_for_what() -> None:
    for ledger in (None, BEGUN, dataclasses.replace(BEGUN, converged=True)):
        waiting = unready(view(ledger))
        assert (condition(waiting).status, condition(waiting).reason) == ("False", "AwaitingModels")
        assert "ModelReady (ModelLoading)" in condition(waiting).message
        assert status(waiting, resource())["tuning"]["phase"] == "AwaitingModels"
    down = dataclasses.replace(view(), snapshot=dataclasses.replace(view().snapshot, workloads={}))
    assert "ServerReady (" in condition(down).message


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (view(tuning={"mode": "Off"}), "Off"),
        (view(frozen=True), "Frozen"),
        (view(standing=Standing(refused="HTTP 403")), "RecordNotWritten"),
    ],
)
def test_what_waits_for_somebody_waits_for_no_models(found: View, reason: str) -> None:
    assert condition(unready(found)).reason == reason


def test_tuning_takes_nothing_from_readiness() -> None:
    for _, found, _, _ in CASES:
        ready = next(entry for entry in compose.judge(found) if entry.type == c.READY)
        assert ready.is_true or found.detector.suspend


def test_what_tuning_found_is_told_with_its_reason_and_its_capacity() -> None:
    ledger = dataclasses.replace(
        BEGUN, why="two: 100 -> 150", recommendation="three", capacity=Capacity(149.6, 35.0, "cpu", 0.0)
    )
    found = status(dataclasses.replace(view(ledger), tuned=True), resource())
    assert (found["serving"]["reason"], found["serving"]["message"]) == ("Tuned", "two: 100 -> 150")
    assert found["capacity"] == {
        "framesPerSecond": "150", "demand": "35", "limit": "cpu", "since": "1970-01-01T00:00:00Z",
    }  # fmt: skip
    assert found["tuning"]["recommendation"] == "three"
    assert found["tuning"]["log"] == [{"time": "1970-01-01T00:00:01Z", "decision": "Begun", "message": "tuning begins"}]


def test_at_rest_nothing_of_it_changes() -> None:
    obj = resource()
    obj["status"] = status(view(), obj, EARLIER)
    assert status(view(), obj, LATER) == obj["status"]


def test_words_of_any_length_fit() -> None:
    ledger = dataclasses.replace(
        BEGUN, why="w" * 9000, trouble="t" * 9000, recommendation="r" * 9000, log=(Line(1.0, "Kept", "m" * 9000),) * 20
    )
    status(dataclasses.replace(view(ledger), tuned=True), resource())


def test_an_autoscaler_that_waits_for_tuning_lacks_no_room() -> None:
    base = dataclasses.replace(view(), held=1)
    scaler = dataclasses.replace(base.snapshot.scaler, maximum=1)  # type: ignore[type-var]
    held = dataclasses.replace(base, snapshot=dataclasses.replace(base.snapshot, scaler=scaler))
    found = scaling.scaling_ready(held)
    assert (found.status, found.reason) == ("True", c.REASON_SCALING_ACTIVE)
    assert "above 1 once tuning has converged" in found.message
    capped = scaling.scaling_ready(dataclasses.replace(held, held=None))
    assert capped.reason == c.REASON_REPLICAS_CAPPED
