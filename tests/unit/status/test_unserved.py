"""Whoever sets a field that this release does not act on is told so, and nothing is held up by it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.status.views import healthy

from edgedetector.api import conditions as c
from edgedetector.status import compose


def judged(**spec: Any) -> dict[str, c.Condition]:
    return {condition.type: condition for condition in compose.judge(healthy(**spec))}


# As the API server stores what says nothing of these.
DEFAULTS: dict[str, Any] = {
    "tuning": {
        "mode": "Auto",
        "objective": {"latency": {"percentile": 99, "max": "50ms"}},
        "headroom": {"accelerator": "20%", "cpu": "15%"},
        "bounds": {"instances": {"min": 1, "max": 4}, "maxQueueDelay": "5ms"},
    },
    "degradation": {
        "enabled": True,
        "steps": ["ReduceFrameRate", "UseSubstream", "KeyframesOnly", "PauseCameras"],
        "protectedPriority": 100,
        "reactAfter": "3s",
        "recoverAfter": "30s",
    },
    "cameras": [{"name": "gate", "url": "rtsp://a/1", "frameRate": {"target": 7}, "priority": 0}],
}


def test_defaults_are_nothing_that_somebody_set() -> None:
    found = judged(**DEFAULTS)
    assert found[c.SPEC_SERVED] == c.Condition(
        c.SPEC_SERVED, "True", c.REASON_AS_EXPECTED, "no field is set that this release does not act on"
    )


@pytest.mark.parametrize(
    "spec",
    [
        {"degradation": {"steps": ["UseSubstream", "PauseCameras"]}},
        {"degradation": {"steps": ["PauseCameras"], "protectedPriority": 5, "reactAfter": "9s"}},
        {"cameras": [{"name": "gate", "url": "rtsp://a/1", "frameRate": {"minimum": 2, "maximum": 9}, "priority": 3}]},
        {"tuning": {"mode": "Off", "bounds": {"instances": {"max": 2}}}},
        {"tuning": {"headroom": {"cpu": "30%"}}},
        {"tuning": {"mode": "Auto", "bounds": {"instances": {"max": 2}}, "objective": {"goal": "Latency"}}},
        {"outputs": {"mqtt": {"url": "mqtt://broker"}, "webhook": {"url": "https://here"}}},
    ],
)
def test_what_is_served_and_what_is_switched_off_are_not_named(spec: dict[str, Any]) -> None:
    assert judged(**spec)[c.SPEC_SERVED].is_true
