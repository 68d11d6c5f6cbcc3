"""The serving configuration that a specification asks for: where tuning starts."""

from __future__ import annotations

from edgedetector.api.dataplane import ServingConfig
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile


def serving_config(detector: EdgeDetector, profile: AcceleratorProfile) -> ServingConfig:
    """Return the configuration of `spec.serving`; its id is a hash of the content.

    Raises
    ------
    InvalidSpecError
        If a model cannot be served so, e.g. a preferred batch size above the model's maximum.
    """
    raise NotImplementedError
