"""All EdgeDetectors at a glance: which one needs somebody."""

from __future__ import annotations

from typing import Final

from dashboards.model import NAMESPACE_VARIABLE, Board, Panel, Query, Row, quantile, rate
from edgedetector.plan.figures import RECORDED
from edgedetector.plan.objectives import LATE, UNDETECTED

HERE: Final = 'namespace=~"$namespace"'
WHO: Final = "{{namespace}}/{{edgedetector}}"


def firing(severity: str) -> tuple[Query, ...]:
    """Return the query of the number of alerts that fire."""
    return (
        Query(f'count(ALERTS{{alertname=~"EdgeDetector.*",alertstate="firing",severity="{severity}"}}) or vector(0)'),
    )


NOW: Final = (
    Panel(
        "EdgeDetectors",
        "Those whose pods Prometheus is to scrape.",
        (Query(f'count(count by (namespace, edgedetector) (up{{{HERE},endpoint="detector",edgedetector!=""}}))'),),
        kind="stat",
        width=4,
    ),
    Panel(
        "Cameras",
        "Cameras that detector pods know.",
        (Query(f"count(count by (namespace, edgedetector, camera) (edgedetector_camera_state{{{HERE}}}))"),),
        kind="stat",
        width=4,
    ),
    Panel(
        "Live",
        "Cameras that send frames.",
        (Query(f'sum(max by (namespace, edgedetector, camera) (edgedetector_camera_state{{{HERE},state="Live"}}))'),),
        kind="stat",
        width=4,
    ),
    Panel(
        "Frames",
        "Frames inferred a second, of all cameras.",
        (Query(rate("edgedetector_camera_frames_total", f'{HERE},result="inferred"')),),
        unit="fps",
        kind="stat",
        width=4,
    ),
    Panel(
        "Critical alerts",
        "Alerts of severity critical that fire now.",
        firing("critical"),
        kind="stat",
        width=4,
        limit=1,
    ),
    Panel(
        "Warnings",
        "Alerts of severity warning that fire now.",
        firing("warning"),
        kind="stat",
        width=4,
        limit=1,
    ),
)

BOARD: Final = Board(
    "fleet",
    "EdgeDetector / Fleet",
    "All EdgeDetectors at a glance: which one needs somebody.",
    (NAMESPACE_VARIABLE,),
    (
        Row("Now", NOW),
        Row(
            "Objectives",
            (
                Panel(
                    "Cameras with detections",
                    "Share of each EdgeDetector's cameras that is detected on. 99 % over 30 days is the objective.",
                    (Query(f"1 - {UNDETECTED}{{{HERE}}}", WHO),),
                    unit="percentunit",
                    most=1,
                ),
                Panel(
                    "Frames in time",
                    "Share of the frames whose result was there within the latency that the specification states.",
                    (Query(f"1 - {LATE}{{{HERE}}}", WHO),),
                    unit="percentunit",
                    most=1,
                ),
            ),
        ),
        Row(
            "Work",
            (
                Panel(
                    "Frames inferred",
                    "Frames a second by EdgeDetector.",
                    (
                        Query(
                            rate(
                                "edgedetector_camera_frames_total",
                                f'{HERE},result="inferred"',
                                "namespace",
                                "edgedetector",
                            ),
                            WHO,
                        ),
                    ),
                    unit="fps",
                    kind="areas",
                ),
                Panel(
                    "Age of results, 95th percentile",
                    "From a frame's decoding to its result.",
                    (
                        Query(
                            quantile(0.95, "edgedetector_camera_frame_age_seconds", HERE, "namespace", "edgedetector"),
                            WHO,
                        ),
                    ),
                    unit="s",
                ),
                Panel(
                    "Cameras that give way",
                    "Cameras that are down the degradation ladder, by EdgeDetector.",
                    (
                        Query(
                            "sum by (namespace, edgedetector)"
                            f" (edgedetector_camera_degradation_rungs{{{HERE}}} > bool 0)",
                            WHO,
                        ),
                    ),
                ),
                Panel(
                    "Accelerators",
                    "Utilisation of the busiest device of each node.",
                    (Query(RECORDED["utilization"], "{{node}} ({{accelerator_profile}})"),),
                    unit="percentunit",
                    most=1,
                    limit=0.8,
                ),
            ),
        ),
    ),
)
