"""What a tool that waits by kstatus, as Helm 4 and Flux do, makes of our conditions: wait, give up, or be content."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.status.breaks import BLOCKED, Break
from tests.unit.status.gating import GATING
from tests.unit.status.informing import INFORMING
from tests.unit.status.views import healthy, resource, seen

from edgedetector.api import errors
from edgedetector.api.errors import OperatorError
from edgedetector.cluster import errors as cluster_errors
from edgedetector.status import compose, document, profiles
from edgedetector.status.view import View

NOW = "2026-11-22T12:00:00Z"


def kstatus(obj: dict[str, Any]) -> str:
    """The rules of kstatus for a resource that it has no rules of its own for."""
    status = obj.get("status") or {}
    if status.get("observedGeneration", obj["metadata"]["generation"]) != obj["metadata"]["generation"]:
        return "InProgress"
    found = {entry["type"]: entry["status"] for entry in status.get("conditions") or ()}
    if found.get("Reconciling") == "True":
        return "InProgress"
    if found.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if found.get("Ready", "True") != "True" else "Current"


def after(judged: Any, view: View | None = None, obj: dict[str, Any] | None = None) -> dict[str, Any]:
    obj = obj or resource()
    return {**obj, "status": document.status(obj, judged, view, NOW)}


def invalid() -> errors.InvalidSpecError:
    return errors.InvalidSpecError("spec.models", "is empty", "add a model")


ERRORS: list[tuple[OperatorError, str]] = [
    (invalid(), "Failed"),
    (errors.MissingProfileError("nope"), "Failed"),
    (errors.InvalidProfileError("cpu", invalid()), "Failed"),
    (errors.NameTakenError("EdgeDetector", "yard", ("ConfigMap yard-serving",)), "Failed"),
    (errors.PermanentError("defect"), "Failed"),
    (errors.RetryError("busy"), "InProgress"),
    (cluster_errors.UnavailableError("GET /"), "InProgress"),
    (cluster_errors.ConflictError("PATCH /"), "InProgress"),
    (cluster_errors.ExpiredError("GET /"), "InProgress"),
    (cluster_errors.NotFoundError("PATCH /"), "InProgress"),
    (cluster_errors.ForbiddenError("PATCH /"), "Failed"),
    (cluster_errors.RejectedError("PATCH /"), "Failed"),
]


def leaves(kind: type[OperatorError]) -> set[type[OperatorError]]:
    return {kind} | {leaf for child in kind.__subclasses__() for leaf in leaves(child)}


def test_every_error_that_the_operator_knows_is_judged_here() -> None:
    bases = {OperatorError, errors.UserError, cluster_errors.ClusterError}
    assert leaves(OperatorError) - bases == {type(error) for error, _ in ERRORS}


@pytest.mark.parametrize(("error", "wanted"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_an_error(error: OperatorError, wanted: str) -> None:
    assert kstatus(after(compose.judge_error(error))) == wanted
    assert kstatus(after(profiles.judge_error(error))) == wanted


@pytest.mark.parametrize(
    ("break_it", "kind"), [(case[1], case[5]) for case in GATING], ids=[case[0] for case in GATING]
)
def test_what_holds_detections_up(break_it: Break, kind: str) -> None:
    view = break_it(healthy())
    assert kstatus(after(compose.judge(view), view)) == ("Failed" if kind == BLOCKED else "InProgress")


@pytest.mark.parametrize("break_it", [case[1] for case in INFORMING], ids=[case[0] for case in INFORMING])
def test_what_holds_nothing_up(break_it: Break) -> None:
    view = break_it(healthy())
    assert kstatus(after(compose.judge(view), view)) == "Current"


def test_from_the_first_look_to_detections() -> None:
    """A tool that looks at any moment never takes a detector for done, or for failed, that is on its way."""
    obj = resource()
    nothing = seen(healthy(), workloads={}, pods=(), states={}, media=None)
    seen_by_tool = []
    for judged, view in (
        (compose.judge_pending(), None),
        (compose.judge(nothing), nothing),
        (compose.judge_error(cluster_errors.ConflictError("PATCH /")), None),
        (compose.judge(healthy()), healthy()),
    ):
        obj = after(judged, view, obj)
        seen_by_tool.append(kstatus(obj))
    assert seen_by_tool == ["InProgress", "InProgress", "InProgress", "Current"]


def test_a_new_generation_is_on_its_way_until_it_was_looked_at() -> None:
    obj = after(compose.judge(healthy()), healthy())
    assert kstatus(obj) == "Current"
    obj["metadata"]["generation"] += 1
    assert kstatus(obj) == "InProgress"


def test_after_an_error_was_mended_nothing_is_left_of_it() -> None:
    obj = after(compose.judge_error(errors.MissingProfileError("nope")))
    assert kstatus(obj) == "Failed"
    assert kstatus(after(compose.judge(healthy()), healthy(), obj)) == "Current"
