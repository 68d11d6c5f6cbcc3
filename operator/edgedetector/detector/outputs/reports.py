"""What the outputs tell of an object: that it came, changed zones, went. Pure; ids and times are passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from edgedetector.detector.presence import Crossing

T = TypeVar("T")
Kind = Literal["new", "update", "end"]
Counts = Mapping[str, Mapping[str, int]]
"""Camera -> label -> objects in the picture; labels of which none is left are there with 0."""


@dataclass(frozen=True, slots=True)
class Thing:
    """An object that is followed, as the outputs know it."""

    id: str
    """Unique among all objects of all replicas, also after a restart of the tracker, whose own numbers begin anew."""
    camera: str
    model: str
    label: str
    score: float
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the frame."""
    frame: tuple[int, int]
    """Its width and height."""
    start: float
    """Seconds since the epoch."""
    seen: float
    """Seconds since the epoch."""
    end: float | None = None
    zones: tuple[str, ...] = ()
    """Where it is."""
    entered: tuple[str, ...] = ()
    """Where it has been, in order."""


@dataclass(frozen=True, slots=True)
class Report:
    """One change of one object."""

    id: str
    """Made once, so that it is the same in every attempt to deliver the report."""
    kind: Kind
    zone: str
    """Zone that it entered or left; empty: the picture."""
    before: Thing
    after: Thing


Key = tuple[str, str, int]
"""Camera, model, the tracker's number."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is known to be in the pictures of this replica's cameras."""

    things: Mapping[Key, Thing] = field(default_factory=dict)
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Camera -> labels that were ever told of."""
    online: Mapping[str, bool] = field(default_factory=dict)
    """Camera of this replica -> whether it delivers frames."""
    removed: frozenset[str] = frozenset()
    """Cameras that no replica serves any more."""

    def counts(self) -> Counts:
        """Return how many objects of each label are in each picture."""
        found = Counter((thing.camera, thing.label) for thing in self.things.values())
        return {
            camera: {label: found[camera, label] for label in sorted(labels)}
            for camera, labels in sorted(self.labels.items())
        }


def tell(
    scene: Scene, camera: str, model: str, crossing: Crossing, *, at: float, new_id: Callable[[], str]
) -> tuple[Scene, Report | None]:
    """Return the scene after an object crossed a border, and the report of it.

    There is no report of an object whose coming was not told, nor of a second coming.

    Parameters
    ----------
    at
        Seconds since the epoch.
    """
    key = (camera, model, crossing.id)
    before = scene.things.get(key)
    coming = crossing.kind == "enter" and not crossing.zone
    if coming == (before is not None):
        return scene, None
    known = before or _new(camera, model, crossing, at, new_id())
    after = _moved(known, crossing, at)
    things = dict(scene.things)
    if after.end is None:
        things[key] = after
    else:
        del things[key]
    labels = {**scene.labels, camera: scene.labels.get(camera, frozenset()) | {after.label}}
    kind: Kind = "new" if coming else "update" if after.end is None else "end"
    return replace(scene, things=things, labels=labels), Report(new_id(), kind, crossing.zone, known, after)


def part(
    scene: Scene, camera: str, at: float, new_id: Callable[[], str], *, removed: bool
) -> tuple[Scene, tuple[Report, ...]]:
    """Return the scene without a camera, and the end of every object in its picture.

    Parameters
    ----------
    removed
        Whether nobody serves it any more; otherwise another replica does, and what is said of it is that one's.
    """
    leaving = {key: thing for key, thing in scene.things.items() if thing.camera == camera}
    reports = (Report(new_id(), "end", "", thing, replace(thing, end=at)) for thing in leaving.values())
    return replace(
        scene,
        things={key: thing for key, thing in scene.things.items() if key not in leaving},
        labels=_without(scene.labels, camera),
        online=_without(scene.online, camera),
        removed=scene.removed | {camera} if removed else scene.removed,
    ), tuple(reports)


def serve(scene: Scene, online: Mapping[str, bool]) -> Scene:
    """Return the scene with the cameras that this replica serves and whether each delivers frames."""
    return replace(scene, online={**scene.online, **online}, removed=scene.removed - frozenset(online))


def _new(camera: str, model: str, crossing: Crossing, at: float, identity: str) -> Thing:
    detection = crossing.detection
    return Thing(identity, camera, model, crossing.label, detection.score, detection.box, crossing.frame, at, at)


def _moved(thing: Thing, crossing: Crossing, at: float) -> Thing:
    zone = crossing.zone
    gone = crossing.kind == "leave"
    left = _less(thing.zones, zone) if zone else () if gone else thing.zones
    return replace(
        thing,
        score=crossing.detection.score,
        box=crossing.detection.box,
        frame=crossing.frame,
        seen=at,
        end=at if gone and not zone else None,
        zones=(*left, zone) if zone and not gone else left,
        entered=(*_less(thing.entered, zone), zone) if zone and not gone else thing.entered,
    )


def _less(names: Iterable[str], name: str) -> tuple[str, ...]:
    return tuple(one for one in names if one != name)


def _without(values: Mapping[str, T], name: str) -> dict[str, T]:
    return {key: value for key, value in values.items() if key != name}
