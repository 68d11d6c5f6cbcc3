"""What `status` tells, and what it does when it cannot look."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable

import pytest
import yaml
from click.testing import Result
from tests.unit.cli.worlds import ROOT, World

from edgedetector.cli.errors import ForbiddenError, UnreachableError

Run = Callable[..., Result]


def test_a_detector_in_good_order_fits_on_one_screen(run: Run) -> None:
    result = run("status", "yard")

    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert len(lines) <= 24
    assert lines[0] == "site/yard  Ready  Detecting"
    assert "Cameras   2 of 2 live and detecting" in lines
    assert "Serving   1 of 1 replicas ready, profile denglin-ks20" in lines
    assert "  people  Ready  instances 2, batch 2/4/8, queue delay 1ms" in lines
    assert "Capacity  166 frames/s for a demand of 10" in lines
    assert "Not seen:" not in lines


def test_what_is_wrong_comes_first(world: World, run: Run) -> None:
    world.stalled("StreamsReady", "CamerasFailing", "1 of 2 cameras without detections: gate: no route to host; mend")
    world.condition("MonitoringReady", "False", "MonitoringNotInstalled", "PrometheusRule is not served here")
    world.camera("gate", state="Failing", detecting=False, message="no route to host")

    lines = run("status", "yard").output.splitlines()

    assert lines[0] == "site/yard  Broken  CamerasFailing"
    assert lines[1].startswith("  ! Ready: 1 of 2 cameras without detections: gate")
    assert lines[2].startswith("  ! MonitoringReady: PrometheusRule")
    assert "  gate  Failing  no route to host" in lines
    assert not any("StreamsReady" in line for line in lines), "the same thing is told once"


def test_a_screen_is_enough_for_a_thousand_broken_cameras(world: World, run: Run) -> None:
    broken = [{"name": f"c{number}", "state": "Failing", "message": "gone"} for number in range(1000)]
    world.detector["status"]["cameras"] = broken

    output = run("status", "yard").output

    assert len(output.splitlines()) <= 30
    assert "and 992 more (-o json has all)" in output


def test_several_detectors_are_a_table_with_the_broken_one_on_top(world: World, run: Run) -> None:
    well = copy.deepcopy(world.detector)
    well["metadata"]["name"] = "alley"
    world.stalled("ServerReady", "ImagePullFailed", "cannot pull image")
    broken = world.detector
    lists = world._lists()
    world._lists = lambda: lists | {f"/apis/{broken['apiVersion']}/edgedetectors": [well, broken]}  # type: ignore[method-assign]

    lines = run("status", "-A").output.splitlines()

    assert lines[1].split()[:3] == ["Broken", "site", "yard"]
    assert lines[2].split()[:3] == ["Ready", "site", "alley"]


def test_json_and_yaml_are_the_same_document(world: World, run: Run) -> None:
    from_json = json.loads(run("status", "yard", "-o", "json").output)
    from_yaml = yaml.safe_load(run("status", "yard", "-o", "yaml").output)

    assert {**from_json, "time": ""} == {**from_yaml, "time": ""}
    assert from_json["apiVersion"] == "cli.edgedetector.dev/v1"
    assert from_json["kind"] == "Status"
    (one,) = from_json["detectors"]
    assert one["state"] == "Ready"
    assert one["cameras"]["list"][0]["name"] == "dock"
    assert one["serving"]["pods"][0]["accelerator"]["utilization"] == 0.4


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {name for entry in value.values() for name in keys(entry)}
    return {name for entry in value for name in keys(entry)} if isinstance(value, list) else set()


@pytest.mark.parametrize(
    "command",
    [
        ("status", "yard"),
        ("top", "yard"),
        ("diagnose",),
        ("tune", "yard", "--history"),
        ("verify-profile", "yard", "--show"),
    ],
    ids=lambda command: command[0],
)
def test_every_field_of_every_document_is_documented(world: World, run: Run, command: tuple[str, ...]) -> None:
    world.gauge(pcieWidth=1.0)
    world.stalled("StreamsReady", "CamerasFailing")
    world.refused["/apis/apps/v1/deployments"] = ForbiddenError("forbidden")

    told = keys(json.loads(run(*command, "-o", "json").output)) - {"people"}

    text = (ROOT / "docs/cli.md").read_text()
    undocumented = {name for name in told if not re.search(rf"[`.]{name}(\[\])?`", text)}
    assert undocumented <= {"what", "why"}, "these stand there as {what, why}"


def test_a_pod_that_does_not_answer_is_named_and_the_rest_shows(world: World, run: Run) -> None:
    world.refused["/api/v1/namespaces/site/pods/yard-triton-1:9090/proxy/state"] = UnreachableError("no route")

    result = run("status", "yard")

    assert result.exit_code == 0
    assert "state of pod yard-triton-1: no route" in result.output
    assert "Cameras   2 of 2" in result.output


def test_an_operator_that_is_gone_is_told_before_anything(world: World, run: Run) -> None:
    world.operators[0]["status"] = {}

    assert run("status", "yard").output.startswith("The operator does not run (edgedetector-system/edgedetector)")


def test_who_may_not_see_the_operator_is_told_nothing_of_it(world: World, run: Run) -> None:
    world.refused["/apis/apps/v1/deployments"] = ForbiddenError("deployments is forbidden")

    output = run("status", "yard").output

    assert "The operator does not run" not in output
    assert "Deployments of the operator: deployments is forbidden" in output


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (UnreachableError("the API server does not answer: ConnectTimeout", "check"), "does not answer"),
        (ForbiddenError("edgedetectors is forbidden", "ask an administrator"), "forbidden; ask an administrator"),
    ],
)
def test_who_cannot_look_ends_in_one_line_and_code_2(world: World, run: Run, refusal: Exception, said: str) -> None:
    world.refused["/apis/edgedetector.dev/v1alpha1/namespaces/site/edgedetectors"] = refusal

    result = run("status", "yard")

    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert said in result.output
    assert len(result.output.splitlines()) == 1


def test_a_name_that_is_not_there_names_those_that_are(run: Run) -> None:
    result = run("status", "yrad")

    assert result.exit_code == 2
    assert "there is no EdgeDetector yrad in namespace site; there is: yard" in result.output


def test_a_detector_that_the_operator_has_not_seen_is_told_so(world: World, run: Run) -> None:
    del world.detector["status"]

    output = run("status", "yard").output

    assert output.startswith("site/yard  Progressing  Pending")
    assert "the operator has not seen it yet" in output


def test_no_secret_is_ever_read_in_full(world: World) -> None:
    world.snapshot()

    assert [path for path in world.asked if path.endswith("/secrets/gate")], "it was asked for, with its head alone"
