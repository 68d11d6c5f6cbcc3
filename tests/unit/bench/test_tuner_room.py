"""Which best of a simulated server leaves the room that the tuner leaves on purpose."""

from __future__ import annotations

from bench.tuner import room
from judge import servers
from judge.harness import Story
from judge.sweep import Best

from edgedetector.tuning.window import Configuration, Knobs

SERVER = servers.server(41)
"""Wants the least of the accelerator. Its best needs 72 % of the latency limit, the start 42 %."""
NEAR: Configuration = {"first": Knobs(1, 4, (), 5000)}


def story(best: Configuration, reached: float) -> Story:
    return Story(SERVER, dict(SERVER.start), best=Best(best, 1.0, 1.0, 1, 1), reached=reached)


def test_what_is_slower_than_the_start_and_near_the_limit_leaves_no_room() -> None:
    assert not room.leaves(SERVER, NEAR)


def test_the_start_leaves_the_room_that_there_was() -> None:
    assert room.leaves(SERVER, SERVER.start)


def test_servers_are_left_out_and_named_whose_best_leaves_none() -> None:
    (row,) = room.rows([story(NEAR, 0.7), story(SERVER.start, 0.9), story(NEAR, 0.98)])
    assert row.found == "94.0%, 90.0%, 1 left out: cliff 41"
    assert room.rows([story(NEAR, 0.7)]) == []
