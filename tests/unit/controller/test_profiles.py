"""Who is woken when a profile or its users change."""

from __future__ import annotations

from edgedetector.controller import keys
from edgedetector.controller.profiles import Uses

YARD, DOCK = keys.detector("site", "yard"), keys.detector("site", "dock")


class Woken(list[keys.Key]):
    """Keys in the order in which they were woken; `take` empties it."""

    def take(self) -> list[keys.Key]:
        found = list(self)
        self.clear()
        return found


def uses(**profile_of: str) -> tuple[Uses, Woken]:
    """Detectors of the namespace `site` that use these profiles, after everybody was woken for it."""
    woken = Woken()
    found = Uses(woken.append)
    for name, profile in profile_of.items():
        found(keys.detector("site", name), profile)
    woken.clear()
    return found, woken


def test_a_profile_hears_of_users_that_come_go_and_change() -> None:
    found, woken = uses()
    found(YARD, "cpu")
    assert woken.take() == [keys.profile("cpu")]
    found(YARD, "cpu")
    assert woken.take() == []
    found(YARD, "nvidia")
    assert woken.take() == [keys.profile("cpu"), keys.profile("nvidia")]
    found(YARD, "")
    assert woken.take() == [keys.profile("nvidia")]


def test_users_hear_of_another_generation_and_nobody_else_does() -> None:
    found, woken = uses(yard="cpu", dock="nvidia")
    found.saw("cpu", ("uid", 1))
    found.saw("nvidia", ("uid", 1))
    woken.clear()
    found.saw("cpu", ("uid", 1))
    assert woken.take() == []
    found.saw("cpu", ("uid", 2))
    assert woken.take() == [YARD]


def test_users_hear_once_that_their_profile_is_gone_and_that_it_is_there_again() -> None:
    found, woken = uses(yard="cpu")
    found.saw("cpu", ("uid", 1))
    woken.clear()
    found.saw("cpu", None)
    assert woken.take() == [YARD]
    found.saw("cpu", None)
    assert woken.take() == []
    found.saw("cpu", ("other", 1))
    assert woken.take() == [YARD]


def test_a_profile_that_was_replaced_between_two_looks_is_another_one() -> None:
    """Both have generation 1, whatever stands in them."""
    found, woken = uses(yard="cpu")
    found.saw("cpu", ("uid", 1))
    woken.clear()
    found.saw("cpu", ("other", 1))
    assert woken.take() == [YARD]
