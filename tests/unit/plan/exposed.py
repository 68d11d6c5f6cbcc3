"""Every series that rules and dashboards may ask for, gathered from the code that exposes or records it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.plan import scenarios

from edgedetector.controller.metrics import Metrics as OperatorMetrics
from edgedetector.detector.metrics import Metrics as DetectorMetrics
from edgedetector.go2rtc.exporter import Go2rtcCollector
from edgedetector.go2rtc.state import MediaState
from edgedetector.media.metrics import exposition
from edgedetector.plan import figures

SUFFIXES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
"""What a family's samples have behind its name; of other types nothing."""

TRITON: Final = frozenset(
    {
        "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count",
        "nv_inference_exec_count", "nv_inference_request_duration_us", "nv_inference_queue_duration_us",
        "nv_inference_compute_input_duration_us", "nv_inference_compute_infer_duration_us",
        "nv_inference_compute_output_duration_us",
    }
)  # fmt: skip
"""Triton's own; tests/unit/triton/test_metrics_on_triton.py holds them against a real one."""

OTHERS: Final = frozenset(
    {
        "up", "ALERTS", "node_cpu_seconds_total", "node_uname_info", "node_memory_MemAvailable_bytes",
        "node_memory_MemTotal_bytes", "node_load1",
    }
)  # fmt: skip
"""Those of Prometheus itself, and of node-exporter with the collectors that the chart switches on."""


def samples(families: Iterator[Metric] | list[Metric]) -> set[str]:
    """Names of the samples that families have."""
    return {f"{one.name}{suffix}" for one in families for suffix in SUFFIXES.get(one.type, ("",))}


def ours() -> set[str]:
    """Series that our processes expose, by their own code."""
    found = samples(list(DetectorMetrics().registry.collect())) | samples(list(OperatorMetrics().registry.collect()))
    found |= samples(list(text_string_to_metric_families(exposition(MediaState(1, "r", ready=True)))))
    return found | samples(Go2rtcCollector(lambda: "{}", lambda: 0.0).collect())


def vendors() -> set[str]:
    """Series of the exporters that the shipped profiles name."""
    exporters = [profile.spec.exporter for profile in scenarios.PROFILES.values() if profile.spec.exporter]
    return {mapping.metric for exporter in exporters for mapping in exporter.metrics}


def recorded() -> set[str]:
    """Series that our rules record."""
    camera = {"name": "gate", "url": "rtsp://gate.cams/main"}
    objects = scenarios.children(scenarios.detector("yard", scenarios.minimal(cameras=[camera])))
    rules = [rule for group in _groups(objects) for rule in group["rules"]]
    return {rule["record"] for rule in rules if "record" in rule} | set(figures.RECORDED.values())


def known() -> set[str]:
    """All of them."""
    return ours() | vendors() | recorded() | TRITON | OTHERS


def _groups(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [group for obj in objects if obj["kind"] == "PrometheusRule" for group in obj["spec"]["groups"]]


def chart_rules() -> dict[str, Any]:
    """Rules that the chart brings."""
    loaded: dict[str, Any] = yaml.safe_load(
        (scenarios.REPOSITORY / "charts" / "edgedetector" / "files" / "rules.yaml").read_text()
    )
    return loaded
