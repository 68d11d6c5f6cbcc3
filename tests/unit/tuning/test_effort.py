"""How much a choice looks at, and what first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tuning.pairs import NAMES, server, shown

from edgedetector.tuning import choice, prediction, sentences
from edgedetector.tuning.candidates import candidates
from edgedetector.tuning.curve import Curves
from edgedetector.tuning.effort import ALONE, FEWEST, FULL, LOOKS, OF_EACH, Effort, effort, order
from edgedetector.tuning.evidence import Prediction
from edgedetector.tuning.record import State, key
from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Configuration, Knobs

COUNTS = range(1, 9)


def offered(count: int, largest: int = 16) -> tuple[Configuration, list[Configuration]]:
    """Return a configuration of so many models, and all that may be tried from it."""
    present = {f"model-{index}": Knobs(1, 1) for index in range(count)}
    where = Situation(present, {name: Engine(largest) for name in present})
    return present, list(candidates(present, where, Curves()))


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("count", COUNTS)
def test_however_many_models_there_are_no_more_than_the_bound_is_looked_at(count: int, goal: Goal) -> None:
    present, steps = offered(count)
    left = effort(count, goal)
    first = left.first(steps, lambda all_: order(all_, present))
    seen = {key(one) for one in first}
    onward = [one for one in steps if key(one) not in seen]
    further = left.next(onward, lambda all_: order(all_, present))
    most = max(OF_EACH * count, LOOKS[goal] // count**2) if count > 1 else ALONE
    assert len(first) + len(further) <= most
    assert left.looks == most - len(first) - len(further) >= 0
    assert left.cut == (len(steps) - len(first)) + (len(onward) - len(further))
    assert FEWEST <= left.full <= FULL
    assert bool(left.cut) is (count > 2)


@given(
    count=st.integers(1, 4),
    largest=st.integers(1, 8),
    looks=st.integers(0, 400),
    tops=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_what_is_looked_at_is_of_what_is_offered_each_once(count: int, largest: int, looks: int, tops: object) -> None:
    present, steps = offered(count, largest)
    heights = {key(one): tops.random() for one in steps}  # type: ignore[attr-defined]
    left = Effort(looks, FULL)
    taken = left.first(steps, lambda all_: order(all_, present, lambda one: heights[key(one)]))
    keys = [key(one) for one in taken]
    assert len(set(keys)) == len(keys) == min(len(steps), round(looks * 2 / 3))
    assert left.cut == len(steps) - len(keys)
    if left.cut == 0:
        assert taken == steps
    elif keys:
        assert heights[keys[0]] == max(heights.values())


def test_what_changes_each_model_comes_in_turn() -> None:
    present, steps = offered(3)
    first = order(steps, present)[:4]
    changed = [{name for name in one if one[name] != present[name]} for one in first]
    assert [len(names) for names in changed] == [1, 1, 1, 3]
    assert set.union(*changed[:3]) == set(present)


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("count", [8, 16, 32])
def test_of_many_models_each_is_looked_at(count: int, goal: Goal) -> None:
    present, steps = offered(count, 2)
    taken = effort(count, goal).first(steps, lambda all_: order(all_, present))
    changed = [[name for name in one if one[name] != present[name]] for one in taken]
    assert {names[0] for names in changed if len(names) == 1} == set(present)


def test_what_was_not_looked_at_is_said() -> None:
    assert sentences.unseen(0) == ""
    assert sentences.unseen(12) == "; 12 possible steps of the models not looked at, since they are many"


@given(
    each=st.sampled_from([0.002, 0.006]),
    rates=st.sampled_from([(20.0, 20.0), (60.0, 15.0)]),
    goal=st.sampled_from(Goal),
)
@settings(max_examples=3, deadline=None)
def test_of_two_models_the_bound_changes_nothing(each: float, rates: tuple[float, float], goal: Goal) -> None:
    where, state = _two(each, rates, goal)
    bounded = choice.choose(state, where, 1000.0)
    assert bounded == choice._chosen(state, where, 1000.0, Effort(10**6, FULL))
    assert bounded.unseen == 0


def test_a_choice_looks_at_no_more_than_it_may_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    where, state = _two(0.004, (30.0, 30.0), Goal.THROUGHPUT)
    found, predict = {True: 0, False: 0}, prediction.predict

    def counted(*given_: object, rough: bool = False) -> Prediction:
        found[rough] += 1
        return predict(*given_, rough=rough)  # type: ignore[arg-type]

    monkeypatch.setattr(choice, "predict", counted)
    monkeypatch.setattr(choice, "effort", lambda *_: Effort(9, 2))
    assert choice.choose(state, where, 1000.0).unseen > 0
    assert found[True] <= 9 + 1, "and at what serves now"
    assert found[False] <= 2 + 1


def _two(each: float, rates: tuple[float, float], goal: Goal) -> tuple[Situation, State]:
    """Return what is known of two models of which there are few configurations."""
    seen = shown((server(each, 1), server(0.004, 1)), rates)
    present = seen.configuration
    limits = Limits(0.1, memory=8e9, max_instances=2, max_queue_delay_microseconds=0)
    where = Situation(present, dict.fromkeys(NAMES, Engine(2)), goal=goal, limits=limits, coexisting=True)
    return where, State(visits=(seen,), accepted=present, demand=dict(zip(NAMES, rates, strict=True)))
