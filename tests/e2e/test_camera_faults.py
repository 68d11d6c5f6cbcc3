"""Cameras that fail in every way at once on the real cluster: the others go on, and each that is mended comes back.

A real broker hears of it, in the words that Home Assistant and Frigate users know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from tests import unruly_clips

import broker
import cluster as driver
import sites
from edgedetector.api import conditions
from forward import serving_pod
from frames import Frames, watch
from harness import Kubectl, poll
from held import Held
from misbehaving import Orders, pod, program
from promises import promises

NAMESPACE: Final = "camerafaults"
NAME: Final = "yard"
HEALTHY_SECONDS: Final = 5.0
"""In which a camera is back that is well itself, whatever befell another."""

ORDERS: Final = Orders(NAMESPACE, "unruly")
RATE: Final = {"frameRate": {"target": 2, "minimum": 1}}
HEALTHY: Final = ("steady", "calm")
PASSWORD: Final = "brokers-password"
TOPICS: Final = f"edgedetector/{NAMESPACE}/{NAME}"
OUTPUTS: Final = {
    "mqtt": {
        "url": broker.URL,
        "credentialsSecretRef": {"name": broker.NAME},
        "discovery": {"enabled": True, "prefix": "homeassistant"},
    }
}


Shows = Callable[[dict[str, Any], dict[str, Any]], bool]
"""Tells by a camera's status and its newest frame, {"width": ..., "height": ...}, whether something is so."""


@dataclass(frozen=True)
class Fault:
    """What befalls the camera of that name, how it shows, and how it is mended."""

    name: str
    harm: Callable[[Kubectl], object]
    shows: Shows
    mend: Callable[[Kubectl], object]
    url: str = ""


def plays(name: str, what: str, shows: Shows, *, again: bool = False) -> Fault:
    """Return a fault in which a camera sends something else; `again`: its sessions end, before and after."""
    return Fault(
        name,
        lambda _: ORDERS.play(name, what, again=again),
        shows,
        lambda _: ORDERS.play(name, "plain", again=again),
        ORDERS.url(name),
    )


def stalled(camera: dict[str, Any], _frame: dict[str, Any]) -> bool:
    """No frames come, or no connection comes about."""
    return camera["state"] in {"Stalled", "Failing"}


def failing(reason: str) -> Shows:
    """The camera fails for this reason."""
    return lambda camera, _frame: (camera["state"], camera.get("reason")) == ("Failing", reason)


def sized(clip: str) -> Shows:
    """Frames come in the size of the clip."""
    wanted = unruly_clips.SIZES[clip]
    return lambda camera, frame: camera["state"] == "Live" and (frame["width"], frame["height"]) == wanted


def scaled(replicas: int) -> Callable[[Kubectl], object]:
    """Switch the camera on or off that stands by itself."""
    return lambda kubectl: kubectl("scale", "deployment/unplugged", f"--replicas={replicas}")


FAULTS: Final = (
    Fault("unplugged", scaled(0), stalled, scaled(1), "rtsp://unplugged:8554/any"),
    plays("frozen", "nothing", stalled),
    plays("garbled", "garbage", failing("Undecodable")),
    plays("resized", "large", sized("large")),
    plays("huge", "4k", sized("4k"), again=True),
    plays("tiny", "pixel", sized("pixel"), again=True),
    plays("recoded", "hevc", sized("hevc"), again=True),
    plays("deaf", "sound", failing("NoVideo"), again=True),
)
CAMERAS: Final = (
    {"name": "steady", "url": "rtsp://camera:8554/vtest", "frameRate": {"target": 5, "minimum": 5}},
    {"name": "calm", "url": ORDERS.url("calm"), "frameRate": {"target": 5, "minimum": 5}},
    *({"name": fault.name, "url": fault.url, **RATE} for fault in FAULTS),
)
ADDED: Final = {"name": "added", "url": ORDERS.url("calm"), **RATE}


@pytest.fixture(scope="module")
def site(operator: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """A detector with a camera for each fault and two that are well, one of them in the same pod as the others."""
    sites.namespace(NAMESPACE)
    kubectl = Kubectl(NAMESPACE)
    kubectl.apply(
        sites.model(),
        program(),
        *sites.camera(images["camera"]),
        *pod(images["detector"], "unruly"),
        *pod(images["detector"], "unplugged"),
        *broker.pod(images["mosquitto"], PASSWORD),
    )
    kubectl.apply(sites.detector(NAME, *CAMERAS, outputs=OUTPUTS))
    sites.wait_ready(NAMESPACE, NAME)
    yield kubectl
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_the_broker_is_told_of_detectors_cameras_and_objects_and_asks_for_the_secrets_password(site: Kubectl) -> None:
    with pytest.raises(PermissionError), broker.listening(NAMESPACE, "guessed"):
        pass
    with broker.listening(NAMESPACE, PASSWORD) as heard:
        for topic, said in (("available", b"online"), ("calm/available", b"online"), ("calm/anything", b"1")):
            poll(topic, lambda topic=topic: heard.of(f"{TOPICS}/{topic}"), lambda found, said=said: said in found)
        poll("outputs delivered", _delivered, lambda status: status == conditions.TRUE)
        sites.change(NAMESPACE, NAME, cameras=[*CAMERAS, ADDED])
        poll("an object that comes", lambda: _events(heard), lambda told: ("new", "added", "anything") in told)
        sites.change(NAMESPACE, NAME, cameras=[*CAMERAS])
        sites.wait_ready(NAMESPACE, NAME)
        # An entity whose camera is gone is taken back by nothing at all.
        newest = {topic: said for topic, said in heard.heard if topic.startswith("homeassistant/sensor/")}
    entities = [json.loads(said) for said in newest.values() if said]
    (entity,) = [entity for entity in entities if entity["state_topic"] == f"{TOPICS}/calm/anything"]
    assert {"topic": f"{TOPICS}/calm/available"} in entity["availability"]
    assert PASSWORD not in json.dumps([sites.conditions(NAMESPACE, NAME), site.items("configmaps"), site.items("pods")])


def test_cameras_that_fail_in_every_way_at_once_harm_no_other_and_come_back(site: Kubectl) -> None:
    replica = serving_pod(NAMESPACE, NAME, "steady")
    before = sites.marks(NAMESPACE, NAME)
    with broker.listening(NAMESPACE, PASSWORD) as heard, watch(NAMESPACE, NAME, "steady") as frames:
        for name in (*HEALTHY, *(fault.name for fault in FAULTS)):
            frames.wait(name, {}, 3)
        held, began, online = Held.by(site, replica), frames.mark(), len(_told(heard, "steady"))
        for fault in FAULTS:
            fault.harm(site)
        for fault in FAULTS:
            _until(f"the fault of {fault.name}", frames, fault.name, fault.shows)
        broken = frames.mark()
        for fault in FAULTS:
            fault.mend(site)
        for fault in FAULTS:
            _until(f"{fault.name} again", frames, fault.name, sized("plain"))
            frames.wait(fault.name, broken, 3)
        for name in HEALTHY:
            frames.wait(name, broken, 10)
        for name in HEALTHY:
            promises.note(f"{name} while others fail and come back", frames.longest_gap(name, began), HEALTHY_SECONDS)
        changed = frames.longest_gap("resized", began)
        promises.note("a camera whose resolution changes within its session", changed, HEALTHY_SECONDS)
        after = poll(f"no more than {held}", lambda: Held.by(site, replica), lambda now: not now.exceeds(held))
        told = poll(
            "what the broker heard of the frozen one", lambda: _told(heard, "frozen"), lambda kinds: len(kinds) > 2
        )
    assert told[-2:] == ["offline", "online"]
    assert "offline" not in _told(heard, "steady")[online:]
    # The model's box is the same object in a picture of another size.
    assert ("new", "huge") not in {(kind, camera) for kind, camera, _ in _events(heard)}
    print(f"held before {held} and after {after}")
    assert sites.touched(before, sites.marks(NAMESPACE, NAME)) == {}, "no container was started again"


def _until(what: str, frames: Frames, name: str, shows: Shows) -> None:
    def seen() -> tuple[dict[str, Any], dict[str, Any]]:
        return sites.cameras(NAMESPACE, NAME).get(name, {"state": ""}), frames.newest[name]["frame"]

    poll(what, seen, lambda found: shows(*found))


def _told(heard: broker.Listener, name: str) -> list[str]:
    return [said.decode() for said in heard.of(f"{TOPICS}/{name}/available")]


def _events(heard: broker.Listener) -> set[tuple[str, str, str]]:
    events = (json.loads(said) for said in heard.of(f"{TOPICS}/events"))
    return {(event["type"], event["after"]["camera"], event["after"]["label"]) for event in events}


def _delivered() -> str:
    return sites.conditions(NAMESPACE, NAME).get(conditions.OUTPUTS_DELIVERED, ("",))[0]
