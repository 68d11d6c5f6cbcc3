"""The scheduler with real threads; what they wait for is events, never time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from edgedetector.detector.batching import Batch, Capacity, Offer, Outcome
from edgedetector.detector.guard import Guard
from edgedetector.detector.scheduling import Scheduler

PATIENCE = 60.0


class Bench:
    """A server whose requests wait until they are let go."""

    def __init__(self) -> None:
        self.guard = Guard()
        self.changed = threading.Condition()
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.batches: list[tuple[str, tuple[str, ...]]] = []
        self.outcomes: Counter[Outcome] = Counter()
        self.permits = 0
        self.broken = False
        self.threads: list[threading.Thread] = []
        self.scheduler: Scheduler[int] = Scheduler(self.run, start=self.start, settled=self._settled)

    def start(self, name: str, run: Callable[[], None]) -> None:
        self.threads.append(self.guard.start(name, run, essential=False))

    def run(self, model: str, batch: Batch[int]) -> Sequence[bool]:
        with self.changed:
            self.running[model] += 1
            self.most[model] = max(self.most[model], self.running[model])
            self.batches.append((model, tuple(offer.camera for offer in batch.offers)))
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.permits > 0, PATIENCE)
            self.permits -= 1
            self.running[model] -= 1
            self.changed.notify_all()
        if self.broken:
            raise RuntimeError("broken")
        return [True] * len(batch.offers)

    def _settled(self, _model: str, _offer: Offer[int], outcome: Outcome) -> None:
        self.outcomes[outcome] += 1

    def allow(self, count: int) -> None:
        with self.changed:
            self.permits += count
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), (self.running, self.batches, self.outcomes)

    def offer(self, model: str, camera: str, number: int = 0) -> None:
        self.scheduler.offer(model, camera, number, arrived=time.monotonic(), wait=PATIENCE)

    def joined(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.scheduler.close()
    bench.allow(1000)
    bench.joined()


def test_frames_that_come_while_requests_run_make_the_next_batch(bench: Bench) -> None:
    bench.scheduler.configure({"m": Capacity(batch=4, requests=1)}, dict.fromkeys("abcd", 0))
    bench.offer("m", "a")
    bench.until(lambda: bench.running["m"] == 1)
    for camera in "bcd":
        bench.offer("m", camera)
    bench.offer("m", "b", 1)
    bench.allow(1)
    bench.until(lambda: len(bench.batches) == 2)
    assert bench.batches == [("m", ("a",)), ("m", ("b", "c", "d"))]
    assert bench.outcomes[Outcome.SUPERSEDED] == 1


def test_requests_at_once_follow_the_instances_up_and_down(bench: Bench) -> None:
    cameras = dict.fromkeys("abcdef", 0)
    bench.scheduler.configure({"m": Capacity(1, 1)}, cameras)
    for camera in cameras:
        bench.offer("m", camera)
    bench.until(lambda: bench.running["m"] == 1)
    bench.scheduler.configure({"m": Capacity(1, 4)}, cameras)
    bench.until(lambda: bench.running["m"] == 4)
    bench.scheduler.configure({"m": Capacity(1, 1)}, cameras)
    bench.allow(3)
    bench.until(lambda: bench.running["m"] == 1)
    bench.allow(3)
    bench.until(lambda: len(bench.batches) == 6 and bench.running["m"] == 0)
    assert bench.most["m"] == 4


def test_models_have_batches_and_threads_of_their_own(bench: Bench) -> None:
    bench.scheduler.configure({"slow": Capacity(4, 1), "quick": Capacity(4, 1)}, dict.fromkeys("ab", 0))
    bench.offer("slow", "a")
    bench.until(lambda: bench.running["slow"] == 1)
    bench.offer("slow", "b")
    bench.offer("quick", "a")
    bench.until(lambda: bench.running["quick"] == 1)
    assert bench.batches == [("slow", ("a",)), ("quick", ("a",))]


def test_what_is_offered_to_nobody_is_withdrawn(bench: Bench) -> None:
    bench.scheduler.configure({"m": Capacity()}, {"a": 0})
    bench.offer("none", "a")
    bench.offer("m", "stranger")
    assert bench.outcomes == {Outcome.WITHDRAWN: 2}


def test_a_removed_model_ends_its_threads_and_withdraws_what_waits(bench: Bench) -> None:
    bench.scheduler.configure({"m": Capacity(1, 1)}, dict.fromkeys("ab", 0))
    bench.offer("m", "a")
    bench.until(lambda: bench.running["m"] == 1)
    bench.offer("m", "b")
    bench.scheduler.configure({}, {})
    bench.allow(1)
    bench.joined()
    assert bench.outcomes == {Outcome.WITHDRAWN: 1, Outcome.SERVED: 1}


def test_a_request_that_raises_fails_its_frames_and_the_process(bench: Bench) -> None:
    bench.broken = True
    bench.scheduler.configure({"m": Capacity(1, 1)}, {"a": 0})
    bench.offer("m", "a")
    bench.allow(1)
    assert bench.guard.wait() == 1
    assert bench.outcomes == {Outcome.FAILED: 1}
