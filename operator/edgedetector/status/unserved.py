"""Fields that the API has and this release does not act on yet: who sets one is told so. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedetector.api import conditions
from edgedetector.status.view import Verdict, View, fine, progressing

if TYPE_CHECKING:
    from edgedetector.api.edgedetector import DetectorSpec


def spec_served(view: View) -> Verdict:
    """Say which fields are without effect."""
    found = unserved(view.detector.spec)
    if not found:
        return fine(conditions.REASON_AS_EXPECTED, "no field is set that this release does not act on")
    text = f"set, but without effect in this release: {', '.join(found)}"
    return progressing(conditions.REASON_NOT_SERVED_YET, text)


def unserved(_spec: DetectorSpec) -> tuple[str, ...]:
    """Return the paths of the fields that are set and without effect, in the order of the specification: none is."""
    return ()
