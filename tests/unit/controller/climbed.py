"""A detector whose tuning has converged, or is in the middle of a trial."""

from __future__ import annotations

from typing import Any

from tests.unit.controller.tuned import GOAL, World

from edgedetector.api import names
from edgedetector.api.wire import from_json
from edgedetector.tuning.ledger import Ledger

LONG = 150
"""Seconds in which the climb is over, a trial that had to end included."""


def ledger(world: World) -> Ledger:
    """What is on record."""
    return from_json(Ledger, world.cluster.objects["ConfigMap", "yard-tuning"]["data"][names.FILE_RECORD])


async def tuned(**spec: Any) -> World:
    """A detector after its tuning has converged."""
    world = World(**spec)
    await world.run(LONG)
    assert (world.accepted(), world.pod.instances, ledger(world).converged) == (GOAL, GOAL, True)
    return world


async def probing(world: World) -> World:
    """The same in the middle of a trial that its pod has begun."""
    for _ in range(60):
        await world.tick()
        if world.pod.trial is not None and world.pod.instances == 2:
            return world
    raise AssertionError("no trial has begun")
