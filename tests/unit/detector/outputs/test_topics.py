"""MQTT topics and payloads."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detector.outputs.made import crossing, numbers, report

from edgedetector.detector.outputs.reports import Scene, tell
from edgedetector.detector.outputs.topics import Topics, changes, event, level, unlevel

NAMES = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["available", "snapshot", "+", "#", "a/b"])


@given(NAMES)
def test_a_name_is_one_level_without_a_meaning_of_its_own_and_can_be_read_back(name: str) -> None:
    text = level(name)
    assert text
    assert not set(text) & set("+#/\0$")
    assert text not in {"available", "snapshot"}
    assert unlevel(text) == name


@given(NAMES, NAMES, NAMES, NAMES)
def test_different_labels_have_different_topics_and_entities(camera: str, label: str, other: str, third: str) -> None:
    topics = Topics("p/ns/yard", "homeassistant")
    for what in (topics.count, topics.config, topics.snapshot):
        assert (what(camera, label) == what(other, third)) == ((camera, label) == (other, third))


def test_an_entity_is_available_only_while_detector_and_camera_are() -> None:
    topics = Topics("p", "homeassistant")
    wanted = topics.retained({"gate": True}, {"gate": {"person": 2}, "elsewhere": {"person": 1}})
    entity = json.loads(wanted.pop(topics.config("gate", "person")))
    assert wanted == {"p/gate/available": b"online", "p/gate/person": b"2"}
    assert entity["state_topic"] == "p/gate/person"
    assert [one["topic"] for one in entity["availability"]] == ["p/available", "p/gate/available"]
    assert entity["availability_mode"] == "all"


def test_an_event_speaks_as_frigate_does() -> None:
    payload = json.loads(event(report("1")))
    assert payload["type"] == "new"
    assert payload["after"]["label"] == "person"
    assert payload["after"]["camera"] == "gate"
    assert payload["after"]["end_time"] is None


def test_each_box_is_told_with_the_size_of_its_own_frame() -> None:
    new_id, entered = numbers(), crossing("enter", 1, frame=(1920, 1080))
    scene, _ = tell(Scene(), "gate", "people", entered, at=0.0, new_id=new_id)
    moved = crossing("enter", 1, zone="door", frame=(640, 360))
    _, update = tell(scene, "gate", "people", moved, at=1.0, new_id=new_id)
    assert update is not None
    payload = json.loads(event(update))
    assert payload["before"]["frame"] == {"width": 1920, "height": 1080}
    assert payload["after"]["frame"] == {"width": 640, "height": 360}


TOPICS = st.dictionaries(st.sampled_from(["p/a/x", "p/a/y", "p/b/x"]), st.sampled_from([b"0", b"1"]))


@given(TOPICS, TOPICS)
def test_changes_lead_from_what_was_told_to_what_is_wanted(told: dict[str, bytes], wanted: dict[str, bytes]) -> None:
    found = changes(told, wanted, ["p/a/"])
    kept = {topic: payload for topic, payload in {**told, **found}.items() if payload}
    # What is left besides is of a camera that another replica took.
    assert {t: p for t, p in kept.items() if t in wanted or t.startswith("p/a/")} == wanted
    assert all(told.get(topic) != payload for topic, payload in found.items())
