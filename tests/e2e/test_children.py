"""Each child exists, is owned and healthy, and is consumed by the program that it is for."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Iterator

import pytest
import tritonclient.grpc as triton
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from edgedetector.api import dataplane, names, wire
from forward import forward, get
from harness import Kubectl, poll
from prometheus import prometheus
from stages import ROOT

OWNED = (
    "deployments", "services", "configmaps", "horizontalpodautoscalers", "poddisruptionbudgets", "networkpolicies",
    "servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(demo: Kubectl) -> Iterator[triton.InferenceServerClient]:
    """Triton's gRPC port of the demo, as anybody in the cluster reaches it."""
    with forward(demo.namespace, "service/yard-triton", names.PORT_TRITON_GRPC) as base:
        client = triton.InferenceServerClient(base.removeprefix("http://"))
        yield client
        client.close()


@pytest.fixture(scope="module")
def accepted(demo: Kubectl) -> dataplane.ServingConfig:
    """The serving configuration that the operator published."""
    config = demo.get("configmap", names.serving("yard"))
    return wire.from_json(dataplane.ServingConfig, config["data"][names.FILE_ACCEPTED])


@pytest.mark.parametrize("kind", OWNED)
def test_children_of_each_kind_exist_and_go_with_the_detector(demo: Kubectl, kind: str) -> None:
    detector = demo.get("edgedetector", "yard")
    children = poll(f"children of kind {kind}", lambda: demo.items(kind, "-l", f"{names.LABEL_DETECTOR}=yard"), len)
    for child in children:
        owners = [owner["uid"] for owner in child["metadata"]["ownerReferences"]]
        assert owners == [detector["metadata"]["uid"]]


def test_workloads_are_available_under_pod_security_restricted(demo: Kubectl) -> None:
    for deployment in demo.items("deployments", "-l", f"{names.LABEL_DETECTOR}=yard"):
        state = {c["type"]: c["status"] for c in deployment["status"]["conditions"]}
        assert state["Available"] == "True", deployment["metadata"]["name"]
    for pod in demo.items("pods", "-l", f"{names.LABEL_DETECTOR}=yard"):
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_the_condition_ready_is_true_for_the_present_generation(demo: Kubectl) -> None:
    detector = demo.get("edgedetector", "yard")
    ready = next(c for c in detector["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True"
    assert detector["status"]["observedGeneration"] == detector["metadata"]["generation"]
    assert [c["state"] for c in detector["status"]["cameras"]] == ["Live"]


def test_triton_serves_the_configuration_that_was_published(
    server: triton.InferenceServerClient, accepted: dataplane.ServingConfig
) -> None:
    for model in accepted.models:
        wanted = text_format.Parse(model.config, model_config_pb2.ModelConfig())
        loaded = server.get_model_config(model.name).config
        assert server.is_model_ready(model.name)
        assert loaded.max_batch_size == wanted.max_batch_size == model.max_batch_size
        assert [(t.name, t.data_type, list(t.dims)) for t in loaded.input] == [
            (t.name, t.data_type, list(t.dims)) for t in wanted.input
        ]
        assert [(t.name, t.data_type, list(t.dims)) for t in loaded.output] == [
            (t.name, t.data_type, list(t.dims)) for t in wanted.output
        ]
        assert sum(group.count for group in loaded.instance_group) == model.instances
        batching = loaded.dynamic_batching
        assert batching.max_queue_delay_microseconds == model.max_queue_delay_microseconds
        # Triton fills in the largest batch where none is preferred.
        assert tuple(batching.preferred_batch_size) == (model.preferred_batch_sizes or (model.max_batch_size,))
        assert len(loaded.model_warmup) == len(wanted.model_warmup) > 0


def test_tritons_control_api_is_closed_to_whoever_lacks_the_key(server: triton.InferenceServerClient) -> None:
    # The words, not the code: it is UNAVAILABLE, as that of a server that is not there.
    for call in (lambda: server.load_model("people"), server.get_model_repository_index):
        with pytest.raises(InferenceServerException, match="protocol is restricted"):
            call()


def test_the_media_server_runs_the_cameras_of_the_resource(demo: Kubectl) -> None:
    detector = demo.get("edgedetector", "yard")
    wanted = {names.stream(camera["name"]) for camera in detector["spec"]["cameras"]}
    with forward(demo.namespace, f"service/{names.media('yard')}", names.PORT_GO2RTC_API) as base:
        state = poll(
            "one consumer a stream",
            lambda: json.loads(get(f"{base}/state")),
            lambda state: {s["stream"]: s["consumers"] for s in state["streams"]} == dict.fromkeys(wanted, 1),
        )
        assert all(stream["state"] == "Live" and stream["bytesReceived"] > 0 for stream in state["streams"])
        with pytest.raises(urllib.error.HTTPError):
            get(f"{base}/api/streams?src=exec:id")


def test_the_autoscaler_reads_a_real_cpu_figure(demo: Kubectl) -> None:
    def figures() -> dict[str, str]:
        scaler = demo.get("hpa", names.triton("yard"))
        metrics = [m.get("containerResource", {}) for m in scaler["status"].get("currentMetrics") or []]
        return {m["container"]: m["current"].get("averageValue", "0") for m in metrics if m.get("container")}

    used = poll("CPU figures", figures, lambda seen: len(seen) == 2 and "0" not in seen.values())
    assert used.keys() == {names.CONTAINER_TRITON, names.CONTAINER_DETECTOR}


@pytest.mark.parametrize(
    "expression",
    [
        'nv_inference_request_success{model="people",namespace="demo"} > 0',
        'edgedetector_camera_frames_total{camera="gate",result="inferred",namespace="demo"} > 0',
        'edgedetector_camera_detections_total{camera="gate",namespace="demo"} > 0',
    ],
)
def test_prometheus_has_the_series(demo: Kubectl, expression: str) -> None:
    with prometheus() as server:
        series = poll(expression, lambda: server.query(expression), len)
    assert float(series[0]["value"][1]) > 0


def test_prometheus_has_loaded_the_rules_of_the_detector_without_an_error(demo: Kubectl) -> None:
    rule = demo.items("prometheusrules.monitoring.coreos.com", "-l", f"{names.LABEL_DETECTOR}=yard")[0]
    wanted = {r["alert"] for group in rule["spec"]["groups"] for r in group["rules"] if "alert" in r}
    with prometheus() as server:
        loaded = poll("alert rules", server.alerts, lambda alerts: wanted <= alerts.keys())
        healthy = poll("evaluated rules", server.alerts, lambda a: all(a[n]["health"] == "ok" for n in wanted))
    assert wanted
    assert all(loaded[name]["query"] for name in wanted)
    assert all(not healthy[name].get("lastError") for name in wanted)


def test_nothing_is_written_while_nothing_changes(demo: Kubectl) -> None:
    """While frames are inferred and scraped, every child and the resource keep their version."""

    def versions() -> dict[str, str]:
        kinds = "edgedetectors,deployments,services,configmaps,servicemonitors,prometheusrules"
        everything = [*demo.items(kinds, "-l", f"{names.LABEL_DETECTOR}=yard"), demo.get("edgedetector", "yard")]
        return {f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"] for o in everything}

    seen, since = versions(), time.monotonic()

    def quiet_seconds() -> float:
        nonlocal seen, since
        if (now := versions()) != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since

    poll("half a minute without a write", quiet_seconds, lambda seconds: seconds > 30)


def test_a_child_that_is_deleted_comes_back(demo: Kubectl) -> None:
    before = demo.get("service", names.triton("yard"))["metadata"]["uid"]
    demo("delete", "service", names.triton("yard"))
    poll(
        "the Service again",
        lambda: demo.get("service", names.triton("yard")),
        lambda service: bool(service) and service["metadata"]["uid"] != before,
    )


def test_an_object_of_somebody_else_that_has_a_childs_name_is_left_alone(operator: Kubectl, namespace: Kubectl) -> None:
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "yard-serving"}, "data": {"mine": "yes"}}
    namespace("create", "-f", "-", stdin=json.dumps(theirs))
    detector = yaml.safe_load((ROOT / "demo" / "edgedetector.yaml").read_text())
    namespace.apply(detector | {"spec": detector["spec"] | {"suspend": True}})

    def stalled() -> dict[str, str]:
        status = (namespace.get("edgedetector", "yard") or {}).get("status", {})
        found = [c for c in status.get("conditions", []) if c["type"] == "Stalled" and c["status"] == "True"]
        return found[0] if found else {}

    condition = poll("the condition", stalled, bool)
    assert condition["reason"] == "NameTaken"
    assert "yard-serving" in condition["message"]
    assert namespace.get("configmap", "yard-serving")["data"] == {"mine": "yes"}
    namespace("delete", "configmap", "yard-serving")
    poll("healing without a touch", stalled, lambda found: not found)
    assert names.FILE_ACCEPTED in namespace.get("configmap", "yard-serving")["data"]
