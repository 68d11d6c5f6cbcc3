"""The ladder's step to a smaller input on the real cluster: sub-stream and smaller variant, and back."""

from __future__ import annotations

import copy
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import pytest

import cluster as driver
import sites
from edgedetector.api import conditions, names
from forward import forward
from frames import Event, Frames, follow
from harness import Kubectl, poll

NAMESPACE: Final = "smaller"
DETECTOR: Final = "yard"
PRESSED: Final = {"mode": "Auto", "headroom": {"cpu": "99%"}}
"""Any load of the node is more than 1 %."""
STEP: Final = {"enabled": True, "steps": ["UseSubstream"], "reactAfter": "1s", "recoverAfter": "1s"}
GATE: Final = {
    "name": "gate",
    "url": "rtsp://camera:8554/vtest",
    "substreamUrl": "rtsp://camera:8554/mirrored",
    "detectionStream": "Main",
    "models": ["any"],
    "frameRate": {"target": 5, "minimum": 1},
}
DOCK: Final = {"name": "dock", "url": "rtsp://camera:8554/vtest", "models": ["other"], "frameRate": {"target": 5}}
GAP_SECONDS: Final = 2.0 + sites.KEYFRAME_SECONDS
"""Longest time without a result of a camera that nothing is taken from."""


@pytest.fixture
def site(operator: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """A namespace with a camera of two streams and a model, of which every other one here is a copy."""
    sites.namespace(NAMESPACE)
    kubectl = Kubectl(NAMESPACE)
    kubectl.apply(sites.model(), *sites.camera(images["camera"]))
    yield kubectl
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def models() -> list[dict[str, Any]]:
    """Three models: one, its variant and another. All answer the same box, so that an object is one for both."""
    (model,) = sites.detector("any")["spec"]["models"]
    return [copy.deepcopy(model) | more for more in ({"smallerVariant": "tiny"}, {"name": "tiny"}, {"name": "other"})]


def test_a_camera_goes_to_the_substream_and_the_smaller_model_and_back_with_its_objects(site: Kubectl) -> None:
    found: list[Event] = []
    frames = Frames()

    def take(event: Event) -> None:
        found.append(event)
        frames.take(event)

    def newest(camera: str) -> Event:
        return next((event for event in reversed(list(found)) if event["camera"] == camera), {})

    site.apply(sites.detector(DETECTOR, GATE, DOCK, models=models()))
    sites.wait_ready(NAMESPACE, DETECTOR)
    before = sites.marks(NAMESPACE, DETECTOR)
    with follow(NAMESPACE, DETECTOR, take):
        frames.wait("gate", {})
        frames.wait("dock", {})
        assert "variant" not in newest("gate")
        poll("the main stream is read", _roles, lambda roles: roles == {"main"})
        mark = frames.mark()
        sites.change(NAMESPACE, DETECTOR, tuning=PRESSED, degradation=STEP)
        poll("the variant serves", lambda: newest("gate").get("variant"), lambda served: served == "tiny")
        poll("the sub-stream is read", _roles, lambda roles: roles == {"sub"})
        poll("it says so", lambda: sites.cameras(NAMESPACE, DETECTOR)["gate"].get("degraded", ""),
             lambda said: said.startswith("the smaller input, at most 5 frames/s because "))  # fmt: skip
        degraded = poll("a condition", _degraded, lambda condition: condition[0] == conditions.TRUE)
        assert "gate" in degraded[2]
        assert "dock" not in degraded[2]
        sites.change(NAMESPACE, DETECTOR, degradation={**STEP, "enabled": False})
        poll("the model serves again", lambda: newest("gate"), lambda event: "variant" not in event)
        poll("the main stream is read again", _roles, lambda roles: roles == {"main"})
        frames.wait("gate", frames.mark())
        frames.wait("dock", frames.mark())
    assert {event["model"] for event in found if event["camera"] == "gate"} == {"any"}
    numbers = {one["id"] for event in found if event["camera"] == "gate" for one in event["detections"]}
    assert len(numbers) == 1, "the object is the same for both models and both streams"
    assert frames.longest_gap("dock", mark) <= GAP_SECONDS
    assert sites.touched(before, sites.marks(NAMESPACE, DETECTOR)) == {}


def _degraded() -> tuple[str, str, str]:
    return sites.conditions(NAMESPACE, DETECTOR).get(conditions.DEGRADED, ("", "", ""))


def _roles() -> set[str]:
    """Return which of the gate's streams the detector reads now, as the media server says."""
    with forward(NAMESPACE, f"deployment/{names.media(DETECTOR)}", names.PORT_GO2RTC_API) as base:
        text = urllib.request.urlopen(f"{base}/metrics", timeout=30).read().decode()
    read = [
        line for line in text.splitlines() if line.startswith("go2rtc_stream_consumers{") and 'camera="gate"' in line
    ]
    return {role for role in ("main", "sub") for line in read if f'role="{role}"' in line and not line.endswith(" 0.0")}
