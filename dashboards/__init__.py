"""Grafana's dashboards, as data; `python -m dashboards` writes charts/edgedetector/dashboards. Not shipped itself."""

from __future__ import annotations

from typing import Final

from dashboards import accelerator, camera, control, detector, fleet, node, tuner
from dashboards.model import Board

BOARDS: Final[tuple[Board, ...]] = (
    fleet.BOARD,
    node.BOARD,
    accelerator.BOARD,
    detector.BOARD,
    camera.BOARD,
    tuner.BOARD,
    control.BOARD,
)
