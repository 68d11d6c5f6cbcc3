"""What the page is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.unit.cli.worlds import World

from edgedetector.api import names
from edgedetector.api.dataplane import CameraState
from edgedetector.cli.viewing.page import LINES, Rate, lowest, page, source
from edgedetector.go2rtc.state import MediaState, StreamState

BUSY = "suspended because the host CPU was 97 % busy"


def told(world: World, **rates: Rate) -> dict[str, object]:
    found = page(world.snapshot(cluster=False), {(camera, "people"): rate for camera, rate in rates.items()}, {})
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))
    return found


def says(world: World, **camera: object) -> dict[str, object]:
    seen = world.states["yard-triton-1"]
    world.states["yard-triton-1"] = replace(seen, cameras=(CameraState("gate", **camera),))  # type: ignore[arg-type]
    (found,) = [one for one in told(world)["cameras"] if one["name"] == "gate"]  # type: ignore[attr-defined]
    return dict(found)


@pytest.mark.parametrize(
    ("camera", "state", "why"),
    [
        ({"state": "Live", "detecting": True}, "Live", ""),
        ({"state": "Live"}, "Live", "frames arrive, but nothing is inferred yet"),
        ({"state": "Live", "detecting": True, "degraded": "every second frame"}, "Live", "every second frame"),
        ({"state": "Connecting", "message": "dialling"}, "Connecting", "dialling"),
        ({"state": "Stalled", "message": "no frame for 5 s"}, "Lost", "no frame for 5 s"),
        ({"state": "Failing", "message": "no route to host"}, "Lost", "no route to host"),
        ({"state": "Unauthorized", "reason": "Unauthorized"}, "Lost", "Unauthorized"),
        ({"state": "Suspended", "degraded": BUSY}, "Paused", BUSY),
    ],
)
def test_a_camera_in_a_word_and_a_sentence(world: World, camera: dict[str, object], state: str, why: str) -> None:
    found = says(world, **camera)

    assert (found["state"], found["why"]) == (state, why)


def test_a_suspended_detector_has_paused_cameras(world: World) -> None:
    world.detector["spec"]["suspend"] = True

    assert {one["state"] for one in told(world)["cameras"]} == {"Paused"}  # type: ignore[attr-defined]


def test_pods_that_do_not_answer_leave_what_the_status_says(world: World) -> None:
    world.states.clear()
    world.pods = world.pods[1:]
    world.camera("gate", state="Failing", message="no route to host", detecting=False)

    found = {one["name"]: (one["state"], one["why"]) for one in told(world)["cameras"]}  # type: ignore[attr-defined]

    assert found == {"gate": ("Lost", "no route to host"), "dock": ("Live", "")}


def test_what_is_wrong_is_told_first_and_once(world: World) -> None:
    world.stalled("StreamsReady", "CamerasFailing", "1 of 2 cameras without detections")
    world.condition("MonitoringReady", "False", "MonitoringNotInstalled", "PrometheusRule is not served here")

    found = told(world)

    assert (found["state"], found["reason"]) == ("Broken", "CamerasFailing")
    assert [one["condition"] for one in found["problems"]] == ["MonitoringReady"]  # type: ignore[attr-defined]


def test_rates_are_told_beside_what_is_wanted(world: World) -> None:
    cameras = {one["name"]: one for one in told(world, gate=Rate(4.96, 0.0421))["cameras"]}  # type: ignore[attr-defined]

    assert (cameras["gate"]["rate"], cameras["gate"]["wanted"], cameras["gate"]["age"]) == (5.0, 5.0, 0.042)
    assert (cameras["dock"]["rate"], cameras["dock"]["age"]) == (None, None)


@pytest.mark.parametrize(
    ("named", "rate"),
    [
        ([], Rate(0.4, 0.2)),
        (["people"], Rate(5.0, 0.04)),
        (["people", "cars"], Rate(0.4, 0.2)),
        (["people", "faces"], Rate(0.0)),
    ],
)
def test_a_camera_is_as_fast_as_the_slowest_of_its_models(world: World, named: list[str], rate: Rate) -> None:
    spec = world.detector["spec"]
    spec["models"] = [{**spec["models"][0], "name": name} for name in ("people", "cars", "faces")]
    if not named:
        spec["models"].pop()
    camera = next(one for one in spec["cameras"] if one["name"] == "gate")
    camera["models"] = named
    (subject,) = world.snapshot(cluster=False).subjects
    rates = {("gate", "people"): Rate(5.0, 0.04), ("gate", "cars"): Rate(0.4, 0.2), ("dock", "people"): Rate(0.1, 1.0)}

    assert lowest(subject, "gate", rates) == rate
    assert lowest(subject, "yard", rates) is None


def test_a_specification_without_cameras_has_none(world: World) -> None:
    world.detector["spec"].pop("cameras")

    assert told(world)["cameras"] == []


def test_the_story_is_the_newest_first_and_no_longer_than_a_screen(world: World) -> None:
    log = [{"time": "2026-11-23T11:00:00Z", "decision": "Kept", "message": str(number)} for number in range(30)]
    world.detector["status"]["tuning"]["log"] = log

    story = told(world)["tuning"]["log"]  # type: ignore[index]

    assert [one["message"] for one in story] == [str(number) for number in range(29, 29 - LINES, -1)]


@pytest.mark.parametrize(("reads", "stream"), [("Substream", "gate/sub"), ("Main", "gate")])
def test_the_stream_that_detection_reads_is_shown(world: World, reads: str, stream: str) -> None:
    camera = next(one for one in world.detector["spec"]["cameras"] if one["name"] == "gate")
    camera |= {"url": "rtsp://a/1", "substreamUrl": "rtsp://a/2", "detectionStream": reads}
    camera.pop("urlSecretRef", None)
    world.media = [MediaState(3, "r", ready=True, streams=(StreamState(names.stream(stream), "Live", codec="H264"),))]

    (subject,) = world.snapshot(cluster=False).subjects

    assert source(subject, "gate").stream == names.stream(stream)
    assert source(subject, "gate").media == "yard-media-1"
