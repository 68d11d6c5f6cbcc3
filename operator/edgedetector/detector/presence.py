"""Who is in the picture and in which zones, and the events of coming and going. Pure; times are passed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edgedetector.detector.detection import Detection


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object that was recognised in a frame."""

    id: int
    detection: Detection
    frame: tuple[int, int]
    """Width and height of the frame, in whose pixels the box is."""
    zones: tuple[str, ...] = ()
    """Zones that it stands in."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """An object that is followed."""

    id: int
    """Unique to the camera for as long as its tracker lives."""
    detection: Detection
    """Where it was seen last."""
    frame: tuple[int, int]
    """Width and height of that frame."""
    since: float
    """When it was seen first. Seconds, monotonic."""
    seen: float
    """When it was seen last. Seconds, monotonic."""
    sightings: int = 1
    entered: bool = False
    """Whether an event told of it."""
    zones: tuple[str, ...] = ()
    """Zones that it entered and has not left."""
    crossing: Mapping[str, int] = field(default_factory=dict)
    """Zone -> for how many sightings on end it has stood on the other side of its border."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """An object entered or left."""

    kind: Literal["enter", "leave"]
    id: int
    label: str
    zone: str
    """Name of the zone; empty: the whole picture."""
    at: float
    """Seconds, monotonic."""
    detection: Detection
    """Where it was seen last."""
    frame: tuple[int, int]
    """Width and height of that frame, which are others once the camera goes to its other stream."""


Present = Mapping[int, Tracked]
"""The objects that are followed, by id."""


def observe(
    before: Present, sightings: Iterable[Sighting], now: float, confirm: int
) -> tuple[Present, tuple[Crossing, ...]]:
    """Return who is followed after a frame, and who entered the picture or crossed a border.

    Parameters
    ----------
    now
        Seconds, monotonic.
    confirm
        Sightings after which an object, or its side of a border, is believed.
    """
    after, events = dict(before), list[Crossing]()
    for sighting in sightings:
        known = after.get(sighting.id) or Tracked(sighting.id, sighting.detection, sighting.frame, now, now, 0)
        seen = replace(
            known, detection=sighting.detection, frame=sighting.frame, seen=now, sightings=known.sightings + 1
        )
        after[sighting.id], crossed = _crossed(_entered(seen, confirm), seen, sighting.zones, now, confirm)
        events += crossed
    return after, tuple(events)


def expire(before: Present, gone: Iterable[int], now: float) -> tuple[Present, tuple[Crossing, ...]]:
    """Return who is still followed without those that are gone, and their leaving: of each zone, then of the picture.

    Of one that was never confirmed, nobody is told.
    """
    leaving = [before[id_] for id_ in gone if id_ in before]
    events = [_event("leave", one, zone, now) for one in leaving if one.entered for zone in (*one.zones, "")]
    left = {one.id for one in leaving}
    return {id_: one for id_, one in before.items() if id_ not in left}, tuple(events)


def _entered(one: Tracked, confirm: int) -> Tracked:
    return replace(one, entered=True) if one.sightings >= confirm and not one.entered else one


def _crossed(
    one: Tracked, before: Tracked, inside: tuple[str, ...], now: float, confirm: int
) -> tuple[Tracked, list[Crossing]]:
    """Return the object with the zones that it is believed to be in, and the events of this sighting."""
    events = [_event("enter", one, "", now)] if one.entered and not before.entered else []
    other_side = {*inside} ^ {*one.zones}
    if not other_side and not one.crossing:
        return one, events
    counted = {zone: one.crossing.get(zone, 0) + 1 for zone in sorted(other_side)}
    believed = [zone for zone, count in counted.items() if count >= confirm and one.entered]
    events += [_event("leave" if zone in one.zones else "enter", one, zone, now) for zone in believed]
    zones = tuple(sorted({*one.zones} ^ {*believed}))
    crossing = {zone: count for zone, count in counted.items() if zone not in believed}
    return replace(one, zones=zones, crossing=crossing), events


def _event(kind: Literal["enter", "leave"], one: Tracked, zone: str, now: float) -> Crossing:
    return Crossing(kind, one.id, one.detection.label, zone, now, one.detection, one.frame)
