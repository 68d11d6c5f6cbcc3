"""An upgrade of the operator on the real node: pods that run are not touched, and detections go on.

What becomes of the objects of the first release is tested on a bare API server (`test_chart.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import api
import cluster as driver
import sites
from edgedetector.api import names
from edgedetector.cluster import held
from frames import watch
from harness import Kubectl, poll

DETECTOR, CAMERA = "yard", "gate"
SEEN_FROM_ELSEWHERE = "docker.io/"
"""The same images under another name: containerd completes a name without a registry with this one."""


def templates() -> set[str]:
    """Hashes of the pod templates that the demo's pods were made from; an autoscaler's pods have the same."""
    pods = sites.pods(driver.DEMO_NAMESPACE, DETECTOR)
    return {pod["metadata"]["labels"]["pod-template-hash"] for pod in pods}


def records() -> dict[str, held.Record | None]:
    """What the demo's workloads remember."""
    found = api.children(driver.DEMO_NAMESPACE, DETECTOR, [("apps/v1", "Deployment")])
    return {name: held.record(obj) for (_, name), obj in found.items()}


@pytest.fixture
def another_release(demo: Kubectl, images: dict[str, str], operator: Kubectl) -> Iterator[str]:
    """The operator and the detector under other names, as another release has them; the old ones come back."""
    (deployment,) = operator.items("deployments", "--selector", f"{names.LABEL_NAME}={names.OPERATOR}")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    kept = "imageReplacements=" + environment["EDGEDETECTOR_IMAGE_REPLACEMENTS"]
    other = {key: SEEN_FROM_ELSEWHERE + images[key] for key in ("operator", "detector")}
    driver.install(images | other, kept, 'workloads.upgradePolicy="OnNextChange"')
    yield other["operator"]
    driver.install(images, kept, f"workloads.upgradePolicy={json.dumps(environment['EDGEDETECTOR_UPGRADE_POLICY'])}")


def test_an_upgrade_replaces_no_pod_and_detections_go_on(demo: Kubectl, request: pytest.FixtureRequest) -> None:
    before, made_from = sites.marks(driver.DEMO_NAMESPACE, DETECTOR), templates()
    with watch(driver.DEMO_NAMESPACE, DETECTOR, CAMERA) as frames:
        release = request.getfixturevalue("another_release")
        poll(
            "applied by the new release", records, lambda found: all(r and r.release == release for r in found.values())
        )
        assert all(record and record.held for record in records().values()), "it would run another detector image"
        frames.wait(CAMERA, frames.mark(), 20)
    poll("Ready", lambda: demo.get("edgedetector", DETECTOR)["status"]["conditions"], _is_ready)
    assert sites.touched(before, sites.marks(driver.DEMO_NAMESPACE, DETECTOR)) == {}
    assert templates() == made_from


def _is_ready(conditions: list[dict[str, str]]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
