"""The ledger: what is written with which step of the tuner, and that nothing is at rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.wire import from_json, to_json
from edgedetector.tuning import ledger as ledgers
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.evidence import ModelVisit, Prediction, Visit
from edgedetector.tuning.ledger import Attempt, Capacity, Ledger, Line
from edgedetector.tuning.record import Recommendation, State, Trial
from edgedetector.tuning.window import Knobs

ONE, TWO, THREE = ({"people": Knobs(count, 8)} for count in (1, 2, 3))
BEGUN = ledgers.begun("start", ONE, 1.0, "tuning begins")
TRIAL = Trial("p1", "yard-1", TWO, 10.0, 10.0, 12.0, {}, Prediction({}))
WAIT = Decision(Kind.WAIT, "nothing")


def entered(
    ledger: Ledger, state: State, decision: Decision = WAIT, now: float = 20.0, capacity: Capacity | None = None
) -> Ledger:
    return ledgers.entered(ledger, state, decision, now, memory=1e9, capacity=capacity)


def test_it_is_written_and_read() -> None:
    full = replace(
        entered(BEGUN, State(accepted=ONE, trial=TRIAL), Decision(Kind.PROBE, "try two")),
        capacity=Capacity(120.0, 10.0, "cpu", 3.0), recommended=THREE,
    )  # fmt: skip
    assert from_json(Ledger, to_json(full)) == full


@given(visits=st.integers(0, 3), probes=st.integers(0, 9), cooldown=st.floats(0, 1e9), now=st.floats(0, 1e9))
def test_what_is_merely_observed_changes_nothing(visits: int, probes: int, cooldown: float, now: float) -> None:
    seen = tuple(Visit({"people": ModelVisit(Knobs(1, 8))}, 10.0, now) for _ in range(visits))
    state = State(accepted=ONE, visits=seen, probes=probes, cooldown=cooldown, useful=now, demand={"people": now})
    assert entered(BEGUN, state, now=now, capacity=Capacity(now, now)) == BEGUN


def test_a_trial_is_begun_prolonged_kept_and_told() -> None:
    probing = entered(BEGUN, State(accepted=ONE, trial=TRIAL), Decision(Kind.PROBE, "try two"))
    assert probing.attempt == Attempt("p1", "yard-1", TWO, 12.0, 10.0, 0)
    assert (probing.changed, probing.log[-1]) == (20.0, Line(20.0, "Probed", "try two"))
    longer = replace(TRIAL, renewed=25.0, renewals=1)
    renewed = entered(probing, State(accepted=ONE, trial=longer), Decision(Kind.RENEW), 25.0)
    assert renewed.attempt == Attempt("p1", "yard-1", TWO, 12.0, 25.0, 1)
    assert (renewed.changed, renewed.log) == (20.0, probing.log), "what pods serve is as before"
    kept = entered(renewed, State(accepted=TWO), Decision(Kind.KEEP, "two: 100 -> 150", TWO), 30.0)
    assert (kept.accepted, kept.attempt, kept.why, kept.changed) == (TWO, None, "two: 100 -> 150", 30.0)
    assert ONE in kept.former


def test_a_reverted_trial_leaves_what_was_accepted_and_its_reason() -> None:
    probing = entered(replace(BEGUN, why="of old"), State(accepted=ONE, trial=TRIAL), Decision(Kind.PROBE, "try two"))
    back = entered(probing, State(accepted=ONE), Decision(Kind.REVERT, "worse", ONE), 30.0)
    assert (back.accepted, back.attempt, back.why) == (ONE, None, "of old")
    assert TWO in back.former
    assert back.message == "worse"


def test_what_serves_follows_the_state_whatever_the_decision_is_called() -> None:
    assert entered(BEGUN, State(accepted=THREE)).accepted == THREE
    assert entered(BEGUN, State()).accepted == ONE, "a state that knows nothing takes nothing away"


def test_the_first_time_that_it_converged_stays() -> None:
    settled = entered(BEGUN, State(accepted=ONE, converged=True), now=40.0)
    assert (settled.converged, settled.settled, settled.log[-1].decision) == (True, 40.0, "Converged")
    moved = entered(settled, State(accepted=ONE), now=50.0)
    assert (moved.converged, moved.settled) == (False, 40.0)
    assert entered(moved, State(accepted=ONE, converged=True), now=60.0).settled == 40.0


def test_it_is_told_why_tuning_goes_on_where_the_load_is_as_it_was() -> None:
    settled = entered(BEGUN, State(accepted=ONE, converged=True), now=40.0)
    slower = entered(settled, State(accepted=ONE, resumed="executions take longer"), now=50.0)
    assert slower.log[-1] == Line(50.0, "Resumed", "executions take longer")
    probing = entered(
        settled, State(accepted=ONE, trial=TRIAL, resumed="it is broken"), Decision(Kind.PROBE, "try two"), 50.0
    )
    assert [line.decision for line in probing.log[-2:]] == ["Resumed", "Probed"]
    assert entered(settled, State(accepted=ONE), now=50.0).log == settled.log, "another load"


def test_sentences_on_record_are_bounded_whatever_pods_put_into_them() -> None:
    long = Decision(Kind.KEEP, "w" * 5000, TWO)
    kept = entered(BEGUN, State(accepted=TWO), long)
    assert (len(kept.message), len(kept.why)) == (ledgers.TEXT, ledgers.TEXT)
    assert len(entered(BEGUN, State(accepted=ONE, trouble="t" * 5000)).message) == ledgers.TEXT


def test_the_particulars_of_a_trouble_that_stays_are_no_news() -> None:
    held = entered(BEGUN, State(accepted=ONE, trouble="nothing is learnt: demand moved from 5.0 to 7.0"), now=100.0)
    assert held.log[-1].decision == ledgers.HELD
    other = State(accepted=ONE, trouble="nothing is learnt: demand moved from 7.0 to 5.0")
    assert entered(held, other, now=110.0) == held
    assert entered(held, other, now=100.0 + ledgers.REPEATED).trouble == other.trouble
    another = State(accepted=ONE, trouble="bounds contradict each other: correct them")
    assert entered(held, another, now=110.0).trouble == another.trouble
    assert entered(held, State(accepted=ONE), now=110.0).trouble == ""


@pytest.mark.parametrize("kind", [Kind.KEEP, Kind.REVERT, Kind.RECOMMEND])
def test_capacity_is_taken_over_with_decisions_and_the_first_is_the_baseline(kind: Kind) -> None:
    first, second = Capacity(100.0, 10.0), Capacity(150.0, 10.0)
    trying = entered(BEGUN, State(accepted=ONE, trial=TRIAL), Decision(Kind.PROBE, "try two"))
    known = entered(trying, State(accepted=ONE), Decision(kind, "one", THREE), capacity=first)
    assert (known.capacity, known.gain) == (first, 1.0)
    probing = entered(known, State(accepted=ONE, trial=TRIAL), Decision(Kind.PROBE, "try two"), capacity=second)
    assert probing.capacity == first
    again = entered(known, State(accepted=TWO), Decision(Kind.KEEP, "two", TWO), capacity=second)
    assert again.gain == pytest.approx(1.5)


def test_the_gain_is_over_what_tuning_began_with() -> None:
    first, second = Capacity(120.0, 10.0), Capacity(165.0, 10.0)
    probing = entered(BEGUN, State(accepted=ONE, trial=TRIAL), Decision(Kind.PROBE, "try two"), capacity=first)
    kept = entered(probing, State(accepted=TWO), Decision(Kind.KEEP, "two", TWO), capacity=second)
    assert kept.gain == pytest.approx(165 / 120)


def test_a_recommendation_is_told_once() -> None:
    said = Decision(Kind.RECOMMEND, "two would serve 150", TWO)
    state = State(accepted=ONE, recommendation=Recommendation(TWO, Prediction({}), "two", 1.0))
    told = entered(BEGUN, state, said)
    assert (told.recommendation, told.log[-1].decision) == ("two would serve 150", "Recommended")
    assert entered(told, state, replace(said, message="two would serve 151")) == told
    assert entered(told, state) == told
    assert entered(told, State(accepted=ONE)).recommendation == ""


def test_memory_is_unknown_once_something_was_seen_and_nobody_told() -> None:
    def seen(total: float | None) -> State:
        visit = Visit({"people": ModelVisit(Knobs(1, 8))}, 10.0, 1.0, memory_total=total)
        return State(accepted=ONE, visits=(visit,))

    def told(state: State, stated: float | None) -> bool:
        return ledgers.entered(BEGUN, state, WAIT, 2.0, memory=stated, capacity=None).memory_unknown

    assert not told(State(accepted=ONE), None)
    assert told(seen(None), None)
    assert not told(seen(8e9), None)
    assert not told(seen(None), 8e9)


@given(kinds=st.lists(st.sampled_from([Kind.PROBE, Kind.KEEP, Kind.REVERT, Kind.RECOMMEND]), max_size=60))
def test_the_log_is_bounded_and_in_order(kinds: list[Kind]) -> None:
    found = BEGUN
    for number, kind in enumerate(kinds, start=2):
        advice = Recommendation({"people": Knobs(number)}, Prediction({}), "more", float(number))
        state = State(accepted=ONE if number % 2 else TWO, recommendation=advice)
        found = entered(found, state, Decision(kind, str(number), {"people": Knobs(number)}), float(number))
    assert len(found.log) == min(ledgers.LOG, len(kinds) + 1)
    assert [line.at for line in found.log] == sorted(line.at for line in found.log)
    assert len(found.former) <= ledgers.FORMER


def test_asked_for_anew_nothing_counts_but_what_serves_and_that_it_once_converged() -> None:
    begun = entered(BEGUN, State(accepted=TWO, converged=True), Decision(Kind.KEEP, "two it is"), now=15.0)
    trying = entered(begun, State(accepted=TWO, trial=TRIAL), Decision(Kind.PROBE, "try"), now=16.0)
    found = ledgers.retuned(trying, "now", 20.0)
    assert (found.accepted, found.attempt, found.converged, found.asked) == (TWO, None, False, "now")
    assert (found.settled, found.began, found.why) == (15.0, 1.0, "two it is")
    assert found.former == trying.former, "a pod may still be leaving these"
    assert (found.log[-1].decision, found.log[-1].at) == ("Retuned", 20.0)
    assert from_json(Ledger, to_json(found)) == found


@given(times=st.integers(1, 60))
def test_however_often_somebody_asks_the_log_is_bounded(times: int) -> None:
    found = BEGUN
    for number in range(times):
        found = ledgers.retuned(found, str(number), float(number))
    assert len(found.log) == min(ledgers.LOG, times + 1)
