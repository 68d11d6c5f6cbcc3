"""Our Lua in Argo CD: the health of both kinds, and what the actions change, on statuses that the operator wrote.

`UPDATE_GOLDEN=1 pytest tests/unit/gitops` rewrites testdata and argocd-cm.yaml; what is expected of them is written by
hand, in the files that Argo CD's own tests would read.
"""

from __future__ import annotations

import copy
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.gitops import argo, objects
from tests.unit.gitops.argo import ACTIONS, ARGO_CD, CUSTOMIZATIONS, KINDS
from tests.unit.status.gating import GATING
from tests.unit.status.informing import INFORMING
from tests.unit.status.test_kstatus import ERRORS, kstatus
from tests.unit.status.views import healthy

from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector

Json = dict[str, Any]

GOLDEN = {
    CUSTOMIZATIONS / folder / "testdata" / f"{name}.yaml": obj
    for folder, found in (
        ("EdgeDetector", objects.detectors()),
        ("EdgeDetector/actions", objects.acted_on()),
        ("AcceleratorProfile", objects.acceleratorprofiles()),
    )
    for name, obj in found.items()
}
HEALTH = [
    pytest.param(kind, test["inputPath"], test["healthStatus"], id=f"{kind}-{Path(test['inputPath']).stem}")
    for kind in KINDS
    for test in argo.read(CUSTOMIZATIONS / kind / "health_test.yaml")["tests"]
]
ACTION_TESTS = argo.read(CUSTOMIZATIONS / "EdgeDetector" / "actions" / "action_test.yaml")
KSTATUS = {"Failed": "Degraded", "InProgress": "Progressing", "Current": "Healthy"}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def golden(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path.name} is missing: UPDATE_GOLDEN=1 writes it"
    assert path.read_text() == text


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: "-".join(path.relative_to(CUSTOMIZATIONS).parts))
def test_testdata_is_what_the_operator_writes(path: Path) -> None:
    golden(path, yaml.dump(GOLDEN[path], Dumper=_Dumper, sort_keys=False, width=120))


def test_every_file_of_testdata_is_expected_to_be_something() -> None:
    named = {
        CUSTOMIZATIONS / kind / test["inputPath"]
        for kind in KINDS
        for test in argo.read(CUSTOMIZATIONS / kind / "health_test.yaml")["tests"]
    }
    folder = CUSTOMIZATIONS / "EdgeDetector" / "actions"
    named |= {folder / test["inputPath"] for test in ACTION_TESTS["discoveryTests"]}
    named |= {folder / test["expectedOutputPath"] for test in ACTION_TESTS["actionTests"]}
    assert set(CUSTOMIZATIONS.rglob("testdata/*.yaml")) == named == GOLDEN.keys()


@pytest.mark.parametrize(("kind", "path", "wanted"), HEALTH)
def test_health(kind: str, path: str, wanted: Json) -> None:
    assert argo.health(kind, argo.read(CUSTOMIZATIONS / kind / path)) == wanted


@pytest.mark.parametrize("break_it", [case[1] for case in GATING], ids=[case[0] for case in GATING])
def test_whatever_holds_detections_up_health_says_what_kstatus_says_in_our_words(break_it: Any) -> None:
    obj = objects.detector(break_it(healthy()))
    ready = next(entry for entry in obj["status"]["conditions"] if entry["type"] == "Ready")
    wanted = {"status": KSTATUS[kstatus(obj)], "message": ready["message"]}
    assert argo.health("EdgeDetector", obj) == wanted
    assert wanted["status"] != "Healthy"


@pytest.mark.parametrize("break_it", [case[1] for case in INFORMING], ids=[case[0] for case in INFORMING])
def test_whatever_holds_nothing_up_is_healthy(break_it: Any) -> None:
    assert argo.health("EdgeDetector", objects.detector(break_it(healthy())))["status"] == "Healthy"


@pytest.mark.parametrize(("error", "wanted"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_an_error_is_degraded_unless_it_passes_by_itself(error: Any, wanted: str) -> None:
    found = argo.health("EdgeDetector", objects.detector(error=error))
    assert found["status"] == KSTATUS[wanted]
    assert str(error) in found["message"]


@pytest.mark.parametrize("test", ACTION_TESTS["discoveryTests"], ids=lambda test: Path(test["inputPath"]).stem)
def test_discovery(test: Json) -> None:
    found = argo.actions(argo.read(CUSTOMIZATIONS / "EdgeDetector" / "actions" / test["inputPath"]))
    assert found == {entry["name"]: entry["disabled"] for entry in test["result"]}


@pytest.mark.parametrize("test", ACTION_TESTS["actionTests"], ids=lambda test: test["action"])
def test_action(test: Json) -> None:
    folder = CUSTOMIZATIONS / "EdgeDetector" / "actions"
    found = argo.acted(test["action"], argo.read(folder / test["inputPath"]))
    annotations = found["metadata"].get("annotations", {})
    if names.ANNOTATION_RETUNE in annotations:
        text = annotations[names.ANNOTATION_RETUNE]
        assert re.fullmatch(r"Argo CD, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text), text
        annotations[names.ANNOTATION_RETUNE] = "Argo CD, 2026-11-22T12:00:00Z"  # when the test data was made
    assert found == argo.read(folder / test["expectedOutputPath"])


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_changes_what_the_operator_reads_and_nothing_else(action: str) -> None:
    before = objects.acted_on()["serving"]
    before["metadata"]["annotations"] = {"team": "yard", names.ANNOTATION_TUNING: names.FROZEN}
    before["spec"]["suspend"] = action == "resume"
    if action == "freeze":
        del before["metadata"]["annotations"][names.ANNOTATION_TUNING]
    after = argo.acted(action, copy.deepcopy(before))
    was, now = EdgeDetector.parse(before), EdgeDetector.parse(after)
    seen = {
        "pause": (was.suspend, now.suspend) == (False, True),
        "resume": (was.suspend, now.suspend) == (True, False),
        "retune": was.retune == "" and now.retune != "",
        "freeze": (was.frozen, now.frozen) == (False, True),
        "unfreeze": (was.frozen, now.frozen) == (True, False),
    }
    assert [name for name, changed in seen.items() if changed] == [action]
    assert after["metadata"]["annotations"]["team"] == "yard"
    assert after["status"] == before["status"]


HEAD = """\
# Settings of Argo CD for EdgeDetectors and AcceleratorProfiles: made of resource_customizations/ by `make golden`.
# To add them to what is there:
#
#   kubectl apply --server-side --field-manager edgedetector -f manifests/argo-cd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels: {app.kubernetes.io/part-of: argocd}
data:
"""


def block(path: Path, by: int) -> str:
    return textwrap.indent(path.read_text(), " " * by)


def argocd_cm() -> str:
    """Return the settings of Argo CD that hold our Lua."""
    folder = CUSTOMIZATIONS / "EdgeDetector" / "actions"
    healths = [
        f"  resource.customizations.health.{names.GROUP}_{kind}: |\n{block(CUSTOMIZATIONS / kind / 'health.lua', 4)}"
        for kind in KINDS
    ]
    discovery = f"    discovery.lua: |\n{block(folder / 'discovery.lua', 6)}    definitions:\n"
    definitions = [
        f"      - name: {action}\n        action.lua: |\n{block(folder / action / 'action.lua', 10)}"
        for action in ACTIONS
    ]
    actions = f"  resource.customizations.actions.{names.GROUP}_EdgeDetector: |\n{discovery}{''.join(definitions)}"
    nested = "  resource.customizations.health.argoproj.io_Application: |\n"
    return "".join([HEAD, *healths, actions, nested, block(ARGO_CD / "application-health.lua", 4)])


def test_the_settings_hold_the_same_lua() -> None:
    golden(ARGO_CD / "argocd-cm.yaml", argocd_cm())
    data = argo.read(ARGO_CD / "argocd-cm.yaml")["data"]
    for kind in KINDS:
        key = f"resource.customizations.health.{names.GROUP}_{kind}"
        assert data[key] == (CUSTOMIZATIONS / kind / "health.lua").read_text()
    found = yaml.safe_load(data[f"resource.customizations.actions.{names.GROUP}_EdgeDetector"])
    assert [entry["name"] for entry in found["definitions"]] == list(ACTIONS)
    for entry in found["definitions"]:
        path = CUSTOMIZATIONS / "EdgeDetector" / "actions" / entry["name"] / "action.lua"
        assert entry["action.lua"] == path.read_text()


def test_every_action_that_is_discovered_has_a_script() -> None:
    folder = CUSTOMIZATIONS / "EdgeDetector" / "actions"
    assert {path.parent.name for path in folder.glob("*/action.lua")} == set(ACTIONS)
    assert argo.actions(objects.acted_on()["serving"]).keys() == set(ACTIONS)
