"""Objectives of a detector, and alerts on how fast their error budgets are spent.

Two indicators, each the share that is bad at a moment, are recorded every 30 seconds:

* `edgedetector:cameras_undetected:ratio`: of the cameras of the specification. A camera whose requests fail in part
  counts in part; one without inferred frames counts whole, whatever the reason: it is silent, it was suspended under
  overload, its model is not loaded, or nobody answers. That is why the number of cameras stands in the rule: of a pod
  that is gone there are no series to count.
* `edgedetector:frames_late:ratio`: of the frames that were inferred, those that were older than `latency.max` of the
  tuning objective; where that lies between two bounds of the histogram, older than the next bound.

Both are weighed by time, so that a minute at night counts as much as one by day. Objectives are 99 % of the cameras,
and `latency.percentile` of the frames.

Alerts are multi-window and multi-burn-rate, with the windows and rates of the SRE workbook (chapter 5, "Alerting on
SLOs", table 5-8), and the pair of one day and two hours that Kubernetes' own rules add to them. A rate of 1 spends a
30-day budget in just 30 days; the short window, a twelfth of the long one, ends the alert soon after its cause ends.

| burn rate | long window | short window | share of 30 days' budget that is gone |
| --------- | ----------- | ------------ | ------------------------------------- |
| 14.4      | 1 h         | 5 min        | 2 %  (fast)                           |
| 6         | 6 h         | 30 min       | 5 %  (fast)                           |
| 3         | 1 d         | 2 h          | 10 % (slow)                           |
| 1         | 3 d         | 6 h          | 10 % (slow)                           |

A window is the sum of what was recorded over how much is recorded in that time, not the mean of what there is: a
detector that is one minute old and needed that minute to start has not failed for three days.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from edgedetector.api import buckets
from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.quantities import format_duration
from edgedetector.plan.alerts import Alert
from edgedetector.plan.figures import LABEL_EDGEDETECTOR, selector

EVERY: Final = 30  # seconds between two recordings
UNDETECTED: Final = "edgedetector:cameras_undetected:ratio"
LATE: Final = "edgedetector:frames_late:ratio"
DETECTED_SHARE: Final = 0.99  # of the cameras, over 30 days: some seven hours of each may be missed
RANGE: Final = 120  # seconds over which frames are counted, at the default scrape interval of 10 seconds


@dataclass(frozen=True, slots=True)
class Burn:
    """A burn rate, and the two windows in which it must hold."""

    rate: float
    long: timedelta
    short: timedelta


FAST: Final = (
    Burn(14.4, timedelta(hours=1), timedelta(minutes=5)),
    Burn(6, timedelta(hours=6), timedelta(minutes=30)),
)
SLOW: Final = (
    Burn(3, timedelta(days=1), timedelta(hours=2)),
    Burn(1, timedelta(days=3), timedelta(hours=6)),
)


def group(detector: EdgeDetector, runbooks: str) -> dict[str, Any] | None:
    """Return the rule group of a detector's objectives; absent without cameras, of which nothing is promised."""
    if not detector.spec.cameras:
        return None
    recordings = [_recorded(detector, UNDETECTED, _undetected(detector))]
    alerts = _detection(detector)
    late = _late(detector)
    if late is not None:
        recordings.append(_recorded(detector, LATE, late))
        alerts += _latency(detector)
    return {
        "name": f"edgedetector.{detector.namespace}.{detector.name}.objectives",
        "interval": f"{EVERY}s",
        "rules": [*recordings, *(alert.manifest(detector, runbooks) for alert in alerts)],
    }


def _recorded(detector: EdgeDetector, name: str, expression: str) -> dict[str, Any]:
    labels = {"namespace": detector.namespace, LABEL_EDGEDETECTOR: detector.name}
    return {"record": name, "expr": expression, "labels": labels}


def _undetected(detector: EdgeDetector) -> str:
    """Return the share of the cameras that is not detected on; never below 0, though a removed one may still count."""

    def rate(result: str) -> str:
        frames = f"edgedetector_camera_frames_total{{{selector(detector)},result=~{result!r}}}"
        return f"sum by (camera) (rate({frames}[{_range(detector)}s]))"

    served = f"sum({rate('inferred')} / ({rate('inferred|failed')} > 0)) or vector(0)"
    return f"clamp_min(1 - ({served}) / {len(detector.spec.cameras)}, 0)"


def _late(detector: EdgeDetector) -> str | None:
    """Return the share of the frames that are late; None: the histogram does not reach as far as the objective."""
    bound = buckets.covering(detector.spec.tuning.objective.latency.max)
    if bound is None:
        return None
    age, ours, over = "edgedetector_camera_frame_age_seconds", selector(detector), f"[{_range(detector)}s]"
    within = f'sum(rate({age}_bucket{{{ours},le="{bound}"}}{over}))'
    # Of no frames at all nothing is recorded: 0 / 0 would spoil every window that it lies in.
    return f"clamp_min(1 - {within} / (sum(rate({age}_count{{{ours}}}{over})) > 0), 0)"


def _range(detector: EdgeDetector) -> int:
    """Return over how many seconds frames are counted: four scrapes, and two frames of a camera that sees nothing move.

    A frame that the motion gate leaves out is not a missing one.
    """
    gates = [camera.motion_gate.interval for camera in detector.spec.cameras if camera.motion_gate.enabled]
    longest = max(gates, default=timedelta(0))
    wanted = max(4 * detector.spec.monitoring.scrape_interval, 2 * longest)
    return max(RANGE, math.ceil(wanted.total_seconds()))


def _detection(detector: EdgeDetector) -> list[Alert]:
    said = "{{ $value | humanizePercentage }} of the cameras' time was without detections, of which 1 % may be: "
    budget = 1 - DETECTED_SHARE
    return [
        *_burning(
            detector, UNDETECTED, FAST, budget,
            name="EdgeDetectorDetectionFastBurn", severity="critical", summary="Cameras are without detections",
            description=f"{said}what may be missed in 30 days is gone in two to five.",
        ),
        *_burning(
            detector, UNDETECTED, SLOW, budget,
            name="EdgeDetectorDetectionSlowBurn", severity="warning",
            summary="Cameras have been without detections for long",
            description=f"{said}in 30 days all of that is gone.",
        ),
    ]  # fmt: skip


def _latency(detector: EdgeDetector) -> list[Alert]:
    """Return the alerts on late frames: these come after all, so that nobody is woken for them."""
    objective = detector.spec.tuning.objective.latency
    budget = 1 - objective.percentile / 100
    limit = f"{objective.max / timedelta(milliseconds=1):g} ms"
    said = (
        "{{ $value | humanizePercentage }} of the frames were older than"
        f" {limit} when their result was there, of which {100 - objective.percentile} % may be."
    )
    return [
        *_burning(
            detector, LATE, FAST, budget,
            name="EdgeDetectorLatencyFastBurn", severity="warning", summary="Detections come late", description=said,
        ),
        *_burning(
            detector, LATE, SLOW, budget,
            name="EdgeDetectorLatencySlowBurn", severity="info", summary="Detections have come late for long",
            description=said,
        ),
    ]  # fmt: skip


def _burning(
    detector: EdgeDetector,
    series: str,
    burns: Sequence[Burn],
    budget: float,
    *,
    name: str,
    severity: str,
    summary: str,
    description: str,
) -> list[Alert]:
    """Return the alert, or none where the budget is so large that it cannot be spent at any of these rates."""
    expressions = [
        f"({_window(detector, series, burn.long)} > {burn.rate * budget:.4g}"
        f" and {_window(detector, series, burn.short)} > {burn.rate * budget:.4g})"
        for burn in burns
        if burn.rate * budget < 1
    ]
    if not expressions:
        return []
    return [Alert(name, " or ".join(expressions), "0s", severity, summary, description)]


def _window(detector: EdgeDetector, series: str, window: timedelta) -> str:
    number = window.total_seconds() / EVERY
    return f"sum_over_time({series}{{{selector(detector)}}}[{format_duration(window)}]) / {number:g}"
