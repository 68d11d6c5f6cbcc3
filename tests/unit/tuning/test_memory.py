"""Traffic levels and the denylist."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.tuning import memory
from edgedetector.tuning.record import State
from edgedetector.tuning.window import Knobs

ONE, OTHER = {"people": Knobs(2)}, {"people": Knobs(3)}


@given(st.floats(0.1, 1e5), st.floats(0.85, 1.18))
def test_a_demand_that_wavers_stays_at_its_level(demand: float, factor: float) -> None:
    before = memory.level({"people": demand}, {})
    middle = memory.STEP ** before["people"]
    assert memory.level({"people": middle * factor}, before) == before


@given(st.floats(0.1, 1e5), st.sampled_from([0.5, 0.7, 1.4, 2.0]))
def test_a_demand_that_changes_clearly_changes_its_level(demand: float, factor: float) -> None:
    before = memory.level({"people": demand}, {})
    assert memory.level({"people": memory.STEP ** before["people"] * factor}, before) != before


def test_no_demand_is_a_level_too() -> None:
    assert memory.level({"people": 0.0}, {}) == memory.level({"people": 0.001}, {})
    assert memory.apart({"people": 0.0}, {"people": 5.0}, 1.3)
    assert not memory.apart({"people": 0.0}, {"people": 0.0}, 1.3)


def test_a_denial_ends_and_is_longer_each_time_up_to_a_day() -> None:
    state, now, lengths = State(), 0.0, []
    for _ in range(6):
        state = memory.deny(state, ONE, now, 3600, "it did not load")
        assert memory.denied(state, ONE, now + 1) == "it did not load"
        assert not memory.denied(state, OTHER, now + 1)
        lengths.append(state.denials[-1].until - now)
        now = state.denials[-1].until
        assert not memory.denied(state, ONE, now)
    assert lengths[:3] == [3600, 4 * 3600, 16 * 3600]
    assert lengths[-1] == 24 * 3600
    assert len(state.denials) == 1


def test_each_level_remembers_its_own_best() -> None:
    low = memory.remembered(State(accepted=ONE, level={"people": 10}), 1.0, converged=True)
    high = memory.remembered(State(accepted=OTHER, level={"people": 14}, memory=low.memory), 2.0, converged=False)
    assert len(high.memory) == 2
    back = memory.best(State(level={"people": 10}, memory=high.memory))
    assert back is not None
    assert dict(back.configuration) == ONE
