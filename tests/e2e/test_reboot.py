"""The power fails while the site is cut off and no operator runs: detections come back, from what is on the disk."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
import urllib3
import yaml

import cluster as driver
import modelserver
import pause
import sites
from edgedetector.api import names
from events import events
from forward import forward
from harness import Kubectl, poll
from stages import ROOT

# Behind all others: extended resources of the node and whatever else they have set up is gone after it.
pytestmark = pytest.mark.last

NAMESPACE: Final = "reboot"
PEOPLE: Final = (ROOT / "demo" / "people" / "model.py").read_text()
SAMPLE: Final = ROOT / "manifests" / "samples" / "cpu.yaml"
SECONDS: Final = 240.0
"""For the whole node with everything that other tests have left on it to start on two cores."""


@pytest.fixture
def site(demo: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """A detector whose model came over HTTPS, and the server that it came from."""
    if driver.existing():
        pytest.skip("nobody cuts the power of a cluster that is not ours")
    kubectl = Kubectl(NAMESPACE)
    sites.namespace(NAMESPACE)
    server = modelserver.start(kubectl, images["detector"])
    source = server.source("people.py", server.holds("people.py", PEOPLE))
    model = yaml.safe_load(SAMPLE.read_text())["spec"]["models"][0] | {"source": source}
    kubectl.apply(sites.detector("yard", {"name": "gate", "url": "rtsp://camera.demo:8554/vtest"}, models=[model]))
    sites.wait_ready(NAMESPACE, "yard")
    assert server.asked("people.py") == 1
    yield kubectl
    kubectl("delete", "edgedetectors", "--all")
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def pod() -> dict[str, Any]:
    (found,) = sites.pods(NAMESPACE, "yard", names.COMPONENT_TRITON)
    return found


def people() -> int:
    """How many the detector finds within some seconds; 0 while nobody answers."""
    try:
        with forward(NAMESPACE, f"pod/{pod()['metadata']['name']}", names.PORT_DETECTOR_EVENTS) as base:
            return sum(len(event["detections"]) for event in events(base, 3.0))
    except (OSError, urllib3.exceptions.HTTPError):
        return 0


def boot_times() -> dict[str, str]:
    """When each container of the pod was started last."""
    status = pod()["status"]
    every = [*status["initContainerStatuses"], *status["containerStatuses"]]
    return {item["name"]: json.dumps(item["state"]) for item in every}


def test_detections_come_back_after_a_power_cut_without_network_and_operator(site: Kubectl, operator: Kubectl) -> None:
    modelserver.stop(site)
    before, started = pod(), boot_times()
    with pause.stopped(operator):
        subprocess.run([str(driver.kind_executable()), "reboot", "--name", driver.NAME], check=True)
        at = time.monotonic()
        poll("people again", people, lambda count: count > 0, SECONDS)
        print(f"detections {time.monotonic() - at:.0f} s after the node's programs were started")
        assert operator.items("pods", "-l", f"{names.LABEL_NAME}={names.OPERATOR}") == [], "it had no part in it"
        assert pod()["metadata"]["uid"] == before["metadata"]["uid"]
        assert not set(started.items()) & set(boot_times().items()), "every container was started anew"
        fetching = site("logs", pod()["metadata"]["name"], "-c", names.CONTAINER_MODEL_FETCH)
        assert fetching.strip() == "", "nothing was fetched, and nothing was tried"
    sites.wait_ready(NAMESPACE, "yard")
