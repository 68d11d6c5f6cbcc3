"""The command `diagnose`: what it prints, and with which code it ends."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from tests.unit.cli.worlds import ROOT, World

from edgedetector.cli import schema
from edgedetector.cli.errors import UnreachableError

Run = Callable[..., Result]
SAMPLE = str(ROOT / "manifests/samples/denglin-ks20.yaml")


def test_nothing_found_is_code_0(run: Run) -> None:
    result = run("diagnose")

    assert result.exit_code == 0
    assert result.output == "nothing found in 1 EdgeDetector\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "there is no EdgeDetector in namespace site; --all-namespaces looks in all\n"),
        (("-A",), "there is no EdgeDetector in any namespace\n"),
    ],
)
def test_where_there_is_no_edgedetector_it_is_told_and_is_code_0(
    world: World, run: Run, flags: tuple[str, ...], said: str
) -> None:
    world.detector = {}

    result = run("diagnose", *flags)

    assert result.exit_code == 0
    assert result.output == said


def test_a_finding_is_code_1_with_evidence_remedy_and_page(world: World, run: Run) -> None:
    world.gauge(pcieWidth=1.0)

    result = run("diagnose", "yard")

    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == "Warning ED0601  The accelerator has too few PCIe lanes"
    assert lines[1] == "  Pod site/yard-triton-1"
    assert lines[2].startswith("  seen:   the card is linked with x1")
    assert lines[3].startswith("  remedy: reseat the card")
    assert lines[4] == "  page:   docs/codes/ED0601.md"
    assert lines[-1] == "0 errors, 1 warnings, 0 notes in 1 EdgeDetector"


@pytest.mark.parametrize(("threshold", "code"), [("error", 0), ("warning", 1), ("info", 1)])
def test_the_threshold_decides_about_the_exit_code(world: World, run: Run, threshold: str, code: int) -> None:
    world.gauge(pcieWidth=1.0)

    assert run("diagnose", "--failure-threshold", threshold).exit_code == code


def test_a_note_alone_is_code_0(world: World, run: Run) -> None:
    world.detector["spec"]["suspend"] = True

    result = run("diagnose")

    assert result.exit_code == 0
    assert "ED0017" in result.output


def test_errors_come_before_warnings(world: World, run: Run) -> None:
    world.gauge(pcieWidth=1.0)
    world.camera("gate", state="Failing", detecting=False)

    found = json.loads(run("diagnose", "-o", "json").output)

    assert [one["code"] for one in found["findings"]] == ["ED0502", "ED0601"]
    assert found["kind"] == "Diagnosis"
    assert found["summary"] == {"looked": 1, "errors": 1, "warnings": 1, "infos": 0}


def test_who_cannot_look_ends_with_code_2(world: World, run: Run) -> None:
    world.refused["/apis/edgedetector.dev/v1alpha1/namespaces/site/edgedetectors"] = UnreachableError("gone")

    assert run("diagnose").exit_code == 2


def test_what_was_not_seen_is_told_and_is_no_finding(world: World, run: Run) -> None:
    world.refused["/api/v1/nodes"] = UnreachableError("gone")

    result = run("diagnose")

    assert result.exit_code == 0
    assert "Not seen:\n  nodes: gone" in result.output


def test_files_need_no_cluster(run: Run, world: World) -> None:
    result = run("diagnose", "-f", SAMPLE)

    assert result.exit_code == 0
    assert world.asked == []


def test_a_directory_and_standard_input_are_files_too(run: Run, tmp_path: Path) -> None:
    wrong = yaml.safe_load(Path(SAMPLE).read_text())
    wrong["spec"]["scaling"]["minReplicas"] = 9
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/yard.yml").write_text(yaml.safe_dump(wrong))

    assert run("diagnose", "-f", str(tmp_path)).exit_code == 1
    assert "ED0003" in run("diagnose", "-f", "-", stdin=yaml.safe_dump(wrong)).output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: [", "is no YAML"),
        ("kind: Deployment", "there is no EdgeDetector in what was given"),
        ("", "there is no EdgeDetector in what was given"),
    ],
)
def test_what_is_no_edgedetector_is_code_2(run: Run, text: str, said: str) -> None:
    result = run("diagnose", "-f", "-", stdin=text)

    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1


def test_a_file_that_is_not_there_is_code_2(run: Run) -> None:
    result = run("diagnose", "-f", "/nowhere.yaml")

    assert result.exit_code == 2
    assert "No such file" in result.output


def test_a_name_and_a_file_contradict_each_other(run: Run) -> None:
    assert run("diagnose", "yard", "-f", SAMPLE).exit_code == 2


def test_the_shipped_definitions_are_those_of_the_repository() -> None:
    """Where this fails: cp crds/*.yaml operator/edgedetector/cli/definitions/."""
    shipped, source = Path(schema.__file__).parent / "definitions", ROOT / "crds"
    names = sorted(path.name for path in source.glob("*.yaml"))

    assert sorted(path.name for path in shipped.glob("*.yaml")) == names
    assert filecmp.cmpfiles(source, shipped, names, shallow=False)[0] == names


def test_a_misspelt_field_names_the_one_that_was_meant(run: Run) -> None:
    wrong = yaml.safe_load(Path(SAMPLE).read_text())
    wrong["spec"]["cameras"][0]["priorty"] = 3

    output = run("diagnose", "-f", "-", stdin=yaml.safe_dump(wrong)).output

    assert "spec.cameras[0].priorty is no field" in output
    assert "remedy: write priority" in output


def test_two_cameras_of_one_name_are_told(run: Run) -> None:
    wrong = yaml.safe_load(Path(SAMPLE).read_text())
    wrong["spec"]["cameras"][1]["name"] = "gate"

    assert "spec.cameras[gate] is there twice" in run("diagnose", "-f", "-", stdin=yaml.safe_dump(wrong)).output
