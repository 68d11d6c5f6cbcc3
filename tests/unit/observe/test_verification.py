"""How a test of a profile stands, by its Job and its pod."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from tests.unit.api.crds import root, structural

from edgedetector.api import names
from edgedetector.api.verification import Finding, Report, Verification
from edgedetector.api.wire import to_json
from edgedetector.observe import verification
from edgedetector.observe.verification import COMPLETE, FAILED, RUNNING, WAITING
from edgedetector.status import verification as status

AT = "2026-11-23T07:00:00Z"
REPORT = Report("now", "basis", driver="1.0")
DONE = {"terminated": {"exitCode": 0, "message": to_json(REPORT), "finishedAt": AT}}


def job(**status: Any) -> dict[str, Any]:
    labels = {names.LABEL_DETECTOR: "yard", names.LABEL_PROFILE: "denglin-ks20"}
    annotations = {names.ANNOTATION_VERIFY: "now"}
    metadata = {"name": "yard-verify", "namespace": "site", "uid": "j", "labels": labels, "annotations": annotations}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}, "status": status}


def pod(state: dict[str, Any] | None = None, uid: str = "j", made: str = AT, **status: Any) -> dict[str, Any]:
    metadata = {
        "name": f"yard-verify-{made}",
        "uid": "p",
        "creationTimestamp": made,
        "ownerReferences": [{"uid": uid}],
    }
    containers = [{"name": names.CONTAINER_DETECTOR, "state": state}] if state else []
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Pending", "containerStatuses": containers, **status}}


UNSCHEDULABLE = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient denglin.com/gpu.",
            "lastTransitionTime": AT,
        }
    ]
}


@pytest.mark.parametrize(
    ("made", "pods", "state", "words"),
    [
        (job(), [], WAITING, "its pod is not there yet"),
        (job(), [pod(DONE, uid="former")], WAITING, "its pod is not there yet"),
        (job(), [pod(**UNSCHEDULABLE)], WAITING, "Insufficient denglin.com/gpu"),
        (job(), [pod()], WAITING, ""),
        (job(), [pod({"running": {}})], RUNNING, ""),
        (job(), [pod(DONE)], COMPLETE, ""),
        (
            job(),
            [pod({"terminated": {"exitCode": 1, "message": to_json(Report("now", "b", failure="model x: no"))}})],
            FAILED,
            "model x: no",
        ),
        (
            job(),
            [pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})],
            FAILED,
            "it left no report: OOMKilled, exit code 137",
        ),
        (
            job(),
            [pod(phase="Failed", reason="DeadlineExceeded", message="Pod was active on the node longer than allowed")],
            FAILED,
            "Pod was active on the node longer than allowed",
        ),
        (
            job(conditions=[{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]),
            [],
            FAILED,
            "its pod is gone: BackoffLimitExceeded",
        ),
    ],
    ids=[
        *(
            "no pod",
            "another Job's pod",
            "no card",
            "starting",
            "runs",
            "done",
            "found nothing",
            "was killed",
            "too long",
        ),
        "pod gone",
    ],
)
def test_where_it_stands(made: dict[str, Any], pods: list[dict[str, Any]], state: str, words: str) -> None:
    run = verification.run(made, pods)
    assert (run.request, run.profile, run.detector) == ("now", "denglin-ks20", "site/yard")
    assert run.state == state
    assert words in run.message
    assert run.over == (state in {COMPLETE, FAILED})
    assert (run.report is not None) == (state == COMPLETE)


def test_what_it_found_and_when() -> None:
    run = verification.run(job(), [pod(DONE)])
    assert (run.report, run.ended) == (REPORT, AT)


texts = st.text(max_size=300)
findings = st.lists(st.builds(Finding, texts, st.booleans(), st.booleans(), texts), max_size=40).map(tuple)


@given(st.builds(Report, texts, texts, texts, texts, texts, findings, findings))
def test_whatever_a_pod_has_left_the_api_server_takes_it(report: Report) -> None:
    done = {"terminated": {"exitCode": 0, "message": to_json(report), "finishedAt": AT}}
    run = verification.run(job(), [pod(done)])
    document = status.document(status.record(Verification(), [run]))
    found: dict[str, Any] = root("acceleratorprofiles")["properties"]["status"]["properties"]["verification"]
    assert list(Draft7Validator(structural(found)).iter_errors(document)) == []
    for kind in ("capabilities", "metrics"):
        told = [one["name"] for one in document.get(kind, [])]
        assert len(told) == len(set(told)), "a map by name"


def test_what_is_lacking_is_known() -> None:
    run = verification.run(job(), [pod(**UNSCHEDULABLE)])
    assert run.problem is not None
    assert run.problem.lacking == ("denglin.com/gpu",)


def test_a_server_that_never_came_up_is_named_where_time_ran_out() -> None:
    """The kubelet starts the test only when Triton, a sidecar, has passed its startup probe."""
    sidecar = {
        "name": names.CONTAINER_TRITON,
        "restartCount": 5,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "message": "cannot open /dev/denglin0: Permission denied"}},
    }
    failed = pod(phase="Failed", message="Pod was active too long", initContainerStatuses=[sidecar])
    run = verification.run(job(), [failed])
    assert run.state == FAILED
    assert run.message == ("Pod was active too long: container triton: cannot open /dev/denglin0: Permission denied")
