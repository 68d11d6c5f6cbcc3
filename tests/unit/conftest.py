"""Which unit tests `make check` leaves to `make test`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent

SLOW: Final = frozenset(
    [
        # Real programs: helm, uv, go2rtc, mosquitto, Chromium, a whole exporter.
        "chart/test_chart.py",
        "chart/test_images.py",
        "chart/test_monitoring.py",
        "chart/test_permissions.py",
        "chart/test_values.py",
        "cli/viewing/test_browser.py",
        "cli/viewing/test_relay.py",
        "detector/outputs/test_mqtt.py",
        "detector/outputs/test_reports.py",
        "detector/test_clock_jumps.py",
        "detector/test_probing.py",
        "detector/test_reconnects.py",
        "emulator/test_ladder.py",
        "go2rtc/test_exporter_live.py",
        "media/test_traffic.py",
        "releasing/test_files.py",
        # Killed at every line, a thousand times over, or until a deadline passes.
        "controller/test_aside.py",
        "detector/outputs/test_spool.py",
        "detector/test_fetching.py",
        "detector/test_repository.py",
        "triton/test_transport.py",
        # Hours of cameras and replicas on virtual time; thousands of tensors against plain loops.
        "detector/test_batching.py",
        "detector/test_decoders.py",
        "detector/test_failover.py",
        "detector/test_nms.py",
        "detector/test_overload.py",
        "detector/test_serving.py",
        "detector/test_serving_files.py",
        "detector/test_serving_history.py",
        "detector/test_serving_post_processing.py",
    ]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        if item.path.is_relative_to(HERE) and str(item.path.relative_to(HERE)) in SLOW:
            item.add_marker(pytest.mark.slow)
