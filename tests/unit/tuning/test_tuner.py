"""What the tuner does in the situations that it is made for, on a toy server."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.tuning.toy import FIRST, Device, Pod, World, ran, situation

from edgedetector.tuning import resting
from edgedetector.tuning.decision import Decision, Kind, ProbeReport, Report
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Engine, Goal, Limits, Mode, Situation
from edgedetector.tuning.tuner import step
from edgedetector.tuning.window import LADDER, Knobs, Window

ONE = {"people": Knobs()}
SMALL = situation(engines={"people": Engine(4)}, limits=Limits(latency=0.2, memory=16e9, max_instances=3))


def kinds(decisions: list[tuple[float, Decision]]) -> list[Kind]:
    return [decision.kind for _, decision in decisions if decision.kind != Kind.RENEW]


def probing(world: World, told: Situation = SMALL, seconds: float = 4.0) -> State:
    """Drive it until a trial has run for some seconds."""
    state = State()
    while state.trial is None:
        state, _ = ran(world, told, 10, state)
        assert world.now < FIRST + 120
    state, _ = ran(world, told, seconds, state)
    assert state.trial is not None
    return state


def one(world: World, state: State, told: Situation = SMALL, **changes: object) -> tuple[State, Decision]:
    """One step after two seconds, with a report that is changed a little."""
    world.pass_(2.0)
    report = replace(world.report(state, 2.0), **changes)  # type: ignore[arg-type]
    state, decision = step(state, report, told, world.now)
    world.apply(decision)
    return state, decision


def test_it_climbs_in_a_few_trials_and_then_changes_nothing_for_hours() -> None:
    world = World(ONE)
    state, decisions = ran(world, SMALL, 600)
    assert state.converged
    assert len(world.tried) <= 4
    # How near the best that is, servers with a queue judge (`judge`); the toy tells no utilisation to know sharing by.
    assert world.device.capacity(state.accepted["people"]) >= 2 * world.device.capacity(Knobs(1, 1))
    state, later = ran(world, SMALL, 3 * 3600, state)
    assert later == []
    assert all(pod.serves() == state.accepted for pod in world.pods.values())
    keeps = [decision.message for _, decision in decisions if decision.kind is Kind.KEEP]
    assert all("images/s (predicted" in told and "kept" in told and "ms of 200" in told for told in keeps)


def test_the_same_input_gives_the_same_decisions() -> None:
    first, second = (ran(World(ONE, seed=7), SMALL, 300) for _ in range(2))
    assert first == second


def test_a_delay_that_waits_for_nobody_is_cured_first() -> None:
    start = {"people": Knobs(1, 4, (), 100_000)}
    world = World(start, demand=10)
    told = replace(SMALL, start=start)
    state, decisions = ran(world, told, 120)
    first = decisions[0][1]
    assert first.kind is Kind.PROBE
    assert "queue delay 100 ms -> " in first.message
    assert "wait for a delay" in first.message
    assert state.accepted["people"].max_queue_delay_microseconds <= 5000
    assert state.cured


def test_a_trial_in_which_a_request_fails_is_over_at_once_and_not_repeated() -> None:
    world = World(ONE, Device(fails_from=2))
    state, decisions = ran(world, SMALL, 900)
    reverts = [decision for _, decision in decisions if decision.kind is Kind.REVERT]
    assert reverts
    assert all("requests failed" in decision.message for decision in reverts)
    assert state.accepted["people"].instances == 1
    tried = [tuple(sorted(each.items())) for each in world.tried]
    assert len(tried) == len(set(tried))
    ends = [(at, decision.kind) for at, decision in decisions if decision.kind is not Kind.RENEW]
    for (begun, kind), (ended, end) in itertools.pairwise(ends):
        if kind is Kind.PROBE and end is Kind.REVERT:
            assert ended - begun <= 2.0, "one window"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda trial: ProbeReport(trial, "Failed", "out of memory on the device"), "out of memory on the device"),
        (lambda trial: ProbeReport(trial, "Expired"), "ended the trial"),
        (lambda _: ProbeReport("", ""), "does not know of the trial any more"),
        (lambda _: ProbeReport("other", "Running"), "does not know of the trial any more"),
    ],
)
def test_what_the_pod_says_of_a_trial_ends_it(answer: Callable[[str], ProbeReport], word: str) -> None:
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    state, decision = one(world, state, probe=answer(state.trial.id))
    assert decision.kind is Kind.REVERT
    assert word in decision.message
    assert decision.configuration == state.accepted == ONE


def test_what_did_not_load_is_denied_for_an_hour() -> None:
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    tried = state.trial.configuration
    state, _ = one(world, state, probe=ProbeReport(state.trial.id, "Failed", "out of memory on the device"))
    assert [denial.until - world.now for denial in state.denials] == [3600]
    state, _ = ran(world, SMALL, 3500, state)
    assert tried not in world.tried[1:]


def test_a_pod_that_goes_says_nothing_of_what_was_tried_in_it_and_the_same_is_tried_again() -> None:
    """A drained node, an eviction, a new template: another pod has taken its place."""
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    tried = dict(state.trial.configuration)
    world.pods = {"pod-new": Pod(dict(ONE))}
    state, decision = one(world, state, windows=())
    assert (decision.kind, state.denials) == (Kind.REVERT, ())
    assert "gone" in decision.message
    _, decisions = ran(world, SMALL, 120, state)
    assert (decisions[0][1].configuration, decisions[0][1].pod) == (tried, "pod-new")


def test_an_operator_that_was_away_says_nothing_of_what_was_tried_meanwhile() -> None:
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    tried = dict(state.trial.configuration)
    world.pass_(60.0)
    state, decision = one(world, state)
    assert (decision.kind, state.denials) == (Kind.REVERT, ())
    assert "not renewed in time" in decision.message
    _, decisions = ran(world, SMALL, 120, state)
    assert decisions[0][1].configuration == tried


@pytest.mark.parametrize("said", [None, ProbeReport("", "Expired")])
def test_a_pod_that_may_have_choked_on_a_configuration_denies_it_for_a_while(said: ProbeReport | None) -> None:
    world = World(ONE)
    state = probing(world)
    assert state.trial is not None
    told = replace(said, id=state.trial.id) if said is not None else None
    decision = None
    while decision is None or decision.kind is not Kind.REVERT:
        state, decision = one(world, state, windows=(), probe=told)
    assert [denial.until - world.now for denial in state.denials] == [600]


def test_a_pod_that_is_gone_or_silent_ends_the_trial() -> None:
    world = World(ONE)
    state = probing(world)
    after, decision = one(world, state, pods=("pod-new",), probe=None)
    assert (decision.kind, after.trial) == (Kind.REVERT, None)
    assert "gone" in decision.message
    silent = state
    for _ in range(10):
        silent, decision = one(world, silent, windows=(), probe=None)
        if decision.kind is Kind.REVERT:
            break
    assert decision.kind is Kind.REVERT
    assert "does not answer" in decision.message
    assert silent.cooldown - world.now <= 35, "until its pod has surely ended it by itself"


def test_a_trial_that_the_pod_never_takes_up_is_over_after_half_a_minute() -> None:
    world = World(ONE)
    state = State()
    while state.trial is None:
        world.pass_(10.0)
        state, decision = step(state, world.report(state, 10.0), SMALL, world.now)  # the decision is lost
    begun = world.now
    while state.trial is not None:
        state, decision = one(world, state)
    assert decision.kind is Kind.REVERT
    assert world.now - begun <= 34


def test_the_ladder_moving_ends_a_trial() -> None:
    world = World(ONE)
    state = probing(world)
    world.disturbed = LADDER
    state, decision = one(world, state)
    assert decision.kind is Kind.REVERT
    assert LADDER in decision.message
    for _ in range(60):
        state, decision = one(world, state)
        assert decision.kind is not Kind.PROBE, "while the ladder moves nothing is tried"
    assert state.discarded >= 60


def test_moving_demand_ends_a_trial_without_a_denial() -> None:
    world = World(ONE)
    state = probing(world)
    world.demand *= 4
    for _ in range(3):
        state, decision = one(world, state)
        if decision.kind is Kind.REVERT:
            break
    assert decision.kind is Kind.REVERT
    assert "the demand moved" in decision.message
    assert state.denials == ()
    assert state.accepted == ONE


def test_a_slow_breach_of_the_objective_ends_a_trial_within_two_windows() -> None:
    world = World(ONE)
    state = probing(world)
    world.device.slow = 12.0
    states = []
    for _ in range(2):
        state, decision = one(world, state)
        states.append(decision.kind)
        if decision.kind is Kind.REVERT:
            break
    assert Kind.REVERT in states
    assert "latency objective" in decision.message


def test_what_harmed_in_its_first_window_is_learnt_from() -> None:
    world = World(ONE)
    state = probing(world, seconds=0.0)
    assert state.trial is not None
    tried = state.trial.configuration
    world.device.slow = 12.0
    for _ in range(3):
        state, decision = one(world, state)
        if decision.kind is Kind.REVERT:
            break
    assert decision.kind is Kind.REVERT
    (seen,) = [visit for visit in state.visits if visit.configuration == tried]
    assert seen.windows == 1, "the trial ended with its first window"
    assert seen.models["people"].batches


def test_recommend_says_what_auto_would_do_and_touches_nothing() -> None:
    world = World(ONE)
    told = replace(SMALL, mode=Mode.RECOMMEND)
    _, decisions = ran(world, told, 300)
    assert set(kinds(decisions)) == {Kind.RECOMMEND}
    last = decisions[-1][1]
    assert last.configuration is not None
    assert last.configuration != ONE
    assert last.prediction is not None
    assert "predicted" in last.message
    assert len({decision.configuration["people"] for _, decision in decisions if decision.configuration}) <= 3
    assert world.tried == []


@pytest.mark.parametrize("mode", [Mode.FROZEN, Mode.RECOMMEND])
def test_freezing_ends_a_running_trial_and_then_nothing_is_changed(mode: Mode) -> None:
    world = World(ONE)
    state = probing(world)
    frozen = replace(SMALL, mode=mode)
    state, decision = one(world, state, frozen)
    assert decision.kind is Kind.REVERT
    assert state.denials == ()
    tried = len(world.tried)
    state, decisions = ran(world, frozen, 300, state)
    assert set(kinds(decisions)) <= {Kind.RECOMMEND}
    assert len(world.tried) == tried
    _, decisions = ran(world, SMALL, 300, state)
    assert Kind.PROBE in kinds(decisions), "resumed"


@pytest.mark.parametrize(
    ("limits", "remedy"),
    [
        (Limits(min_instances=3, max_instances=2), "spec.tuning.bounds.instances"),
        (Limits(min_instances=0), "spec.tuning.bounds.instances.min"),
        (Limits(latency=math.nan), "spec.tuning.objective.latency.max"),
        (Limits(latency=0.0), "spec.tuning.objective.latency.max"),
        (Limits(percentile=100), "spec.tuning.objective.latency.percentile"),
        (Limits(max_queue_delay_microseconds=-1), "spec.tuning.bounds.maxQueueDelay"),
        (Limits(accelerator=0.0), "spec.tuning.headroom.accelerator"),
        (Limits(host=math.nan), "spec.tuning.headroom.cpu"),
        (Limits(memory=-1.0), "memory"),
    ],
)
def test_contradictory_words_change_nothing_and_name_the_remedy(limits: Limits, remedy: str) -> None:
    world = World(ONE)
    state, decisions = ran(world, replace(SMALL, limits=limits), 120)
    assert decisions == []
    assert remedy in state.trouble
    state, decision = one(world, probing(World(ONE)), replace(SMALL, limits=limits))
    assert decision.kind is Kind.REVERT, "and a running trial is over"


def test_an_objective_that_nothing_can_keep_is_said_with_the_remedy() -> None:
    world = World(ONE, Device(fixed=0.08))
    told = replace(SMALL, limits=replace(SMALL.limits, latency=0.04))
    state, decisions = ran(world, told, 200)
    assert decisions == []
    assert "spec.tuning.objective.latency.max" in state.trouble
    assert state.converged, "more replicas are what is left"


def garbage(window: Window) -> Window:
    return replace(window, models={n: replace(m, busy=math.nan) for n, m in window.models.items()})


def without_statistics(window: Window) -> Window:
    return replace(window, models={n: replace(m, batches={}) for n, m in window.models.items()})


@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (garbage, "not figures that can be"),
        (without_statistics, "statistics by batch size are missing"),
        (lambda window: replace(window, disturbed="tensors began to travel another way"), "tensors began to travel"),
        (lambda window: replace(window, seconds=math.nan), "not figures"),
    ],
)
def test_windows_that_say_nothing_change_nothing_and_it_is_said(spoil: Callable[[Window], Window], remedy: str) -> None:
    world, state = World(ONE), State()
    for _ in range(30):
        world.pass_(10.0)
        report = world.report(state, 10.0)
        report = replace(report, windows=tuple(spoil(window) for window in report.windows))
        state, decision = step(state, report, SMALL, world.now)
        assert decision.kind is Kind.WAIT
    assert remedy in state.trouble
    state, _ = ran(world, SMALL, 20, state)
    assert state.trouble == ""


def test_no_window_at_all_is_said_too() -> None:
    world, state = World(ONE), State()
    for _ in range(30):
        world.pass_(10.0)
        state, decision = step(state, Report(("pod-0",)), SMALL, world.now)
        assert decision.kind is Kind.WAIT
    assert "GET /observation" in state.trouble


def test_what_was_kept_and_then_breaks_the_objective_is_taken_back_at_once() -> None:
    world = World(ONE)
    state = State()
    while state.kept is None:
        state, _ = ran(world, SMALL, 2, state)
    kept = dict(state.accepted)
    world.device.slow = 15.0
    back: list[Decision] = []
    for _ in range(4):
        world.pass_(10.0)
        state, decision = step(state, world.report(state, 10.0), SMALL, world.now)
        world.apply(decision)
        back += [decision] if decision.kind is Kind.KEEP else []
    assert [decision.configuration for decision in back] == [ONE]
    assert "back to the former" in back[0].message
    assert state.accepted == ONE != kept


@pytest.mark.parametrize("slow", [0.5, 1.5])
def test_replicas_that_serve_on_are_the_control_of_a_trial(slow: float) -> None:
    """The whole box becomes quicker or slower as the trial begins: the past is no measure for it."""
    world = World(ONE, names=("pod-0", "pod-1"))
    state = probing(world, seconds=0.0)
    assert state.trial is not None
    assert state.trial.pod == "pod-1"
    world.device.slow = slow
    state, decisions = ran(world, SMALL, 70, state)
    end = next(decision for _, decision in decisions if decision.kind in {Kind.KEEP, Kind.REVERT})
    found = re.search(r"([0-9.]+) -> ([0-9.]+) images/s", end.message)
    assert found is not None, end.message
    assert float(found[1]) == pytest.approx(world.device.capacity(Knobs()), rel=0.15), "as it is now"
    assert all(pod.accepted == state.accepted for pod in world.pods.values())


def test_a_traffic_level_that_comes_back_costs_no_trial() -> None:
    world = World(ONE, demand=40)
    state, _ = ran(world, SMALL, 600)
    world.demand = 80.0
    state, _ = ran(world, SMALL, 600, state)
    tried = len(world.tried)
    for demand in (40.0, 80.0, 40.0):
        world.demand = demand
        state, _ = ran(world, SMALL, 400, state)
        assert state.converged
    assert len(world.tried) == tried
    assert len(state.memory) >= 2


def test_the_best_of_a_traffic_level_is_recalled_in_one_step_and_judged_again() -> None:
    by_latency = replace(SMALL, goal=Goal.THROUGHPUT)
    world = World(ONE, demand=40)
    state, _ = ran(world, by_latency, 600)
    best = dict(state.accepted)
    low = replace(state, accepted=dict(ONE), converged=False, reference=None, kept=None)  # as if something undid it
    for pod in world.pods.values():
        pod.accepted = dict(ONE)
    state, decisions = ran(world, by_latency, 60, low)
    assert decisions[0][1].configuration == best
    assert decisions[0][1].kind is Kind.PROBE
    assert state.accepted == best


def test_a_server_that_becomes_slower_for_good_is_tuned_again() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 600)
    world.device.slow = 1.4
    while state.converged:
        state, _ = ran(world, SMALL, 10, state)
        assert world.now < FIRST + 600 + 180 + resting.STAYS
    assert "times as long" in state.resumed
    state, _ = ran(world, SMALL, 600, state)
    assert (state.converged, state.resumed) == (True, "")
    _, later = ran(world, SMALL, 3600, state)
    assert later == []


def test_another_specification_begins_anew_from_its_start() -> None:
    world = World(ONE)
    state = probing(world)
    other = replace(SMALL, start={"people": Knobs(2, 2)})
    state, decision = one(world, state, other)
    assert decision.kind is Kind.REVERT
    assert decision.configuration == other.start == state.accepted
    assert state.visits == ()


def test_narrower_bounds_bring_back_the_start() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 600)
    assert state.accepted["people"].instances > 1
    narrow = replace(SMALL, limits=replace(SMALL.limits, max_instances=1))
    state, decisions = ran(world, narrow, 300, state)
    assert decisions[0][1].kind is Kind.KEEP
    assert decisions[0][1].configuration == ONE
    assert all(each["people"].instances == 1 for each in world.tried[-1:]) or state.accepted["people"].instances == 1


def test_a_lost_record_goes_on_from_what_is_on_record_as_accepted() -> None:
    world = World(ONE)
    state, _ = ran(world, SMALL, 600)
    on_record = replace(SMALL, accepted=state.accepted)
    again, decisions = ran(world, on_record, 300)
    assert decisions == [] or decisions[0][1].kind is Kind.PROBE
    assert world.device.capacity(again.accepted["people"]) >= 0.95 * world.device.capacity(state.accepted["people"])
    unknown = probing(World(ONE))
    assert unknown.trial is not None
    report = Report(("pod-0",), (), ProbeReport(unknown.trial.id, "Running"))
    fresh, decision = step(State(), report, SMALL, FIRST)
    assert decision.kind is Kind.REVERT
    assert decision.configuration == fresh.accepted == ONE


def test_a_lost_decision_to_keep_is_said_again() -> None:
    world, state = World(ONE), State()
    lost = 0
    while not (lost and state.astray == 0.0 and world.pods["pod-0"].accepted == state.accepted):
        pause = 2.0 if state.trial else 10.0
        world.pass_(pause)
        state, decision = step(state, world.report(state, pause), SMALL, world.now)
        if decision.kind is Kind.KEEP and not lost:
            lost += 1
            continue
        world.apply(decision)
        assert world.now < FIRST + 300
    assert world.pods["pod-0"].accepted == state.accepted != ONE


def test_requests_that_fail_at_rest_keep_it_from_trying_anything() -> None:
    world = World(ONE, Device(fails_from=1))
    state, decisions = ran(world, SMALL, 200)
    assert decisions == []
    assert "requests fail" in state.trouble


def test_a_failure_now_and_then_is_said_once_and_taken_back_once_a_minute_was_without() -> None:
    world, state, said = World(ONE), State(), []
    for number in range(60):
        world.pass_(10.0)
        report = world.report(state, 10.0)
        if number % 3 == 0 and number < 40:
            report = replace(report, windows=tuple(failing(window) for window in report.windows))
        state, _ = step(state, report, replace(SMALL, mode=Mode.RECOMMEND), world.now)
        said.append("requests fail" in state.trouble)
    assert said == [True] * 45 + [False] * 15


def failing(window: Window) -> Window:
    return replace(window, models={n: replace(m, failed=1) for n, m in window.models.items()})


@pytest.mark.parametrize("away", [121.0, 3600.0, 7 * 86400.0])
def test_a_time_in_which_nobody_asked_is_no_silence(away: float) -> None:
    """The operator was down, the detector suspended: the first window then may say nothing for a good reason."""
    world = World(ONE)
    state, _ = ran(world, SMALL, 300)
    world.pass_(away)
    world.disturbed = "the demand for people moved from 0.0 to 40.0 images/s"
    troubles = []
    for _ in range(14):
        world.pass_(10.0)
        state, _ = step(state, world.report(state, 10.0), SMALL, world.now)
        troubles.append(bool(state.trouble))
    assert troubles == [False] * 12 + [True] * 2, "from then on it counts"


def test_a_pod_that_tells_nothing_is_not_tried_in() -> None:
    """A replica of a former release, or one that hangs: its trial would end unseen, and deny what was tried."""
    world, state = World(ONE, names=("pod-0", "pod-1")), State()
    while state.trial is None:
        world.pass_(10.0)
        report = world.report(state, 10.0)
        report = replace(report, windows=tuple(window for window in report.windows if window.pod == "pod-0"))
        state, decision = step(state, report, SMALL, world.now)
        assert world.now < FIRST + 120
    assert (state.trial.pod, decision.pod) == ("pod-0", "pod-0")


def test_another_objective_takes_back_that_the_former_could_not_be_kept() -> None:
    world = World(ONE, Device(fixed=0.08))
    state, _ = ran(world, replace(SMALL, limits=replace(SMALL.limits, latency=0.04)), 200)
    assert state.hopeless
    state, _ = one(world, state, replace(SMALL, limits=replace(SMALL.limits, latency=4.0)))
    assert (state.trouble, state.hopeless) == ("", "")


def test_a_clock_without_time_changes_nothing() -> None:
    state, decision = step(State(), Report(("pod-0",)), SMALL, math.nan)
    assert (state, decision.kind) == (State(), Kind.WAIT)


def test_a_clock_that_jumps_ends_a_trial_and_hinders_nothing_else() -> None:
    for jump in (-7200.0, 7200.0):
        world = World(ONE)
        state = probing(world)
        world.now += jump
        state, decision = one(world, state)
        assert decision.kind is Kind.REVERT
        state, _ = ran(world, SMALL, 900, state)
        assert state.converged


def test_the_hours_budget_of_changes_is_kept() -> None:
    """Every trial fails for another reason than the configuration, so that nothing is denied."""
    world, state = World(ONE), State()
    changes: list[float] = []
    while world.now < FIRST + 3900:
        pause = 2.0 if state.trial else 10.0
        world.pass_(pause)
        world.demand = 150.0 if state.trial else 40.0
        state, decision = step(state, world.report(state, pause), SMALL, world.now)
        world.apply(decision)
        if decision.kind in {Kind.PROBE, Kind.REVERT, Kind.KEEP}:
            changes.append(world.now)
    assert changes
    for at in changes:
        assert sum(1 for other in changes if at <= other < at + 3600) <= resting.transitions.BUDGET


def test_batches_that_cost_the_same_written_differently_are_not_tried() -> None:
    world = World({"people": Knobs(1, 1)}, Device(contention=1.5))
    told = replace(SMALL, start={"people": Knobs(1, 1)}, engines={"people": Engine(1)})
    state, decisions = ran(world, told, 200)
    assert {"people": Knobs(1, 0)} not in world.tried
    assert {"people": Knobs(1, 1, (), 1000)} not in world.tried
    assert state.converged
    assert kinds(decisions).count(Kind.PROBE) <= 2


def test_a_choice_waits_for_its_turn_and_nothing_is_lost_by_it() -> None:
    world, state = World(ONE), State()
    waiting = replace(SMALL, may_choose=False)
    due = []
    for _ in range(12):
        world.pass_(10.0)
        state, decision = step(state, world.report(state, 10.0), waiting, world.now)
        assert decision.kind is Kind.WAIT
        due.append(decision.due)
    assert due == sorted(due), "once it is due it stays so"
    world.pass_(10.0)
    report = world.report(state, 10.0)
    assert step(state, report, waiting, world.now)[1].due
    assert step(state, report, SMALL, world.now)[1].kind is Kind.PROBE


def test_a_pod_that_cannot_load_what_is_accepted_ends_a_trial_and_takes_no_start_back() -> None:
    world = World(ONE, names=("pod-0", "pod-1"))
    state, decision = one(world, probing(world), refused="pod-0 cannot load people so: out of memory")
    assert (decision.kind, decision.configuration, state.denials) == (Kind.REVERT, ONE, ())
    assert "pod-0 cannot load people" in decision.message
    for _ in range(60):
        state, decision = one(world, state, refused="pod-0 cannot load people so: out of memory")
        assert decision.kind is not Kind.KEEP, "there is nothing else that was proven"
