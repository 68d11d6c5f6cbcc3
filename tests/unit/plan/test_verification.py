"""The test of a profile as a Job: the inference pod of its detector, without whatever a test has no business with."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest
from tests.unit.plan import scenarios, test_pods
from tests.unit.plan.scenarios import child, children, detector, minimal
from tests.unit.plan.test_golden import DETECTORS
from tests.unit.plan.test_pods import containers, pod_of

from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.verification import Task
from edgedetector.api.wire import from_json
from edgedetector.plan import verification_children
from edgedetector.plan.verification import DEADLINE

RESOURCE = "denglin.com/gpu"
REQUEST = "2026-11-23T07:00:00Z"


def made(wanted: EdgeDetector) -> list[dict[str, Any]]:
    profile = scenarios.PROFILES[wanted.spec.accelerator_profile]
    return list(verification_children(wanted, profile, scenarios.SETTINGS, REQUEST))


def job(wanted: EdgeDetector) -> dict[str, Any]:
    return child(made(wanted), "Job", f"{wanted.name}-verify")


SAMPLE = scenarios.load(DETECTORS["sample-denglin-ks20"])


@pytest.mark.parametrize("name", DETECTORS)
def test_they_are_valid_restricted_and_not_there_unless_somebody_asks(name: str) -> None:
    wanted = scenarios.load(DETECTORS[name])
    for obj in made(wanted):
        kubernetes_validate.validate(obj, "1.30", strict=True)
    test_pods.test_restricted(job(wanted))
    assert not [obj for obj in children(wanted) if obj["kind"] == "Job"]


def test_it_takes_a_card_and_everything_that_triton_has_there_as_the_inference_pod_does() -> None:
    serving = pod_of(child(children(SAMPLE), "Deployment", names.triton(SAMPLE.name)))
    testing = pod_of(job(SAMPLE))
    sidecar = next(one for one in testing["initContainers"] if one["name"] == names.CONTAINER_TRITON)
    server = next(one for one in serving["containers"] if one["name"] == names.CONTAINER_TRITON)
    assert sidecar == {**server, "restartPolicy": "Always"}
    assert sidecar["resources"]["limits"][RESOURCE] == "1"
    for field in ("runtimeClassName", "nodeSelector", "tolerations", "securityContext"):
        assert testing[field] == serving[field], field
    assert [one["name"] for one in testing["containers"]] == [names.CONTAINER_DETECTOR]
    order = [one["name"] for one in testing["initContainers"]]
    assert order.index(names.CONTAINER_MODEL_REPOSITORY) < order.index(names.CONTAINER_TRITON)


def test_it_ends_is_tried_once_and_waits_for_a_card_as_long_as_it_takes() -> None:
    spec = job(SAMPLE)["spec"]
    pod = spec["template"]["spec"]
    assert (spec["backoffLimit"], pod["restartPolicy"], pod["activeDeadlineSeconds"]) == (0, "Never", DEADLINE)
    assert "activeDeadlineSeconds" not in spec, "its clock runs while the card is taken"


def test_it_has_no_secrets_no_spool_no_priority_and_no_second_device() -> None:
    outputs = {
        "mqtt": {"url": "mqtts://broker.site-a:8883", "credentialsSecretRef": {"name": "broker"}},
        "webhook": {"url": "https://hooks.example/x", "tokenSecretRef": {"name": "hook"}},
    }
    wanted = detector("yard", minimal(outputs=outputs, priorityClassName="cameras"))
    pod = pod_of(job(wanted))
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert not [volume for volume in pod["volumes"] if "secret" in volume]
    assert "spool" not in volumes
    assert {mount["name"] for one in containers(pod) for mount in one["volumeMounts"]} == volumes
    assert "priorityClassName" not in pod
    (program,) = pod["containers"]
    assert not [name for kinds in program["resources"].values() for name in kinds if "/" in name]


def test_no_service_and_no_policy_of_the_inference_pods_takes_its_pod_for_one_of_them() -> None:
    labels = job(SAMPLE)["spec"]["template"]["metadata"]["labels"]
    for obj in children(SAMPLE):
        spec = obj.get("spec", {})
        found = spec.get("podSelector", spec.get("selector"))
        chosen = (found or {}).get("matchLabels", found) or {}
        if obj["kind"] in {"Service", "NetworkPolicy", "PodDisruptionBudget", "Deployment"}:
            assert chosen, obj["kind"]
            assert not chosen.items() <= labels.items(), obj["metadata"]["name"]
    policy = child(made(SAMPLE), "NetworkPolicy", f"{SAMPLE.name}-verify")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert "ingress" not in policy
    assert "Ingress" in policy["policyTypes"], "nobody is let in"


def test_what_it_is_to_do_is_in_its_environment_with_all_figures_of_the_exporter() -> None:
    (program,) = pod_of(job(SAMPLE))["containers"]
    assert program["command"][-1] == "verify"
    (variable,) = program["env"]
    task = from_json(Task, variable["value"])
    profile = scenarios.PROFILES["denglin-ks20"].spec
    assert (variable["name"], task.request, task.basis) == (names.VARIABLE_VERIFICATION, REQUEST, profile.basis)
    assert {one.name for one in task.metrics} == {"utilization", "memoryUsed", "temperature", "power"}
    assert next(one.factor for one in task.metrics if one.name == "utilization") == 0.01
    assert task.driver.label == "DCGM_FI_DRIVER_VERSION"
    assert task.exporter.startswith("http://edgedetector-exporter-denglin-ks20.edgedetector-system.svc:9400")


def test_without_an_exporter_there_is_nobody_to_ask() -> None:
    (program,) = pod_of(job(detector("yard", minimal())))["containers"]
    assert json.loads(program["env"][0]["value"])["exporter"] == ""
