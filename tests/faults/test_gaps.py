"""What the operator does not see, because it is blind, deaf or dead for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from tests.faults import scenario, world
from tests.faults.arena import Arena
from tests.faults.conftest import Stage

pytestmark = pytest.mark.e2e


async def _cut(arena: Arena) -> None:
    arena.proxy.drop_watches()


async def _expire(arena: Arena) -> None:
    arena.proxy.reads.expired = 30
    arena.proxy.drop_watches()


async def _refuse(arena: Arena) -> None:
    arena.proxy.reads.watch_answers = [500, 429, 503] * 3
    arena.proxy.drop_watches()


async def _refuse_the_token(arena: Arena) -> None:
    # Kopf watches these two; everything else is followed by the operator itself.
    arena.proxy.reads.refused = {"acceleratorprofiles": [401], "customresourcedefinitions": [401]}
    arena.proxy.drop_watches()


async def _break_lists(arena: Arena) -> None:
    arena.proxy.reads.list_answers = [500, 429, 503, 410]


async def _break_lists_at_start(arena: Arena) -> None:
    await arena.operator.kill()
    arena.proxy.reads.list_answers = [500, 429, 503]


@pytest.mark.parametrize("trouble", [_cut, _expire, _refuse, _refuse_the_token, _break_lists, _break_lists_at_start])
def test_trouble_with_watches_and_lists_leaves_no_mark_and_ends_nothing(
    stage: Stage, trouble: Callable[[Arena], Awaitable[None]]
) -> None:
    where = stage.arenas[0]

    async def before(step: str) -> None:
        if step != scenario.START:
            await trouble(where)

    played = stage.run(where.play(want=stage.want, before=before))
    assert not played.divergences
    assert played.deaths == 0


def test_a_watch_that_the_api_server_calls_gone_costs_nothing(stage: Stage) -> None:
    where = stage.arenas[0]

    async def before(step: str) -> None:
        if step == scenario.CAMERA:
            where.proxy.reads.watch_answers = [410]
            where.proxy.drop_watches()

    played = stage.run(where.play(want=stage.want, before=before))
    assert not played.divergences
    assert played.deaths == 0


async def _created(where: Arena, stage: Stage) -> None:
    """Bring the scenario to the end of its second step."""
    await where.clear()
    where.proxy.begin()
    where.operator.start()
    for step in (scenario.START, scenario.CREATE):
        await _step(where, stage, step)


async def _step(where: Arena, stage: Stage, step: str) -> None:
    where.proxy.step = step
    where.proxy.forget_gets()
    if (obj := scenario.desired(step)) is not None:
        await where.apply(obj)
    assert not list(world.differences(stage.want[step], await where.settled(stage.want[step])))


async def _gone(where: Arena, seconds: float = 30.0) -> None:
    """Wait until nothing of the detector is left."""
    deadline = time.monotonic() + seconds
    while left := [key for key in await where.look() if f" {scenario.NAMESPACE}/" in key]:
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.1)


def test_a_detector_deleted_while_the_operator_is_dead_takes_its_children_along(stage: Stage) -> None:
    where = stage.arenas[0]

    async def play() -> None:
        await _created(where, stage)
        await where.operator.stop()
        await where.delete(scenario.detector())
        await _gone(where)
        where.operator.start()
        where.proxy.step = scenario.START  # there is no detector to look at
        where.proxy.forget_gets()
        want = stage.want[scenario.DELETE]
        assert not list(world.differences(want, await where.settled(want)))

    stage.run(play())


@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
def test_a_detector_made_anew_while_the_operator_is_dead_has_all_its_children(stage: Stage, propagation: str) -> None:
    where = stage.arenas[0]

    async def play() -> None:
        await _created(where, stage)
        await where.operator.stop()
        await where.delete(scenario.detector(), propagation)
        deadline = time.monotonic() + 30
        while await where.request("GET", where.server.path(scenario.detector())):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        where.operator.start()
        await _step(where, stage, scenario.CREATE)

    stage.run(play())


def test_what_was_changed_while_the_operator_was_dead_is_put_right(stage: Stage) -> None:
    where = stage.arenas[0]

    async def play() -> None:
        await _created(where, stage)
        await _step(where, stage, scenario.CAMERA)
        await where.operator.stop()
        serving = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata("yard-serving")}
        await where.apply({**serving, "data": {"accepted.json": "spoilt", "more": "than was"}})
        # What a stranger adds stays, except to a map that is ours; so only what he changed is put right.
        await where.request(
            "PATCH", where.server.path(serving), {"data": {"more": None}}, "application/merge-patch+json"
        )
        service = {"apiVersion": "v1", "kind": "Service", "metadata": _metadata("yard-media")}
        await where.delete(service)
        where.operator.start()
        where.proxy.step = scenario.SERVING
        where.proxy.forget_gets()
        await where.apply(scenario.desired(scenario.SERVING) or {})
        want = stage.want[scenario.SERVING]
        assert not list(world.differences(want, await where.settled(want)))

    stage.run(play())


def _metadata(name: str) -> dict[str, str]:
    return {"name": name, "namespace": scenario.NAMESPACE}
