"""Whole passes over a detector whose autoscaler does not get a figure: once, for long, and after a restart of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.controller.test_detectors import KEY, NOW, Cluster, conditions_of, pod, profile, reconciler
from tests.unit.status.views import healthy, resource, state

from edgedetector.api import conditions as c
from edgedetector.controller.detectors import DetectorReconciler
from edgedetector.controller.misses import Misses
from edgedetector.status.scaling import MISSED_LOOKS

SCALER = ("HorizontalPodAutoscaler", "yard-triton")


class Keeping(Cluster):
    """An API server whose applies leave the status alone."""

    async def apply(self, body: dict[str, Any], manager: str, only: Mapping[str, str] | None = None) -> dict[str, Any]:
        status = self.objects.get((body["kind"], body["metadata"]["name"]), {}).get("status")
        live = await super().apply(body, manager, only)
        if status is not None:
            live["status"] = status
        return live


class World:
    """A detector with an autoscaler that follows the processors and the queue, on virtual time."""

    def __init__(self) -> None:
        spec = {"minReplicas": 1, "maxReplicas": 2, "metrics": [{"name": "QueueTime"}]}
        self.cluster, self.now = Keeping(resource(scaling=spec), profile(), pod()), NOW
        self.restart()

    def restart(self) -> None:
        self.operator: DetectorReconciler = reconciler(self.cluster, state(healthy().accepted.id))
        self.operator.shell.now = self.clock

    def clock(self) -> datetime:
        return self.now

    async def looks(self, *, got: bool = True, after: int = 15) -> float | None:
        """The autoscaler looks, and a pass sees what it got; return when there will be another one."""
        self.now += timedelta(seconds=after)
        scaler = self.cluster.objects[SCALER]
        active = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}
        asked = scaler["spec"]["metrics"]
        got_of = [{"type": metric["type"] if got or "external" not in metric else ""} for metric in asked]
        scaler["status"] = {
            "conditions": [{**active, "lastTransitionTime": "2026-11-22T10:00:00Z"}],
            "currentMetrics": got_of,
        }
        self.cluster.objects["Deployment", "yard-triton"]["status"] = {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        }  # fmt: skip
        return await self.operator.reconcile(KEY)

    def told(self) -> tuple[str, str]:
        found = conditions_of(self.cluster)[c.SCALING_READY]
        return found["status"], found["reason"]


WELL, ABSENT = ("True", c.REASON_SCALING_ACTIVE), ("False", c.REASON_CUSTOM_METRICS_UNAVAILABLE)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.operator.reconcile(KEY)
    await made.looks()
    assert made.told() == WELL
    return made


async def test_one_look_that_got_nothing_is_not_told_and_looked_at_again(world: World) -> None:
    before: dict[str, Any] = world.cluster.objects["EdgeDetector", "yard"]["status"]
    again = await world.looks(got=False)
    assert again is not None
    assert again <= MISSED_LOOKS.total_seconds()
    assert world.cluster.objects["EdgeDetector", "yard"]["status"] == before
    await world.looks()
    assert len(world.operator.misses) == 0


async def test_a_figure_that_stays_away_is_told(world: World) -> None:
    await world.looks(got=False)
    await world.looks(got=False, after=59)
    assert world.told() == WELL
    await world.looks(got=False, after=1)
    assert world.told() == ABSENT
    await world.looks(got=False)
    assert world.told() == ABSENT
    await world.looks()
    assert world.told() == WELL


async def test_what_is_missed_now_and_then_is_missed_anew_each_time(world: World) -> None:
    for _ in range(5):
        await world.looks(got=False, after=30)
        assert world.told() == WELL
        await world.looks(after=30)


async def test_a_restart_of_the_operator_takes_back_nothing(world: World) -> None:
    await world.looks(got=False)
    await world.looks(got=False, after=60)
    world.restart()
    await world.looks(got=False)
    assert world.told() == ABSENT


def test_a_detector_that_is_gone_leaves_nothing_behind() -> None:
    misses = Misses()
    assert misses.look(KEY, NOW, lacks=True, well=True) == NOW
    misses.forget(KEY)
    assert len(misses) == 0
