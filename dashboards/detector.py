"""One EdgeDetector: what it does, how well, and where the time goes."""

from __future__ import annotations

from typing import Final

from dashboards import triton
from dashboards.model import (
    DETECTOR,
    DETECTOR_VARIABLE,
    NAMESPACE_VARIABLE,
    Board,
    Panel,
    Query,
    Row,
    quantile,
    rate,
)
from edgedetector.plan.objectives import DETECTED_SHARE, EVERY, LATE, UNDETECTED

HOUR: Final = 3600 // EVERY
"""Recordings an hour."""
AGE: Final = "edgedetector_camera_frame_age_seconds"

NOW: Final = (
    Panel(
        "Cameras with detections",
        "Share of the cameras that is detected on.",
        (Query(f"1 - max({UNDETECTED}{{{DETECTOR}}})"),),
        unit="percentunit",
        kind="stat",
        width=6,
    ),
    Panel(
        "Budget burn",
        "How fast the budget of missed detections is spent, over an hour; at 1 it lasts 30 days, from 14.4 on somebody"
        " is called.",
        (
            Query(
                f"max(sum_over_time({UNDETECTED}{{{DETECTOR}}}[1h])) / {HOUR} / {1 - DETECTED_SHARE:.4g}",
            ),
        ),
        kind="stat",
        width=6,
        limit=14.4,
    ),
    Panel(
        "Frames",
        "Frames inferred a second.",
        (Query(rate("edgedetector_camera_frames_total", f'{DETECTOR},result="inferred"')),),
        unit="fps",
        kind="stat",
        width=6,
    ),
    Panel(
        "Age of results",
        "95th percentile, from a frame's decoding to its result.",
        (Query(quantile(0.95, AGE, DETECTOR)),),
        unit="s",
        kind="stat",
        width=6,
    ),
)

FRAMES: Final = (
    Panel(
        "What becomes of frames",
        "Frames read are inferred, skipped (target rate, motion gate, or a newer one came) or fail.",
        (
            Query(
                rate("edgedetector_camera_frames_total", f'{DETECTOR},result!="read"', "result"),
                "{{result}}",
            ),
        ),
        unit="fps",
        kind="areas",
    ),
    Panel(
        "Age of results",
        "From a frame's decoding to its result.",
        tuple(Query(quantile(share, AGE, DETECTOR), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        unit="s",
    ),
    Panel(
        "Cameras with detections, frames in time",
        "What the objectives promise 99 % of, and the stated percentile of the frames.",
        (
            Query(f"1 - {UNDETECTED}{{{DETECTOR}}}", "{{edgedetector}} cameras"),
            Query(f"1 - {LATE}{{{DETECTOR}}}", "{{edgedetector}} frames in time"),
        ),
        unit="percentunit",
        most=1,
    ),
    Panel(
        "Seconds by stage",
        "Wall time that frames spend in each stage, a second; `read` is mostly waiting for cameras and left out.",
        (Query(rate("edgedetector_stage_seconds_total", f'{DETECTOR},stage!="read"', "stage"), "{{stage}}"),),
        kind="areas",
    ),
)

BOARD: Final = Board(
    "detector",
    "EdgeDetector / Detector",
    "One EdgeDetector: what it does, how well, and where the time goes.",
    (NAMESPACE_VARIABLE, DETECTOR_VARIABLE),
    (
        Row("Now", NOW),
        Row("Frames", FRAMES),
        Row(
            "Triton",
            (
                triton.requests(DETECTOR),
                triton.batch(DETECTOR),
                triton.queue(DETECTOR),
                triton.split(DETECTOR),
                Panel(
                    "Models ready",
                    "Pods that serve a model.",
                    (Query(f'sum by (model) (edgedetector_model_state{{{DETECTOR},state="Ready"}})', "{{model}}"),),
                ),
            ),
        ),
        Row(
            "Overload and outputs",
            (
                Panel(
                    "Pressure",
                    "What presses, over its limit: above 1 cameras give way.",
                    (Query(f"max by (signal) (edgedetector_pressure_ratio{{{DETECTOR}}})", "{{signal}}"),),
                    limit=1,
                    width=8,
                ),
                Panel(
                    "Steps down the ladder",
                    "Of all cameras together.",
                    (
                        Query(
                            f"sum by (edgedetector) (edgedetector_camera_degradation_rungs{{{DETECTOR}}})",
                            "{{edgedetector}}",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Reports",
                    "Reports a second by output and what became of them; nothing without outputs.",
                    (
                        Query(
                            rate("edgedetector_output_reports_total", DETECTOR, "sink", "result"),
                            "{{sink}} {{result}}",
                            sparse=True,
                        ),
                    ),
                    unit="ops",
                    width=8,
                ),
            ),
        ),
    ),
)
