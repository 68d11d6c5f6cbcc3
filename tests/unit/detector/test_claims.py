"""The rules by which a camera changes hands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedetector.detector.claims import HANDOVER, ORPHANED, STAGGER, Claims, View, decide
from edgedetector.detector.liveness import Greeting
from edgedetector.detector.sharing import assign

ONE, TWO = "10.0.0.1", "10.0.0.2"
CAMERAS = frozenset(f"camera-{number}" for number in range(20))
OWNERS = assign(CAMERAS, frozenset({ONE, TWO}))
MINE, ITS = (next(camera for camera in sorted(CAMERAS) if OWNERS[camera] == who) for who in (ONE, TWO))


def two(**fields: object) -> Greeting:
    return Greeting("site/yard", TWO, "yard-2", "a", 1, **fields)


def view(*others: Greeting, **fields: bool) -> View:
    return View(ONE, {other.address: other for other in others}, **fields)


def holding(*cameras: str) -> Claims:
    return Claims(frozenset(cameras))


def test_alone_it_serves_everything_at_once() -> None:
    assert decide(Claims(), view(), CAMERAS, 0.0) == Claims(CAMERAS)


def test_it_takes_its_own_and_leaves_the_others_alone() -> None:
    assert decide(Claims(), view(two()), CAMERAS, 0.0).held == {c for c in CAMERAS if OWNERS[c] == ONE}


def test_it_waits_for_its_own_until_they_are_offered() -> None:
    assert MINE not in decide(Claims(), view(two(held=(MINE,))), CAMERAS, 0.0).held
    assert MINE in decide(Claims(), view(two(held=(MINE,), offered=(MINE,))), CAMERAS, 0.0).held


def test_what_is_another_s_is_offered_and_kept_until_frames_arrive_there() -> None:
    waiting = decide(holding(ITS), view(two()), CAMERAS, 0.0)
    assert (ITS in waiting.held, ITS in waiting.offered) == (True, True)
    opening = decide(waiting, view(two(held=(ITS,))), CAMERAS, 1.0)
    assert ITS in opening.held
    assert ITS not in decide(opening, view(two(held=(ITS,), live=(ITS,))), CAMERAS, 1.1).held


def test_a_new_owner_without_frames_is_waited_for_no_longer_than_the_handover() -> None:
    opening = decide(holding(ITS), view(two(held=(ITS,))), CAMERAS, 10.0)
    assert ITS in decide(opening, view(two(held=(ITS,))), CAMERAS, 10.0 + HANDOVER - 0.01).held
    assert ITS not in decide(opening, view(two(held=(ITS,))), CAMERAS, 10.0 + HANDOVER).held


def test_what_nobody_has_taken_is_never_let_go() -> None:
    claims = holding(ITS)
    for now in range(100):
        claims = decide(claims, view(two()), CAMERAS, float(now))
    assert ITS in claims.held


def test_what_its_owner_does_not_take_is_adopted_in_turn() -> None:
    claims = Claims()
    for tenth in range(int(10 * (ORPHANED + STAGGER))):
        claims = decide(claims, view(two()), CAMERAS, tenth / 10)
        assert ITS not in claims.held
    assert ITS in decide(claims, view(two()), CAMERAS, ORPHANED + STAGGER).held
    assert ITS in decide(claims, view(two()), CAMERAS, ORPHANED + STAGGER).offered


def test_one_that_leaves_offers_all_and_takes_nothing() -> None:
    claims = decide(holding(MINE), view(two(), leaving=True), CAMERAS, 0.0)
    assert (claims.held, claims.offered) == ({MINE}, {MINE})
    assert decide(claims, view(two(held=(MINE,), live=(MINE,)), leaving=True), CAMERAS, 1.0).held == set()


def test_all_of_one_that_leaves_is_taken_at_once() -> None:
    everything = tuple(sorted(CAMERAS))
    assert decide(Claims(), view(two(held=everything, offered=everything, leaving=True)), CAMERAS, 0.0).held == CAMERAS


def test_one_that_looks_around_takes_nothing_and_is_given_nothing() -> None:
    assert decide(Claims(), view(joining=True), CAMERAS, 0.0).held == set()
    assert decide(Claims(), view(two(joining=True)), CAMERAS, 0.0).held == CAMERAS


def test_a_camera_that_is_no_longer_wanted_is_let_go_at_once() -> None:
    assert decide(holding("camera-0"), view(), frozenset(), 0.0) == Claims()


SUBSETS = st.frozensets(st.sampled_from(sorted(CAMERAS)))


@given(mine=SUBSETS, its=SUBSETS, both_stay=st.booleans())
def test_of_two_who_hold_a_camera_and_hear_each_other_exactly_one_lets_go(
    mine: frozenset[str], its: frozenset[str], *, both_stay: bool
) -> None:
    """Whatever each offers: the offers that the other hears are those of the decision before."""
    ours = {ONE: Claims(mine), TWO: Claims(its)}
    addresses = (ONE, TWO)

    def said(address: str) -> Greeting:
        held = tuple(sorted(ours[address].held))
        offered = tuple(sorted(ours[address].offered))
        leaving = address == TWO and not both_stay
        return Greeting("site/yard", address, "", "a", 1, leaving=leaving, held=held, live=held, offered=offered)

    for now in range(8):
        words = {address: said(address) for address in addresses}
        for address, other in ((ONE, TWO), (TWO, ONE)):
            seen = View(address, {other: words[other]}, leaving=words[address].leaving)
            ours[address] = decide(ours[address], seen, CAMERAS, float(now))
    assert ours[ONE].held | ours[TWO].held == CAMERAS
    assert not ours[ONE].held & ours[TWO].held
    assert both_stay or not ours[TWO].held
