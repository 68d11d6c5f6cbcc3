"""What a replica serves is told to Prometheus, of one configuration at a time."""

from __future__ import annotations

import pytest

from edgedetector.controller.metrics import Metrics
from edgedetector.tuning.ledger import Capacity


def told(metrics: Metrics) -> list[float]:
    family = next(one for one in metrics.registry.collect() if one.name == metrics.tuning_capacity._name)
    return [sample.value for sample in family.samples]


def test_another_configuration_takes_the_place_of_the_last_one() -> None:
    metrics = Metrics()
    metrics.tuning_measured("site", "yard", "people=1/8/[]/0", 120.0)
    metrics.tuning_measured("site", "yard", "people=1/8/[]/0", 125.0)
    assert told(metrics) == [125.0]
    metrics.tuning_measured("site", "yard", "people=2/8/[]/0", 165.0)
    assert told(metrics) == [165.0]
    metrics.tuning_measured("site", "gate", "people=2/8/[]/0", 80.0)
    metrics.tuning_measured("site", "yard", "", None)
    assert told(metrics) == [80.0]
    metrics.tuning_measured("site", "nowhere", "", None)
    assert told(metrics) == [80.0]


@pytest.mark.parametrize(
    ("frames", "pods", "each"), [(330.0, 2, 165.0), (330.0, 0, None), (0.0, 2, None)], ids=["two", "unsaid", "idle"]
)
def test_a_replica_serves_its_share_of_what_all_do(frames: float, pods: int, each: float | None) -> None:
    assert Capacity(frames, 10.0, pods=pods).of_one == each
