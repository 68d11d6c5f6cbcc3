"""A node with detectors: what the box has left."""

from __future__ import annotations

from typing import Final

from dashboards.model import NODE, NODE_VARIABLE, RATE, Board, Panel, Query, Row, rate
from edgedetector.plan.alerts import HIGH_CPU_SHARE

BOARD: Final = Board(
    "node",
    "EdgeDetector / Node",
    "A node with detectors: what the box has left, and who takes it.",
    (NODE_VARIABLE,),
    (
        Row(
            "The box",
            (
                Panel(
                    "Processors",
                    "Share that is busy, by node-exporter whose scrape sets the label `node`, as the chart's does.",
                    (
                        Query(
                            f'1 - avg by (node) (rate(node_cpu_seconds_total{{mode="idle",{NODE}}}[{RATE}]))',
                            "{{node}}",
                        ),
                    ),
                    unit="percentunit",
                    most=1,
                    limit=HIGH_CPU_SHARE,
                    width=8,
                ),
                Panel(
                    "Memory",
                    "Share that is in use and could not be had back.",
                    (
                        Query(
                            "1 - max by (node)"
                            f" (node_memory_MemAvailable_bytes{{{NODE}}} / node_memory_MemTotal_bytes{{{NODE}}})",
                            "{{node}}",
                        ),
                    ),
                    unit="percentunit",
                    most=1,
                    width=8,
                ),
                Panel(
                    "Load",
                    "Processes that run or wait, on average of a minute.",
                    (Query(f"max by (node) (node_load1{{{NODE}}})", "{{node}}"),),
                    width=8,
                ),
            ),
        ),
        Row(
            "Detectors on it",
            (
                Panel(
                    "Processors of detectors",
                    "Cores that each detector process takes; Triton and go2rtc are processes of their own.",
                    (
                        Query(
                            rate(
                                "process_cpu_seconds_total",
                                f'{NODE},endpoint="detector",edgedetector!=""',
                                "namespace",
                                "edgedetector",
                            ),
                            "{{namespace}}/{{edgedetector}}",
                        ),
                    ),
                    kind="areas",
                ),
                Panel(
                    "Memory of detectors",
                    "What each detector process holds.",
                    (
                        Query(
                            "sum by (namespace, edgedetector)"
                            f' (process_resident_memory_bytes{{{NODE},endpoint="detector",edgedetector!=""}})',
                            "{{namespace}}/{{edgedetector}}",
                        ),
                    ),
                    unit="bytes",
                    kind="areas",
                ),
                Panel(
                    "Processors by stage",
                    "Cores that the stages of a frame take: where decoding leads, sub-streams help.",
                    (Query(rate("edgedetector_stage_cpu_seconds_total", NODE, "stage"), "{{stage}}"),),
                    kind="areas",
                ),
                Panel(
                    "Pressure",
                    "What presses on the box, over its limit: above 1 cameras give way.",
                    (Query(f"max by (signal) (edgedetector_pressure_ratio{{{NODE}}})", "{{signal}}"),),
                    limit=1,
                ),
                Panel(
                    "From the cameras",
                    "What media servers on the node receive.",
                    (
                        Query(
                            rate("go2rtc_producer_receive_bytes_total", NODE, "namespace", "edgedetector"),
                            "{{namespace}}/{{edgedetector}}",
                        ),
                    ),
                    unit="Bps",
                    kind="areas",
                ),
                Panel(
                    "Frames inferred",
                    "Frames a second that the node's detectors have results for.",
                    (
                        Query(
                            rate(
                                "edgedetector_camera_frames_total",
                                f'{NODE},result="inferred"',
                                "namespace",
                                "edgedetector",
                            ),
                            "{{namespace}}/{{edgedetector}}",
                        ),
                    ),
                    unit="fps",
                    kind="areas",
                ),
            ),
        ),
    ),
)
