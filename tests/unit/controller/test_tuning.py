"""The whole way from a pod's load to what it serves: decisions, writes, and what is told; killed at every write."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.unit.controller.test_detectors import KEY
from tests.unit.controller.tuned import GOAL, TTL, World, climb, story

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.api.observation import Observation
from edgedetector.api.wire import from_json, to_json
from edgedetector.cluster.errors import RejectedError, UnavailableError
from edgedetector.controller import terms, watched
from edgedetector.tuning import tuner
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.ledger import Attempt, Ledger
from edgedetector.tuning.record import State
from edgedetector.tuning.window import Knobs

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


async def test_the_autoscaler_may_add_replicas_only_once_tuning_has_converged() -> None:
    world = World()
    await world.run(5)
    scaler = ("HorizontalPodAutoscaler", "yard-triton")
    assert world.cluster.objects[scaler]["spec"]["maxReplicas"] == 1
    await world.run(LONG)
    assert world.cluster.objects[scaler]["spec"]["maxReplicas"] == 2


async def test_while_cameras_give_way_the_autoscaler_takes_no_replica_away() -> None:
    world = World(pods=2)
    await world.run(LONG)
    scaler = ("HorizontalPodAutoscaler", "yard-triton")
    world.cluster.objects["Deployment", "yard-triton"]["spec"]["replicas"] = 2  # as the autoscaler does
    world.pods[1].gives_up = "half of the frames"
    await world.run(40)
    assert world.cluster.objects[scaler]["spec"]["minReplicas"] == 2
    before = len(world.cluster.writes)
    await world.run(120)
    assert "yard-triton" not in world.cluster.writes[before:]
    world.pods[1].gives_up = ""
    await world.run(40)
    assert world.cluster.objects[scaler]["spec"]["minReplicas"] == 1


async def test_a_detector_that_never_converges_is_not_held_for_ever() -> None:
    def never(state: State, *_: object) -> tuple[State, Decision]:
        return state, Decision(Kind.WAIT)

    world = World(step=never)
    await world.run(5)
    scaler = ("HorizontalPodAutoscaler", "yard-triton")
    assert world.cluster.objects[scaler]["spec"]["maxReplicas"] == 1
    world.seconds += 1800
    assert await world.reconciler.reconcile(KEY) is not None
    assert world.cluster.objects[scaler]["spec"]["maxReplicas"] == 2


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


def test_why_a_trial_failed_is_what_its_pod_says_in_one_line() -> None:
    known = dataclasses.replace(Ledger("", 0.0), attempt=Attempt("p1", "one", {"people": Knobs(2)}, 12.0, 100.0))
    said = Observation(1.0, "e", probe_id="p1", probe_outcome="Failed", probe_message="out of\nmemory" + "x" * 500)
    found = terms.probe_report(known, {"one": said}, 105.0)
    assert found is not None
    assert found.message.startswith("out of memory")
    assert len(found.message) <= 400


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"probe_id": "p1", "probe_outcome": "Running"}, "Running"),
        ({"probe_id": "p1", "probe_outcome": "Failed"}, "Failed"),
        ({"probe_id": "p0", "probe_outcome": "Running"}, ""),
        ({"probe_id": "p1", "probe_outcome": "x" * 500}, "x" * 397 + "..."),
        ({}, ""),
        (None, None),
    ],
)
def test_of_a_trial_its_pod_has_the_word_and_time_where_it_says_nothing(
    said: dict[str, str] | None, outcome: str | None
) -> None:
    attempt = Attempt("p1", "one", {"people": Knobs(2)}, ttl=12.0, renewed=100.0)
    known = dataclasses.replace(Ledger("", 0.0), attempt=attempt)
    answers = {"one": Observation(1.0, "e", **said) if said is not None else None}  # type: ignore[arg-type]
    found = terms.probe_report(known, answers, 105.0)
    assert (found and found.outcome) == outcome
    later = terms.probe_report(known, answers, 112.0 + terms.SLACK)
    assert later is not None
    assert later.outcome == (outcome or "Expired")
