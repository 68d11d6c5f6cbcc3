"""What status is decided from, and what a decision looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edgedetector.api import conditions, names
from edgedetector.api.dataplane import ServingConfig
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.observe.snapshot import Snapshot
from edgedetector.status.cameras import CameraView, merge


@dataclass(frozen=True, slots=True)
class View:
    """A detector with its profile and accepted serving configuration, and what was seen of its children."""

    detector: EdgeDetector
    profile: AcceleratorProfile
    accepted: ServingConfig
    snapshot: Snapshot
    now: datetime
    cameras: tuple[CameraView, ...] = ()


@dataclass(frozen=True, slots=True)
class Remains:
    """What is still to be seen of a detector that cannot be planned: its children run on as they were planned last."""

    name: str
    snapshot: Snapshot
    now: datetime
    cameras: tuple[CameraView, ...] = ()
    """Those that the last status names."""


def remains(obj: Mapping[str, Any], snapshot: Snapshot, now: datetime) -> Remains:
    """Return what is still to be seen of the detector `obj`, an object of the API server with its last status."""
    name = obj["metadata"]["name"]
    workload = snapshot.workloads.get(names.triton(name))
    suspended = workload is not None and workload.desired == 0
    cameras = [camera["name"] for camera in (obj.get("status") or {}).get("cameras") or ()]
    return Remains(name, snapshot, now, merge(cameras, snapshot, suspended=suspended))


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


def blocked(reason: str, message: str) -> Verdict:
    """Return the verdict that the condition does not hold and somebody has to act."""
    return Verdict(conditions.FALSE, reason, message, blocked=True)


def unknown(message: str) -> Verdict:
    """Return the verdict that nothing is known yet."""
    return Verdict(conditions.UNKNOWN, conditions.REASON_UNKNOWN, message)
