"""The queue on virtual time: nothing lost, nothing twice at once, due times to the second."""

from __future__ import annotations

import asyncio
import random

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.controller import virtual

from edgedetector.controller.queue import BACKOFF_CAP, KeyedQueue, Schedule, backoff


class Behaviour(RuleBasedStateMachine):
    """Against the plainest model: a dict of due times and a set of keys at work."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[str] = Schedule()
        self.due: dict[str, float] = {}
        self.working: set[str] = set()
        self.now = 0.0

    @rule(key=st.sampled_from("abcd"), delay=st.integers(0, 5))
    def add(self, key: str, delay: int) -> None:
        self.schedule.add(key, self.now + delay)
        self.due[key] = min(self.due.get(key, float("inf")), self.now + delay)

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        free = {key: due for key, due in self.due.items() if key not in self.working and due <= self.now}
        key = self.schedule.take(self.now)
        if key is None:
            assert free == {}
            return
        assert free[key] == min(free.values())
        del self.due[key]
        self.working.add(key)

    @precondition(lambda self: self.working)
    @rule()
    def done(self) -> None:
        self.schedule.done(self.working.pop())

    @invariant()
    def knows_when_to_look_again(self) -> None:
        free = [due for key, due in self.due.items() if key not in self.working]
        assert self.schedule.next_due() == min(free, default=None)
        assert len(self.schedule) == len(self.due)


TestBehaviour = Behaviour.TestCase
TestBehaviour.settings = settings(deadline=None)


async def collect(queue: KeyedQueue[str], seen: list[tuple[float, str]], work: float) -> None:
    """A worker whose every pass takes `work` seconds."""
    while True:
        key = await queue.take()
        seen.append((asyncio.get_running_loop().time(), key))
        await asyncio.sleep(work)
        queue.done(key)


def passes(script: list[tuple[float, str, float]], workers: int = 2, work: float = 1.0) -> list[tuple[float, str]]:
    """Start times of passes, if at the given times keys are added with the given delays."""

    async def play() -> list[tuple[float, str]]:
        loop = asyncio.get_running_loop()
        queue: KeyedQueue[str] = KeyedQueue(loop.time)
        seen: list[tuple[float, str]] = []
        tasks = [asyncio.create_task(collect(queue, seen, work)) for _ in range(workers)]
        for at, key, delay in script:
            loop.call_at(at, queue.add, key, delay)
        await asyncio.sleep(1000)
        for task in tasks:
            task.cancel()
        return seen

    return virtual.run(play())


def test_two_keys_are_worked_on_side_by_side() -> None:
    assert passes([(0, "a", 0), (0, "b", 0)]) == [(0, "a"), (0, "b")]


def test_a_key_that_changes_while_it_is_at_work_is_looked_at_once_more_afterwards() -> None:
    assert passes([(0, "a", 0), (0.2, "a", 0), (0.4, "a", 0)]) == [(0, "a"), (1, "a")]


def test_many_events_before_a_pass_are_one_pass() -> None:
    assert passes([(0, "a", 5), (1, "a", 4), (2, "a", 9)]) == [(5, "a")]


def test_an_event_comes_before_a_planned_look_and_replaces_it() -> None:
    assert passes([(0, "a", 300), (7, "a", 0)]) == [(7, "a")]


def test_a_key_waits_for_a_worker_not_for_another_key() -> None:
    assert passes([(0, "a", 0), (0.1, "b", 0), (0.2, "c", 0)], workers=1) == [(0, "a"), (1, "b"), (2, "c")]


@settings(deadline=None)
@given(st.integers(1, 10_000), st.integers())
def test_retries_wait_longer_and_longer_up_to_the_cap(failures: int, seed: int) -> None:
    delay = backoff(failures, random.Random(seed))
    ceiling = min(BACKOFF_CAP, 0.5 * 2 ** min(failures - 1, 100))
    assert ceiling / 2 <= delay <= ceiling
