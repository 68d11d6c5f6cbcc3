"""What tuning did, and what came of it."""

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
from edgedetector.plan.figures import RECORDED

# The operator tells of other namespaces than its own: its scrape honours their label.
GAIN: Final = 'edgedetector_tuning_gain_ratio{namespace=~"$namespace",detector=~"$edgedetector"}'
NODES: Final = f'count by (node) (up{{{DETECTOR},endpoint="detector"}})'

BOARD: Final = Board(
    "tuner",
    "EdgeDetector / Tuner",
    "What tuning did, and what came of it.",
    (NAMESPACE_VARIABLE, DETECTOR_VARIABLE),
    (
        Row(
            "Decisions",
            (
                Panel(
                    "Gain",
                    "Capacity over the first that was measured; nothing where tuning is off or has not measured yet.",
                    (Query(GAIN, "{{namespace}}/{{detector}}", sparse=True),),
                    unit="none",
                    width=8,
                ),
                Panel(
                    "Decisions",
                    "In an hour, of all EdgeDetectors: what was tried, kept, reverted or recommended.",
                    (
                        Query(
                            "sum by (kind) (increase(edgedetector_tuning_decisions_total[1h]))",
                            "{{kind}}",
                            sparse=True,
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "On trial",
                    "Configurations that are tried now, of all EdgeDetectors.",
                    (Query("sum(edgedetector_tuning_probes)", "on trial"),),
                    width=8,
                ),
                Panel(
                    "Configuration in force",
                    "Accepted configuration, and the one on trial with what came of it.",
                    (
                        Query(
                            f"max by (pod, accepted, probe, outcome) (edgedetector_serving_config_info{{{DETECTOR}}})",
                            "{{pod}} {{accepted}} {{probe}} {{outcome}}",
                        ),
                    ),
                    kind="states",
                    width=24,
                ),
            ),
        ),
        Row(
            "What came of it",
            (
                Panel(
                    "Frames inferred",
                    "Frames a second.",
                    (
                        Query(
                            rate("edgedetector_camera_frames_total", f'{DETECTOR},result="inferred"', "edgedetector"),
                            "{{edgedetector}}",
                        ),
                    ),
                    unit="fps",
                ),
                Panel(
                    "Age of results, 99th percentile",
                    "What the objective limits by default.",
                    (
                        Query(
                            quantile(0.99, "edgedetector_camera_frame_age_seconds", DETECTOR, "edgedetector"),
                            "{{edgedetector}}",
                        ),
                    ),
                    unit="s",
                ),
                triton.requests(DETECTOR),
                triton.batch(DETECTOR),
                triton.queue(DETECTOR),
                triton.split(DETECTOR),
                Panel(
                    "Utilisation of the accelerator",
                    "On the nodes of the EdgeDetector; nothing without an exporter.",
                    (
                        Query(
                            f"{RECORDED['utilization']} and on (node) {NODES}",
                            "{{node}}",
                            sparse=True,
                        ),
                    ),
                    unit="percentunit",
                    most=1,
                ),
            ),
        ),
    ),
)
