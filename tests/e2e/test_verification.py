"""A profile's capabilities tested on the card, from asking to a changed driver.

The card is the emulated one: what is found of it says how the test works, and nothing about a real KS20.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import card
import cluster as driver
import demo as demo_driver
from edgedetector import profiles
from edgedetector.api import names
from harness import Kubectl, poll
from test_denglin_ks20 import DETECTOR, ENGINE, NODE_FEATURE, RESOURCE

PROFILE = "tested-ks20"  # a copy, since what is found of the shipped one would stay with it
PLACE = "verification"
EXPORTER = names.exporter(PROFILE)
DRIVER = "EMULATED-1.0"
NEWER = "EMULATED-2.0"


def profile() -> dict[str, Any]:
    """Return the shipped profile under another name, with its Triton looking for its own exporter's device."""
    shipped = next(obj for obj in profiles.load() if obj["metadata"]["name"] == "denglin-ks20")
    address = f"{EXPORTER}.{driver.SYSTEM_NAMESPACE}.svc:{names.PORT_EXPORTER}"
    variable = {"name": "EMULATED_ACCELERATOR_ADDRESS", "value": address}
    triton = {**shipped["spec"]["triton"], "environment": [variable]}
    return {**shipped, "metadata": {"name": PROFILE}, "spec": {**shipped["spec"], "triton": triton}}


@pytest.fixture(scope="module")
def site(demo: Kubectl) -> Iterator[Kubectl]:
    """A namespace with an EdgeDetector on the copied profile; the node has one card as far as the scheduler knows."""
    node = json.loads(driver.kubectl("get", "nodes", "-o", "json"))["items"][0]["metadata"]["name"]
    driver.kubectl("label", "node", node, f"{NODE_FEATURE}=true", "--overwrite")
    driver.kubectl(
        "patch", "node", node, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": {"capacity": {RESOURCE: "1"}, "allocatable": {RESOURCE: "1"}}}),
    )  # fmt: skip
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "denglin"}}
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(runtime | {"handler": "denglin"}))
    for kind, name in (("namespace", PLACE), ("acceleratorprofile", PROFILE)):  # of a run that was interrupted
        driver.kubectl("delete", kind, name, "--ignore-not-found")
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(demo_driver.namespace_object(PLACE)))
    kubectl = Kubectl(PLACE)
    data = {"people.engine": ENGINE}
    engine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "engine"}, "data": data}
    kubectl.apply(profile())
    kubectl.apply(engine, {**DETECTOR, "spec": {**DETECTOR["spec"], "acceleratorProfile": PROFILE}})
    yield kubectl
    driver.kubectl("delete", "namespace", PLACE)
    driver.kubectl("delete", "acceleratorprofile", PROFILE)


def status_of_profile() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(driver.kubectl("get", "acceleratorprofile", PROFILE, "-o", "json"))
    return dict(found.get("status", {}))


def verified() -> tuple[str, str, str]:
    """Status, reason and message of the profile's condition."""
    told = status_of_profile().get("conditions", [])
    return next(((c["status"], c["reason"], c["message"]) for c in told if c["type"] == "Verified"), ("", "", ""))


def verification(site: Kubectl) -> dict[str, Any]:
    """What the detector says of the test that it asks for."""
    return dict((site.get("edgedetector", "ks20") or {}).get("status", {}).get("verification", {}))


def ready(site: Kubectl) -> str:
    told = (site.get("edgedetector", "ks20") or {}).get("status", {}).get("conditions", [])
    return next((c["status"] for c in told if c["type"] == "Ready"), "")


def suspend(site: Kubectl, *, on: bool) -> None:
    site("patch", "edgedetector", "ks20", "--type=merge", "-p", json.dumps({"spec": {"suspend": on}}))


def replace_driver(version: str) -> None:
    """Have the emulated device say that it has another driver."""
    card.configure(PROFILE, set={"driver": version})


def test_what_a_card_can_do_is_found_out_once_and_counts_until_its_driver_changes(site: Kubectl) -> None:
    poll("Ready", lambda: ready(site), lambda status: status == "True")
    assert verified()[:2] == ("False", "NeverVerified")

    # The only card is taken by the detector itself, and its status says what helps.
    site("annotate", "edgedetector", "ks20", f"{names.ANNOTATION_VERIFY}=first")
    said = poll(
        "who has the card", lambda: verification(site), lambda found: "spec.suspend" in found.get("message", "")
    )
    assert (said["observed"], said["state"]) == ("first", "Waiting")
    (job,) = site.items("jobs")
    assert ready(site) == "True", "a test that waits harms nobody"

    suspend(site, on=True)
    poll(
        "the test has run", lambda: verification(site), lambda found: found.get("state") in {"Complete", "Failed"}, 400
    )
    said = verification(site)
    assert said["state"] == "Complete", said
    status, reason, message = verified()
    assert (status, reason) == ("True", "Verified"), message
    found = status_of_profile()["verification"]
    assert (found["observed"], found["detector"], found["driver"]) == ("first", f"{PLACE}/ks20", DRIVER)
    known = {one["name"]: one for one in found["capabilities"]}
    # The emulated card's Triton is 24.10, whatever release the profile names: in place.
    assert known["instanceChangeInPlace"]["evidence"].startswith("in place: 1 -> 2 -> 4 -> 2"), known
    tested = {name for name, one in known.items() if one["verified"]}
    assert tested == {"instanceChangeInPlace", "coexistingReload", "memoryKnown", "nonRoot", "sharedMemory"}, known
    assert known["nonRoot"]["supported"], known
    assert known["sharedMemory"]["supported"], known
    assert not known["memoryKnown"]["supported"], "this exporter tells no total"
    poll("the Job is gone", lambda: site.items("jobs"), lambda jobs: not jobs)

    # With the detector back the figures that were verified reach the pods, and the test is not run again.
    suspend(site, on=False)
    poll("Ready", lambda: ready(site), lambda status: status == "True")
    config = json.loads(site.get("configmap", names.detector_config("ks20"))["data"][names.FILE_DETECTOR])
    assert {one["name"] for one in config["accelerator"]["metrics"]} == {
        "utilization",
        "temperature",
        "memoryUsed",
        "power",
    }
    assert verified()[0] == "True"
    assert not [one for one in site.items("jobs") if one["metadata"]["uid"] != job["metadata"]["uid"]]

    replace_driver(NEWER)
    _, _, message = poll("unverified", verified, lambda told: told[:2] == ("False", "DriverChanged"))
    assert f"driver {NEWER} is in use, and the test was made with driver {DRIVER}" in message
    assert "verify-profile" in message

    def asked() -> set[str]:
        held = json.loads(site.get("configmap", names.detector_config("ks20"))["data"][names.FILE_DETECTOR])
        return {one["name"] for one in held["accelerator"]["metrics"]}

    poll("its figures press on no camera any more", asked, lambda found: not found)

    replace_driver(DRIVER)
    poll("what was seen counts again", verified, lambda told: told[0] == "True")
