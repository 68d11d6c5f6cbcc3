"""What the cameras give up under overload, as the pods say it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedetector.api import conditions
from edgedetector.status.view import Verdict, View, fine, progressing, unknown
from edgedetector.status.workloads import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgedetector.status.cameras import CameraView


def degraded(view: View) -> Verdict:
    """Say what is given up, and why; True is no fault, but the box is too small for what is asked of it."""
    giving = [camera for camera in view.cameras if camera.degraded]
    if giving:
        return fine(conditions.REASON_GIVING_WAY, "; ".join(_told(giving)))
    if view.cameras and not view.snapshot.states and not view.detector.suspend:
        return unknown("no inference pod has answered yet")
    if not view.detector.spec.degradation.enabled:
        return progressing(conditions.REASON_DISABLED, "degradation is switched off: under overload frames are skipped")
    return progressing(conditions.REASON_AS_EXPECTED, "no camera gives up anything")


def _told(giving: Iterable[CameraView]) -> list[str]:
    """Return a sentence for all cameras that give up the same for the same reason."""
    alike: dict[str, list[str]] = {}
    for camera in giving:
        alike.setdefault(camera.degraded, []).append(camera.name)
    return [f"{listed(cameras)}: {sentence}" for sentence, cameras in alike.items()]
