"""Threads around the batch queues: cameras offer frames from theirs, and each model's requests run in its own.

A model has as many threads as it may have requests at once, so neither a slow model nor one with many instances takes
threads of another, and a change of instances takes effect with the next request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final, Generic, TypeVar

from edgedetector.detector.batching import Batch, BatchQueue, Capacity, Offer, Outcome
from edgedetector.detector.fairness import weights

T = TypeVar("T")

_IDLE: Final = 0.5
"""Seconds after which a waiting thread looks for frames that have expired meanwhile."""

Run = Callable[[str, Batch[T]], Sequence[bool]]
"""Sends one batch of the named model and returns in order which frames have a result. Expected failures are answers
(False); whatever it raises fails the batch and ends the thread that `start` guards."""
Start = Callable[[str, Callable[[], None]], object]
"""Starts a named thread."""


class Scheduler(Generic[T]):
    """Weighted fair batching for all models of a replica. Safe for many threads.

    Parameters
    ----------
    settled
        Told once of each offered frame (model, offer, outcome), with a lock held: it must not call back or block.
    """

    def __init__(
        self,
        run: Run[T],
        *,
        start: Start,
        settled: Callable[[str, Offer[T], Outcome], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._start = start
        self._settled = settled
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane[T]] = {}

    def configure(self, models: Mapping[str, Capacity], cameras: Mapping[str, int]) -> None:
        """Serve these models with these capacities, and these cameras with these priorities; cheap if all is as it was.

        What waits for a model or of a camera that is gone is withdrawn; requests on their way are finished.
        """
        with self._lock:
            for name in [name for name in self._lanes if name not in models]:
                self._lanes.pop(name).close()
            for name, room in models.items():
                lane = self._lanes.get(name) or self._lanes.setdefault(name, self._lane(name, room))
                for _ in range(lane.configure(room, weights(cameras))):
                    self._start(f"infer:{name}", lane.work)

    def offer(self, model: str, camera: str, frame: T, *, arrived: float, wait: float, budget: float = inf) -> None:
        """Offer a camera's newest frame to a model; see `Offer` for the times. Never blocks on a request."""
        offer = Offer(camera, frame, arrived, wait, budget)
        with self._lock:
            lane = self._lanes.get(model)
        if lane is None or not lane.offer(offer):
            self._settled(model, offer, Outcome.WITHDRAWN)

    def expected(self, model: str) -> float:
        """Return the seconds that a request of the model is expected to take, 0 if it is not known."""
        with self._lock:
            lane = self._lanes.get(model)
        return lane.expected() if lane else 0.0

    def waiting(self, model: str) -> int:
        """Return how many frames wait for a model; 0 if it is not served."""
        with self._lock:
            lane = self._lanes.get(model)
        return lane.waiting() if lane else 0

    def close(self) -> None:
        """Withdraw what waits, and let every thread end after its request."""
        self.configure({}, {})

    def _lane(self, model: str, room: Capacity) -> _Lane[T]:
        return _Lane(
            room,
            run=lambda batch: self._run(model, batch),
            settled=lambda offer, outcome: self._settled(model, offer, outcome),
            clock=self._clock,
        )


class _Lane(Generic[T]):
    """One model's queue behind a lock, and the loop of its threads."""

    def __init__(
        self,
        room: Capacity,
        *,
        run: Callable[[Batch[T]], Sequence[bool]],
        settled: Callable[[Offer[T], Outcome], None],
        clock: Callable[[], float],
    ) -> None:
        self._run = run
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: BatchQueue[T] = BatchQueue(room, settled)
        self._threads = 0
        self._closed = False

    def configure(self, room: Capacity, wanted: Mapping[str, int]) -> int:
        """Take over capacity and weights; return how many threads the caller is to start."""
        with self._changed:
            self._queue.room = room
            self._queue.set_weights(wanted)
            missing = max(0, room.requests - self._threads)
            self._threads += missing
            self._changed.notify_all()
            return missing

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._queue.set_weights({})
            self._changed.notify_all()

    def offer(self, offer: Offer[T]) -> bool:
        """Return False once the lane is closed."""
        with self._changed:
            if not self._closed:
                self._queue.offer(offer)
                self._changed.notify()
            return not self._closed

    def waiting(self) -> int:
        with self._changed:
            return self._queue.waiting

    def expected(self) -> float:
        with self._changed:
            return self._queue.expected(self._clock())

    def work(self) -> None:
        """Send batches until the lane is closed or has a thread too many."""
        while (batch := self._take()) is not None:
            served: Sequence[bool] = ()
            try:
                served = self._run(batch)
            finally:
                self._finish(batch, served)

    def _take(self) -> Batch[T] | None:
        with self._changed:
            while not self._closed and self._threads <= self._queue.room.requests:
                batch = self._queue.pick(self._clock())
                if batch is not None:
                    return batch
                self._changed.wait(_IDLE)
            self._threads -= 1
            return None

    def _finish(self, batch: Batch[T], served: Sequence[bool]) -> None:
        with self._changed:
            # Nobody is woken: the room that this makes is this thread's, which looks next at what waits.
            self._queue.finish(batch, served, self._clock())
