"""Fields that the API has and this release does not act on yet: who sets one is told so. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions
from edgedetector.api.decode import camel
from edgedetector.status.view import Verdict, View, fine, progressing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgedetector.api.edgedetector import DetectorSpec, TuningSpec

TUNING_OFF: Final = "Off"


def tuning_active(view: View) -> Verdict:
    """Say that nothing is tuned, and whether that is what was asked for."""
    mode = view.detector.spec.tuning.mode
    if mode == TUNING_OFF:
        return progressing(conditions.REASON_OFF, "tuning is switched off; models are served as spec.serving asks")
    text = f"this release does not tune: with mode {mode} models are served as spec.serving asks"
    return progressing(conditions.REASON_NOT_SERVED_YET, text)


def spec_served(view: View) -> Verdict:
    """Say which fields are without effect."""
    found = tuple(unserved(view.detector.spec))
    if not found:
        return fine(conditions.REASON_AS_EXPECTED, "no field is set that this release does not act on")
    text = f"set, but without effect in this release: {', '.join(found)}"
    return progressing(conditions.REASON_NOT_SERVED_YET, text)


def unserved(spec: DetectorSpec) -> Iterator[str]:
    """Yield the paths of the fields that are set and without effect, in the order of the specification.

    The API server fills in defaults, so a field counts as set if it differs from its default.
    """
    # The mode has a condition of its own; with tuning off nothing is wanted of the rest. The headroom is kept free by
    # the degradation ladder.
    if spec.tuning.mode != TUNING_OFF:
        yield from (f"spec.tuning.{name}" for name in _differing(spec.tuning, "mode", "headroom"))


def _differing(value: TuningSpec, *skipped: str) -> list[str]:
    """Return the keys whose values are not their defaults."""
    usual = type(value)()
    named = [field.name for field in fields(value) if field.name not in skipped]
    return [camel(name) for name in named if getattr(value, name) != getattr(usual, name)]
