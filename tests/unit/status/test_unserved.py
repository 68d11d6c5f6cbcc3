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
    ("spec", "named"),
    [
        ({"tuning": {"mode": "Auto", "bounds": {"instances": {"max": 2}}}}, "spec.tuning.bounds"),
        ({"tuning": {"bounds": {"instances": {"max": 2}}, "objective": {"latency": {"max": "30ms"}}}},
         "spec.tuning.objective, spec.tuning.bounds"),
    ],
)  # fmt: skip
def test_what_is_set_and_without_effect_is_named(spec: dict[str, Any], named: str) -> None:
    found = judged(**spec)[c.SPEC_SERVED]
    assert (found.status, found.reason) == ("False", c.REASON_NOT_SERVED_YET)
    assert found.message == f"set, but without effect in this release: {named}"


@pytest.mark.parametrize(
    "spec",
    [
        {"degradation": {"steps": ["UseSubstream", "PauseCameras"]}},
        {"degradation": {"steps": ["PauseCameras"], "protectedPriority": 5, "reactAfter": "9s"}},
        {"cameras": [{"name": "gate", "url": "rtsp://a/1", "frameRate": {"minimum": 2, "maximum": 9}, "priority": 3}]},
        {"tuning": {"mode": "Off", "bounds": {"instances": {"max": 2}}}},
        {"tuning": {"headroom": {"cpu": "30%"}}},
        {"outputs": {"mqtt": {"url": "mqtt://broker"}, "webhook": {"url": "https://here"}}},
    ],
)
def test_what_is_served_and_what_is_switched_off_are_not_named(spec: dict[str, Any]) -> None:
    assert judged(**spec)[c.SPEC_SERVED].is_true


@pytest.mark.parametrize(
    ("mode", "reason"), [("Off", c.REASON_OFF), ("Auto", c.REASON_NOT_SERVED_YET), ("Recommend", "NotServedYet")]
)
def test_tuning_says_that_it_does_nothing(mode: str, reason: str) -> None:
    found = judged(tuning={"mode": mode})[c.TUNING_ACTIVE]
    assert (found.status, found.reason) == ("False", reason)
    assert reason == c.REASON_OFF or mode in found.message


def test_what_is_without_effect_takes_nothing_from_readiness() -> None:
    found = judged(degradation={"reactAfter": "9s"}, tuning={"mode": "Recommend"})
    assert [found[name].status for name in (c.READY, c.RECONCILING, c.STALLED)] == ["True", "False", "False"]
