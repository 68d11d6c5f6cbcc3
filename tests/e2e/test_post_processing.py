"""Suppression inside Triton on the real cluster: boxes without the detector's help, and instances that change."""

from __future__ import annotations

import copy
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import pytest
import tritonclient.grpc as triton

import api
import cluster as driver
import sites
from edgedetector.api import conditions, names
from edgedetector.cluster import kinds
from forward import forward, serving_pod
from frames import follow, watch
from harness import Kubectl, poll

NAMESPACE: Final = "post-processing"
GATE: Final = {"name": "gate", "url": "rtsp://camera:8554/vtest", "frameRate": {"target": 5, "minimum": 1}}
LONGEST_GAP: Final = 2.0
"""Seconds, as any change in place may take."""

# Two anchors upon each other, one of another class there, one below the confidence, and one elsewhere.
ANCHORS: Final = (
    (20, 20, 10, 10, 0.9, 0.1),
    (21, 20, 10, 10, 0.8, 0.1),
    (20, 21, 10, 10, 0.1, 0.7),
    (50, 30, 10, 10, 0.2, 0.1),
    (50, 10, 10, 10, 0.1, 0.6),
)
KEPT: Final = {("near", 0.9), ("far", 0.7), ("far", 0.6)}
MODEL: Final = f"""
import numpy as np
import triton_python_backend_utils as utils

RAW = np.array({[list(anchor) for anchor in ANCHORS]}, np.float32).T


class TritonPythonModel:
    def execute(self, requests):
        counts = [len(utils.get_input_tensor_by_name(request, "image").as_numpy()) for request in requests]
        return [utils.InferenceResponse([utils.Tensor("output0", np.stack([RAW] * count))]) for count in counts]
"""
# One's own: the first anchor, whatever there is.
FIRST: Final = """
import numpy as np
import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(utils.get_input_tensor_by_name(request, "output0").as_numpy()) for request in requests]

    def answer(self, raw):
        x, y, width, height, score, _ = raw[:, :, 0].T
        boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)[:, None]
        values = {
            "boxes": boxes.astype(np.float32),
            "scores": score[:, None].astype(np.float32),
            "classes": np.zeros((len(raw), 1), np.int32),
        }
        return utils.InferenceResponse([utils.Tensor(name, value) for name, value in values.items()])
"""
YOLO: Final[dict[str, Any]] = {
    "name": "yolo",
    "source": {"configMap": {"name": "yolo-model"}},
    "maxBatchSize": 4,
    "inputs": [{"name": "image", "dims": [48, 64, 3], "dataType": "UINT8"}],
    "outputs": [{"name": "output0", "dims": [6, len(ANCHORS)], "dataType": "FP32"}],
    "decoder": {"type": "yolov8", "labels": ["near", "far"]},
}
# One's own that takes a while and no processor, as one that asks another device would: 25 frames a second an instance.
SLOW: Final = FIRST.replace("import numpy as np\n", "import time\n\nimport numpy as np\n").replace(
    "    def answer(self, raw):\n", "    def answer(self, raw):\n        time.sleep(0.04 * len(raw))\n"
)
CONVERGES_SECONDS: Final = 1500.0
"""Ten minutes on a box of its own; here hundreds of other pods take the processors of two cores."""
OWN: Final = {
    "source": {"configMap": {"name": "first-box"}},
    "outputs": [
        {"name": "boxes", "dims": [1, 4], "dataType": "FP32"},
        {"name": "scores", "dims": [1], "dataType": "FP32"},
        {"name": "classes", "dims": [1], "dataType": "INT32"},
    ],
}


def code(name: str, text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"model.py": text}}


def detector(name: str, post: dict[str, Any], **decoder: Any) -> dict[str, Any]:
    model = {**copy.deepcopy(YOLO), "postProcessing": post}
    model["decoder"] |= decoder
    return sites.detector(name, GATE, models=[model])


@pytest.fixture(scope="module")
def site(operator: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """A namespace with a camera and the models' code. Module, since a camera takes a while to start."""
    sites.namespace(NAMESPACE)
    kubectl = Kubectl(NAMESPACE)
    kubectl.apply(*sites.camera(images["camera"]), code("yolo-model", MODEL), code("first-box", FIRST))
    kubectl.apply(code("slow-box", SLOW))
    yield kubectl
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def found(name: str, count: int) -> list[set[tuple[str, float]]]:
    """Return label and score of what was found in each of so many frames."""
    events: list[dict[str, Any]] = []
    with follow(NAMESPACE, name, events.append):
        poll("events", lambda: len(events), lambda length: length >= count)
    return [{(one["label"], round(one["score"], 3)) for one in event["detections"]} for event in list(events)]


def failed(name: str, camera: str = "gate") -> float:
    """Return how many frames Triton gave no answer for."""
    with forward(NAMESPACE, serving_pod(NAMESPACE, name, camera), names.PORT_DETECTOR) as base:
        text = urllib.request.urlopen(f"{base}/metrics", timeout=30).read().decode()
    lines = (line for line in text.splitlines() if line.startswith("edgedetector_camera_frames_total"))
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'result="failed"' in line)


def served(name: str) -> dict[str, int]:
    """Return the instances of each model, as the status says."""
    status = (api.get(kinds.EDGEDETECTOR, NAMESPACE, name) or {}).get("status") or {}
    return {model["name"]: model["instances"] for model in status.get("serving", {}).get("models", ())}


def test_boxes_come_out_of_triton_and_instances_change_while_frames_flow(site: Kubectl) -> None:
    site.apply(detector("boxes", {"builtin": "NMS"}))
    sites.wait_ready(NAMESPACE, "boxes")
    assert all(each == KEPT for each in found("boxes", 5))
    assert served("boxes") == {"yolo": 1, "yolo+postprocessing": 1}
    before = sites.marks(NAMESPACE, "boxes", names.COMPONENT_TRITON)
    lost = failed("boxes")
    with (
        forward(NAMESPACE, "service/boxes-triton", names.PORT_TRITON_GRPC) as base,
        watch(NAMESPACE, "boxes", "gate") as frames,
    ):
        client = triton.InferenceServerClient(base.removeprefix("http://"))
        outputs = [output.name for output in client.get_model_metadata(names.pipeline("yolo")).outputs]
        assert outputs == ["boxes", "scores", "classes", "count"], "no raw outputs"
        for instances in (2, 4, 1):
            mark = frames.mark()
            model = {**YOLO, "postProcessing": {"builtin": "NMS", "instances": instances}}
            sites.change(NAMESPACE, "boxes", models=[model])
            sites.wait_ready(NAMESPACE, "boxes")
            groups = client.get_model_config(names.post_processing("yolo")).config.instance_group
            assert sum(group.count for group in groups) == instances
            assert served("boxes") == {"yolo": 1, "yolo+postprocessing": instances}
            frames.wait("gate", frames.mark())
            assert frames.longest_gap("gate", mark) < LONGEST_GAP
        client.close()
    assert all(each == KEPT for each in found("boxes", 5))
    assert failed("boxes") == lost, "no request failed"
    assert sites.marks(NAMESPACE, "boxes", names.COMPONENT_TRITON) == before, "and no container was touched"
    site("delete", "edgedetector", "boxes")


def test_ones_own_model_makes_the_boxes_and_what_is_wrong_with_it_is_said_of_its_field(site: Kubectl) -> None:
    site.apply(detector("own", OWN, type="none"))
    sites.wait_ready(NAMESPACE, "own")
    assert all(each == {("near", 0.9)} for each in found("own", 3))
    site.apply(
        detector("own", {**OWN, "source": {"configMap": {"name": "first-box"}}, "backend": "nosuch"}, type="none")
    )
    ready = poll(
        "it says so",
        lambda: sites.conditions(NAMESPACE, "own").get(conditions.MODEL_READY, ("", "", "")),
        lambda said: said[1] == conditions.REASON_MODEL_LOAD_FAILED,
    )
    assert "spec.models[yolo].postProcessing.backend" in ready[2]
    assert all(each == {("near", 0.9)} for each in found("own", 3)), "the one before goes on"
    site("delete", "edgedetector", "own")


@pytest.mark.soak  # tuning takes minutes, and beside hundreds of other pods it is their load that it sees
def test_where_post_processing_limits_mode_auto_adds_instances_while_frames_flow(site: Kubectl) -> None:
    """Four cameras want 32 frames a second, an instance makes the boxes of 25."""
    cameras = [{**GATE, "name": f"gate-{number}", "frameRate": {"target": 8}} for number in range(4)]
    model = {**copy.deepcopy(YOLO), "postProcessing": {**OWN, "source": {"configMap": {"name": "slow-box"}}}}
    model["decoder"] |= {"type": "none"}
    tuning = {
        "mode": "Auto",
        # On two cores, beside everything else, latencies are the node's.
        "objective": {"latency": {"percentile": 90, "max": "2s"}},
        "headroom": {"cpu": "0%"},
        "bounds": {"instances": {"max": 1}, "postProcessingInstances": {"max": 2}},
    }
    site.apply(sites.detector("tuned", *cameras, models=[model], tuning=tuning))
    sites.wait_ready(NAMESPACE, "tuned")
    assert served("tuned") == {"yolo": 1, "yolo+postprocessing": 1}
    before, lost = sites.marks(NAMESPACE, "tuned", names.COMPONENT_TRITON), failed("tuned", "gate-0")

    def told() -> dict[str, Any]:
        return ((api.get(kinds.EDGEDETECTOR, NAMESPACE, "tuned") or {}).get("status") or {}).get("tuning") or {}

    with watch(NAMESPACE, "tuned", "gate-0") as frames:
        frames.wait("gate-0", frames.mark())
        mark = frames.mark()
        found = poll("converged", told, lambda seen: seen.get("phase") == "Converged", CONVERGES_SECONDS, every=5.0)
        gap = frames.longest_gap("gate-0", mark)
    lines = [f"{line['decision']}: {line['message']}" for line in found["log"]]
    print("\n".join(lines))
    assert any(line.startswith("Kept: yolo: post-processing 1 -> 2 instances: ") for line in lines)
    assert served("tuned") == {"yolo": 1, "yolo+postprocessing": 2}
    with forward(NAMESPACE, "service/tuned-triton", names.PORT_TRITON_GRPC) as base:
        client = triton.InferenceServerClient(base.removeprefix("http://"))
        groups = client.get_model_config(names.post_processing("yolo")).config.instance_group
        client.close()
    assert sum(group.count for group in groups) == 2
    assert failed("tuned", "gate-0") == lost, "no request failed"
    assert gap < LONGEST_GAP
    assert sites.marks(NAMESPACE, "tuned", names.COMPONENT_TRITON) == before, "and no container was touched"
    site("delete", "edgedetector", "tuned")
