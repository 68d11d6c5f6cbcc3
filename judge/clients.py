"""Who sends requests: closed loops, an open loop, and the detector with its cameras."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from judge.batcher import Request
from judge.events import Clock
from judge.statistics import Histogram

Enqueue = Callable[[Request], None]


class ClosedLoop:
    """Keeps `flights` requests of `size` images on their way; `way` seconds pass between an answer and the next."""

    def __init__(self, clock: Clock, enqueue: Enqueue, flights: int, *, size: int = 1, way: float = 0.0) -> None:
        self.latencies: list[float] = []
        self.sent = 0
        self._clock, self._enqueue, self._size, self._way = clock, enqueue, size, way
        for number in range(flights):
            # Not all at once: nobody starts his clients in the same microsecond.
            clock.at(clock.now + number * 1e-4, self._send)

    def _send(self, _: Any) -> None:
        self.sent += 1
        self._enqueue(Request(self._size, self._answered, self._clock.now))

    def _answered(self, request: Request) -> None:
        self.latencies.append(self._clock.now - request.queued + self._way)
        if self._way:
            self._clock.at(self._clock.now + self._way, self._send)
        else:
            self._send(None)


class OpenLoop:
    """Sends requests at given times, however long they take; `way` seconds of each latency are outside the server."""

    def __init__(
        self, clock: Clock, enqueue: Enqueue, times: Iterator[float], *, size: int = 1, way: float = 0.0
    ) -> None:
        self.latencies: list[float] = []
        self.sent = 0
        self._clock, self._enqueue, self._times, self._size, self._way = clock, enqueue, times, size, way
        self._plan()

    def _plan(self) -> None:
        due = next(self._times, None)
        if due is not None:
            self._clock.at(due, self._send)

    def _send(self, _: Any) -> None:
        self.sent += 1
        self._enqueue(Request(self._size, self._answered))
        self._plan()

    def _answered(self, request: Request) -> None:
        self.latencies.append(self._clock.now - request.queued + self._way)


def poisson(rate: float, draw: random.Random, start: float = 0.0) -> Iterator[float]:
    """Yield times of arrivals that know nothing of each other."""
    now = start
    while True:
        now += draw.expovariate(rate)
        yield now


class Detector:
    """The detector's side of one model: the newest frame of each camera, in batches up to what the server takes.

    As `BatchQueue` has it: up to 2 requests an instance on their way (16 at most), each with up to the largest
    preferred batch, or the largest batch at all; a frame that waits is superseded by the camera's next, and dropped
    when it has waited for its camera's interval. Cameras have equal priority here.

    Parameters
    ----------
    prepare
        Seconds a frame takes in the detector before its request is sent.
    way
        Seconds a request takes outside Triton, both ways together.
    """

    def __init__(self, clock: Clock, enqueue: Enqueue, *, prepare: float = 0.0, way: float = 0.0) -> None:
        self.enqueue = enqueue
        self.batch = self.requests = 1
        self.cap = 1 << 30
        """Images that fit into a request because there are no more cameras."""
        self.ages = Histogram()
        self.offered = self.skipped = self.served = self.sent = 0
        self.exchange = 0.0
        """Seconds from request to answer, over all requests."""
        self.exchanges = 0
        self.late = 0
        """Frames that took longer than `bound`, or never came."""
        self.slow = 0
        """Frames that took longer than `bound`, of `results` that came; never set back."""
        self.results = self.frames = self.dropped = 0
        """Frames with a result, offered, and given up; never set back."""
        self.bound = math.inf
        self._clock, self._prepare, self._way = clock, prepare, way
        self._waiting: dict[int, float] = {}
        self._wait = math.inf
        self._flying = self._flying_frames = 0
        self._times: Sequence[float] = ()
        self._cameras: Sequence[int] = ()
        self._next = 0

    @property
    def waiting(self) -> int:
        """Frames that wait here, one a camera at most."""
        return len(self._waiting)

    @property
    def flying(self) -> int:
        """Frames on their way."""
        return self._flying_frames

    def serve(self, instances: int, max_batch: int, preferred: Sequence[int]) -> None:
        """Send what this serving configuration takes (`batching.capacity`)."""
        largest = max(1, min(max(preferred, default=max_batch), max_batch))
        self.batch, self.requests = min(largest, self.cap), max(1, min(16, 2 * instances))
        self._pump()

    def expect(self, times: Sequence[float], cameras: Sequence[int], wait: float) -> None:
        """Take the frames of the next stretch: when each comes, ascending, and of which camera; each may wait that long."""
        self._times, self._cameras, self._wait, self._next = times, cameras, wait, 0
        if len(times):
            self._clock.at(times[0], self._frames)

    def _frames(self, _: Any) -> None:
        now, index, times = self._clock.now, self._next, self._times
        count = len(times)
        while index < count and times[index] <= now:
            camera = self._cameras[index]
            self.offered += 1
            self.frames += 1
            if camera in self._waiting:
                self._drop()
            self._waiting[camera] = times[index]
            index += 1
        self._next = index
        if index < count:
            self._clock.at(times[index], self._frames)
        if self._flying < self.requests:
            self._pump()

    def _drop(self) -> None:
        self.skipped += 1
        self.dropped += 1
        self.late += 1

    def _pump(self) -> None:
        now, waiting = self._clock.now, self._waiting
        while self._flying < self.requests and waiting:
            batch: list[float] = []
            late = now - self._wait
            while waiting and len(batch) < self.batch:
                arrived = waiting.pop(next(iter(waiting)))
                if arrived < late:
                    self._drop()
                else:
                    batch.append(arrived)
            if not batch:
                return
            size = len(batch)
            self._flying += 1
            self._flying_frames += size
            sent = now + self._prepare * size
            request = Request(size, self._answered, (batch, sent))
            self._clock.at(sent + 0.5 * self._way, self._send, request)

    def _send(self, request: Request) -> None:
        self.sent += request.size
        self.enqueue(request)

    def _answered(self, request: Request) -> None:
        if self._way:
            self._clock.at(self._clock.now + 0.5 * self._way, self._finished, request)
        else:
            self._finished(request)

    def _finished(self, request: Request) -> None:
        now = self._clock.now
        batch, sent = request.tag
        self._flying -= 1
        self._flying_frames -= request.size
        self.served += request.size
        self.results += request.size
        self.exchange += now - sent
        self.exchanges += 1
        bound, ages = self.bound, self.ages
        for arrived in batch:
            age = now - arrived
            if age > bound:
                self.late += 1
                self.slow += 1
            ages.add(age)
        self._pump()
