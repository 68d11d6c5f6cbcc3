"""From resources to desired objects: pure, a module a component, one function an object, off means absent."""

from edgedetector.plan.children import (
    CHILD_KINDS,
    PROFILE_CHILD_KINDS,
    detector_children,
    profile_children,
)
from edgedetector.plan.serving import serving_config
from edgedetector.plan.settings import Facts, Settings

__all__ = [
    "CHILD_KINDS",
    "PROFILE_CHILD_KINDS",
    "Facts",
    "Settings",
    "detector_children",
    "profile_children",
    "serving_config",
]
