"""A model with post-processing: two models and an ensemble of them, and what the pods need for that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import text_format
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import child, minimal
from tritonclient.grpc import model_config_pb2

from edgedetector.api import names
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.errors import InvalidSpecError
from edgedetector.plan import serving_config
from edgedetector.plan.dataplane import detector_config
from edgedetector.plan.post_processing import BUILTIN_OUTPUTS
from edgedetector.plan.serving import post_processing_serving

OWN = {
    "source": {"configMap": {"name": "my-boxes"}},
    "outputs": [{"name": "boxes", "dims": [64, 4], "dataType": "FP32"}],
}


def wanted(post: dict[str, Any] | None, *, decoder: str = "yolov8", **changes: Any) -> EdgeDetector:
    spec = minimal(**changes)
    (model,) = spec["models"]
    model |= {
        "maxBatchSize": 8,
        "outputs": [
            {"name": "output0", "dims": [84, 8400], "dataType": "FP16"},
            {"name": "extra", "dims": [3], "dataType": "FP32"},
        ],
        "decoder": {"type": decoder, "labels": [f"c{n}" for n in range(80)]},
    }
    if post is not None:
        model["postProcessing"] = post
    return scenarios.detector("yard", spec)


def served(detector: EdgeDetector, profile: str = "cpu") -> dict[str, tuple[Any, Any]]:
    """Return how each model is served, and its configuration as Triton's protocol buffer reads it."""
    found = serving_config(detector, scenarios.PROFILES[profile]).models
    return {one.name: (one, text_format.Parse(one.config, model_config_pb2.ModelConfig())) for one in found}


def tensors(config: Any, kind: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(tensor.name, tuple(tensor.dims)) for tensor in getattr(config, kind)]


@pytest.mark.parametrize("profile", sorted(scenarios.PROFILES))
def test_the_model_itself_is_served_as_without(profile: str) -> None:
    before, after = served(wanted(None), profile), served(wanted({"builtin": "NMS"}), profile)
    assert list(before) == ["people"]
    assert list(after) == ["people", "people+postprocessing", "people+pipeline"]
    assert after["people"][0] == before["people"][0]
    kinds = model_config_pb2.ModelInstanceGroup.Kind
    (group,) = after["people+postprocessing"][1].instance_group
    assert (group.count, kinds.Name(group.kind)) == (1, "KIND_CPU")


def test_the_built_in_one_reads_the_first_output_by_the_decoders_rules() -> None:
    serving, config = served(wanted({"builtin": "NMS", "instances": 3}, decoder="yolov11"))["people+postprocessing"]
    assert (serving.instances, serving.builtin, serving.files, serving.fetched) == (3, "NMS", {}, ())
    assert (config.backend, config.default_model_filename, config.max_batch_size) == ("python", "model.py", 8)
    assert tensors(config, "input") == [("output0", (84, 8400))]
    assert dict(tensors(config, "output")) == {"boxes": (1024, 4), "scores": (1024,), "classes": (1024,), "count": (1,)}
    given = {key: value.string_value for key, value in config.parameters.items()}
    assert given == {"head": "yolov8", "confidence": "0.4", "iou": "0.5", "labels": "80", "model": "people"}
    assert not config.HasField("dynamic_batching"), "joined requests would wait for one instance while others idle"
    assert not config.model_warmup


def test_the_ensemble_hands_raw_outputs_on_and_gives_none() -> None:
    serving, config = served(wanted({"builtin": "NMS"}))["people+pipeline"]
    assert (serving.platform, serving.instances, config.platform) == ("ensemble", 0, "ensemble")
    assert tensors(config, "input") == [("image", (3, 64, 64))]
    assert [name for name, _ in tensors(config, "output")] == ["boxes", "scores", "classes", "count"]
    first, second = config.ensemble_scheduling.step
    assert (first.model_name, dict(first.input_map)) == ("people", {"image": "image"})
    assert (second.model_name, dict(second.output_map)) == (
        "people+postprocessing", {name: name for name in ("boxes", "scores", "classes", "count")},
    )  # fmt: skip
    assert dict(first.output_map) == {"output0": "raw output0"} == dict(second.input_map)
    assert not config.instance_group


def test_the_detector_asks_the_ensemble_and_reads_finished_boxes() -> None:
    profile, settings = scenarios.PROFILES["cpu"], scenarios.SETTINGS
    (model,) = detector_config(wanted({"builtin": "NMS"}), profile, settings).models
    assert (model.name, model.served_as, model.decoder.type) == ("people", "people+pipeline", "none")
    assert [tensor.name for tensor in model.outputs] == ["boxes", "scores", "classes", "count"]
    (model,) = detector_config(wanted(OWN, decoder="ssd"), profile, settings).models
    assert (model.served_as, model.decoder.type) == ("people+pipeline", "ssd")
    assert [tensor.name for tensor in model.outputs] == ["boxes"]


def test_the_lowest_confidence_that_a_camera_of_the_model_asks_for_is_that_of_the_built_in_one() -> None:
    other = {**minimal()["models"][0], "name": "other"}

    def least(*cameras: dict[str, Any]) -> str:
        spec = minimal(cameras=[{"name": f"c{n}", "url": "rtsp://c/", **one} for n, one in enumerate(cameras)])
        spec["models"][0] |= {
            "outputs": [{"name": "o", "dims": [84, 8400], "dataType": "FP32"}],
            "decoder": {"type": "yolov8"},
            "postProcessing": {"builtin": "NMS"},
        }
        spec["models"].append(other)
        _, config = served(scenarios.detector("yard", spec))["people+postprocessing"]
        return str(config.parameters["confidence"].string_value)

    assert least() == least({"confidence": 0.9}) == least({"confidence": 0.1, "models": ["other"]}) == "0.4"
    assert least({"confidence": 0.9}, {"confidence": 0.25}, {"confidence": 0.3, "models": ["people"]}) == "0.25"


@pytest.mark.parametrize("asks", [{}, {"models": ["big"]}], ids=["of no model", "of the larger one"])
def test_a_smaller_variant_finds_what_the_cameras_of_its_model_ask_for(asks: dict[str, Any]) -> None:
    (one,) = minimal()["models"]
    one |= {"outputs": [{"name": "o", "dims": [84, 8400], "dataType": "FP32"}], "decoder": {"type": "yolov8"}}
    one["postProcessing"] = {"builtin": "NMS"}
    spec = minimal(cameras=[{"name": "gate", "url": "rtsp://c/", "confidence": 0.15, **asks}])
    spec["models"] = [
        {**one, "name": "big", "smallerVariant": "small"},
        {**one, "name": "small"},
        {**one, "name": "other", "smallerVariant": "less"},
        {**one, "name": "less"},
    ]
    found = served(scenarios.detector("yard", spec))
    least = {
        name: found[f"{name}+postprocessing"][1].parameters["confidence"].string_value
        for name in ("big", "small", "other", "less")
    }
    others = "0.4" if asks else "0.15"
    assert least == {"big": "0.15", "small": "0.15", "other": others, "less": others}


def test_a_source_of_ones_own_takes_every_output_and_is_mounted_like_a_model() -> None:
    detector = wanted({**OWN, "backend": "custom", "modelFile": "a.bin", "parameters": {"x": "y"}}, decoder="none")
    serving, config = served(detector, "nvidia")["people+postprocessing"]
    assert (config.backend, serving.files, serving.builtin) == ("custom", {"1/a.bin": "a.bin"}, "")
    assert [name for name, _ in tensors(config, "input")] == ["output0", "extra"]
    assert {key: value.string_value for key, value in config.parameters.items()} == {"x": "y"}
    kinds = model_config_pb2.ModelInstanceGroup.Kind
    assert kinds.Name(config.instance_group[0].kind) == "KIND_GPU", (
        "a backend that is not Python's runs where models do"
    )
    pod = child(scenarios.children(detector), "Deployment", "yard-triton")["spec"]["template"]["spec"]
    (volume,) = [v["name"] for v in pod["volumes"] if v.get("configMap", {}).get("name") == "my-boxes"]
    for container in (pod["initContainers"][0], pod["containers"][1]):
        (mount,) = [m for m in container["volumeMounts"] if m["name"] == volume]
        assert (mount["mountPath"], mount["readOnly"]) == ("/sources/people+postprocessing", True)


def test_one_over_https_is_fetched_and_its_server_may_be_reached() -> None:
    http = {"url": "https://files.site-a.svc:8443/boxes.py", "sha256": "0" * 64, "caConfigMap": {"name": "site"}}
    detector = wanted({**OWN, "source": {"http": http}}, decoder="none")
    (file,) = served(detector)["people+postprocessing"][0].fetched
    assert (file.target, file.lookup, file.own_authority) == ("1/model.py", "files.site-a.svc", True)
    objects = scenarios.children(detector)
    pod = child(objects, "Deployment", "yard-triton")["spec"]["template"]["spec"]
    (fetcher,) = [c for c in pod["initContainers"] if c["name"] == names.CONTAINER_MODEL_FETCH]
    assert "/etc/edgedetector/authorities/people+postprocessing" in {m["mountPath"] for m in fetcher["volumeMounts"]}
    policy = child(objects, "NetworkPolicy", "yard-triton")
    assert '"port": 8443' in json.dumps(policy["spec"]["egress"])


def test_instances_are_changed_alone_and_change_nothing_else_of_a_pod() -> None:
    one, four = (wanted({"builtin": "NMS", "instances": count}) for count in (1, 4))
    changed = {name for name, (serving, _) in served(four).items() if serving != served(one)[name][0]}
    assert changed == {"people+postprocessing"}
    post, _ = post_processing_serving(one, one.spec.models[0], scenarios.PROFILES["cpu"], instances=4)
    assert post == served(four)["people+postprocessing"][0], "as tuning asks for it"
    differing = [a["metadata"]["name"] for a, b in zip(*map(scenarios.children, (one, four)), strict=True) if a != b]
    assert differing == ["yard-serving"]


def test_a_pod_of_a_former_release_is_replaced_and_others_are_as_before() -> None:
    def template(post: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = child(scenarios.children(wanted(post)), "Deployment", "yard-triton")["spec"]["template"]
        return found

    assert template({"builtin": "NMS"})["metadata"]["annotations"] == {names.ANNOTATION_POST_PROCESSING: "true"}
    assert "annotations" not in template(None)["metadata"]


@pytest.mark.parametrize(
    ("post", "decoder", "said"),
    [
        ({}, "yolov8", r"people\]\.postProcessing: needs exactly one of builtin and source; keep one of the two"),
        ({"builtin": "NMS", **OWN}, "yolov8", r"postProcessing: needs exactly one of builtin and source"),
        ({"builtin": "NMS"}, "ssd", r"postProcessing\.builtin: reads the heads yolov8.*; correct decoder\.type"),
        ({"builtin": "NMS"}, "none", r"remove postProcessing where the model gives finished boxes"),
        ({"builtin": "NMS", "outputs": OWN["outputs"]}, "yolov8", r"fields of a source beside builtin.*; remove them"),
        ({"builtin": "NMS", "instances": 0}, "yolov8", r"instances: is below 1; raise it"),
        ({"builtin": "Best"}, "yolov8", r"builtin: is unknown; known are NMS"),
        ({"source": OWN["source"]}, "none", r"outputs: is empty; write what the model of source gives"),
        ({**OWN, "source": {}}, "none", r"postProcessing\.source: needs exactly one of configMap"),
        (
            {**OWN, "outputs": [{"name": "image", "dims": [1], "dataType": "FP32"}]},
            "none",
            r"name of one of the model's",
        ),
        ({**OWN, "source": {"http": {"url": "https://localhost/x", "sha256": "0"}}}, "none", r"source\.http\.url: "),
    ],
)
def test_what_makes_no_sense_is_refused_with_field_and_remedy(post: dict[str, Any], decoder: str, said: str) -> None:
    with pytest.raises(InvalidSpecError, match=said):
        wanted(post, decoder=decoder)


def test_the_built_in_one_reads_floats() -> None:
    spec = minimal()
    spec["models"][0] |= {"decoder": {"type": "yolov8"}, "postProcessing": {"builtin": "NMS"}}
    spec["models"][0]["outputs"] = [{"name": "o", "dims": [84, 8400], "dataType": "INT8"}]
    with pytest.raises(InvalidSpecError, match=r"reads the first output as FP16 or FP32; correct its dataType or name"):
        scenarios.detector("yard", spec)


@pytest.mark.parametrize("name", [tensor.name for tensor in BUILTIN_OUTPUTS])
def test_an_input_that_is_called_like_an_output_of_the_built_in_one_is_refused(name: str) -> None:
    """In Triton's ensemble the two would be one tensor."""
    spec = minimal()
    (model,) = spec["models"]
    model |= {"decoder": {"type": "yolov8"}, "postProcessing": {"builtin": "NMS"}}
    model["inputs"] = [{**model["inputs"][0], "name": name}]
    model["outputs"] = [{"name": "o", "dims": [84, 8400], "dataType": "FP32"}]
    with pytest.raises(
        InvalidSpecError, match=r"postProcessing\.builtin: has an output with the name of one of the mod"
    ):
        scenarios.detector("yard", spec)
    del model["postProcessing"]
    scenarios.detector("yard", spec)
