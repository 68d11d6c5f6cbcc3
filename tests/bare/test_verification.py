"""A test of a profile before a real API server: asked for, run once, recorded, answered and gone.

Nobody runs Jobs here. What the Job's controller and the kubelet would write is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bench.reconcile import rig
from tests import apiserver as bare

from edgedetector.api import names
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.verification import Finding, Report
from edgedetector.api.wire import to_json
from edgedetector.cluster import kinds

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
PROFILE = kinds.ACCELERATOR_PROFILE.path(name=rig.PROFILE)


@pytest.fixture(scope="module")
def server() -> Iterator[bare.Server]:
    """A server with an operator. Module: it takes a while."""
    with bare.start() as running:
        rig.install(running)
        with rig.operator(running):
            rig.await_profiles(running)
            yield running


def ask(server: bare.Server, obj: Object, text: str) -> None:
    server.request("PATCH", server.path(obj), {"metadata": {"annotations": {names.ANNOTATION_VERIFY: text}}}, MERGE)


def told(server: bare.Server, obj: Object) -> Object:
    """What the detector says of the test that it asks for."""
    return dict((server.get(server.path(obj)) or {}).get("status", {}).get("verification", {}))


def end(server: bare.Server, job: Object, number: int) -> None:
    """Let the Job's pod end with a report, as the kubelet tells it."""
    metadata, template = job["metadata"], job["spec"]["template"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
    name = f"{metadata['name']}-{number}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner],
        },
        "spec": {"restartPolicy": "Never", "containers": [{"name": names.CONTAINER_DETECTOR, "image": "x:1"}]},
    }
    server.apply(pod)
    profile = AcceleratorProfile.parse({key: value for key, value in server.get(PROFILE).items() if key != "status"})
    found = Finding("instanceChangeInPlace", supported=False, verified=True, evidence="1 -> 2 by reload")
    report = Report(f"request {number}", profile.spec.basis, "", "2.51.0", "people", (found,))
    at = f"2026-11-23T07:00:0{number}Z"
    ended = {"exitCode": 0, "reason": "Completed", "message": to_json(report), "startedAt": at, "finishedAt": at}
    container = {"name": names.CONTAINER_DETECTOR, "image": "x:1", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": "Succeeded", "containerStatuses": [container | {"state": {"terminated": ended}}]}
    server.request("PATCH", f"{server.path(pod)}/status", {"status": status}, MERGE)


def test_it_is_run_once_recorded_answered_and_gone_and_again_for_another_text(server: bare.Server) -> None:
    obj = rig.detector(7)
    place, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    server.apply(obj)
    path = kinds.JOB.path(place, names.verification(name))
    for number in (1, 2):
        ask(server, obj, f"request {number}")
        bare.until("the Job is there", lambda: server.get(path))
        job = server.get(path)
        bare.until("status says so", lambda: told(server, obj).get("state") == "Waiting")
        # Another pass over the same Job writes nothing: its template could not be changed.
        scale = {"spec": {"scaling": {"targetCPUUtilization": 70 + number}}}
        server.request("PATCH", server.path(obj), scale, MERGE)
        generation = server.get(server.path(obj))["metadata"]["generation"]

        def applied(wanted: int = generation) -> bool:
            return bool(server.get(server.path(obj))["status"].get("appliedGeneration") == wanted)

        bare.until("the edit is applied", applied)
        assert server.get(path)["metadata"]["resourceVersion"] == job["metadata"]["resourceVersion"]

        end(server, job, number)
        bare.until("it is answered", lambda: told(server, obj).get("state") == "Complete")
        assert told(server, obj)["observed"] == f"request {number}"
        bare.until("the Job is gone", lambda: server.get(path) is None)
        status = server.get(PROFILE)["status"]
        assert status["verification"]["observed"] == f"request {number}"
        assert status["verification"]["detector"] == f"{place}/{name}"
        (verified,) = [one for one in status["conditions"] if one["type"] == "Verified"]
        assert verified["status"] == "True"
        assert "instanceChangeInPlace no" in verified["message"]
