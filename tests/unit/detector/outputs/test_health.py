"""What status is told of an output: what has lasted, and nothing that flaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api.dataplane import OutputState
from edgedetector.detector.outputs.health import FINE, STEADY, Board, Trouble, failing, lacking


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def board(*names: str) -> tuple[Board, Clock]:
    clock = Clock()
    found = Board(clock)
    found.keep((), names)
    return found, clock


def test_trouble_is_told_once_it_has_lasted_and_so_is_its_end() -> None:
    some, clock = board("mqtt", "webhook")
    some.tell("mqtt", failing("refused"))
    assert all(state.ok for state in some.states())
    clock.now = STEADY
    some.tell("mqtt", failing("refused"))
    assert some.states() == (OutputState("mqtt", False, "OutputFailing", "refused"), OutputState("webhook"))
    some.tell("mqtt", FINE)
    assert not some.states()[0].ok
    clock.now = 2 * STEADY
    assert some.states() == (OutputState("mqtt"), OutputState("webhook"))


def test_what_lasted_is_told_also_if_nobody_asked_meanwhile() -> None:
    some, clock = board("mqtt")
    some.tell("mqtt", lacking("no key"))
    clock.now = STEADY
    some.tell("mqtt", FINE)
    assert some.states() == (OutputState("mqtt", False, "SecretMissing", "no key"),)


def test_an_output_that_is_made_anew_is_well_and_one_that_is_gone_says_nothing() -> None:
    some, clock = board("mqtt", "webhook")
    for name in ("mqtt", "webhook"):
        some.tell(name, failing("refused"))
    clock.now = STEADY
    some.keep(("webhook",), ("stdout",))
    some.tell("mqtt", failing("late"))
    assert [(state.name, state.ok) for state in some.states()] == [("stdout", True), ("webhook", False)]
    some.keep((), ("stdout", "webhook"))
    assert all(state.ok for state in some.states())


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from([FINE, failing("a"), failing("b"), lacking("c")]))))
def test_it_never_changes_more_often_than_news_can_last(said: list[tuple[float, Trouble]]) -> None:
    some, clock = board("mqtt")
    changes, last = list[float](), some.states()
    for pause, trouble in said:
        clock.now += pause
        if (shown := some.states()) != last:
            changes.append(clock.now)
            last = shown
        some.tell("mqtt", trouble)
    assert len(changes) <= clock.now / STEADY
