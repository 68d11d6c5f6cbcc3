"""A detector that starts at the reference's worst, one instance and no batches, ends tuned.

Its profile is the KS20's with figures that count; its device is emulated.
What answers here is a test double of the card; its figures say nothing about a real one. The load is the detector's
own: its cameras, decoded and inferred.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import cluster as driver
import demo as demo_driver
import onnode
import pause
import sites
import test_denglin_ks20 as ks20
from edgedetector.api import conditions as c
from edgedetector.api import dataplane, names, wire
from edgedetector.api.observation import Observation
from edgedetector.tuning.ledger import Ledger
from forward import forward, serving_pod
from harness import Kubectl, poll

pytestmark = pytest.mark.soak  # tuning takes minutes, and beside hundreds of other pods it is their load that it sees
NAMESPACE = "tuned"
NAME = "card"
PROFILE = "ks20-verified"
CONVERGES_SECONDS = 1500.0
"""Ten minutes on a box of its own; here hundreds of other pods take the processors of two cores."""
REVERTS_SECONDS = 60.0
"""A trial's ttl, 5 s, and what a busy node takes for a load."""
DEVICE = ("--device", "batching", "--set", "compute.fp32.base=40,compute.fp32.per_image=20")
"""Two engines, each takes 40 + 20b ms for a batch of b. One instance without batches does 16 images a second of the 24
that are wanted; what is best by far more. The calibrated KS20 does more than two cores can decode and send, so that
there is nothing to tune."""
CAMERAS = [
    {"name": f"gate-{number}", "url": "rtsp://camera.demo:8554/vtest", "frameRate": {"target": 8}}
    for number in range(3)
]
DETECTOR: dict[str, Any] = {
    **ks20.DETECTOR,
    "metadata": {"name": NAME},
    "spec": {
        **ks20.DETECTOR["spec"],
        "acceleratorProfile": PROFILE,
        "models": [
            {
                **ks20.DETECTOR["spec"]["models"][0],
                "inputs": [{"name": "images", "dims": [3, 640, 640], "dataType": "FP32"}],
                "outputs": [{"name": "output0", "dims": [84, 8400], "dataType": "FP32"}],
            }
        ],
        "serving": {"instances": 1, "preferredBatchSizes": [1]},
        "cameras": CAMERAS,
        "tuning": {
            "mode": "Auto",
            # On two cores, beside everything else, latencies are the node's.
            "objective": {"latency": {"percentile": 90, "max": "2s"}},
            "headroom": {"accelerator": "20%", "cpu": "0%"},
            "bounds": {"instances": {"max": 4}, "acceleratorMemory": "8Gi"},
        },
    },
}
ENGINE = json.dumps({"emulatedEngine": {"precision": "fp32", "maxBatch": 32}})


def verified_profile() -> dict[str, Any]:
    """The shipped profile with figures that count: unverified ones guide no tuner, and memory is one of them.

    No test of it is asked for, since that would find the emulator's in place of the card's.
    """
    spec = json.loads(driver.kubectl("get", "acceleratorprofile", ks20.PROFILE, "-o", "json"))["spec"]
    for metric in spec["exporter"]["metrics"]:
        metric["verified"] = True
    address = f"{names.exporter(PROFILE)}.{driver.SYSTEM_NAMESPACE}.svc:{names.PORT_EXPORTER}"
    spec["triton"]["environment"] = [{"name": "EMULATED_ACCELERATOR_ADDRESS", "value": address}]
    spec["exporter"]["arguments"] += DEVICE
    return {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorProfile",
        "metadata": {"name": PROFILE},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def tuned(demo: Kubectl) -> Iterator[Kubectl]:
    """A namespace with the detector, ready. Module: its tuning takes minutes."""
    ks20.prepare_node()
    driver.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")  # of a run that was interrupted
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(demo_driver.namespace_object(NAMESPACE)))
    kubectl = Kubectl(NAMESPACE)
    engine = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "engine"},
        "data": {"people.engine": ENGINE},
    }
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(verified_profile()))
    kubectl.apply(engine, DETECTOR)
    sites.wait_ready(NAMESPACE, NAME)
    yield kubectl
    driver.kubectl("delete", "namespace", NAMESPACE)
    driver.kubectl("delete", "acceleratorprofile", PROFILE)


def status(kubectl: Kubectl) -> dict[str, Any]:
    """Status of the detector."""
    found: dict[str, Any] = kubectl.get("edgedetector", NAME)["status"]
    return found


def ledger(kubectl: Kubectl) -> Ledger | None:
    """What is on record."""
    found = kubectl.get("configmap", names.tuning(NAME))
    return wire.from_json(Ledger, found["data"][names.FILE_RECORD]) if found else None


def observation() -> Observation:
    """What the pod tells of its load."""
    with forward(NAMESPACE, serving_pod(NAMESPACE, NAME, "gate-0"), names.PORT_DETECTOR) as base:
        text = urllib.request.urlopen(f"{base}/observation", timeout=30).read().decode()
    return wire.from_json(Observation, text)


def failed() -> dict[str, int]:
    """Frames of each model that came to nothing so far."""
    return {model.name: model.failures for model in observation().models}


@pytest.fixture(scope="module")
def failures(tuned: Kubectl) -> dict[str, int]:
    """Those of before anything was tried, while the model was loaded for the first time. Module: asked once."""
    return failed()


def on_trial() -> tuple[str, str]:
    """How the last trial goes, and which it is."""
    said = observation()
    return said.probe_outcome, said.probe_id


def decisions(kubectl: Kubectl) -> list[str]:
    """The story so far."""
    return [f"{line['decision']}: {line['message']}" for line in status(kubectl)["tuning"].get("log", [])]


@pytest.mark.usefixtures("failures")
def test_a_bad_trial_ends_with_the_operator_gone_and_tuning_goes_on_once_it_is_back(
    tuned: Kubectl, operator: Kubectl
) -> None:
    found = poll("a trial that runs", on_trial, lambda seen: seen[0] == "Running", CONVERGES_SECONDS)
    accepted = wire.from_json(
        dataplane.ServingConfig, tuned.get("configmap", names.serving(NAME))["data"][names.FILE_ACCEPTED]
    )
    with pause.stopped(operator):
        # It may have been kept in the moment before the operator ended.
        record = ledger(tuned)
        if record is not None and record.attempt is not None and record.attempt.id == found[1]:
            serving = {accepted.id}
            poll(
                "what is accepted is back",
                lambda: {model.serving_id for model in observation().models},
                lambda ids: ids == serving,
                record.attempt.ttl + REVERTS_SECONDS,
            )
            assert on_trial() == ("Expired", found[1])
    poll(
        "the trial's end is told",
        lambda: decisions(tuned),
        lambda lines: any(line.startswith(("Reverted", "Kept")) for line in lines),
    )


def test_it_ends_tuned_and_the_status_tells_the_story(tuned: Kubectl) -> None:
    spec, marks = tuned.get("edgedetector", NAME)["spec"], sites.marks(NAMESPACE, NAME)
    found = poll(
        "converged",
        lambda: status(tuned),
        lambda seen: seen["tuning"]["phase"] == "Converged",
        CONVERGES_SECONDS,
        every=5.0,
    )
    print("\n".join(decisions(tuned)))
    assert found["serving"]["reason"] == "Tuned"
    assert found["serving"]["message"]
    (model,) = found["serving"]["models"]
    assert (model["instances"], model.get("preferredBatchSizes")) != (1, [1])
    assert float(found["capacity"]["framesPerSecond"]) > 0
    said = {line["decision"] for line in found["tuning"]["log"]}
    assert {"Probed", "Kept", "Converged"} <= said
    assert sites.conditions(NAMESPACE, NAME)[c.TUNING_ACTIVE][:2] == ("True", c.REASON_CONVERGED)
    reasons = {event["reason"] for event in tuned.items("events")}
    assert {"TuningProbed", "TuningKept"} <= reasons
    assert tuned.get("edgedetector", NAME)["spec"] == spec, "nobody but the user writes it"
    assert not sites.touched(marks, sites.marks(NAMESPACE, NAME)), "no container was started again"


def test_what_was_tried_cost_no_request(failures: dict[str, int]) -> None:
    assert failed() == failures


def test_nothing_is_on_trial_and_the_pod_serves_what_is_accepted(tuned: Kubectl) -> None:
    data = tuned.get("configmap", names.serving(NAME))["data"]
    accepted = wire.from_json(dataplane.ServingConfig, data[names.FILE_ACCEPTED])
    assert names.FILE_PROBE not in data
    assert {model.serving_id for model in observation().models} == {accepted.id}


def test_converged_nothing_is_written(tuned: Kubectl) -> None:
    def versions() -> tuple[str, ...]:
        objects = [
            tuned.get("edgedetector", NAME),
            tuned.get("configmap", names.tuning(NAME)),
            tuned.get("configmap", names.serving(NAME)),
        ]
        return tuple(obj["metadata"]["resourceVersion"] for obj in objects)

    def at_rest() -> bool:
        before, until = versions(), time.monotonic() + 60.0
        while time.monotonic() < until:
            if versions() != before:
                return False
            time.sleep(5.0)
        return True

    poll("a minute without a write", at_rest, bool, 600.0)


def test_frozen_and_switched_off_it_serves_as_its_user_says(tuned: Kubectl) -> None:
    def serving() -> tuple[str, str]:
        return status(tuned)["serving"]["reason"], status(tuned)["tuning"]["phase"]

    tuned("annotate", "edgedetector", NAME, f"{names.ANNOTATION_TUNING}={names.FROZEN}")
    poll("frozen", serving, lambda seen: seen == ("Tuned", "Frozen"))
    tuned("annotate", "edgedetector", NAME, f"{names.ANNOTATION_TUNING}-")
    sites.change(NAMESPACE, NAME, tuning={"mode": "Off"})
    poll("off", serving, lambda seen: seen == ("Spec", "Off"))
    poll(
        "the specification's own knobs are served",
        lambda: [(m["instances"], m.get("preferredBatchSizes")) for m in status(tuned)["serving"]["models"]],
        lambda models: models == [(1, [1])],
    )
    sites.change(NAMESPACE, NAME, tuning={"mode": "Auto"})
    poll("what was found is recalled", serving, lambda seen: seen[0] == "Tuned")


def ends(kubectl: Kubectl) -> list[str]:
    """How trials ended so far."""
    return [line for line in decisions(kubectl) if line.startswith(("Kept", "Reverted"))]


def _kill_triton(_: Kubectl) -> None:
    (pod,) = sites.pods(NAMESPACE, NAME, names.COMPONENT_TRITON)
    onnode.kill(pod, "tritonserver")


def _kill_detector(_: Kubectl) -> None:
    (pod,) = sites.pods(NAMESPACE, NAME, names.COMPONENT_TRITON)
    onnode.kill(pod, "edgedetector.detector run")


def _kill_operator(operator: Kubectl) -> None:
    operator("delete", "pods", "-l", "app.kubernetes.io/component=operator", "--force", "--grace-period=0")


def _kill_exporter(operator: Kubectl) -> None:
    exporters = [pod for pod in operator.items("pods") if pod["metadata"]["name"].startswith(names.exporter(PROFILE))]
    assert exporters
    for pod in exporters:
        operator("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0")


def _kill_kubelet(_: Kubectl) -> None:
    onnode.kill_of_node("kubelet")


@pytest.mark.parametrize(
    "kill",
    [_kill_triton, _kill_detector, _kill_operator, _kill_exporter, _kill_kubelet],
    ids=lambda kill: kill.__name__,
)
def test_whatever_dies_in_the_middle_of_a_trial_it_ends_on_what_is_proven(
    tuned: Kubectl, operator: Kubectl, kill: Callable[[Kubectl], None]
) -> None:
    tuned(
        "delete", "configmap", names.tuning(NAME), "--ignore-not-found"
    )  # it begins anew from the specification's knobs
    _, trial = poll("a trial that runs", on_trial, lambda seen: seen[0] == "Running", CONVERGES_SECONDS)
    kill(operator)
    try:
        poll("the trial's end is told", lambda: ends(tuned), bool, CONVERGES_SECONDS)
    finally:
        if kill is _kill_kubelet:
            onnode.revive()
    record = poll(
        "it has converged",
        lambda: ledger(tuned),
        lambda found: found is not None and status(tuned)["tuning"]["phase"] == "Converged",
        CONVERGES_SECONDS,
        every=5.0,
    )
    print("\n".join(decisions(tuned)))
    assert record is not None
    assert record.attempt is None
    data = tuned.get("configmap", names.serving(NAME))["data"]
    assert names.FILE_PROBE not in data
    accepted = wire.from_json(dataplane.ServingConfig, data[names.FILE_ACCEPTED])
    served = poll(
        "the pod serves what is accepted",
        lambda: {model.serving_id for model in observation().models},
        lambda ids: ids == {accepted.id},
        REVERTS_SECONDS,
    )
    assert served == {accepted.id}
    (model,) = status(tuned)["serving"]["models"]
    start = (model["instances"], model.get("preferredBatchSizes")) == (1, [1])
    assert start or any(line.startswith("Kept") for line in ends(tuned)), (
        "what serves was proven in a trial, or is the start"
    )
    assert on_trial() != ("Running", trial)
