"""Where images come from: registries, digests, mirrors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.chart.rendered import of, render
from tests.unit.chart.values import EVERYTHING, environment

from edgedetector import plan


def test_one_registry_stands_before_all_images_and_a_digest_counts_more_than_a_tag() -> None:
    objects = render(values=EVERYTHING)
    spec = [obj["spec"]["template"]["spec"] for obj in objects if obj["kind"] in {"Deployment", "DaemonSet"}]
    assert sorted(container["image"] for pod in spec for container in pod["containers"]) == [
        "registry.example.com:5000/mirror/edgedetector/operator@sha256:" + "0" * 64,
        "registry.example.com:5000/mirror/node-exporter:1",
    ]
    assert all(pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "other"}] for pod in spec)


@pytest.mark.parametrize("image", ["a:1", "a/b:1", "a.example/b:1", "host:5000/a/b@sha256:0", "localhost/a"])
def test_chart_and_operator_mean_the_same_by_a_registry(image: str) -> None:
    repository, mark, tag = image.partition("@") if "@" in image else image.rpartition(":")
    values = {"global": {"imageRegistry": "mirror.example/x"}, "detectorImage": {"repository": repository or image}}
    if mark == ":":
        values["detectorImage"]["tag"] = tag
    rendered = environment(render(values=values))["EDGEDETECTOR_DETECTOR_IMAGE"]
    ours = plan.Settings("system", "detector", image_registry="mirror.example/x").image(image)
    assert rendered.removesuffix(":0.1.0").split("@")[0] == ours.split("@")[0]


def images(objects: list[dict[str, Any]]) -> dict[str, str]:
    """Return what runs: the operator, the detector, the node-exporter, and by name what profiles name."""
    seen = environment(objects)
    pods = [of(objects, kind)[0]["spec"]["template"]["spec"] for kind in ("Deployment", "DaemonSet")]
    operator, exporter = (pod["containers"][0]["image"] for pod in pods)
    named = json.loads(seen["EDGEDETECTOR_IMAGE_REPLACEMENTS"])
    return {"operator": operator, "detector": seen["EDGEDETECTOR_DETECTOR_IMAGE"], "node-exporter": exporter, **named}


DIGESTS = {
    "edgedetector/operator:0.1.0": "sha256:" + "1" * 64,
    "edgedetector/detector:0.1.0": "sha256:" + "2" * 64,
    "edgedetector/go2rtc:0.1.0": "sha256:" + "3" * 64,
    "nvcr.io/nvidia/tritonserver:24.10-py3": "sha256:" + "4" * 64,
    "quay.io/prometheus/node-exporter:v1.9.1": "sha256:" + "5" * 64,
}


PINNED: dict[str, Any] = {"imageDigests": DIGESTS, "nodeExporter": {"enabled": True}}


def test_every_image_whose_digest_is_known_is_named_by_it() -> None:
    found = images(render(values=PINNED))
    assert found["operator"] == "edgedetector/operator@sha256:" + "1" * 64
    assert found["detector"] == "edgedetector/detector@sha256:" + "2" * 64
    assert found["node-exporter"] == "quay.io/prometheus/node-exporter@sha256:" + "5" * 64
    assert found["edgedetector/go2rtc:0.1.0"] == "edgedetector/go2rtc@sha256:" + "3" * 64
    assert found["nvcr.io/nvidia/tritonserver:24.10-py3"] == "nvcr.io/nvidia/tritonserver@sha256:" + "4" * 64


def test_a_mirror_has_the_same_digests() -> None:
    mirror = "registry.example.com:5000/mirror"
    found = images(render(values=PINNED | {"global": {"imageRegistry": mirror}}))
    assert found["operator"] == f"{mirror}/edgedetector/operator@sha256:" + "1" * 64
    assert found["node-exporter"] == f"{mirror}/prometheus/node-exporter@sha256:" + "5" * 64
    assert found["nvcr.io/nvidia/tritonserver:24.10-py3"] == f"{mirror}/nvidia/tritonserver@sha256:" + "4" * 64


def test_what_somebody_says_of_one_image_counts_more_than_the_table_of_digests() -> None:
    own = {
        "image": {"repository": "registry.example.com/edgedetector/operator"},
        "detectorImage": {"tag": "0.1.1"},
        "imageReplacements": {"edgedetector/go2rtc:0.1.0": "mine:1"},
        "nodeExporter": {"enabled": True, "image": {"digest": "sha256:" + "6" * 64}},
    }
    found = images(render(values=PINNED | own))
    assert found["operator"] == "registry.example.com/edgedetector/operator:0.1.0"
    assert found["detector"] == "edgedetector/detector:0.1.1"
    assert found["edgedetector/go2rtc:0.1.0"] == "mine:1"
    assert found["node-exporter"] == "quay.io/prometheus/node-exporter@sha256:" + "6" * 64


def test_whoever_wants_no_digests_takes_them_away() -> None:
    assert images(render(values=PINNED | {"imageDigests": None}))["operator"] == "edgedetector/operator:0.1.0"
