"""Two writers who want different things of one child."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.controller.drifts import CAP, FORGET, FREE, Drifts

WANTED = {"data": {"a": "1"}}


class Fight:
    """An operator that puts a child right whenever it may, against somebody who spoils it at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.woken: list[float] = []
        self.drifts: Drifts[str] = Drifts(lambda: self.now, lambda _owner, seconds: self.woken.append(seconds))

    def put_right(self, wanted: dict[str, dict[str, str]] = WANTED) -> bool:
        if self.drifts.held("yard", "ConfigMap/a", wanted):
            return False
        self.drifts.wrote("yard", "ConfigMap/a", wanted)
        return True

    def writes_within(self, seconds: float) -> list[float]:
        found = []
        end = self.now + seconds
        while self.now < end:
            if self.put_right():
                found.append(self.now)
            else:
                self.now += self.woken[-1]
        return found


def test_the_first_repairs_come_at_once() -> None:
    fight = Fight()
    assert [fight.put_right() for _ in range(FREE + 1)] == [True] * FREE + [False]


def test_a_fight_costs_less_and_less_and_never_stops() -> None:
    times = Fight().writes_within(3600.0)
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert waits == sorted(waits)
    assert waits[-1] == CAP
    assert len(times) < FREE + 20


def test_a_changed_wish_is_never_held() -> None:
    fight = Fight()
    for number in range(100):
        assert fight.put_right({"data": {"a": str(number)}})


def test_after_long_enough_a_repair_comes_at_once_again() -> None:
    fight = Fight()
    fight.writes_within(60.0)
    fight.now += FORGET
    assert fight.put_right()
    assert fight.put_right()


def test_a_fight_is_told_once() -> None:
    fight = Fight()
    fight.writes_within(60.0)
    assert [fight.drifts.is_news("yard", "ConfigMap/a") for _ in range(2)] == [True, False]
    fight.writes_within(600.0)
    assert not fight.drifts.is_news("yard", "ConfigMap/a")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2 * FORGET)), max_size=50))
def test_what_is_long_past_is_not_remembered(steps: list[tuple[str, float]]) -> None:
    now = 0.0
    drifts: Drifts[str] = Drifts(lambda: now, lambda _owner, _seconds: None)
    for child, pause in steps:
        now += pause
        drifts.wrote("yard", child, WANTED)
    assert len(drifts) <= 3
    drifts.forget("yard")
    assert len(drifts) == 0
