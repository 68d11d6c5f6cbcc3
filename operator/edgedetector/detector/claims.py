"""Which cameras are served here, pure: (what I hold, what the others say, now) -> what I hold next.

Replicas agree on nothing; each acts on what it last heard, which may be a second old or, for a while, wrong. So what
the hash says is only a wish, and a camera changes hands by four rules:

* **take**: I take a camera that is mine by the hash once everybody who holds it offers it, nobody being everybody.
* **offer**: what I hold and is not mine by the hash I offer, and go on serving.
* **let go**: of a camera that another holds with a better claim I let go when frames arrive there (make before break),
  or after HANDOVER when none do. I never let go of what nobody has taken.
* **adopt**: a camera that nobody has taken for ORPHANED I take, mine or not. Its owner may not know of it yet, or views
  may differ for good; those who adopt come one after the other, the camera's first choice first.

Of two holders the better claim has the one that stays, then the one that does not offer, then the one with the higher
weight: whichever way two replicas' views differ, while they hear each other one of them lets go. Those who do not hear
each other both serve, since detections matter more than duplicates, and the rules apply when they do again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edgedetector.detector.liveness import Greeting
from edgedetector.detector.sharing import assign, weight

HANDOVER: Final = 5.0
"""Seconds that I keep a camera for one with a better claim who holds it and gets no frames: a stream opens within its
connection and one keyframe interval (2 s), and beyond that waiting here helps nobody."""
ORPHANED: Final = 3.0
"""Seconds after which a camera that nobody has taken is adopted: replicas notice a death within PERIOD + DEADLINE of
each other, and hear of the claim that its owner then makes a moment later."""
STAGGER: Final = 1.0
"""Seconds from one replica's turn to adopt to the next one's: time for its greeting to arrive."""


@dataclass(frozen=True, slots=True)
class View:
    """What this replica knows of itself and of the others."""

    own: str
    """Address of this replica."""
    others: Mapping[str, Greeting] = field(default_factory=dict)
    """What those who are alive last said, by address."""
    joining: bool = False
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """What this replica holds. Times in seconds, monotonic."""

    held: frozenset[str] = frozenset()
    offered: frozenset[str] = frozenset()
    contested: Mapping[str, float] = field(default_factory=dict)
    """Cameras held here and by one with a better claim, and since when."""
    orphaned: Mapping[str, float] = field(default_factory=dict)
    """Cameras that nobody holds who stays, and since when."""


def decide(claims: Claims, view: View, cameras: frozenset[str], now: float) -> Claims:
    """Return what this replica holds from now on.

    Parameters
    ----------
    cameras
        All cameras of the EdgeDetector; one that is not among them is let go at once.
    """
    owners = assign(cameras, _members(view))
    mine = frozenset(camera for camera, replica in owners.items() if replica == view.own)
    held = claims.held & cameras
    better = {camera: _better(camera, view, offered=camera not in mine) for camera in held}
    contested = {camera: claims.contested.get(camera, now) for camera in held if better[camera]}
    orphaned = {camera: claims.orphaned.get(camera, now) for camera in _orphans(view, cameras - held)}
    lost = {
        camera
        for camera, since in contested.items()
        if now - since >= HANDOVER or any(camera in rival.live for rival in better[camera])
    }
    taken = {camera for camera in mine - held if _free(camera, view)}
    adopted = {camera for camera, since in orphaned.items() if now - since >= ORPHANED + STAGGER * _rank(camera, view)}
    if view.joining or view.leaving:
        taken, adopted, orphaned = set(), set(), {}
    held = (held - lost) | taken | adopted
    return Claims(held, held - mine, _without(contested, lost), _without(orphaned, held))


def _members(view: View) -> frozenset[str]:
    others = {address for address, greeting in view.others.items() if greeting.member}
    return frozenset(others if view.joining or view.leaving else others | {view.own})


def _free(camera: str, view: View) -> bool:
    """Return whether all who hold a camera offer it."""
    return all(camera not in other.held or camera in other.offered for other in view.others.values())


def _orphans(view: View, cameras: frozenset[str]) -> frozenset[str]:
    """Return the cameras that nobody holds who stays."""
    return cameras.difference(*(other.held for other in view.others.values() if not other.leaving))


def _better(camera: str, view: View, *, offered: bool) -> tuple[Greeting, ...]:
    """Return those who hold a camera with a better claim than this replica's."""
    own = (not view.leaving, not offered, weight(camera, view.own))
    return tuple(
        other
        for other in view.others.values()
        if camera in other.held
        and (not other.leaving, camera not in other.offered, weight(camera, other.address)) > own
    )


def _rank(camera: str, view: View) -> int:
    """Return how many replicas are preferred to this one for a camera."""
    own = weight(camera, view.own)
    return sum(weight(camera, address) > own for address in _members(view))


def _without(times: Mapping[str, float], cameras: frozenset[str] | set[str]) -> Mapping[str, float]:
    return {camera: since for camera, since in times.items() if camera not in cameras}
