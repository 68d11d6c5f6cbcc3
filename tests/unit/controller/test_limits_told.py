"""What limits a box is told in every mode, whether anything is decided or not, and is not told again at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.controller.climbed import LONG, ledger, tuned
from tests.unit.controller.tuned import GOAL, World, story

from edgedetector.api.observation import BatchCounters, Observation
from edgedetector.tuning import telling

SOON = int(telling.LOOK + telling.LASTS + 3 * 10)
"""Seconds in which it is told, looks and windows included."""


def slow(world: World, instances: int = 1) -> Callable[[Observation], Observation]:
    """From now on a frame takes 99 ms for each instance in the place of 20: they have no time left at 10 a second."""
    since = int(world.seconds * 10)

    def told(answer: Observation) -> Observation:
        (model,) = answer.models
        more = (model.images - since) * (99_000_000 * instances - 20_000_000)
        (batch,) = model.batches
        batches = (BatchCounters(1, batch.executions, 0, batch.compute_infer + more, 0),)
        return replace(answer, models=(replace(model, batches=batches, request=model.request + more),))

    return told


async def writes(world: World, seconds: int) -> list[str]:
    before = len(world.cluster.writes)
    await world.run(seconds)
    return world.cluster.writes[before:]


async def off(**spec: Any) -> World:
    world = World(tuning={"mode": "Off"}, **spec)
    await world.run(20)
    return world


async def test_in_mode_off_it_is_told_within_minutes_and_once() -> None:
    world = await off()
    assert "capacity" not in world.status
    assert not world.recorded
    assert await writes(world, SOON) == ["yard-tuning", "status"]
    found = world.status["capacity"]
    assert (found["limit"], found["framesPerSecond"], found["demand"]) == ("demand", "50", "10")
    assert found["message"].startswith("Most of the capacity idles")
    assert (world.status["tuning"], world.pod.instances) == ({"phase": "Off"}, 1)
    assert await writes(world, 1800) == []


async def test_what_changed_is_told_anew_and_what_is_well_again_is_cleared() -> None:
    world = await off()
    await world.run(SOON + telling.APART)
    world.pod.tells = slow(world)
    assert await writes(world, 2 * SOON) == ["yard-tuning", "status"]
    assert world.status["capacity"]["limit"] == "scheduling"
    assert world.status["capacity"]["framesPerSecond"] == "10"
    await world.run(telling.APART)
    world.pod.tells = lambda told: told
    world.pod.epoch += 1
    assert await writes(world, 3 * SOON) == ["yard-tuning", "status"]
    assert world.status["capacity"]["limit"] == "demand"


async def test_a_new_operator_tells_nothing_anew() -> None:
    world = await off()
    await world.run(SOON)
    world.start()
    assert await writes(world, 3 * SOON) == []
    assert world.status["capacity"]["limit"] == "demand"


async def test_frozen_it_is_told_too() -> None:
    world = await tuned()
    world.annotate("Frozen")
    await world.run(telling.APART + 60)
    before = story(world)
    assert world.status["capacity"]["limit"] == "demand"
    world.pod.tells = slow(world, GOAL)
    await world.run(2 * SOON)
    assert (world.status["capacity"]["limit"], story(world)) == ("accelerator", before)
    assert world.accepted() == GOAL


async def test_tuning_that_is_switched_on_later_begins_then() -> None:
    """What was told before is no beginning of it: the autoscaler's maximum is held from now on, and gains count."""
    world = await off()
    await world.run(2 * SOON)
    world.edit(tuning={"mode": "Auto"})
    at = world.cluster.clock().timestamp()
    await world.run(15)
    assert story(world)[0] == "Begun"
    assert at <= ledger(world).began <= at + 15
    await world.run(LONG)
    assert (world.accepted(), ledger(world).gain) == (GOAL, pytest.approx(3.0))


async def test_a_suspended_detector_is_not_asked() -> None:
    world = World(tuning={"mode": "Off"}, suspend=True)
    await world.run(2 * SOON)
    assert not world.recorded


async def test_where_no_frame_is_inferred_the_limit_is_told_without_a_figure() -> None:
    world = await off()

    def nothing(told: Observation) -> Observation:
        (model,) = told.models
        return replace(told, models=(replace(model, images=0, executions=0, batches=(), request=0, offered=0),))

    world.pod.tells = nothing
    await world.run(SOON + 60)
    found = world.status["capacity"]
    assert "framesPerSecond" not in found
    assert found["demand"] == "10"
    assert found["limit"] in {"streaming", "none"}
