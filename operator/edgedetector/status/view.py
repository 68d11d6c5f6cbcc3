"""What status is decided from, and what a decision looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from edgedetector.api import conditions, names
from edgedetector.api.dataplane import DetectorConfig, MediaConfig, Probe, ServingConfig
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.observe.snapshot import Snapshot
from edgedetector.plan.dataplane import camera_streams
from edgedetector.status import remedies
from edgedetector.status.cameras import CameraView, merge
from edgedetector.status.verification import Asked
from edgedetector.tuning.ledger import Ledger

T = TypeVar("T")

# A new pod waits for a device while the old one ends: only one that waits longer has no place to go.
PATIENCE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Running:
    """What is meant to run and what does, whether or not the present specification can be planned."""

    name: str
    snapshot: Snapshot
    now: datetime
    cameras: tuple[CameraView, ...] = ()
    accepted: ServingConfig | None = None
    """Serving configuration in force; None if none was ever published."""
    generations: Mapping[str, int] = field(default_factory=dict)
    """Component -> generation from which its configuration was made."""
    streams: Mapping[str, str] = field(default_factory=dict)
    """Stream that the media server is to run -> what to call it."""
    suspended: bool = False
    profile: str = ""
    resource: str = ""
    """Extended resource that an inference pod asks for."""
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Component -> what its pods ask of a node, in words."""
    passing: frozenset[str] = frozenset()
    """Ids of serving configurations that a model may have now while tuning changes it: none of them is amiss."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in the way of tuning and is on no record."""

    unobserved: bool = False
    """No inference pod tells its load."""
    refused: str = ""
    """Why the record cannot be written."""
    broken: str = ""
    """What of the operator's own keeps anything from being decided."""


@dataclass(frozen=True, slots=True)
class View:
    """A detector with its profile and accepted serving configuration, and what was seen of its children."""

    detector: EdgeDetector
    profile: AcceleratorProfile
    accepted: ServingConfig
    snapshot: Snapshot
    now: datetime
    cameras: tuple[CameraView, ...] = ()
    ledger: Ledger | None = None
    """What has come of tuning, of this specification; None: nothing yet."""
    tuned: bool = False
    """What is accepted is not what the specification says."""
    passing: frozenset[str] = frozenset()
    """See `Running.passing`."""
    standing: Standing = field(default_factory=Standing)
    held: int | None = None
    """Replicas at which the autoscaler's maximum is held until tuning has converged."""
    asked: Asked | None = None
    """How the test of the profile stands that the detector asks for."""
    missed: datetime | None = None
    """Since when the autoscaler has lacked a figure that it had; None: it lacks none, or had none."""

    @property
    def running(self) -> Running:
        """What is meant to run: what was just planned."""
        detector, device = self.detector, self.profile.spec
        labels = dict(detector.spec.node_selector)
        resource = (f"{device.resource.count} {device.resource.name}",) if device.resource.name else ()
        return Running(
            name=detector.name,
            snapshot=self.snapshot,
            now=self.now,
            cameras=self.cameras,
            accepted=self.accepted,
            generations={
                names.COMPONENT_TRITON: detector.generation,
                names.COMPONENT_MEDIA: detector.generation,
            },
            streams={stream: camera.name for camera in detector.spec.cameras for stream in camera_streams(camera)},
            suspended=detector.suspend,
            passing=self.passing,
            profile=self.profile.name,
            resource=device.resource.name,
            needs={
                names.COMPONENT_TRITON: resource + _labels({**device.node_selector, **labels}),
                names.COMPONENT_MEDIA: _labels(
                    {**(device.node_selector if device.media.on_accelerator_node else {}), **labels}
                ),
            },
        )


def remains(obj: Mapping[str, Any], snapshot: Snapshot, now: datetime) -> Running:
    """Return what is still meant to run of the detector `obj`, an object of the API server that cannot be planned.

    Its children run on as they were planned last: the ConfigMaps say how that was, the last status names the cameras.
    """
    name, documents = obj["metadata"]["name"], snapshot.documents
    detector = _document(DetectorConfig, documents.get(names.FILE_DETECTOR))
    media = _document(MediaConfig, documents.get(names.FILE_MEDIA))
    accepted = _document(ServingConfig, documents.get(names.FILE_ACCEPTED))
    probe = _document(Probe, documents.get(names.FILE_PROBE))
    workload = snapshot.workloads.get(names.triton(name))
    suspended = workload is not None and workload.desired == 0
    cameras = [camera["name"] for camera in (obj.get("status") or {}).get("cameras") or ()]
    main = {c.name for c in detector.cameras if c.stream == names.stream(c.name)} if detector else frozenset[str]()
    streams = media.cameras if media else ()
    generations = {
        names.COMPONENT_TRITON: detector.generation if detector else -1,
        names.COMPONENT_MEDIA: media.generation if media else -1,
    }
    return Running(
        name=name,
        snapshot=snapshot,
        now=now,
        cameras=merge(cameras, snapshot, main, suspended=suspended),
        accepted=accepted,
        passing=frozenset({accepted.id, probe.serving.id}) if accepted and probe else frozenset(),
        generations=generations,
        streams={camera.stream: _called(camera.stream, cameras) for camera in streams},
        suspended=suspended,
        profile=str((obj.get("spec") or {}).get("acceleratorProfile", "")),
    )


def _document(kind: type[T], text: str | None) -> T | None:
    try:
        return from_json(kind, text) if text else None
    except InvalidDocumentError:
        return None


def _called(stream: str, cameras: list[str]) -> str:
    return next((c for c in cameras if stream in {names.stream(c), names.stream(f"{c}/sub")}), stream)


def _labels(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in sorted(labels.items()))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says: a condition without its type."""

    status: str
    reason: str
    message: str
    blocked: bool = False
    """Waiting will not help: somebody has to change something, in the cluster or at the camera."""


def fine(reason: str, message: str) -> Verdict:
    """Return the verdict that the condition holds."""
    return Verdict(conditions.TRUE, reason, message)


def progressing(reason: str, message: str) -> Verdict:
    """Return the verdict that the condition does not hold yet and will without anybody's help."""
    return Verdict(conditions.FALSE, reason, message)


def blocked(reason: str, message: str, **names_: str) -> Verdict:
    """Return the verdict that the condition does not hold and somebody has to act; the message says what helps.

    `names_` fill the remedy, e.g. the profile's name.
    """
    return Verdict(conditions.FALSE, reason, remedies.told(reason, message, **names_), blocked=True)


def unknown(message: str) -> Verdict:
    """Return the verdict that nothing is known yet."""
    return Verdict(conditions.UNKNOWN, conditions.REASON_UNKNOWN, message)


def older_than(since: str, patience: timedelta, now: datetime) -> bool:
    """Tell whether a time of the API server is that long ago; an empty one is not."""
    return bool(since) and now - datetime.fromisoformat(since) >= patience
