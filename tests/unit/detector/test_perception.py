"""A camera's scene: what counts, who it is, and whether anything moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgedetector.api.dataplane import DetectorCamera, FrameRate, MotionGate, Zone
from edgedetector.detector.detection import Detection
from edgedetector.detector.frame import Plane
from edgedetector.detector.perception import Perception

LEFT = Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
CAMERA = DetectorCamera("gate", "s1", ("people",), FrameRate(5.0, 5.0, 5.0))


def person(x: float, score: float = 0.8, label: str = "person") -> Detection:
    return Detection(label, score, (x, 10.0, x + 20.0, 90.0))


def scene(level: int) -> Callable[[], Plane]:
    return lambda: np.full((54, 96), level, np.uint8)


def test_what_the_camera_asks_for_counts_and_keeps_its_number() -> None:
    perception = Perception(replace(CAMERA, confidence=0.5, classes=("person",), zones=(LEFT,)))
    ids = set()
    for turn in range(5):
        found = [person(10.0 + turn), person(60.0), person(12.0, 0.4), person(30.0, label="dog")]
        seen = perception.found("people", found, 100, 100, turn / 5)
        assert seen.detections == (found[0],)
        ids.update(seen.ids)
    assert len(ids) == 1


def test_coming_and_going_is_told_once_and_zones_by_name() -> None:
    perception = Perception(replace(CAMERA, zones=(replace(LEFT, kind="watch"),)))
    told = []
    for turn in range(10):
        told += perception.found("people", [person(5.0 + turn)], 100, 100, turn / 5).events
    assert [(event.kind, event.zone) for event in told] == [("enter", ""), ("enter", "left")]
    gone = perception.absent(200.0)["people"]
    assert [(event.kind, event.zone) for event in gone] == [("leave", "left"), ("leave", "")]
    assert perception.absent(300.0) == {"people": ()}


def test_other_zones_end_what_was_told_and_another_score_does_not() -> None:
    perception = Perception(CAMERA)
    for turn in range(3):
        perception.found("people", [person(10.0)], 100, 100, turn / 5)
    assert perception.configure(replace(CAMERA, confidence=0.9), 1.0) == {}
    assert perception.confidence == 0.9
    ended = perception.configure(replace(CAMERA, zones=(LEFT,)), 1.0)
    assert [event.kind for event in ended["people"]] == ["leave"]


def test_a_gate_passes_what_moves_and_a_frame_an_interval() -> None:
    perception = Perception(replace(CAMERA, motion_gate=MotionGate(enabled=True, interval=10.0)))
    passed = [turn for turn in range(200) if perception.admits(scene(100), turn / 5)[0]]
    assert passed[0] == 0
    assert len(passed) < 20, "a still scene passes for some seconds, then once in ten"
    assert perception.admits(scene(200), 40.2)[0]


@pytest.mark.parametrize("wanted", [CAMERA.frame_rate, FrameRate(5.0, 5.0, 15.0)])
def test_without_a_gate_everything_passes_and_motion_is_looked_for_only_if_it_matters(wanted: FrameRate) -> None:
    perception = Perception(replace(CAMERA, frame_rate=wanted))
    looked = []

    def luma(level: int) -> Callable[[], Plane]:
        return lambda: (looked.append(level), scene(level)())[1]

    for turn in range(20):
        assert perception.admits(luma(100), turn / 5) == (True, {})
    assert not perception.active(10.0)
    assert perception.admits(luma(250), 10.0)[0]
    matters = wanted.maximum > wanted.target
    assert perception.active(10.0) is matters
    assert bool(looked) is matters
