"""Tuning where pods, exporters, other detectors and users do what they had better not: from pod to status."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import itertools
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.unit.controller import tuned
from tests.unit.controller.climbed import LONG, ledger, probing
from tests.unit.controller.climbed import tuned as converged
from tests.unit.controller.test_detectors import KEY
from tests.unit.controller.tuned import GOAL, World, climb, story

from edgedetector import profiles
from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.api.observation import Observation, bucket_of
from edgedetector.api.wire import from_json, to_json
from edgedetector.controller import keys, terms
from edgedetector.controller.turns import Turns
from edgedetector.tuning import tuner
from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.record import Kept, State, key
from edgedetector.tuning.situation import Mode, Situation
from edgedetector.tuning.window import Configuration, Window

CAMERAS = [{"name": f"gate-{number}", "url": f"rtsp://a/{number}"} for number in range(40)]


def another(world: World, name: str) -> keys.Key:
    """Have a detector more, whose pod tells the same as that of the first, and return its key."""
    found = dataclasses.replace(KEY, name=name)
    charge = world.tuner._watched[KEY].charge
    detector = dataclasses.replace(charge.detector, name=name, uid=name)
    world.tuner.watch(found, dataclasses.replace(charge, detector=detector, record=None))
    return found


async def test_a_trial_is_renewed_in_time_while_another_detector_chooses_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuned, "WINDOWS", 10**6)  # the trial shall not end by itself
    world = await probing(World())
    begun, free = threading.Event(), threading.Event()

    def slow(state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
        if situation.may_choose:
            begun.set()
            assert free.wait(60)
        return climb(state, report, situation, now)

    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as choices:
        world.tuner._pool, world.tuner._choices, world.tuner._step = pool, choices, slow
        other = another(world, "shed")
        while not begun.is_set():
            await world.tick()
            await asyncio.sleep(0)
        before = ledger(world).attempt
        await world.run(60)
        after = ledger(world).attempt
        assert world.tuner._watched[other].visiting, "it still chooses"
        free.set()
        await asyncio.gather(*world.others)
    assert before is not None
    assert after is not None
    assert (after.id, world.pod.trial and world.pod.trial.outcome) == (before.id, "Running")
    assert after.renewal >= before.renewal + 10


async def test_no_more_trials_begin_than_the_operator_can_attend_to_and_all_get_their_turn() -> None:
    def brief(state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
        if state.trial is not None and now >= state.trial.since + 6:
            return dataclasses.replace(state, trial=None), Decision(Kind.REVERT, "enough", state.accepted)
        return climb(state, report, situation, now)

    world = World(step=brief)
    await world.run(10)
    world.tuner._turns = Turns(2)
    others = [another(world, f"shed-{number}") for number in range(5)]
    tried: set[keys.Key] = set()
    for _ in range(LONG):
        await world.tick()
        await asyncio.gather(*world.others)
        trying = {one for one in others if world.tuner._watched[one].trying}
        assert len(trying) + world.tuner._watched[KEY].trying <= 2
        tried |= trying
    assert tried == set(others)


# Replicas


async def test_one_replica_tries_and_the_others_serve_on_and_are_told_of_too() -> None:
    reports: list[Report] = []

    def told(state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
        reports.append(report)
        return climb(state, report, situation, now)

    world = World(step=told, pods=2)
    canary, control = world.pods
    trials = 0
    for _ in range(LONG):
        await world.tick()
        accepted = world.accepted() if world.serves else 1
        assert control.instances in {0, accepted}, "never anything unproven"
        trials += canary.instances == accepted + 1
    assert (trials > 0, canary.instances, control.instances) == (True, GOAL, GOAL)
    windows = [window for report in reports if report.probe for window in report.windows if not window.disturbed]
    assert {window.pod for window in windows} == {canary.name, control.name}


def situation_of(world: World, pods: int) -> Situation:
    charge = world.tuner._watched[KEY].charge
    return terms.situation(*charge.subject, Mode.AUTO, None, pods)


async def kept_two(world: World, *, since: float) -> Configuration:
    """Have two instances accepted, as if they had been kept so many seconds ago; return them."""
    await world.run(20)
    told = situation_of(world, len(world.pods))
    two = {"people": dataclasses.replace(told.start["people"], instances=2)}
    now = world.shell.now().timestamp()
    kept = Kept(dict(told.start), now - since, {}, held=True)
    state = State(tuner._spec(told), tuner._aims(told), two, kept=kept if since < 100 else None, cooldown=now + 60)
    data = world.cluster.objects["ConfigMap", "yard-tuning"]["data"]
    found = dataclasses.replace(from_json(type(ledger(world)), data[names.FILE_RECORD]), accepted=two)
    data |= {names.FILE_RECORD: to_json(found), names.FILE_STATE: to_json(state)}
    world.start()
    return two


@pytest.mark.parametrize(("since", "patience"), [(0.0, 20), (3600.0, 90)])
async def test_what_another_replica_cannot_load_is_taken_back_and_denied_and_told(since: float, patience: int) -> None:
    """Just after it was kept at once; long after that only once it lasts: there the pod may be what is broken."""
    world = World(step=tuner.step, pods=2)
    world.pods[1].refuses = frozenset({2})
    two = await kept_two(world, since=since)
    await world.run(patience)
    assert world.accepted() == 1
    told = "people: 2 -> 1 instance; back to the former: yard-triton-2 cannot load people so: out of memory on the dev"
    assert any(line["message"].startswith(told) for line in world.status["tuning"]["log"])
    state = from_json(State, world.cluster.objects["ConfigMap", "yard-tuning"]["data"][names.FILE_STATE])
    assert key(two) in {denial.key for denial in state.denials}
    await world.run(20)
    assert world.condition(c.MODEL_READY)["status"] == "True"
    assert any(event["reason"] == "TuningKept" and "cannot load" in event["note"] for event in world.cluster.events)


async def test_a_replica_whose_files_are_wrong_takes_nothing_back() -> None:
    world = World(step=tuner.step, pods=2)
    one = world.pods[1]
    one.refuses, one.reason = frozenset({1, 2}), c.REASON_MODEL_FILE_MISSING
    await kept_two(world, since=0.0)
    await world.run(100)
    assert world.accepted() == 2


async def test_a_pod_that_a_drained_node_takes_ends_the_trial_and_the_next_pod_tries_again() -> None:
    world = await probing(World())
    tried = ledger(world).attempt
    assert tried is not None
    world.lose(world.pod)
    await world.run(15)
    assert ledger(world).attempt is None
    assert story(world)[-1] == "Reverted"
    world.pod = world.add(2)
    await world.run(LONG)
    assert (world.accepted(), world.pod.instances) == (GOAL, GOAL)


# Modes


@pytest.mark.parametrize("lag", [0.0, 4.0, 20.0])
async def test_switching_tuning_off_and_on_takes_no_readiness_away(lag: float) -> None:
    world = await converged()
    await world.run(40)
    world.pod.lag = lag
    since = world.condition(c.MODEL_READY)["lastTransitionTime"]
    for mode, instances in (("Off", 1), ("Auto", GOAL), ("Off", 1)):
        world.edit(tuning={"mode": mode})
        for _ in range(45):
            await world.tick()
            assert world.condition(c.MODEL_READY)["status"] == "True"
        assert world.pod.instances == instances
    assert world.condition(c.MODEL_READY)["lastTransitionTime"] == since


async def test_a_pod_that_does_not_take_what_off_serves_is_told_of_after_half_a_minute() -> None:
    world = await converged()
    await world.run(40)
    world.pod.lag = 1e9
    world.edit(tuning={"mode": "Off"})
    await world.run(28)
    assert world.condition(c.MODEL_READY)["status"] == "True"
    await world.run(10)
    assert world.condition(c.MODEL_READY)["reason"] == c.REASON_SERVING_CONFIG_DIFFERS


# What pods tell


def spied(windows: list[Window]) -> Callable[..., tuple[State, Decision]]:
    def step(state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
        windows.extend(report.windows)
        return climb(state, report, situation, now)

    return step


async def test_counters_that_begin_anew_give_no_figure_below_zero_and_no_window_that_counts() -> None:
    """Triton is restarted every 25 seconds, and once its counters go back though nothing says so."""
    windows: list[Window] = []
    world = World(step=spied(windows))

    def anew(told: Observation) -> Observation:
        number = int(told.at // 25)
        shift = dataclasses.replace(told.models[0], **{
            name: getattr(told.models[0], name) - number * 25 * (10 if name != "request" else 10 * 21_000_000)
            for name in ("images", "executions", "offered", "requests", "request")
        }, batches=())  # fmt: skip
        epoch = told.epoch if number == 2 else f"{told.epoch}-{number}"
        return dataclasses.replace(told, epoch=f"{told.epoch}-1" if number == 2 else epoch, models=(shift,))

    world.pod.tells = anew
    await world.run(2 * LONG)
    figures = [
        figure for window in windows for model in window.models.values() for figure in (model.rate, model.offered)
    ]
    assert figures
    assert all(0 <= figure < 100 for figure in figures)
    told = {window.disturbed for window in windows if window.disturbed}
    assert any("restarted" in why for why in told)
    assert any("counter went backwards" in why for why in told)
    assert (world.accepted(), ledger(world).converged) == (GOAL, True)


async def test_the_window_in_which_a_model_is_loaded_counts_for_neither_configuration() -> None:
    windows: list[Window] = []
    world = World(step=spied(windows))
    await world.run(LONG)
    assert world.accepted() == GOAL
    used = [next(iter(window.models.values())).knobs.instances for window in windows if not window.disturbed]
    changes = sum(one != other for one, other in itertools.pairwise(used))
    assert sum(bool(window.disturbed) for window in windows) >= changes == 2


def spoilt(**changes: Any) -> Callable[[Observation], Observation]:
    """What a pod tells, with some figures of its model or of itself put in."""
    own = {name for name in changes if name in {"gauges", "host_busy", "host_total", "looks", "utilizations", "stages"}}

    def tell(told: Observation) -> Observation:
        model = dataclasses.replace(told.models[0], **{n: v for n, v in changes.items() if n not in own})
        return dataclasses.replace(told, models=(model,), **{n: changes[n] for n in own})

    return tell


@pytest.mark.parametrize(
    ("tells", "words"),
    [
        (spoilt(demand=math.nan), "figures that can be: people: demand"),
        (spoilt(queue=-5), "figures that can be: people: queue"),
        (spoilt(ages={"x": 3}), "figures that can be: people: buckets"),
        (spoilt(looks=1, utilizations=math.nan), "figures that can be: utilizations"),
        (spoilt(stages={"read": math.inf}), "figures that can be: read"),
        (spoilt(batches=()), "statistics by batch size are missing"),
        (lambda told: dataclasses.replace(told, models=()), "Triton did not answer"),
    ],
    ids=["nan", "negative", "histogram", "utilization", "stages", "statistics", "triton"],
)
async def test_figures_that_cannot_be_are_told_with_what_helps_and_nothing_is_changed(
    tells: Callable[[Observation], Observation], words: str
) -> None:
    world = World(step=tuner.step, cameras=CAMERAS)
    world.pod.tells = tells
    await world.run(200)
    told = world.condition(c.TUNING_ACTIVE)
    assert (told["reason"], world.accepted()) == (c.REASON_TUNING_HINDERED, 1)
    assert words in told["message"]
    assert told["message"].endswith("until then what serves stays as it is")
    assert set(story(world)) == {"Begun", "Held"}
    before = len(world.cluster.writes)
    await world.run(120)
    assert world.cluster.writes[before:] == [], "said once"
    world.pod.tells = lambda told: told
    await world.run(60)
    assert world.condition(c.TUNING_ACTIVE)["status"] == "True"


@pytest.mark.parametrize(
    "gauges",
    [
        {},
        {"utilization": math.nan, "memoryUsed": math.inf, "memoryTotal": -1.0, "temperature": math.nan},
        {"utilization": 2500.0, "memoryUsed": -4.0, "memoryTotal": math.nan, "pcieWidth": math.inf},
    ],
    ids=["none", "nan", "garbage"],
)
async def test_without_usable_figures_of_an_exporter_it_is_tuned_by_the_rest(gauges: dict[str, float]) -> None:
    world = World(step=tuner.step, cameras=CAMERAS)
    world.pod.tells = spoilt(gauges=gauges)
    for _ in range(1200):
        await world.tick()
        if world.recorded and ledger(world).converged:
            break
    found = ledger(world)
    assert (found.converged, found.trouble) == (True, "")
    told = world.condition(c.TUNING_ACTIVE)
    assert (told["status"], "nan" in str(world.status).lower()) == ("True", False)


# What users ask for


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"bounds": {"instances": {"min": 3, "max": 2}}}, "spec.tuning.bounds.instances"),
        ({"objective": {"latency": {"max": "0s"}}}, "spec.tuning.objective.latency.max"),
        ({"objective": {"latency": {"percentile": 100}}}, "spec.tuning.objective.latency.percentile"),
    ],
    ids=["bounds", "latency", "percentile"],
)
async def test_words_that_contradict_each_other_are_told_with_the_remedy_and_nothing_is_changed(
    asked: dict[str, Any], words: str
) -> None:
    """What an older schema let pass: the API server refuses it today."""
    world = World(step=tuner.step, cameras=CAMERAS)
    await world.run(15)
    world.edit(tuning=asked)
    await world.run(60)
    told = world.condition(c.TUNING_ACTIVE)
    assert (told["reason"], world.accepted()) == (c.REASON_TUNING_HINDERED, 1)
    assert words in told["message"]
    assert "Probed" not in story(world)


async def test_an_objective_that_nothing_can_keep_is_told_with_the_remedy_and_nothing_is_changed() -> None:
    slow = str(bucket_of(0.030))

    def tells(told: Observation) -> Observation:
        frames = told.models[0].images
        return spoilt(ages={slow: frames}, exchanges={slow: frames}, exchange=frames * 25_000_000)(told)

    world = World(step=tuner.step, cameras=CAMERAS, tuning={"objective": {"latency": {"max": "10ms"}}})
    world.pod.tells = tells
    await world.run(240)
    told = world.condition(c.TUNING_ACTIVE)
    assert (told["reason"], world.accepted()) == (c.REASON_TUNING_HINDERED, 1)
    assert "one image alone takes 20 ms" in told["message"]
    assert "raise spec.tuning.objective.latency.max" in told["message"]
    assert "Probed" not in story(world)


def device(name: str) -> dict[str, Any]:
    found = copy.deepcopy(next(obj for obj in profiles.load() if obj["metadata"]["name"] == name))
    found["metadata"].update(uid="p", generation=1)
    found["spec"].pop("memory", None)
    return found


async def test_while_nobody_states_the_accelerators_memory_no_instance_is_added_and_a_condition_says_why() -> None:
    world = World(step=tuner.step, device=device("denglin-ks20"), acceleratorProfile="denglin-ks20", cameras=CAMERAS)
    world.pod.tells = spoilt(demand=60.0, gauges={"memoryUsed": 4e8})
    for _ in range(240):
        await world.tick()
        assert world.pod.instances in {0, 1}
    told = world.condition(c.TUNING_ACTIVE)
    assert (told["status"], told["reason"]) == ("True", c.REASON_MEMORY_UNKNOWN)
    assert "spec.tuning.bounds.acceleratorMemory" in told["message"]
    world.edit(tuning={"bounds": {"acceleratorMemory": "8Gi"}})
    await world.run(30)
    assert world.condition(c.TUNING_ACTIVE)["reason"] != c.REASON_MEMORY_UNKNOWN
