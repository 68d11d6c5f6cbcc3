"""Fields that the API has and a release does not act on yet: who sets one is told so. This release has none. Pure."""

from __future__ import annotations

from edgedetector.api import conditions
from edgedetector.status.view import Verdict, View, fine


def spec_served(_view: View) -> Verdict:
    """Say which fields are without effect: none is."""
    return fine(conditions.REASON_AS_EXPECTED, "no field is set that this release does not act on")
