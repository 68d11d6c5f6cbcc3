"""The whole way from a pod's load to what it serves: decisions, writes, and what is told; killed at every write."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.controller.climbed import LONG, ledger, probing, tuned
from tests.unit.controller.test_detectors import KEY
from tests.unit.controller.tuned import GOAL, TTL, World, story

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.tuning import tuner
from edgedetector.tuning.decision import Kind


async def test_it_ends_tuned_and_the_status_tells_the_story() -> None:
    world = await tuned()
    status = world.status
    assert story(world) == ["Begun", "Probed", "Kept", "Probed", "Kept", "Converged"]
    assert (status["serving"]["reason"], status["serving"]["message"]) == ("Tuned", "3 instances kept")
    assert status["serving"]["models"][0]["instances"] == GOAL
    assert status["tuning"]["phase"] == "Converged"
    assert world.condition(c.TUNING_ACTIVE)["reason"] == c.REASON_CONVERGED
    # 10 frames a second of 20 ms in three instances.
    assert (status["capacity"]["framesPerSecond"], status["capacity"]["demand"]) == ("150", "10")
    assert status["capacity"]["message"]
    assert [event["reason"] for event in world.cluster.events if event["reason"].startswith("Tuning")] == [
        "TuningBegun", "TuningProbed", "TuningKept", "TuningProbed", "TuningKept", "TuningConverged",
    ]  # fmt: skip
    metrics = world.shell.metrics
    assert metrics.tuning_decisions.labels(Kind.KEEP)._value.get() == 2
    assert metrics.tuning_gain.labels("site", "yard")._value.get() == pytest.approx(3.0)


async def test_the_search_itself_converges_with_nothing_on_trial_and_is_at_rest() -> None:
    """Whatever it finds: this pod tells no latencies, and how good its choices are is judged elsewhere."""
    world = World(step=tuner.step, cameras=[{"name": f"gate-{n}", "url": f"rtsp://a/{n}"} for n in range(40)])
    for _ in range(1200):
        await world.tick()
        if world.recorded and ledger(world).converged:
            break
    await world.run(60)
    found = ledger(world)
    assert (found.converged, found.attempt, found.trouble) == (True, None, "")
    assert names.FILE_PROBE not in world.serving
    assert world.pod.instances == world.accepted() == found.accepted["people"].instances
    assert {"Begun", "Converged"} <= set(story(world))
    before = len(world.cluster.writes)
    await world.run(300)
    assert world.cluster.writes[before:] == [], "at rest"


async def test_what_is_tuned_takes_no_readiness_away() -> None:
    world = World()
    await world.run(5)
    assert world.condition(c.MODEL_READY)["status"] == "True"
    since = world.condition(c.MODEL_READY)["lastTransitionTime"]
    await world.run(LONG)
    assert world.accepted() == GOAL
    assert world.condition(c.MODEL_READY)["lastTransitionTime"] == since


async def test_at_rest_nothing_is_written() -> None:
    world = await tuned()
    await world.run(40)  # a pod may be leaving what it served before
    before = len(world.cluster.writes)
    await world.run(600)
    assert world.cluster.writes[before:] == []


async def test_a_new_operator_goes_on_where_the_last_one_was_and_writes_nothing() -> None:
    world = await tuned()
    await world.run(40)
    before = len(world.cluster.writes)
    world.start()
    await world.run(60)
    assert world.cluster.writes[before:] == []
    assert (world.accepted(), world.pod.instances) == (GOAL, GOAL)


async def writes_of_a_climb() -> int:
    return len((await tuned()).cluster.writes)


@pytest.mark.parametrize("fate", ["before", "after"])
async def test_killed_at_any_write_it_ends_tuned_and_serves_nothing_unproven_meanwhile(fate: str) -> None:
    for number in range(1, await writes_of_a_climb() + 1):
        world = World()
        world.cluster.kill = lambda count, number=number: fate if count == number else ""  # type: ignore[misc]
        for _ in range(2 * LONG):
            await world.tick()
            accepted, serves = world.accepted() if world.serves else 1, world.pod.instances
            assert serves in {0, accepted, accepted + 1}, number
            if world.recorded and ledger(world).converged and not world.woken:
                break
        assert (world.accepted(), world.pod.instances) == (GOAL, GOAL), number
        assert names.FILE_PROBE not in world.serving, number
        assert ledger(world).converged, number


async def test_an_operator_that_stays_away_leaves_a_trial_to_its_pod() -> None:
    world = await probing(World())
    accepted = world.accepted()
    await world.run(TTL + 5, operator=False)
    assert world.pod.instances == accepted == 1
    world.start()
    await world.run(LONG)
    assert "Reverted" in story(world), "what its pod ended is told"
    assert world.accepted() == GOAL


async def test_a_trial_that_outlived_its_time_is_not_rendered_again() -> None:
    world = await probing(World())
    world.seconds += 3600  # the node slept
    world.start()
    await world.tick()
    assert names.FILE_PROBE not in world.serving


async def test_a_pod_that_is_gone_ends_its_trial() -> None:
    world = await probing(World())
    world.pod.silent = True
    await world.run(20)
    assert names.FILE_PROBE not in world.serving
    assert world.accepted() == 1


async def test_many_detectors_are_spread_over_the_interval() -> None:
    world = World()
    await world.tick()
    watched = world.tuner._watched[KEY]
    for number in range(1000):
        key = dataclasses.replace(KEY, name=f"yard-{number}")
        world.tuner.watch(key, watched.charge)
    dues = [one.due - world.seconds for one in world.tuner._watched.values()]
    rest = world.shell.options.tuning_rest
    assert min(dues) >= 0
    assert max(dues) <= rest
    for second in range(int(rest)):
        assert 50 <= sum(second <= due < second + 1 for due in dues) <= 150
