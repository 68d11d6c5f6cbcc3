"""Accelerators of every kind, under one set of names."""

from __future__ import annotations

from typing import Final

from dashboards import triton
from dashboards.model import NODE, Board, Panel, Query, Row, Variable
from edgedetector.api.profile import Figure
from edgedetector.plan.alerts import BUSY_SHARE, HOT_CELSIUS
from edgedetector.plan.figures import RECORDED

HERE: Final = f'{NODE},accelerator_profile=~"$accelerator_profile"'
WHICH: Final = "{{node}} ({{accelerator_profile}})"


def figure(name: Figure, legend: str = WHICH, *, sparse: bool = False) -> Query:
    """Return the query of one of our figures; `sparse`: not every exporter tells it."""
    return Query(f"{RECORDED[name]}{{{HERE}}}", legend, sparse)


BOARD: Final = Board(
    "accelerator",
    "EdgeDetector / Accelerator",
    "Accelerators of every kind: the exporters' figures under one set of names, and what Triton makes of them.",
    (
        Variable("node", "Node", RECORDED["utilization"]),
        Variable("accelerator_profile", "Profile", f"{RECORDED['utilization']}{{{NODE}}}"),
    ),
    (
        Row(
            "The device",
            (
                Panel(
                    "Utilisation",
                    "Of the busiest device of each node.",
                    (figure("utilization"),),
                    unit="percentunit",
                    most=1,
                    limit=BUSY_SHARE,
                ),
                Panel(
                    "Temperature",
                    "Of the hottest device of each node. Passively cooled cards slow down around 90 degrees.",
                    (figure("temperature"),),
                    unit="celsius",
                    limit=HOT_CELSIUS,
                ),
                Panel(
                    "Memory",
                    "In use, and how much there is where the exporter tells it.",
                    (
                        figure("memoryUsed", f"{WHICH} used"),
                        figure("memoryTotal", f"{WHICH} total", sparse=True),
                        figure("memoryFree", f"{WHICH} free", sparse=True),
                    ),
                    unit="bytes",
                ),
                Panel("Power", "What a device draws.", (figure("power"),), unit="watt"),
                Panel(
                    "PCIe lanes",
                    "Lanes in use, where the exporter tells it. A card with one lane starves: reseat it.",
                    (figure("pcieWidth", sparse=True),),
                    width=12,
                ),
            ),
        ),
        Row(
            "What Triton makes of it",
            (triton.requests(NODE), triton.batch(NODE), triton.queue(NODE), triton.split(NODE)),
        ),
    ),
)
