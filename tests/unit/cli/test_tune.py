"""`tune` and `verify-profile`: what is shown, and the one annotation that each writes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from tests.unit.cli.worlds import NOW, World, ago, child

from edgedetector.api import names
from edgedetector.api.wire import to_json
from edgedetector.tuning.ledger import Capacity, Ledger, Line
from edgedetector.tuning.window import Knobs

Run = Callable[..., Result]
PATH = "/apis/edgedetector.dev/v1alpha1/namespaces/site/edgedetectors/yard"
ONE, TWO = (Knobs(instances=count, max_batch_size=32, preferred_batch_sizes=(2, 4), max_queue_delay_microseconds=1000)
            for count in (1, 2))  # fmt: skip


def record(world: World, **changes: object) -> None:
    usual = {
        "start": "s",
        "began": NOW.timestamp() - 7200,
        "accepted": {"people": ONE},
        "why": "people: fewer instances; kept",
        "log": (Line(NOW.timestamp() - 7200, "Begun", "tuning begins"), Line(NOW.timestamp(), "Kept", "kept it")),
        "capacity": Capacity(160.0, 10.0),
        "baseline": 100.0,
    }
    text = to_json(Ledger(**(usual | changes)))  # type: ignore[arg-type]
    world.children.append(child("v1", "ConfigMap", "yard-tuning", data={names.FILE_RECORD: text}))


def test_what_is_recommended_is_a_diff(world: World, run: Run) -> None:
    record(world, recommended={"people": TWO})
    world.detector["status"]["tuning"]["recommendation"] = "people: 1 -> 2 instances: 150-170 images/s predicted"

    result = run("tune", "yard", "--dry-run")

    assert result.exit_code == 0
    assert "people: 1 instance, batches up to 32, queue delay 1 ms  (spec.serving: 2 instances" in result.output
    assert "-  instances: 1\n+  instances: 2\n" in result.output
    assert "150-170 images/s predicted" in result.output
    assert world.patches == []


def test_in_mode_auto_it_is_told_how_to_see_what_would_be_done(world: World, run: Run) -> None:
    record(world)

    output = run("tune", "yard", "--dry-run").output

    assert 'patch edgedetector yard --type merge -p \'{"spec": {"tuning": {"mode": "Recommend"}}}\'' in output


def test_a_converged_tuning_promises_no_more(world: World, run: Run) -> None:
    record(world, converged=True)

    assert "nothing that is safe promises more" in run("tune", "yard", "--dry-run").output


def test_history_is_told_oldest_first_with_the_gain(world: World, run: Run) -> None:
    record(world)

    lines = run("tune", "yard", "--history").output.splitlines()

    assert lines[0] == "site/yard  mode Auto, Converged, 1.6 times the first capacity"
    assert lines[1] == f"{ago(7200)}  Begun        tuning begins"
    assert lines[2] == f"{ago(0)}  Kept         kept it"


def test_without_a_record_the_status_tells_the_history(run: Run) -> None:
    found = json.loads(run("tune", "yard", "--history", "-o", "json").output)

    assert [one["decision"] for one in found["log"]] == ["Begun", "Kept"]
    assert found["serving"] == found["specified"]


@pytest.mark.parametrize("text", ["", "{", '{"start": 3}'])
def test_a_record_that_cannot_be_read_is_none(world: World, run: Run, text: str) -> None:
    world.children.append(child("v1", "ConfigMap", "yard-tuning", data={names.FILE_RECORD: text}))

    assert run("tune", "yard", "--dry-run").exit_code == 0


def test_freeze_and_resume_write_the_annotation_and_nothing_else(world: World, run: Run) -> None:
    assert "frozen" in run("tune", "yard", "--freeze").output
    assert "so already" in run("tune", "yard", "--freeze").output
    assert "resumed" in run("tune", "yard", "--resume").output

    assert world.patches == [
        (PATH, {"metadata": {"annotations": {"edgedetector.dev/tuning": "Frozen"}}}),
        (PATH, {"metadata": {"annotations": {"edgedetector.dev/tuning": None}}}),
    ]


def test_who_asks_for_nothing_is_told_what_there_is(run: Run) -> None:
    result = run("tune", "yard")

    assert result.exit_code == 2
    assert "give one of --dry-run, --freeze, --resume and --history" in result.output


# verify-profile


def test_a_test_is_asked_for_with_a_new_text_each_time(world: World, run: Run) -> None:
    run("verify-profile", "yard", "--no-wait")
    run("verify-profile", "yard", "--no-wait")

    (_, first), (_, second) = world.patches
    assert first != second
    assert list(first["metadata"]["annotations"]) == ["edgedetector.dev/verify-profile"]


def test_another_requests_result_is_not_taken_for_ones_own(world: World, run: Run) -> None:
    world.detector["status"]["verification"] = {"observed": "old", "state": "Failed", "message": "old failure"}

    result = run("verify-profile", "yard", "--no-wait")

    assert result.exit_code == 0
    assert "old failure" not in result.output
    assert "the operator has not seen the request yet" in result.output


def test_waiting_ends_with_the_result(world: World, run: Run) -> None:
    """The operator of this test answers at once."""
    told = world.patch

    def answered(path: str, body: dict[str, object]) -> dict[str, object]:
        found = told(path, body)
        request = found["metadata"]["annotations"][names.ANNOTATION_VERIFY]
        found["status"]["verification"] = {"observed": request, "state": "Complete", "message": "see the profile"}
        return found

    world.patch = answered  # type: ignore[method-assign]
    result = run("verify-profile", "yard")

    assert result.exit_code == 0
    assert "test: Complete\n  see the profile" in result.output


def test_show_asks_for_nothing_and_tells_the_evidence(world: World, run: Run) -> None:
    assert world.profile is not None
    finding = {"name": "instanceChangeInPlace", "supported": True, "verified": True, "evidence": "1 -> 2 in place"}
    world.profile["status"]["verification"] = {"capabilities": [finding], "driver": "535"}

    output = run("verify-profile", "yard", "--show").output

    assert world.patches == []
    assert "profile denglin-ks20: Verified" in output
    assert "instanceChangeInPlace    yes            1 -> 2 in place" in output


def test_a_test_that_found_nothing_is_code_1(world: World, run: Run) -> None:
    world.detector["status"]["verification"] = {"observed": "x", "state": "Failed", "message": "no model"}

    assert run("verify-profile", "yard", "--show").exit_code == 1
