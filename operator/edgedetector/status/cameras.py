"""One state for each camera, out of what the replicas and the media server say about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from edgedetector.api import conditions, names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from edgedetector.api.dataplane import CameraState, DetectorState
    from edgedetector.go2rtc.state import MediaState

LIVE: Final = "Live"
CONNECTING: Final = "Connecting"
SUSPENDED: Final = "Suspended"
UNAUTHORIZED: Final = "Unauthorized"
FAILING: Final = "Failing"

# Best first: while cameras move between replicas, the one that has the picture knows best.
_ORDER: Final = (LIVE, CONNECTING, "Stalled", FAILING, UNAUTHORIZED, SUSPENDED)

# States that somebody has to mend; the others pass by themselves.
BROKEN: Final = frozenset({"Stalled", FAILING, UNAUTHORIZED})

_SECRET_MISSING: Final = "MissingSecret"  # noqa: S105 - a state of the media server's stream
_STREAM_INVALID: Final = "Invalid"


class Said(Protocol):
    """What pods say of themselves: of the operator's snapshot, and of the command line's."""

    @property
    def states(self) -> Mapping[str, DetectorState]:
        """Inference pod -> its answer."""
        ...

    @property
    def media(self) -> MediaState | None:
        """The media server's answer, None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class CameraView:
    """A camera of the specification and where it stands."""

    name: str
    state: str
    reason: str = ""
    message: str = ""
    since: str = ""
    detecting: bool = False
    replica: str = ""
    """Inference pod that serves it."""
    degraded: str = ""
    """What it gives up under overload and why; empty: nothing."""

    @property
    def paused(self) -> bool:
        """Whether the degradation ladder suspended it, which nobody has to mend."""
        return self.state == SUSPENDED and bool(self.degraded)

    @property
    def changed(self) -> datetime | None:
        """Return `since` as a time, None if the pod gave none that can be read."""
        try:
            time = datetime.fromisoformat(self.since)
        except ValueError:
            return None
        return time if time.tzinfo is not None and "T" in self.since else None


def merge(
    cameras: Iterable[str], snapshot: Said, main: Collection[str] = (), *, suspended: bool = False
) -> tuple[CameraView, ...]:
    """Return a view of each camera, by name, in the order given.

    Parameters
    ----------
    main
        Cameras whose detection reads the main stream: a sub-stream that cannot be had keeps them from nothing.
    """
    if suspended:
        return tuple(CameraView(camera, SUSPENDED, conditions.REASON_SUSPENDED) for camera in cameras)
    reported: dict[str, list[tuple[str, CameraState]]] = {}
    for pod in sorted(snapshot.states):
        for state in snapshot.states[pod].cameras:
            reported.setdefault(state.name, []).append((pod, state))
    held = _held_streams(snapshot)
    return tuple(_view(camera, reported.get(camera, []), _held(camera, held, main)) for camera in cameras)


def _held_streams(snapshot: Said) -> dict[str, tuple[str, str]]:
    """Return reason and message of the streams that the media server cannot even try, by stream."""
    if snapshot.media is None:
        return {}
    reasons = {_SECRET_MISSING: conditions.REASON_SECRET_MISSING, _STREAM_INVALID: conditions.REASON_INVALID_SPEC}
    return {
        stream.stream: (reasons[stream.state], stream.message)
        for stream in snapshot.media.streams
        if stream.state in reasons
    }


def _held(name: str, held: Mapping[str, tuple[str, str]], main: Collection[str]) -> tuple[str, str] | None:
    """Return why the media server cannot even try what a camera's detection reads; None if it can."""
    streams = [names.stream(name)] if name in main else [names.stream(f"{name}/sub"), names.stream(name)]
    return next((held[stream] for stream in streams if stream in held), None)


def _view(name: str, reported: list[tuple[str, CameraState]], held: tuple[str, str] | None) -> CameraView:
    pod, best = min(reported, key=_rank, default=("", None))
    paused = best is not None and best.state == SUSPENDED and bool(best.degraded)
    if held and not paused and (best is None or best.state != LIVE):
        reason, message = held
        return CameraView(name, FAILING, reason, message, best.since if best else "")
    if best is None:
        return CameraView(name, CONNECTING, conditions.REASON_PENDING, "no inference pod has taken the camera yet")
    detecting = best.detecting and best.state == LIVE
    return CameraView(name, best.state, best.reason, best.message, best.since, detecting, pod, best.degraded)


def _rank(entry: tuple[str, CameraState]) -> tuple[bool, int]:
    state = entry[1]
    place = _ORDER.index(state.state) if state.state in _ORDER else len(_ORDER)
    return not state.detecting, place
