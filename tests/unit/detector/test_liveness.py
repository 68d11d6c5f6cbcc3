"""Who counts as a replica, from what probes found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgedetector.detector.liveness import DEADLINE, MISSES, PERIOD, STUCK, Finding, Greeting, Neighbours, Peer

HELLO = Greeting("site/yard", "10.0.0.2", "yard-2", "a", 1)


def test_a_replica_that_has_never_answered_is_none() -> None:
    assert not Peer(due=0.0).alive
    assert not Peer(due=0.0).missed(Finding.REFUSED).alive
    assert Peer(due=0.0).heard(HELLO).alive


@pytest.mark.parametrize("finding", [Finding.REFUSED, Finding.UNREACHABLE, Finding.HUNG])
def test_the_third_miss_in_a_row_is_death(finding: Finding) -> None:
    peer = Peer(due=0.0).heard(HELLO)
    for _ in range(MISSES - 1):
        peer = peer.missed(finding)
        assert peer.alive
    assert not peer.missed(finding).alive
    assert peer.heard(replace(HELLO, number=2)).missed(finding).alive, "a sign of life starts the count anew"


def test_when_another_pod_answers_the_replica_is_gone_at_once() -> None:
    peer = Peer(due=0.0).heard(HELLO).missed(Finding.WRONG)
    assert not peer.alive
    assert peer.heard(replace(HELLO, boot="b")).alive


def test_one_whose_cameras_loop_is_stuck_is_dead_though_it_answers() -> None:
    stuck = Peer(due=0.0).heard(replace(HELLO, idle=STUCK))
    assert (stuck.alive, stuck.finding) == (False, Finding.HUNG)
    assert stuck.heard(replace(HELLO, number=2)).alive


def test_a_greeting_that_was_overtaken_changes_nothing() -> None:
    peer = Peer(due=0.0).heard(replace(HELLO, number=5, held=("gate",))).missed(Finding.HUNG)
    assert peer.heard(replace(HELLO, number=4)) == peer
    assert peer.heard(replace(HELLO, number=1, boot="b")).greeting == replace(HELLO, number=1, boot="b")


def test_a_silent_replica_is_dead_2_5_s_after_its_last_answer() -> None:
    peer = Peer(due=10.0).begun(10.0).heard(HELLO).ended()
    now = 10.0
    while peer.alive:
        now = peer.due
        peer = peer.begun(now)
        now += DEADLINE
        peer = peer.missed(Finding.HUNG).ended()
    assert now == 10.0 + PERIOD + MISSES * DEADLINE == 12.5


def test_a_refusal_is_not_repeated_before_its_time() -> None:
    peer = Peer(due=0.0).heard(HELLO).begun(5.0).missed(Finding.REFUSED).ended()
    assert peer.due == 5.0 + DEADLINE
    assert peer.hurried(5.1).due == 5.0 + DEADLINE, "news does not turn three misses into a moment"


def test_one_probe_at_a_time_even_when_there_is_news() -> None:
    peer = Peer(due=0.0).heard(HELLO).begun(0.0).hurried(0.1)
    assert Neighbours({"10.0.0.2": peer}).due(0.2) == frozenset()
    assert Neighbours({"10.0.0.2": peer.ended()}).due(0.2) == {"10.0.0.2"}


def test_one_that_is_alive_stays_when_dns_no_longer_lists_it() -> None:
    both = Neighbours().listed(("10.0.0.2", "10.0.0.3"), 0.0)
    known = both.put("10.0.0.2", both.peers["10.0.0.2"].heard(HELLO)).listed((), 1.0)
    assert known.peers.keys() == {"10.0.0.2"}
    dead = known.put("10.0.0.2", known.peers["10.0.0.2"].missed(Finding.WRONG))
    assert dead.listed((), 2.0).peers == {}
