"""Half an hour in which all is well, under the demo's load: no alert fires, nor is any about to."""

from __future__ import annotations

import time
from typing import Final

import pytest

import cluster as driver
import demo as demo_driver
from harness import Kubectl, poll
from prometheus import Prometheus, prometheus

pytestmark = pytest.mark.soak

SECONDS: Final = 1800
TARGET_SHARE: Final = 0.95
OURS: Final = f'namespace="{driver.DEMO_NAMESPACE}",edgedetector="{demo_driver.DETECTOR}"'
SCRAPED: Final = f'up{{{OURS},endpoint="detector"}} == 1'
ALERTS: Final = (
    f'ALERTS{{edgedetector_namespace="{driver.DEMO_NAMESPACE}",edgedetector="{demo_driver.DETECTOR}",hastened=""}}',
    'ALERTS{alertname=~"EdgeDetectorOperator.*",hastened=""}',
)


def test_no_alert_is_pending_or_fires_for_half_an_hour_in_which_all_is_well(demo: Kubectl) -> None:
    target = demo.get("edgedetector", demo_driver.DETECTOR)["spec"]["cameras"][0]["frameRate"]["target"]
    with prometheus() as server:
        poll("it is scraped", lambda: server.query(SCRAPED), bool)
        # What was amiss before, such as a start, is no part of it.
        poll("nothing is left of what was", lambda: [a for alerts in ALERTS for a in server.query(alerts)], _none, 900)
        time.sleep(SECONDS)  # the point of it: this long, whatever happens
        told = [
            (series["metric"]["alertname"], series["metric"]["alertstate"], series["value"][1])
            for alerts in ALERTS
            for series in server.query(f"count_over_time({alerts}[{SECONDS}s])")
        ]
        watched = server.alerts()
        share = _inferred(server) / (target * SECONDS)
    print(f"{len(watched)} alerts were watched for {SECONDS} s; {share:.1%} of the target rate")
    assert {"EdgeDetectorDown", "EdgeDetectorDetectionFastBurn", "EdgeDetectorOperatorDown"} <= watched.keys()
    assert share >= TARGET_SHARE, "or it was not well"
    assert told == []


def _inferred(server: Prometheus) -> float:
    frames = f'edgedetector_camera_frames_total{{{OURS},result="inferred"}}'
    (series,) = server.query(f"sum(increase({frames}[{SECONDS}s]))")
    return float(series["value"][1])


def _none(found: list[object]) -> bool:
    return not found
