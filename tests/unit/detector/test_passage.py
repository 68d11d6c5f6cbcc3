"""Which results tell of the load as it is after a move of the ladder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.passage import Passage

TIMES = st.floats(0.0, 100.0)
RESULTS = st.lists(st.tuples(TIMES, st.floats(0.0, 10.0)).map(lambda pair: (pair[0], sum(pair))))


@given(TIMES)
def test_before_any_move_every_result_tells(arrived: float) -> None:
    assert Passage().seen([]).tells(arrived)


def test_what_was_on_its_way_at_a_move_and_what_waited_behind_it_tells_nothing() -> None:
    passage = Passage.at(10.0).seen([(9.9, 11.0)])
    assert not passage.tells(11.5), "nothing that was sent since is back"
    passage = passage.seen([(9.9, 11.0), (10.1, 11.8), (10.2, 11.9)])
    assert [passage.tells(arrived) for arrived in (9.9, 10.1, 11.7, 11.8)] == [False, False, False, True]


@given(moved=TIMES, results=RESULTS, more=RESULTS)
def test_what_tells_arrived_after_the_move_and_what_is_through_stays_so(
    moved: float, results: list[tuple[float, float]], more: list[tuple[float, float]]
) -> None:
    passage = Passage.at(moved).seen(results)
    assert not any(passage.tells(arrived) for arrived, _ in results if arrived < moved)
    if any(arrived >= moved for arrived, _ in results):
        assert passage.seen(more) == passage
        assert passage.tells(passage.since)
