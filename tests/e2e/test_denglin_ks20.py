"""The `denglin-ks20` profile as shipped, on the emulated accelerator: images are replaced and nothing else.

What answers here is a test double of the card; its figures say nothing about a real one.
"""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

import cluster as driver
import demo as demo_driver
import frames
from edgedetector.api import dataplane, names, wire
from forward import forward, serving_pod
from harness import Kubectl, poll
from prometheus import prometheus

PROFILE = "denglin-ks20"
RESOURCE = "denglin.com/gpu"
NODE_FEATURE = "feature.node.kubernetes.io/pci-0b40_1e27.present"
ENGINE = json.dumps({"emulatedEngine": {"precision": "fp16", "maxBatch": 32}})
DETECTOR: dict[str, Any] = {
    "apiVersion": names.API_VERSION,
    "kind": "EdgeDetector",
    "metadata": {"name": "ks20"},
    "spec": {
        "acceleratorProfile": PROFILE,
        "models": [
            {
                "name": "people",
                "source": {"configMap": {"name": "engine"}},
                "maxBatchSize": 32,
                "inputs": [{"name": "images", "dims": [3, 640, 640], "dataType": "FP16"}],
                "outputs": [{"name": "output0", "dims": [84, 8400], "dataType": "FP16"}],
                "decoder": {"type": "yolov8", "labels": ["person"]},
            }
        ],
        "resources": {"triton": {"requests": {"cpu": "100m"}}},  # beside the demo on two cores
        "degradation": {"enabled": False},  # hundreds of tests keep the node busier than a box should be
        "tuning": {"mode": "Off"},  # test_tuning.py
        "serving": {"instances": 2, "preferredBatchSizes": [2, 4, 8], "maxQueueDelay": "1ms"},
        "cameras": [
            {"name": "gate", "url": "rtsp://camera.demo:8554/vtest", "models": ["people"], "frameRate": {"target": 5}}
        ],
    },
}


def prepare_node() -> None:
    """Let the node have one card as far as the scheduler knows, and a RuntimeClass of the vendor's name."""
    node = json.loads(driver.kubectl("get", "nodes", "-o", "json"))["items"][0]["metadata"]["name"]
    driver.kubectl("label", "node", node, f"{NODE_FEATURE}=true", "--overwrite")
    driver.kubectl(
        "patch", "node", node, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": {"capacity": {RESOURCE: "1"}, "allocatable": {RESOURCE: "1"}}}),
    )  # fmt: skip
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "denglin"}}
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(runtime | {"handler": "denglin"}))


@pytest.fixture(scope="module")
def ks20(demo: Kubectl) -> Iterator[Kubectl]:
    """A namespace with an EdgeDetector on the KS20 profile."""
    prepare_node()
    driver.kubectl("delete", "namespace", "ks20", "--ignore-not-found")  # of a run that was interrupted
    driver.kubectl("apply", "-f", "-", stdin=json.dumps(demo_driver.namespace_object("ks20")))
    kubectl = Kubectl("ks20")
    engine = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "engine"},
        "data": {"people.engine": ENGINE},
    }
    kubectl.apply(engine, DETECTOR)
    yield kubectl
    driver.kubectl("delete", "namespace", "ks20")


def test_detections_flow_through_the_card(ks20: Kubectl) -> None:
    def ready() -> Any:
        status = (ks20.get("edgedetector", "ks20") or {}).get("status", {})
        return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status.get("conditions", [])}

    poll("Ready", ready, lambda conditions: conditions.get("Ready", ("",))[0] == "True")
    taken: list[dict[str, Any]] = []
    with frames.follow("ks20", "ks20", taken.append):
        seen = poll("30 frames", lambda: list(taken), lambda found: len(found) >= 30)
    assert {event["camera"] for event in seen} == {"gate"}


def test_the_pod_asks_for_what_the_profile_says(ks20: Kubectl) -> None:
    profile = json.loads(driver.kubectl("get", "acceleratorprofile", PROFILE, "-o", "json"))["spec"]
    pod = poll("a pod", lambda: ks20.items("pods", "-l", f"{names.LABEL_COMPONENT}=triton"), len)[0]
    container = next(c for c in pod["spec"]["containers"] if c["name"] == names.CONTAINER_TRITON)
    assert container["resources"]["limits"][RESOURCE] == "1"
    assert pod["spec"]["runtimeClassName"] == profile["runtimeClassName"] == "denglin"
    assert pod["spec"]["nodeSelector"] == profile["nodeSelector"]
    assert {t["key"] for t in profile["tolerations"]} <= {t["key"] for t in pod["spec"]["tolerations"]}


def test_the_model_configuration_names_the_vendors_backend(ks20: Kubectl) -> None:
    config = ks20.get("configmap", names.serving("ks20"))["data"][names.FILE_ACCEPTED]
    (model,) = wire.from_json(dataplane.ServingConfig, config).models
    assert 'backend: "dlnne"' in model.config
    assert "KIND_MODEL" in model.config
    assert "people.engine" in model.config
    assert (model.instances, model.preferred_batch_sizes) == (2, (2, 4, 8))


def test_figures_that_nobody_has_verified_press_on_no_camera(ks20: Kubectl) -> None:
    signals = ("Accelerator", "Temperature")

    def known() -> dict[str, float]:
        with forward("ks20", serving_pod("ks20", "ks20", "gate"), names.PORT_DETECTOR) as base:
            text = urllib.request.urlopen(f"{base}/metrics", timeout=30).read().decode()
        lines = [line.rpartition(" ") for line in text.splitlines()]
        series = {f'edgedetector_pressure_ratio{{signal="{signal}"}}': signal for signal in signals}
        return {series[name]: float(value) for name, _, value in lines if name in series}

    found = poll("its figures", known, lambda found: len(found) == 2)
    assert all(math.isnan(value) for value in found.values())


def test_prometheus_reads_the_exporter_under_the_vendors_names(ks20: Kubectl) -> None:
    with prometheus() as server:
        used = poll("utilisation", lambda: server.query("DCGM_FI_DEV_GPU_UTIL > 0"), len)
        memory = poll("memory", lambda: server.query("DCGM_FI_DEV_FB_USED > 0"), len)
    assert 0 < float(used[0]["value"][1]) <= 100
    assert float(memory[0]["value"][1]) > 0
