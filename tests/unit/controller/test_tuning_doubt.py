"""Records, writes and figures that tuning cannot rely on."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.unit.controller.climbed import LONG, ledger, tuned
from tests.unit.controller.test_detectors import KEY
from tests.unit.controller.tuned import GOAL, World, climb

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.api.observation import Observation
from edgedetector.api.wire import from_json, to_json
from edgedetector.cluster.errors import RejectedError, UnavailableError
from edgedetector.controller import watched
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.ledger import Ledger
from edgedetector.tuning.record import State
from edgedetector.tuning.window import Knobs


async def test_what_is_on_record_is_no_child_to_be_pruned_or_restored() -> None:
    world = await tuned()
    record = world.cluster.objects["ConfigMap", "yard-tuning"]
    world.woken.add(KEY)
    await world.run(30)
    assert world.cluster.objects["ConfigMap", "yard-tuning"] == record
    assert record["metadata"]["ownerReferences"][0]["name"] == "yard"
    del world.cluster.objects["ConfigMap", "yard-tuning"]
    world.woken.add(KEY)
    await world.run(5)
    assert world.accepted() == 1, "what nobody remembers is not proven"
    await world.run(LONG)
    assert world.accepted() == GOAL


async def test_a_record_of_somebody_else_is_left_alone_and_told() -> None:
    world = World()
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "yard-tuning", "namespace": "site", "uid": "u", "resourceVersion": "7"},
        "data": {names.FILE_RECORD: to_json(Ledger("", 0.0, {"people": Knobs(4)}))},
    }
    world.cluster.objects["ConfigMap", "yard-tuning"] = dict(theirs)
    await world.run(400)
    assert world.cluster.objects["ConfigMap", "yard-tuning"] == theirs
    assert (world.accepted(), world.condition(c.TUNING_ACTIVE)["reason"]) == (1, c.REASON_RECORD_NOT_WRITTEN)
    del world.cluster.objects["ConfigMap", "yard-tuning"]
    await world.run(LONG + 300)
    assert world.accepted() == GOAL
    assert world.condition(c.TUNING_ACTIVE)["reason"] == c.REASON_CONVERGED


@pytest.mark.parametrize("error", [UnavailableError("HTTP 500"), RejectedError("quota"), TimeoutError()])
async def test_a_write_whose_outcome_is_not_known_is_looked_up(error: Exception) -> None:
    world = World()
    failing = iter([True, False, True, True])
    good = world.cluster.apply

    async def sometimes(body: Any, *rest: Any, **named: Any) -> Any:
        if body["metadata"]["name"] != "yard-tuning" or not next(failing, False):
            return await good(body, *rest, **named)
        await good(body, *rest, **named)
        raise error

    world.cluster.apply = sometimes  # type: ignore[method-assign]
    await world.run(3 * LONG)
    assert world.accepted() == world.pod.instances == GOAL


async def test_pods_that_tell_nothing_are_told_of_and_nothing_is_changed() -> None:
    world = World()

    async def silent(_target: object) -> None:
        return None

    world.tuner._ask = silent
    await world.run(30)
    assert world.condition(c.TUNING_ACTIVE)["reason"] == c.REASON_TUNING
    await world.run(60)
    assert world.condition(c.TUNING_ACTIVE)["reason"] == c.REASON_NOT_OBSERVED
    assert world.accepted() == 1


async def test_a_search_that_fails_costs_nothing_but_a_line_in_the_log() -> None:
    def broken(*_: object) -> tuple[State, Decision]:
        raise ZeroDivisionError

    world = World(step=broken)
    await world.run(120)
    assert world.accepted() == 1
    told = world.condition(c.TUNING_ACTIVE)
    assert (told["reason"], "RBAC" in told["message"]) == (c.REASON_INTERNAL_ERROR, False), "no right is lacking"
    assert "defect in the operator (ZeroDivisionError)" in told["message"]
    world.step = climb
    world.start()
    await world.run(LONG)
    assert world.accepted() == GOAL


async def test_a_memory_that_the_search_cannot_go_on_from_is_forgotten_and_what_is_accepted_is_not() -> None:
    world = await tuned()
    text = world.cluster.objects["ConfigMap", "yard-tuning"]["data"]
    spoilt = dataclasses.replace(from_json(State, text[names.FILE_STATE]), probes=-1, converged=False)
    text[names.FILE_STATE] = to_json(spoilt)

    def fragile(state: State, *rest: Any) -> tuple[State, Decision]:
        if state.probes < 0:
            raise ZeroDivisionError
        return climb(state, *rest)

    world.step = fragile
    world.start()
    await world.run(2 * LONG)
    assert (world.accepted(), world.pod.instances) == (GOAL, GOAL)
    assert world.condition(c.TUNING_ACTIVE)["reason"] == c.REASON_CONVERGED


async def test_what_a_pass_tells_while_it_is_decided_makes_the_decision_void() -> None:
    """The specification was changed while the search computed."""
    world = World()

    def late(state: State, *rest: Any) -> tuple[State, Decision]:
        found = climb(state, *rest)
        if found[1].kind == Kind.PROBE and not edited:
            edited.append(True)
            charge = world.tuner._watched[KEY].charge
            detector = dataclasses.replace(charge.detector, generation=charge.detector.generation + 1)
            world.tuner.watch(KEY, dataclasses.replace(charge, detector=detector))
        return found

    edited: list[bool] = []
    world.tuner._step = late
    for _ in range(60):
        await world.tick()
        if edited:
            break
    assert ledger(world).attempt is None
    await world.run(LONG)
    assert world.accepted() == GOAL


async def test_what_a_pass_tells_while_pods_are_asked_makes_the_decision_void() -> None:
    world, edited = World(), list[float]()
    good = world.tuner._ask

    async def late(target: Any) -> Observation | None:
        found = await good(target)
        if ledger(world).attempt is None and not edited and world.seconds > 20:
            edited.append(world.seconds)
            charge = world.tuner._watched[KEY].charge
            frozen = dataclasses.replace(charge.detector, frozen=True)
            world.tuner.watch(KEY, dataclasses.replace(charge, detector=frozen))
        return found

    def eager(state: State, *rest: Any) -> tuple[State, Decision]:
        return climb(state, *rest) if edited else (state, Decision(Kind.WAIT))

    world.tuner._ask, world.tuner._step = late, eager
    while not edited:
        await world.tick()
    assert ledger(world).attempt is None


async def test_the_gain_is_told_by_a_new_operator_and_not_of_what_began_anew() -> None:
    def told() -> float | None:
        return world.shell.metrics.registry.get_sample_value("edgedetector_tuning_gain_ratio", where)

    where = {"namespace": "site", "detector": "yard"}
    world = await tuned()
    world.start()
    await world.run(5)
    assert told() == pytest.approx(3.0)
    world.edit(serving={"instances": 2})
    await world.run(2)
    assert told() is None


async def test_what_limits_it_being_beyond_words_holds_up_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(watched, "diagnose", broken)
    world = await tuned()
    assert "capacity" not in world.status
