"""Hardware decoding: used where somebody has seen it work, by the one device that Triton has or by another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import child, detector, minimal

from edgedetector.api import names
from edgedetector.api.dataplane import Decoding, DetectorConfig
from edgedetector.api.pods import EnvironmentVariable
from edgedetector.api.profile import AcceleratorProfile, AcceleratorResource, Capability, DecodingSpec
from edgedetector.api.wire import from_json
from edgedetector.plan import detector_children, serving_config

VISIBLE = EnvironmentVariable("VISIBLE", "all")
ON_CARD = DecodingSpec(hardware="cuda", device="1", on_accelerator=True, environment=(VISIBLE,))
GPU = "nvidia.com/gpu"


def profile(decoding: DecodingSpec, *, verified: bool = True, **media: Any) -> AcceleratorProfile:
    shipped = scenarios.PROFILES["nvidia"]
    able = Capability("hardwareDecode", supported=True, verified=verified)
    return replace(
        shipped,
        spec=replace(shipped.spec, decoding=decoding, capabilities=(able,), media=replace(shipped.spec.media, **media)),
    )


def planned(of: AcceleratorProfile) -> list[dict[str, Any]]:
    wanted = detector("yard", minimal(cameras=[{"name": "gate", "url": "rtsp://cam/1"}]))
    return list(detector_children(wanted, of, scenarios.SETTINGS, scenarios.FACTS, serving_config(wanted, of)))


def template(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found: dict[str, Any] = child(objects, "Deployment", name)["spec"]["template"]
    return found


def container(objects: list[dict[str, Any]], name: str, workload: str = "yard-triton") -> dict[str, Any]:
    (found,) = [c for c in template(objects, workload)["spec"]["containers"] if c["name"] == name]
    return dict(found)


def variables(of: dict[str, Any]) -> dict[str, str]:
    assert len({item["name"] for item in of["env"]}) == len(of["env"])
    return {item["name"]: item.get("value", "") for item in of["env"]}


def told(objects: list[dict[str, Any]]) -> Decoding:
    return from_json(DetectorConfig, child(objects, "ConfigMap", "yard-detector")["data"][names.FILE_DETECTOR]).decoding


def test_what_nobody_has_seen_work_is_not_used() -> None:
    objects = planned(profile(ON_CARD, verified=False))
    assert told(objects) == Decoding()
    assert "VISIBLE" not in variables(container(objects, names.CONTAINER_DETECTOR))
    assert "annotations" not in template(objects, "yard-triton")["metadata"]


@pytest.mark.parametrize("name", scenarios.PROFILES)
def test_no_shipped_profile_decodes_in_hardware_yet(name: str) -> None:
    assert not scenarios.PROFILES[name].spec.decodes_in_hardware


def test_options_are_no_hardware() -> None:
    of = profile(DecodingSpec(options={"rtsp_transport": "udp"}), verified=False)
    assert told(planned(of)) == Decoding(options={"rtsp_transport": "udp"})


def test_the_accelerator_is_requested_once_and_reached_twice() -> None:
    objects = planned(profile(ON_CARD))
    assert told(objects) == Decoding(hardware="cuda", device="1")
    triton, own = (container(objects, name) for name in (names.CONTAINER_TRITON, names.CONTAINER_DETECTOR))
    assert triton["resources"]["limits"][GPU] == "1"
    assert GPU not in own["resources"]["requests"]
    assert variables(own)["VISIBLE"] == "all"
    assert template(objects, "yard-triton")["spec"]["runtimeClassName"] == "nvidia"


def test_another_device_is_requested_by_the_container_that_decodes() -> None:
    elsewhere = DecodingSpec(hardware="vaapi", resource=AcceleratorResource("gpu.intel.com/i915", 1))
    asked = container(planned(profile(elsewhere)), names.CONTAINER_DETECTOR)["resources"]
    assert (asked["requests"]["gpu.intel.com/i915"], asked["limits"]["gpu.intel.com/i915"]) == ("1", "1")
    assert asked["requests"]["cpu"] == "100m"


def test_pods_follow_a_change_and_only_a_change() -> None:
    def note(spec: DecodingSpec) -> Any:
        return template(planned(profile(spec)), "yard-triton")["metadata"]["annotations"][names.ANNOTATION_DECODING]

    assert note(ON_CARD) == note(replace(ON_CARD))
    assert note(ON_CARD) != note(replace(ON_CARD, device="2"))


def test_the_pods_own_variables_stay() -> None:
    of = profile(replace(ON_CARD, environment=(EnvironmentVariable("POD_NAME", "x"), VISIBLE)))
    assert variables(container(planned(of), names.CONTAINER_DETECTOR))["POD_NAME"] == ""


def test_a_media_server_that_decodes_on_the_accelerator_reaches_it_the_same_way() -> None:
    templates = {"input_templates": {"cuda": "-hwaccel cuda -i {input}"}, "input_template": "cuda"}
    for placed in (True, False):
        objects = planned(profile(ON_CARD, on_accelerator_node=placed, **templates))
        server = container(objects, names.CONTAINER_GO2RTC, "yard-media")
        assert ("VISIBLE" in variables(server)) is placed
        assert GPU not in server["resources"]["requests"]
