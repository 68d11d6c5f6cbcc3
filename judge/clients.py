"""Who sends requests: closed loops, an open loop, and the detector with its cameras."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from judge.batcher import Request
from judge.device import Station
from judge.events import Clock

Enqueue = Callable[[Request], None]


class ClosedLoop:
    """Keeps `flights` requests on their way.

    Parameters
    ----------
    way
        Seconds that pass between the end of an execution and the next request, for whoever has nobody before him.
    serial
        Seconds in which the client looks after one answer and no other.
    """

    def __init__(self, clock: Clock, enqueue: Enqueue, flights: int, *, way: float = 0.0, serial: float = 0.0) -> None:
        self.latencies: list[float] = []
        self.sent = 0
        self._clock, self._enqueue, self._way, self._serial = clock, enqueue, way, serial
        self._client = Station(1)
        for number in range(flights):
            # Not all at once: nobody starts his clients in the same microsecond.
            clock.at(clock.now + number * 1e-4, self._send)

    def _send(self, _: Any) -> None:
        self.sent += 1
        self._enqueue(Request(1, self._answered, way=self._way))

    def _answered(self, request: Request) -> None:
        now = self._clock.now
        done = self._client.serve(now, self._serial) if self._serial else now
        self.latencies.append(done - request.queued)
        if done > now:
            self._clock.at(done, self._send)
        else:
            self._send(None)


class OpenLoop:
    """Sends requests at given times, however long they take; `way` and `serial` as of a closed loop."""

    def __init__(
        self, clock: Clock, enqueue: Enqueue, times: Iterator[float], *, way: float = 0.0, serial: float = 0.0
    ) -> None:
        self.latencies: list[float] = []
        self.sent = 0
        self._clock, self._enqueue, self._times, self._way, self._serial = clock, enqueue, times, way, serial
        self._client = Station(1)
        self._plan()

    def _plan(self) -> None:
        due = next(self._times, None)
        if due is not None:
            self._clock.at(due, self._send)

    def _send(self, _: Any) -> None:
        self.sent += 1
        self._enqueue(Request(1, self._answered, way=self._way))
        self._plan()

    def _answered(self, request: Request) -> None:
        now = self._clock.now
        done = self._client.serve(now, self._serial) if self._serial else now
        self.latencies.append(done - request.queued)


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
        self.ages: list[float] = []
        """Of the results, from a frame's coming to its result, seconds."""
        self.offered = self.skipped = 0
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
        self._clock, self._prepare, self._half = clock, prepare, 0.5 * way
        self._waiting: dict[int, float] = {}
        self._wait = math.inf
        self._flying = self._flying_frames = 0
        self._due = -math.inf
        self._times: Sequence[float] = (math.inf,)
        self._cameras: Sequence[int] = ()
        self._next = 0

    @property
    def open(self) -> int:
        """Frames that are still to come, wait or are on their way."""
        return len(self._times) - 1 - self._next + len(self._waiting) + self._flying_frames

    def serve(self, instances: int, max_batch: int, preferred: Sequence[int]) -> None:
        """Send what this serving configuration takes (`batching.capacity`)."""
        largest = max(1, min(max(preferred, default=max_batch), max_batch))
        self.batch, self.requests = min(largest, self.cap), max(1, min(16, 2 * instances))
        self._look(None)

    def expect(self, times: Sequence[float], cameras: Sequence[int], wait: float) -> None:
        """Take the frames of a stretch: when each comes, ascending, and of which camera; each waits that long."""
        self.catch_up()
        self._times, self._cameras, self._wait, self._next = [*times, math.inf], cameras, wait, 0
        self.frames += len(times)
        self._look(None)

    def _look(self, _: Any) -> None:
        """Take what has come and see that the next frame is not missed, if there is room for it."""
        self.catch_up()
        if self._flying < self.requests:
            if self._waiting:
                self._pump()
            due = self._times[self._next]
            if self._flying < self.requests and due != self._due and due < math.inf:
                self._due = due
                self._clock.at(due, self._look)

    def catch_up(self) -> None:
        """Let the frames wait that have come by now. Nobody need look at them before there is room."""
        now = self._clock.now
        index, times, waiting, cameras = self._next, self._times, self._waiting, self._cameras
        while times[index] <= now:
            camera = cameras[index]
            if camera in waiting:
                self._drop()
            waiting[camera] = times[index]
            index += 1
        self.offered += index - self._next
        self._next = index

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
            request = Request(size, self._finished, way=self._half, tag=(batch, sent))
            self._clock.at(sent + self._half, self.enqueue, request)

    def _finished(self, request: Request) -> None:
        now, bound, ages = self._clock.now, self.bound, self.ages
        batch, sent = request.tag
        self._flying -= 1
        self._flying_frames -= request.size
        self.results += request.size
        self.exchange += now - sent
        self.exchanges += 1
        for arrived in batch:
            age = now - arrived
            if age > bound:
                self.late += 1
                self.slow += 1
            ages.append(age)
        self._look(None)
