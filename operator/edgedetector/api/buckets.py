"""Upper bounds of the histograms that the detector fills, of which rules on objectives ask for one."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

LATENCY: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
"""Seconds. From a fast device (8 ms) over the default objective (50 ms) to a camera that is hopelessly behind."""


def covering(limit: timedelta) -> float | None:
    """Return the smallest bound in seconds that is not below `limit`; None where every bound is."""
    return next((bound for bound in LATENCY if bound >= limit.total_seconds()), None)
