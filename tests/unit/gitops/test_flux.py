"""The expressions by which Flux judges our kinds, evaluated on the same resources that Argo CD's Lua is tested with."""

from __future__ import annotations

from typing import Any

import celpy
import pytest
import yaml
from celpy import celtypes
from tests.unit.gitops import argo, objects
from tests.unit.gitops.argo import KINDS, ROOT
from tests.unit.status.gating import GATING
from tests.unit.status.informing import INFORMING
from tests.unit.status.test_kstatus import ERRORS, kstatus
from tests.unit.status.views import healthy

from edgedetector.api import names

Json = dict[str, Any]

FLUX = ROOT / "manifests" / "flux" / "edgedetector.yaml"
(KUSTOMIZATION,) = [obj for obj in yaml.safe_load_all(FLUX.read_text()) if obj["kind"] == "Kustomization"]
EXPRESSIONS = {entry["kind"]: entry for entry in KUSTOMIZATION["spec"]["healthCheckExprs"]}
TESTDATA = [
    pytest.param(kind, test["inputPath"], test["healthStatus"]["status"], id=f"{kind}-{test['inputPath']}")
    for kind in KINDS
    for test in argo.read(argo.CUSTOMIZATIONS / kind / "health_test.yaml")["tests"]
]


def true(expression: str, obj: Json) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(expression))
    result = program.evaluate({key: celpy.json_to_cel(value) for key, value in obj.items()})
    assert isinstance(result, celtypes.BoolType)
    return bool(result)


def judged(obj: Json) -> str:
    """What Flux makes of a resource, by the rules of its RFC 9: a field that is not there makes it wait, too."""
    status, expressions = obj.get("status") or {}, EXPRESSIONS[obj["kind"]]
    if status.get("observedGeneration", obj["metadata"]["generation"]) != obj["metadata"]["generation"]:
        return "InProgress"
    for verdict in ("inProgress", "failed", "current"):
        try:
            holds = verdict in expressions and true(expressions[verdict], obj)
        except celpy.CELEvalError:
            return "Unknown"
        if holds:
            return verdict.capitalize()
    return "InProgress"


WANTED = {
    "Healthy": {"Current"},
    "Suspended": {"Current"},
    "Degraded": {"Failed"},
    "Progressing": {"InProgress", "Unknown"},
}


@pytest.mark.parametrize(("kind", "path", "health"), TESTDATA)
def test_flux_waits_and_gives_up_where_argo_cd_does(kind: str, path: str, health: str) -> None:
    assert judged(argo.read(argo.CUSTOMIZATIONS / kind / path)) in WANTED[health]


def test_of_what_nobody_has_looked_at_yet_nothing_is_known() -> None:
    assert judged(objects.detectors()["new"]) == "Unknown"


@pytest.mark.parametrize("break_it", [case[1] for case in GATING], ids=[case[0] for case in GATING])
def test_whatever_holds_detections_up_is_what_kstatus_makes_of_it(break_it: Any) -> None:
    obj = objects.detector(break_it(healthy()))
    assert judged(obj) == kstatus(obj) != "Current"


@pytest.mark.parametrize("break_it", [case[1] for case in INFORMING], ids=[case[0] for case in INFORMING])
def test_whatever_holds_nothing_up_is_current(break_it: Any) -> None:
    assert judged(objects.detector(break_it(healthy()))) == "Current"


@pytest.mark.parametrize(("error", "wanted"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_an_error(error: Any, wanted: str) -> None:
    assert judged(objects.detector(error=error)) == wanted


def test_there_are_expressions_for_the_version_of_both_kinds() -> None:
    assert EXPRESSIONS.keys() == set(KINDS)
    assert {entry["apiVersion"] for entry in EXPRESSIONS.values()} == {names.API_VERSION}


def test_the_documentation_shows_these_expressions() -> None:
    shown = FLUX.read_text().partition("  healthCheckExprs:\n")[2]
    assert "  healthCheckExprs:\n" + shown in (ROOT / "docs" / "gitops.md").read_text()
