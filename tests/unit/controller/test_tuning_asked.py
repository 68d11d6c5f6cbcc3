"""What somebody asks of tuning: freeze, tune anew, another mode, another specification."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.controller.climbed import LONG, ledger, probing, tuned
from tests.unit.controller.tuned import GOAL, TTL, World, story

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.api.wire import from_json
from edgedetector.tuning.record import State


async def test_frozen_it_stays_and_ends_a_trial_and_goes_on_once_resumed() -> None:
    world = await probing(World())
    world.annotate("Frozen")
    await world.run(5)
    assert (world.pod.instances, world.accepted()) == (1, 1)
    assert world.condition(c.TUNING_ACTIVE)["reason"] == c.REASON_FROZEN
    decisions = story(world)
    await world.run(60)
    assert story(world) == [*decisions[:2], "Reverted"]
    world.annotate(None)
    await world.run(LONG)
    assert world.accepted() == GOAL


async def test_asked_for_it_tunes_anew_once_while_what_was_found_serves_on() -> None:
    world = await tuned()
    await world.run(40)
    settled = ledger(world).settled
    world.annotate("now", names.ANNOTATION_RETUNE)
    for _ in range(40):
        await world.tick()
        assert (world.accepted(), world.pod.instances) == (GOAL, GOAL)
    assert story(world)[-3:] == ["Converged", "Retuned", "Converged"]
    assert (ledger(world).asked, ledger(world).settled) == ("now", settled), "the autoscaler is not held up again"
    before = len(world.cluster.writes)
    await world.run(120)
    world.annotate(None, names.ANNOTATION_RETUNE)
    await world.run(120)
    assert world.cluster.writes[before:] == [], "the same text, or none, asks for nothing"


async def test_what_was_found_and_refused_counts_no_more_and_a_trial_is_over_once_tuning_is_asked_for_anew() -> None:
    world = await probing(World())
    tried = world.pod.trial
    world.annotate("now", names.ANNOTATION_RETUNE)
    await world.run(3)
    assert tried is not None
    assert story(world)[2] == "Retuned"
    assert world.pod.trial is None or world.pod.trial.id != tried.id
    state = from_json(State, world.cluster.objects["ConfigMap", "yard-tuning"]["data"][names.FILE_STATE])
    assert (state.visits, state.denials) == ((), ())
    assert state.begun >= 1, "ids of trials never come twice"
    await world.run(LONG)
    assert (world.accepted(), world.pod.instances) == (GOAL, GOAL)


async def test_frozen_or_off_a_wish_to_tune_anew_waits() -> None:
    world = await tuned()
    world.annotate("Frozen")
    world.annotate("now", names.ANNOTATION_RETUNE)
    await world.run(60)
    assert "Retuned" not in story(world)
    world.annotate(None)
    await world.run(60)
    assert story(world)[-2:] == ["Retuned", "Converged"]
    world.edit(tuning={"mode": "Off"})
    world.annotate("again", names.ANNOTATION_RETUNE)
    await world.run(60)
    assert ledger(world).asked == "now"
    world.edit(tuning={"mode": "Auto"})
    await world.run(60)
    assert ledger(world).asked == "again"


async def test_a_wish_to_tune_anew_that_is_there_from_the_beginning_is_met_by_the_beginning() -> None:
    world = World()
    world.annotate("once", names.ANNOTATION_RETUNE)
    await world.run(LONG)
    assert story(world) == ["Begun", "Probed", "Kept", "Probed", "Kept", "Converged"]


async def test_mode_off_serves_what_the_specification_says_and_auto_recalls_what_was_found() -> None:
    world = await tuned()
    world.edit(tuning={"mode": "Off"})
    await world.run(5)
    assert world.pod.instances == 1
    assert (world.status["serving"]["reason"], world.status["tuning"]["phase"]) == ("Spec", "Off")
    await world.run(60)
    world.edit(tuning={"mode": "Auto"})
    await world.run(5)
    assert world.pod.instances == GOAL


@pytest.mark.parametrize(
    ("edit", "why"), [({"tuning": {"mode": "Off"}}, "switched off"), ({"suspend": True}, "suspended")]
)
async def test_a_trial_that_nobody_goes_on_with_is_told_to_be_over(edit: dict[str, Any], why: str) -> None:
    world = await probing(World())
    world.edit(**edit)
    await world.run(15)
    last = world.status["tuning"]["log"][-1]
    assert (last["decision"], world.pod.instances, ledger(world).attempt) == ("Reverted", 1, None)
    assert why in last["message"]
    before = len(world.cluster.writes)
    await world.run(300)
    assert world.cluster.writes[before:] == []


async def test_mode_recommend_tells_once_and_touches_nothing() -> None:
    world = World(tuning={"mode": "Recommend"})
    await world.run(60)
    before = len(world.cluster.writes)
    await world.run(120)
    assert world.cluster.writes[before:] == []
    assert world.pod.instances == 1
    assert world.status["tuning"]["recommendation"] == "one instance more"
    assert story(world) == ["Begun", "Recommended"]
    assert world.condition(c.TUNING_ACTIVE)["reason"] == c.REASON_RECOMMENDING


async def test_another_start_begins_anew_and_another_bound_does_not() -> None:
    world = await tuned()
    world.edit(tuning={"bounds": {"instances": {"max": 6}}})
    await world.run(20)
    assert world.pod.instances == GOAL
    world.edit(serving={"instances": 2})
    await world.tick()
    assert world.accepted() == 2
    await world.run(LONG)
    assert world.accepted() == GOAL
    assert story(world)[0] == "Begun"


async def test_a_spoilt_specification_leaves_a_trial_to_its_pod_and_what_is_accepted_in_force() -> None:
    world = await probing(World())
    good = world.cluster.objects["EdgeDetector", "yard"]["spec"]["cameras"]
    world.edit(cameras=[{"name": "gate", "url": "rtsp://a/1", "models": ["nobody"]}])
    await world.run(TTL + 5)
    assert world.pod.instances == 1
    world.edit(cameras=good)
    await world.run(LONG)
    assert world.accepted() == GOAL
