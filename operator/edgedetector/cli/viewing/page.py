"""The page as a document: what is wrong first, then cameras with their rates, and the story of tuning. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgedetector.api import names
from edgedetector.api.edgedetector import CameraSpec
from edgedetector.cli import story, summary
from edgedetector.cli.snapshot import Snapshot, Subject
from edgedetector.status.cameras import BROKEN, CONNECTING, LIVE, SUSPENDED, CameraView, merge

Json = dict[str, Any]

LOST: Final = "Lost"
PAUSED: Final = "Paused"
LINES: Final = 12
"""Of the tuner's story: what fits beside the cameras; `tune --history` has all."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Results of one model for one camera that have arrived here of late."""

    results: float
    """A second."""
    age: float | None = None
    """Seconds from the decoded frame to the result, median; None: there were none."""


Rates = Mapping[tuple[str, str], Rate]
"""By camera and model."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a camera's video and results are to be had."""

    camera: str
    stream: str
    """Id in the media server."""
    media: str
    """Media pod; empty: none runs."""
    replica: str
    """Inference pod that has the camera; empty: none."""


def page(snapshot: Snapshot, rates: Rates, trouble: Mapping[str, str]) -> Json:
    """Return the document of the page.

    Parameters
    ----------
    rates
        What has arrived; a camera has that of the slowest of its models, since each is to have all its frames.
    trouble
        What cannot be shown -> why, of video and results.
    """
    (subject,) = snapshot.subjects
    told = summary.detector(subject)
    return {
        **{key: told[key] for key in ("namespace", "name", "state", "ready", "reason", "message", "since")},
        "problems": [one for one in told["problems"] if one["message"] != told["message"]],
        "operator": summary.operator(snapshot),
        "serving": {key: told["serving"][key] for key in ("replicas", "profile", "models")},
        "capacity": told["capacity"],
        "tuning": {**told["tuning"], "log": story.tuning(snapshot)["log"][: -LINES - 1 : -1]},
        "cameras": [_camera(subject, view, lowest(subject, view.name, rates)) for view in views(subject)],
        "notSeen": [{"what": gap.what, "why": gap.why} for gap in snapshot.gaps]
        + [{"what": what, "why": why} for what, why in sorted(trouble.items())],
    }


def views(subject: Subject) -> tuple[CameraView, ...]:
    """Return each camera of the specification and where it stands: as its pod says now, else as the status has it."""
    wanted = [str(one.get("name", "")) for one in subject.spec.get("cameras") or ()]
    if subject.states:
        main = [
            str(one.get("name")) for one in subject.spec.get("cameras") or () if one.get("detectionStream") == "Main"
        ]
        return merge(wanted, subject, main, suspended=bool(subject.spec.get("suspend")))
    known = {str(one.get("name")): one for one in subject.status.get("cameras") or ()}
    return tuple(_of_status(name, known.get(name) or {}) for name in wanted)


def _of_status(name: str, found: Mapping[str, Any]) -> CameraView:
    texts = ("reason", "message", "since", "replica", "degraded")
    said = {key: str(found.get(key) or "") for key in texts}
    return CameraView(name, str(found.get("state") or CONNECTING), detecting=bool(found.get("detecting")), **said)


def _camera(subject: Subject, view: CameraView, rate: Rate | None) -> Json:
    specified = _specified(subject, view.name)
    return {
        "name": view.name,
        "state": state(view),
        "why": why(view),
        "since": view.since,
        "detecting": view.detecting,
        "replica": view.replica,
        "wanted": specified.frame_rate.target if specified else None,
        "rate": round(rate.results, 1) if rate else None,
        "age": round(rate.age, 3) if rate and rate.age is not None else None,
        "codec": _codec(subject, view.name),
    }


def lowest(subject: Subject, camera: str, rates: Rates) -> Rate | None:
    """Return the rate of the slowest of a camera's models, the older results of equal ones; None: nothing has come."""
    found = {model: rate for (of, model), rate in rates.items() if of == camera}
    if not found:
        return None
    detector = subject.parsed()
    specified = _specified(subject, camera)
    wanted = (specified.models or detector.spec.usual_models) if detector and specified else tuple(found)
    each = [found.get(model, Rate(0.0)) for model in wanted]
    return min(each, key=lambda rate: (rate.results, -(rate.age or 0.0)), default=None)


def state(view: CameraView) -> str:
    """Return in a word what whoever looks wants to know: Live, Connecting, Lost or Paused."""
    if view.state == SUSPENDED:
        return PAUSED
    return LOST if view.state in BROKEN else view.state if view.state == LIVE else CONNECTING


def why(view: CameraView) -> str:
    """Return the sentence to it, empty if all is well."""
    if view.state == SUSPENDED:
        return view.degraded or view.message or "the detector is suspended"
    if view.state == LIVE:
        return view.degraded or ("" if view.detecting else "frames arrive, but nothing is inferred yet")
    return view.message or view.reason


def source(subject: Subject, camera: str) -> Source:
    """Return where a camera is to be had: the stream that detection reads, so that no camera is dialled twice."""
    specified = _specified(subject, camera)
    has_sub = specified is not None and bool(specified.substream_url or specified.substream_url_secret_ref)
    main = specified is None or specified.detection_stream == "Main" or not has_sub
    stream = names.stream(camera) if main else names.stream(f"{camera}/sub")
    view = next((one for one in views(subject) if one.name == camera), None)
    media = next(iter(running(subject, names.COMPONENT_MEDIA)), "")
    return Source(camera, stream, media, view.replica if view else "")


def running(subject: Subject, component: str) -> tuple[str, ...]:
    """Return the names of the pods of a component that run and are to stay."""
    return tuple(
        str(pod["metadata"]["name"])
        for pod in subject.of(component)
        if (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
    )


def _specified(subject: Subject, camera: str) -> CameraSpec | None:
    detector = subject.parsed()
    return next((one for one in detector.spec.cameras if one.name == camera), None) if detector else None


def _codec(subject: Subject, camera: str) -> str:
    streams = {one.stream: one for one in subject.media.streams} if subject.media else {}
    found = streams.get(source(subject, camera).stream)
    return found.codec if found else ""
