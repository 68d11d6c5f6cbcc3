"""From resources to desired objects: pure, a module a component, one function an object, off means absent."""

from edgedetector.plan.children import (
    CHILD_KINDS,
    PROFILE_CHILD_KINDS,
    detector_children,
    profile_children,
)
from edgedetector.plan.scaling import CAP_LASTS, TUNING_LASTS, cap, held, least
from edgedetector.plan.serving import serving_config, specified, tuning_map
from edgedetector.plan.settings import Cap, Facts, Settings
from edgedetector.plan.verification import verification_children

__all__ = [
    "CAP_LASTS",
    "CHILD_KINDS",
    "PROFILE_CHILD_KINDS",
    "TUNING_LASTS",
    "Cap",
    "Facts",
    "Settings",
    "cap",
    "detector_children",
    "held",
    "least",
    "profile_children",
    "serving_config",
    "specified",
    "tuning_map",
    "verification_children",
]
