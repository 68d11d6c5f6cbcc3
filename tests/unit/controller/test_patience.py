"""When a detector on its way is looked at again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.controller import keys
from edgedetector.controller.patience import FIRST, Patience

YARD, DOCK = keys.detector("site", "yard"), keys.detector("site", "dock")


def test_looks_without_news_become_seldom_up_to_a_bound() -> None:
    patience = Patience()
    assert [patience.wait(YARD, "same", 60.0) for _ in range(6)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_news_is_followed_by_a_look_soon() -> None:
    patience = Patience()
    for _ in range(4):
        patience.wait(YARD, "old", 300.0)
    assert patience.wait(YARD, "new", 300.0) == FIRST


def test_detectors_do_not_disturb_each_other() -> None:
    patience = Patience()
    patience.wait(YARD, "same", 300.0)
    assert patience.wait(DOCK, "same", 300.0) == FIRST
    assert patience.wait(YARD, "same", 300.0) == 2 * FIRST


def test_what_is_gone_is_forgotten() -> None:
    patience = Patience()
    patience.wait(YARD, "same", 300.0)
    patience.forget(YARD)
    assert len(patience) == 0


@given(st.floats(0.1, 600.0))
def test_what_takes_a_time_to_be_true_is_seen_before_long(takes: float) -> None:
    """Nothing else is new meanwhile: the state is the same, but for the time that has passed."""
    patience, now = Patience(), 0.0
    while now < takes:
        now += patience.wait(YARD, "same", 300.0)
    assert now <= 2 * takes + FIRST
