"""What is odd about a stream though pictures come."""

from __future__ import annotations

import numpy as np
import pytest

from edgedetector.detector.health import LINGERS, Stillness, remark
from edgedetector.detector.lifecycle import State
from edgedetector.detector.reading import Reading


@pytest.mark.parametrize(
    ("reading", "reason", "state"),
    [
        (Reading(rate=25.0, stated_rate=25.0), "", None),
        (Reading(rate=50.0, stated_rate=5.0), "", None),
        (Reading(rate=61.0, stated_rate=10.0), "Flooding", State.LIVE),
        (Reading(rate=1000.0), "Flooding", State.LIVE),
        (Reading(rate=100.0, stated_rate=60.0), "", None),
        (Reading(same_since=939.0), "Frozen", State.STALLED),
        (Reading(same_since=941.0), "", None),
        (Reading(same_since=0.0, rate=1000.0), "Frozen", State.STALLED),
        (Reading(over_budget=1000.0 - LINGERS + 1), "OverBudget", State.LIVE),
        (Reading(over_budget=1000.0 - LINGERS), "", None),
        (Reading(fallback="x: no device"), "SoftwareDecoding", State.LIVE),
    ],
)
def test_what_is_odd_has_a_reason(reading: Reading, reason: str, state: State | None) -> None:
    said = remark(reading, 1000.0, frozen_after=60.0)
    assert (said.reason if said else "") == reason
    assert (said.state if said else None) == state


def test_a_camera_is_not_called_frozen_unless_asked() -> None:
    assert remark(Reading(same_since=0.0), 1e6) is None


def test_a_remark_does_not_change_while_nothing_does() -> None:
    """Status must not change at rest: no figures that move."""
    said = {
        remark(Reading(rate=rate, stated_rate=10.0), now) for rate, now in [(100.0, 1.0), (133.3, 2.0), (90.0, 9.0)]
    }
    assert len(said) == 1


def test_one_pixel_of_noise_is_life() -> None:
    luma = np.full((64, 64), 100, np.uint8)
    still = Stillness().seen(0.0, luma).seen(1.0, luma.copy()).seen(2.0, luma.copy())
    assert still.since == 0.0
    luma[8, 16] += 1
    assert still.seen(3.0, luma).since == 3.0


def test_it_looks_once_a_second() -> None:
    still = Stillness().seen(10.0, np.zeros((8, 8), np.uint8))
    assert not still.wants(10.9)
    assert still.wants(11.0)
