"""What the data plane is told of the accelerator's figures."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.plan import scenarios

from edgedetector.api.dataplane import AcceleratorMetric
from edgedetector.api.profile import MetricMapping
from edgedetector.plan.dataplane import detector_config


def told(*metrics: MetricMapping) -> tuple[AcceleratorMetric, ...]:
    """The figures that a detector on a card with this exporter asks for."""
    profile = scenarios.PROFILES["nvidia"]
    assert profile.spec.exporter is not None
    exporter = replace(profile.spec.exporter, metrics=metrics)
    profile = replace(profile, spec=replace(profile.spec, exporter=exporter))
    wanted = scenarios.detector("yard", scenarios.minimal(acceleratorProfile="nvidia"))
    return detector_config(wanted, profile, scenarios.SETTINGS).accelerator.metrics


def test_every_figure_that_was_compared_with_the_device_is_asked_for_in_our_unit() -> None:
    assert told(
        MetricMapping("utilization", "UTIL", "percent", verified=True),
        MetricMapping("memoryUsed", "USED", "mebibytes", verified=True),
        MetricMapping("memoryFree", "FREE", "megabytes", verified=True),
        MetricMapping("pcieWidth", "WIDTH", "lanes", verified=True),
    ) == (
        AcceleratorMetric("utilization", "UTIL", 0.01),
        AcceleratorMetric("memoryUsed", "USED", 1024.0**2),
        AcceleratorMetric("memoryFree", "FREE", 1e6),
        AcceleratorMetric("pcieWidth", "WIDTH", 1.0),
    )


def test_what_nobody_has_compared_with_the_device_is_not() -> None:
    assert told(MetricMapping("utilization", "UTIL", "percent"), MetricMapping("memoryUsed", "USED", "bytes")) == ()
