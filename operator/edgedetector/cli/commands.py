"""All commands, in one place: what is imported here is what `kubectl edgedetector` can do."""

from __future__ import annotations

from edgedetector.cli import bench, completion, diagnosing, report, size, top, tracing, tune, verify, view
from edgedetector.cli.app import main

__all__ = ["bench", "completion", "diagnosing", "main", "report", "size", "top", "tracing", "tune", "verify", "view"]
