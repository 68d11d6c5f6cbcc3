"""What limits a box is told anew once it has changed for good, seldom, and never at rest."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.tuning.ledger import Capacity, Ledger, retold
from edgedetector.tuning.telling import APART, LASTS, LOOK, Looks, looked

LINK = Capacity(120.0, 35.0, "link", 1000.0, "The accelerator waits ...", "reseat the card", "people=1/8/[]/0")
DEMAND = replace(LINK, limit="demand", remedy="nothing has to be done")
FOUND = st.sampled_from(
    [
        None,
        LINK,
        DEMAND,
        replace(LINK, remedy="FP16 inputs"),
        replace(LINK, of="people=4/8/[]/0"),
        replace(LINK, frames=0),
    ]
)


def told_over(found: list[Capacity | None], told: Capacity | None, begin: float) -> list[tuple[float, Capacity]]:
    """Look once a minute; return what was told, and when."""
    looks, said, now = Looks(), [], begin
    for each in found:
        now += LOOK
        assert looks.due(now)
        looks, new = looked(looks, told, each and replace(each, at=now), now)
        assert not looks.due(now + 1.0)
        if new:
            assert each is not None
            told = replace(each, at=now)
            said.append((now, told))
    return said


def test_what_has_changed_for_good_is_told_once() -> None:
    said = told_over([DEMAND] * 60, LINK, begin=5000.0)
    assert [(at, each.limit) for at, each in said] == [(5000.0 + LOOK + LASTS, "demand")]


def test_of_what_nothing_was_told_it_is_told_after_five_minutes() -> None:
    assert [at for at, _ in told_over([LINK] * 60, None, begin=5000.0)] == [5000.0 + LOOK + LASTS]


def test_another_remedy_or_another_configuration_is_something_else() -> None:
    for other in (replace(LINK, remedy="FP16 inputs"), replace(LINK, of="people=4/8/[]/0")):
        assert len(told_over([other] * 60, LINK, begin=5000.0)) == 1


def test_other_figures_are_not() -> None:
    other = replace(LINK, frames=90.0, demand=70.0, message="The accelerator waits longer")
    assert told_over([other] * 600, LINK, begin=5000.0) == []


def test_a_record_of_before_that_does_not_say_what_it_is_of_is_not_told_anew_for_that() -> None:
    assert told_over([LINK] * 60, replace(LINK, of="", remedy=""), begin=5000.0) == []
    assert len(told_over([DEMAND] * 60, replace(LINK, of="", remedy=""), begin=5000.0)) == 1


def test_what_one_pod_serves_is_told_once_though_nothing_else_is_new() -> None:
    """Of a record that does not say it, an autoscaler would never know the demand over the capacity."""
    found = replace(LINK, pods=2)
    assert [told.pods for _, told in told_over([found] * 60, LINK, 1000.0)] == [2]
    assert told_over([replace(found, pods=3)] * 60, found, 1000.0) == []


def test_what_comes_and_goes_within_minutes_is_not_told() -> None:
    assert told_over([DEMAND, DEMAND, DEMAND, LINK] * 100, LINK, begin=5000.0) == []


@given(st.lists(FOUND, max_size=200), st.sampled_from([None, LINK]), st.integers(0, 2_000_000_000))
def test_however_it_goes_to_and_fro_it_is_told_six_times_an_hour_at_most(
    found: list[Capacity | None], told: Capacity | None, begin: int
) -> None:
    times = [at for at, _ in told_over(found, told, begin)]
    assert all(after - before >= APART for before, after in pairwise(times))


@given(st.lists(FOUND, min_size=1, max_size=50), st.sampled_from([None, LINK]))
def test_what_is_told_in_the_end_is_what_stays(found: list[Capacity | None], told: Capacity | None) -> None:
    said = told_over([*found, *[DEMAND] * 20], told, begin=5000.0)
    assert said[-1][1].limit == "demand"


def test_a_clock_that_is_set_back_delays_it_by_no_more_than_is_waited_anyway() -> None:
    ahead = replace(LINK, at=9e8)
    looks, new = looked(Looks(9e8, 9e8), ahead, DEMAND, 1000.0)
    assert (looks, new) == (Looks(1000.0, 1000.0), False)
    assert looked(looks, ahead, DEMAND, 1000.0 + LASTS)[1]


def test_told_anew_nothing_else_of_the_ledger_changes_and_the_first_figure_stays_what_gains_are_over() -> None:
    first = retold(Ledger("s", 1.0), LINK)
    assert (first.gain, first.begins) == (1.0, True)
    second = retold(first, replace(DEMAND, frames=240.0))
    assert second.gain == 2.0
    assert replace(second, capacity=first.capacity) == first
    assert retold(first, replace(DEMAND, frames=0.0)).gain is None
