"""MQTT topics and payloads, by the names that users of Frigate and Home Assistant know. Pure.

- PREFIX/available: `online` or `offline`, retained, with a last will. One for all replicas: each asserts `online`
  again when it sees another's `offline`, so that it stays `offline` only once the last is gone. A topic for each pod
  would be a retained one for every name that a pod ever had.
- PREFIX/CAMERA/available: whether the camera delivers frames, said by the replica that serves it.
- PREFIX/events: JSON with `type` (new, update, end), `before` and `after`.
- PREFIX/CAMERA/LABEL: number of objects, retained.
- PREFIX/CAMERA/LABEL/snapshot: JPEG when an object comes. Only if asked for, and never retained: a picture of a person
  must not stay on the broker for whoever subscribes next.
- homeassistant/sensor/NODE/OBJECT/config: discovery, retained, only if asked for.

Sources: https://docs.frigate.video/integrations/mqtt and https://www.home-assistant.io/integrations/mqtt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgedetector.detector.outputs.reports import Counts, Report, Thing

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9 ._~-]")
"""Not in a level of a topic: `+`, `#` and `/` have a meaning in MQTT, the rest in a shell or a template."""
_TAKEN: Final = frozenset({"available", "snapshot"})


@dataclass(frozen=True, slots=True)
class Topics:
    """Where things are said."""

    prefix: str
    """Topics begin with this, e.g. edgedetector/site-a/yard."""
    discovery: str = ""
    """Home Assistant's prefix, usually `homeassistant`; empty: no discovery."""

    @property
    def available(self) -> str:
        """Whether anybody detects."""
        return f"{self.prefix}/available"

    @property
    def events(self) -> str:
        """Objects that come, change and go."""
        return f"{self.prefix}/events"

    def camera(self, camera: str) -> str:
        """Whether a camera delivers frames."""
        return f"{self.prefix}/{level(camera)}/available"

    def count(self, camera: str, label: str) -> str:
        """How many objects of a label a camera sees."""
        return f"{self.prefix}/{level(camera)}/{level(label)}"

    def snapshot(self, camera: str, label: str) -> str:
        """Return where the picture is sent in which an object of a label came."""
        return f"{self.count(camera, label)}/snapshot"

    def all_of(self, camera: str) -> str:
        """Return what all topics of a camera begin with."""
        return f"{self.prefix}/{level(camera)}/"

    def labels_of(self, camera: str, topics: Iterable[str]) -> frozenset[str]:
        """Return the labels whose counts are among topics."""
        start = self.all_of(camera)
        last = {topic.removeprefix(start) for topic in topics if topic.startswith(start)}
        return frozenset(unlevel(one) for one in last if one != "available" and "/" not in one)

    def configs_of(self, camera: str, topics: Iterable[str]) -> frozenset[str]:
        """Return where Home Assistant finds the counts that are among topics."""
        labels = self.labels_of(camera, topics) if self.discovery else ()
        return frozenset(self.config(camera, label) for label in labels)

    def everything_of(self, camera: str) -> tuple[str, ...]:
        """Return what every topic begins with that is about a camera and no other."""
        return (self.all_of(camera), self._entities_of(camera)) if self.discovery else (self.all_of(camera),)

    def _entities_of(self, camera: str) -> str:
        # `__` is in no name, see `_plain`: what begins so is of this camera alone.
        return f"{self.discovery}/sensor/{_identity(self.prefix)}/{_identity(camera)}__"

    def retained(self, online: Mapping[str, bool], counts: Counts) -> dict[str, bytes]:
        """Return what the broker is to keep of the cameras of this replica: topic -> payload."""
        found = {self.camera(camera): ONLINE if up else OFFLINE for camera, up in online.items()}
        for camera in online:
            for label, count in counts.get(camera, {}).items():
                found[self.count(camera, label)] = str(count).encode()
                if self.discovery:
                    found[self.config(camera, label)] = json.dumps(self._entity(camera, label)).encode()
        return found

    def config(self, camera: str, label: str) -> str:
        """Return where Home Assistant finds the count of a label; it takes only letters, digits, `_` and `-` there."""
        return f"{self._entities_of(camera)}{_identity(label)}/config"

    def _entity(self, camera: str, label: str) -> dict[str, Any]:
        device = _identity(self.prefix, camera)
        return {
            "name": label,
            "unique_id": f"{device}__{_identity(label)}",
            "state_topic": self.count(camera, label),
            "state_class": "measurement",
            "unit_of_measurement": "objects",
            "availability": [{"topic": self.available}, {"topic": self.camera(camera)}],
            "availability_mode": "all",
            "device": {"identifiers": [device], "name": camera, "manufacturer": "EdgeDetector"},
        }


def level(name: str) -> str:
    """Return a name as one level of a topic; different names stay different."""
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)
    return f"%{ord(safe[0]):02X}{safe[1:]}" if safe in _TAKEN else safe or "%"


def unlevel(text: str) -> str:
    """Return the name that `level` made `text` of."""
    if text == "%":
        return ""
    data = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return data.decode(errors="replace")


def event(report: Report) -> bytes:
    """Return the payload of an event."""
    return json.dumps(
        {
            "type": report.kind,
            "zone": report.zone,
            "before": attributes(report.before),
            "after": attributes(report.after),
        },
        separators=(",", ":"),
    ).encode()


def attributes(thing: Thing) -> dict[str, Any]:
    """Return an object by Frigate's names, so that automations that were written for it go on; `frame` is ours."""
    return {
        "id": thing.id,
        "camera": thing.camera,
        "model": thing.model,
        "label": thing.label,
        "score": round(thing.score, 4),
        "box": [round(value, 1) for value in thing.box],
        "frame": {"width": thing.frame[0], "height": thing.frame[1]},
        "frame_time": round(thing.seen, 3),
        "start_time": round(thing.start, 3),
        "end_time": None if thing.end is None else round(thing.end, 3),
        "current_zones": list(thing.zones),
        "entered_zones": list(thing.entered),
    }


def _identity(*names: str) -> str:
    return "__".join(_plain(name) for name in names)


def _plain(name: str) -> str:
    """Return a name of letters, digits and `-`; `_` begins an escape, so that different names stay different."""
    return re.sub(r"[^A-Za-z0-9-]", lambda found: "".join(f"_{byte:02x}" for byte in found[0].encode()), name)


def changes(told: Mapping[str, bytes], wanted: Mapping[str, bytes], gone: Iterable[str]) -> dict[str, bytes]:
    """Return what has to be published so that a broker that was told `told` keeps `wanted`.

    Topics that are no longer wanted are cleared if they begin with one of `gone`; others belong to another replica.
    """
    prefixes = tuple(gone)
    cleared = {topic: b"" for topic in told.keys() - wanted.keys() if topic.startswith(prefixes)}
    return {**cleared, **{topic: payload for topic, payload in wanted.items() if told.get(topic) != payload}}
