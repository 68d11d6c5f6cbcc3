"""Budgets burn as fast as the SRE workbook says before anybody is told, judged by Prometheus' own promtool."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.plan.scenarios import child, children, detector, minimal
from tests.unit.plan.test_rules import OURS, alerts, case, check, promtool, rules

from edgedetector.api import buckets
from edgedetector.detector.metrics import Metrics
from edgedetector.plan import objectives

__all__ = ["promtool"]  # the fixture

EVERY = f"{objectives.EVERY}s"
MINUTE = 60 // objectives.EVERY
"""Samples a minute."""
CAMERA = {"name": "gate", "url": "rtsp://gate.cams/main"}
DETECTION, LATENCY = "EdgeDetectorDetection", "EdgeDetectorLatency"


def counter(*parts: tuple[int, int]) -> str:
    """A counter in promtool's words, by (minutes, increase a sample)."""
    value, words = 0, ["0"]
    for minutes, step in parts:
        words.append(f"{value + step}+{step}x{minutes * MINUTE - 1}")
        value += step * minutes * MINUTE
    return " ".join(words)


def frames(*parts: tuple[int, int, int], camera: str = "gate") -> dict[str, str]:
    """Frames of a camera by (minutes, inferred a sample, failed a sample)."""
    series = f'edgedetector_camera_frames_total{{{OURS},camera="{camera}",pod="a",result="%s"}}'
    return {
        series % "inferred": counter(*((minutes, inferred) for minutes, inferred, _ in parts)),
        series % "failed": counter(*((minutes, failed) for minutes, _, failed in parts)),
    }


def ages(*parts: tuple[int, int, int]) -> dict[str, str]:
    """Frames by (minutes, all a sample, those of them within 50 ms)."""
    family = f'edgedetector_camera_frame_age_seconds_%s{{{OURS},camera="gate",pod="a"%s}}'
    return {
        family % ("count", ""): counter(*((minutes, number) for minutes, number, _ in parts)),
        family % ("bucket", ',le="0.05"'): counter(*((minutes, good) for minutes, _, good in parts)),
    }


CASES: dict[str, tuple[str, dict[str, str], int, bool]] = {
    "nothing for a quarter of an hour": (f"{DETECTION}FastBurn", frames((60, 150, 0), (15, 0, 0)), 75, True),
    "all requests fail": (f"{DETECTION}FastBurn", frames((60, 150, 0), (15, 0, 150)), 75, True),
    "nothing for five minutes": (f"{DETECTION}FastBurn", frames((60, 150, 0), (5, 0, 0)), 65, False),
    "it was, and has been well since": (
        f"{DETECTION}FastBurn", frames((60, 150, 0), (15, 0, 0), (10, 150, 0)), 85, False,
    ),
    "a minute to start, and young": (f"{DETECTION}FastBurn", frames((1, 0, 0), (4, 150, 0)), 4, False),
    "young, and the slow windows": (f"{DETECTION}SlowBurn", frames((1, 0, 0), (4, 150, 0)), 4, False),
    "five of a hundred fail for long, not fast": (f"{DETECTION}FastBurn", frames((900, 95, 5)), 900, False),
    "five of a hundred fail for long": (f"{DETECTION}SlowBurn", frames((900, 95, 5)), 900, True),
    "one of two hundred fails for long": (f"{DETECTION}SlowBurn", frames((900, 199, 1)), 900, False),
    "a pod that is gone": (f"{DETECTION}FastBurn", {"up": "0x300"}, 60, True),
    "late for a quarter of an hour": (f"{LATENCY}FastBurn", ages((60, 100, 100), (15, 100, 0)), 75, True),
    "late for five minutes": (f"{LATENCY}FastBurn", ages((60, 100, 100), (5, 100, 0)), 65, False),
    "no frames at all are not late": (f"{LATENCY}FastBurn", ages((60, 100, 100), (15, 0, 0)), 75, False),
    "a twentieth is late for long": (f"{LATENCY}SlowBurn", ages((900, 100, 95)), 900, True),
    "a two-hundredth is late for long": (f"{LATENCY}SlowBurn", ages((900, 200, 199)), 900, False),
}  # fmt: skip


def test_each_alert_on_an_objective_fires_when_it_should_and_only_then(promtool: str, tmp_path: Path) -> None:
    found = [
        case(name, alert, series, fires=fires, at=f"{minutes}m", every=EVERY)
        for name, (alert, series, minutes, fires) in CASES.items()
    ]
    ours = [one for one in rules()["groups"] if one["name"].endswith(".objectives")]  # the others cost time alone
    check(promtool, tmp_path, {"groups": ours}, found, every=EVERY)


def test_every_alert_on_an_objective_has_both_cases() -> None:
    named = {name for name in alerts(rules()) if name.endswith("Burn")}
    assert len(named) == 4
    for fires in (True, False):
        assert {alert for alert, *_, firing in CASES.values() if firing is fires} == named


def test_of_two_cameras_one_counts_half(promtool: str, tmp_path: Path) -> None:
    spec = rules(cameras=[CAMERA, {"name": "dock", "url": "rtsp://dock.cams/main"}])
    share = {
        "name": "half",
        "interval": EVERY,
        "input_series": [{"series": key, "values": values} for key, values in frames((10, 150, 0)).items()],
        "promql_expr_test": [
            {
                "expr": objectives.UNDETECTED,
                "eval_time": "10m",
                "exp_samples": [{"labels": f"{objectives.UNDETECTED}{{{OURS}}}", "value": 0.5}],
            }
        ],
    }
    check(promtool, tmp_path, spec, [share], every=EVERY)


def group(**spec: Any) -> dict[str, Any]:
    """The rule group of objectives; empty if there is none."""
    objects = children(detector("yard", minimal(**spec)))
    groups = child(objects, "PrometheusRule", "yard")["spec"]["groups"]
    return next((one for one in groups if one["name"].endswith(".objectives")), {})


def expressions(**spec: Any) -> dict[str, str]:
    found = group(cameras=[CAMERA], **spec)
    return {rule.get("record") or rule["alert"]: rule["expr"] for rule in found["rules"]}


def latency(**fields: Any) -> dict[str, Any]:
    return {"objective": {"latency": fields}}


def test_without_cameras_nothing_is_promised() -> None:
    assert group() == {}


def test_how_often_is_recorded_is_what_the_windows_count_with() -> None:
    assert group(cameras=[CAMERA])["interval"] == EVERY
    for alert, expression in expressions().items():
        for window, unit, samples in re.findall(r"\[(\d+)([mhd])\]\) / (\d+)", expression):
            if alert.endswith("Burn"):
                assert int(window) * {"m": 60, "h": 3600, "d": 86400}[unit] == int(samples) * objectives.EVERY


@pytest.mark.parametrize(("limit", "bound"), [("50ms", "0.05"), ("60ms", "0.075"), ("1s", "1.0"), ("5s", "5.0")])
def test_the_bound_is_one_that_the_detector_has(limit: str, bound: str) -> None:
    assert f'le="{bound}"' in expressions(tuning=latency(max=limit))[objectives.LATE]
    metrics = Metrics()
    metrics.age.labels("gate").observe(0.01)
    assert (
        f'edgedetector_camera_frame_age_seconds_bucket{{camera="gate",le="{bound}"}}' in metrics.exposition().decode()
    )


def test_of_what_the_histogram_cannot_tell_there_is_no_rule() -> None:
    found = expressions(tuning=latency(max="6s"))
    assert objectives.LATE not in found
    assert not [name for name in found if name.startswith(LATENCY)]
    assert f"{DETECTION}FastBurn" in found
    assert buckets.covering(timedelta(seconds=6)) is None


def test_a_rate_at_which_more_than_everything_would_have_to_fail_is_left_out() -> None:
    assert f"{LATENCY}FastBurn" not in expressions(tuning=latency(percentile=50))
    assert expressions(tuning=latency(percentile=90))[f"{LATENCY}FastBurn"].count("sum_over_time") == 2
    assert expressions(tuning=latency(percentile=95))[f"{LATENCY}FastBurn"].count("sum_over_time") == 4


def test_a_gate_that_lets_a_frame_an_hour_pass_is_no_outage() -> None:
    gated = {**CAMERA, "motionGate": {"enabled": True, "interval": "10m"}}
    found = {rule.get("record"): rule["expr"] for rule in group(cameras=[gated])["rules"]}
    assert "[1200s]" in found[objectives.UNDETECTED]
    slow = {
        rule.get("record"): rule["expr"]
        for rule in group(cameras=[CAMERA], monitoring={"scrapeInterval": "1m"})["rules"]
    }
    assert "[240s]" in slow[objectives.UNDETECTED]
