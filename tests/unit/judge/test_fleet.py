"""Replicas, ladders, an autoscaler and one tuner, and whatever goes wrong: what holds always, and that it ends.

The property tests draw a site and what happens to it. `python -m bench.tuner interrupted N` runs as many more.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import fleet, harness, interruptions
from judge.beside import TARGET, Autoscaler
from judge.fleet import Fleet
from judge.interruptions import Fault, Interruption
from judge.replica import Document, Probe, Replica
from judge.site import Site, flow, site, small

from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.evidence import Prediction
from edgedetector.tuning.record import State, Trial
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Knobs

PLAIN = Site(seed=1, start=Knobs(1, 1), replicas=2, most=2)
MORE = Knobs(2, 8)
STEP, EMPTY = harness.ours()
TURNS = 2 * 3600 / (16 * 30)
"""Of a ladder in an hour of steady overload: at first once in sixteen dwells of 30 s it tries to take something back,
and then once in 32."""


def at_rest(state: State, _report: Report, situation: Situation, _now: float) -> tuple[State, Decision]:
    return replace(state, accepted=dict(situation.accepted or situation.start), converged=True), Decision(Kind.WAIT)


# The world itself.


def test_more_batches_and_instances_serve_more_and_what_is_too_much_is_skipped() -> None:
    assert PLAIN.capacity(Knobs(2, 8)) > PLAIN.capacity(Knobs(1, 8)) > PLAIN.capacity(Knobs(1, 1))
    few, many = flow(PLAIN, Knobs(1, 1), 20.0), flow(PLAIN, Knobs(1, 1), 500.0)
    assert (few.rate, few.skipped) == (20.0, 0.0)
    assert many.rate == pytest.approx(0.98 * PLAIN.capacity(Knobs(1, 1)))
    assert many.skipped == pytest.approx(1.0 - many.rate / 500.0)
    assert few.late < many.late
    assert sum(share for _, share in few.ages) == pytest.approx(1.0)
    assert flow(PLAIN, Knobs(1, 1), 20.0, slow=2.0).request > few.request


def test_a_pod_ends_a_trial_that_is_not_renewed_whatever_reaches_it() -> None:
    told, plain = Document(Knobs(1, 1), Probe("a", "pod-0", MORE, 30.0)), Document(Knobs(1, 1))
    pod = Replica(PLAIN, "pod-0", plain, 0.0)
    for now in range(1, 11):
        pod.second(now, told, 12, 1.0)
    assert pod.serving == MORE
    pod.hears_from = 100.0
    for now in range(11, 36):
        pod.second(now, plain, 12, 1.0)
        assert pod.serving == (MORE if now < 33 else Knobs(1, 1))
    assert pod.trial is not None
    assert pod.trial.outcome == "Expired"


def test_a_pod_tells_of_its_load_in_counters_that_only_grow() -> None:
    pod = Replica(PLAIN, "pod-0", Document(Knobs(1, 4)), 0.0)
    found = []
    for now in range(1, 61):
        pod.second(now, pod.document, 12, 1.0)
        if now % 10 == 0:
            found.append(pod.observation())
    one, other = found[0], found[-1]
    assert one is not None
    assert other is not None
    served = other.models[0].images - one.models[0].images
    assert served == pytest.approx(12 * PLAIN.rate * 50, rel=0.02)
    assert other.models[0].demand == 12 * PLAIN.rate
    pod.restart_triton(65.0)
    pod.second(61.0, pod.document, 12, 1.0)
    assert (away := pod.observation()) is not None
    assert away.models == ()


def test_the_autoscaler_adds_at_once_and_takes_away_after_five_minutes() -> None:
    scaler = Autoscaler(1, 3, request=0.5)
    busy, idle = (0.41, 0.1), (0.05, 0.1)
    assert scaler.decide(0.0, 1, [busy], 3) == 1, "within a tenth of the target"
    assert scaler.decide(15.0, 1, [(0.7, 0.1)], 1) == 1, "no more than the operator allows"
    assert scaler.decide(30.0, 1, [(0.7, 0.1)], 3) == 2
    assert [scaler.decide(45.0 + 15.0 * n, 2, [idle, idle], 3) for n in range(25)].index(1) == 20


def test_the_operator_holds_the_autoscaler_until_tuning_has_converged_or_for_half_an_hour() -> None:
    scaler = Autoscaler(1, 3, request=0.5)
    assert scaler.most(1, began=None, converged=False, now=1e9) == 1
    assert scaler.most(2, began=1e9 - 60, converged=False, now=1e9) == 2
    assert scaler.most(1, began=1e9 - 60, converged=True, now=1e9) == 3
    assert scaler.most(1, began=1e9 - 1801, converged=False, now=1e9) == 3


def test_while_cameras_give_way_the_autoscaler_takes_no_replica_away_however_little_is_left_to_do() -> None:
    scaler, idle = Autoscaler(1, 3, request=0.5), [(0.01, 0.01), (0.01, 0.01)]
    assert scaler.fewest(2, 3, degraded=True) == 2
    assert scaler.fewest(2, 3, degraded=False) == 1
    assert scaler.fewest(3, 2, degraded=True) == 2, "no node has room for more"
    counts = [scaler.decide(now, 2, idle, 3, scaler.fewest(2, 3, degraded=True)) for now in range(0, 900, 15)]
    assert set(counts) == {2}
    assert scaler.decide(900.0, 2, idle, 3, scaler.fewest(2, 3, degraded=False)) == 1


# That the judge finds out who does not keep what must hold.


def unproven(state: State, _report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
    """Accepts something that it has not tried."""
    if now - harness.EPOCH < 60.0:
        return at_rest(state, _report, situation, now)
    return replace(state, accepted={"people": MORE}), Decision(Kind.KEEP, "it looks good", {"people": MORE})


def hasty(state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
    """Begins a trial in another pod each time, without waiting for the end of the last one."""
    state, _ = at_rest(state, report, situation, now)
    number = state.begun + 1
    pod = report.pods[number % len(report.pods)]
    tried = {"people": replace(MORE, instances=2 + number % 3)}
    trial = Trial(f"t{number}", pod, tried, now, now, 30.0, {}, Prediction({}))
    return replace(state, trial=trial, begun=number), Decision(Kind.PROBE, "", tried, pod, 30.0, trial.id)


def restless(state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
    """Goes back and forth every half an hour."""
    state, _ = at_rest(state, report, situation, now)
    if now % 3600.0 >= 1800.0:
        return replace(state, accepted={"people": MORE}), Decision(Kind.KEEP, "more", {"people": MORE})
    return replace(state, accepted=dict(situation.start)), Decision(Kind.KEEP, "less", situation.start)


def test_a_tuner_that_accepts_what_it_has_not_tried_is_found_out() -> None:
    tale = Fleet(PLAIN, unproven, State()).tell(120.0, watched=60.0)
    assert any("never tried" in words for words in tale.violations)


def test_a_tuner_that_tries_in_two_pods_at_once_is_found_out() -> None:
    tale = Fleet(PLAIN, hasty, State()).tell(60.0, watched=0.0, longest=60.0)
    assert any("still serves another" in words for words in tale.violations)
    assert any("no rest" in words for words in tale.violations)


def test_a_tuner_that_changes_something_at_rest_is_found_out() -> None:
    quiet = Fleet(PLAIN, at_rest, State()).tell(60.0, watched=60.0)
    loud = Fleet(PLAIN, restless, State()).tell(60.0, watched=3000.0)
    assert (quiet.violations, quiet.changes, quiet.trials) == ([], 0, 0)
    assert loud.changes >= 1
    assert any("changes in 0.833 h at rest" in words for words in loud.violations)


# What must hold of ours.

LASTING = st.sampled_from([3.0, 12.0, 40.0, 200.0])


@st.composite
def happening(draw: st.DrawFn) -> Interruption:
    trial = draw(st.integers(0, 3))
    return Interruption(
        draw(st.sampled_from(Fault)),
        at=float(draw(st.integers(0, 40 if trial else 600))),
        trial=trial,
        lasts=draw(LASTING),
        canary=draw(st.booleans()),
        share=draw(st.sampled_from([0.5, 0.75, 1.3, 2.0])),
    )


@given(
    seed=st.integers(0, 10_000),
    replicas=st.integers(1, 3),
    wrong=st.lists(happening(), min_size=1, max_size=4),
)
@settings(max_examples=4, deadline=None)
def test_whatever_happens_it_ends_at_rest_on_what_was_proven(
    seed: int, replicas: int, wrong: list[Interruption]
) -> None:
    tale = Fleet(small(site(seed, replicas)), STEP, EMPTY, wrong).tell(600.0, watched=900.0)
    assert tale.violations == []


@pytest.mark.parametrize(("seed", "share"), [(500, 1.0), (503, 2.0), (505, 0.5)])
def test_with_ladders_and_an_autoscaler_nothing_swings(seed: int, share: float) -> None:
    """Each of the three has moved by the end, and in the hour after that only a ladder that has too much to do does."""
    one = small(site(seed, 1))
    cores = one.host * min(one.capacity(one.start), one.cameras * one.rate)
    one = replace(one, most=3, request=cores / TARGET / 1.6)
    moved = Interruption(Fault.DEMAND, at=300.0, share=share)
    tale = Fleet(one, STEP, EMPTY, [moved]).tell(600.0)
    assert tale.violations == []
    assert tale.replicas[1] > 1
    assert (tale.changes, tale.later_turns) == (0, 0)
    assert tale.turns <= 1
    assert tale.later_rungs <= TURNS


def test_under_a_steady_overload_cameras_give_way_as_far_as_is_needed_and_stay_there() -> None:
    """A site on which a quarter of the frames is too much: at first half of the cameras are suspended."""
    fleet = Fleet(site(23), STEP, EMPTY)
    tale = fleet.tell(600.0)
    assert tale.violations == []
    assert tale.later_rungs <= TURNS
    (pod,) = fleet.pods
    assert pod.rungs.degraded > 0
    assert pod.rungs.offered(2) > site(23).rate, "the camera of low priority is not suspended"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_seeds_of_the_bench_hold(seed: int) -> None:
    tale = fleet.told(site(seed), STEP, EMPTY, interruptions.drawn(seed), interruptions.DISTURBED)
    assert tale.violations == []


def test_the_same_fleet_comes_to_the_same_end() -> None:
    one, other = (Fleet(site(3, 2), STEP, EMPTY, interruptions.drawn(3)) for _ in range(2))
    one.run(400.0)
    other.run(400.0)
    assert one.api.decisions == other.api.decisions
    assert one.api.record == other.api.record
