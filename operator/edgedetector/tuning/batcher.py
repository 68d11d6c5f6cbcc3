"""How long frames take from the detector's queue through Triton's dynamic batcher, for one configuration and demand.

A short event simulation with fixed arrivals: no random numbers, the same input gives the same figure. What counts of
client and server:

- The detector sends what waits at once, up to the largest batch, while fewer than two requests an instance are on their
  way. So frames gather in it while the server is busy, and most batches are formed there.
- Triton joins requests that wait for an instance, and with a queue delay it holds them back for others.
- An execution has a part of its own (copies, launches), in which others may compute, and a part in which it has the
  device for itself. So instances pay as far as they hide the first. Of the first part some may be the link's, which
  carries one image at a time.
- Where there is post-processing inside Triton, what was executed goes on to it, request by request.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush, heapreplace
from typing import Any, Final

FRAMES: Final = 600
"""Of a run, after the first ones, that find an empty server."""
WARM: Final = 60
_MOST_REQUESTS: Final = 16
"""On their way at once, whatever the instances (`detector.batching.capacity`)."""
_REQUESTS_PER_INSTANCE: Final = 2
"""`detector.batching.REQUESTS_PER_INSTANCE`: Triton takes up to 2 x instances batches out of its queue."""
HIGHEST_LOAD: Final = 1.02
"""Of what a server can do at most, the highest load that is looked at."""
HALVINGS: Final = 6
"""Of the loads that are looked at: to 1.6 %."""
SERVED: Final = 0.01
"""Share of the frames that may be superseded where a demand still counts as served."""
INTERVAL: Final = 0.2
"""Seconds between two frames of a camera where that is not known: 5 frames a second."""
GAP: Final = 0.0003
"""Seconds between two executions of an instance, in Triton: 0.4 ms on a slow host, less on others."""
PREPARE: Final = 0.001
"""Seconds that the detector needs for an image before its request is sent (docs/results/dataplane.md)."""
WAY: Final = 0.0006
"""Seconds of a request between detector and Triton, both ways, where no visit shows it (through shared memory)."""
_MOST_CAMERAS: Final = 4096


@dataclass(frozen=True, slots=True)
class Server:
    """What serves one model. Seconds."""

    instances: int
    apart: tuple[float, ...]
    """Part of an execution in which others may compute, by size from 1."""
    alone: tuple[float, ...]
    """Part in which it has the device for itself, by size from 1."""
    link: float = 0.0
    """Of the part in which others may compute, for each image: when the execution has the link for itself."""
    contention: float = 0.0
    """What each further execution at work adds to the device's part, relatively."""
    delay: float = 0.0
    """For which Triton waits for more requests."""
    preferred: tuple[int, ...] = ()
    """Sizes at which it does not wait any longer."""
    gap: float = 0.0
    """Between two executions of an instance at least."""
    prepare: float = 0.0
    """That the detector needs for an image before its request is sent."""
    way: float = 0.0
    """Of a request between detector and Triton, both ways together."""
    interval: float = INTERVAL
    """Between two frames of one camera: each sends at a steady rate, and a frame that waits longer is superseded.
    Infinite: frames come independently."""
    steps: int = 0
    """Instances of the post-processing; 0: there is none."""
    step: tuple[float, ...] = ()
    """Seconds that one of them takes for a request, by images from 1."""

    @property
    def largest(self) -> int:
        """Images in a batch at most."""
        return len(self.alone)

    @property
    def saturated(self) -> float:
        """Images a second when all instances always have the batch that suits them best, and post-processing too."""
        if not self.steps:
            return self.executed
        return min(self.executed, max(self.steps * size / taken for size, taken in enumerate(self.step, 1)))

    @property
    def executed(self) -> float:
        """The same of the model alone."""
        slower = 1.0 + self.contention * (self.instances - 1)
        return max(
            size / max(alone * slower, size * self.link, (apart + alone * slower + self.gap) / self.instances)
            for size, (apart, alone) in enumerate(zip(self.apart, self.alone, strict=True), 1)
        )


@dataclass(frozen=True, slots=True)
class Passage:
    """What frames experience. Seconds."""

    latency: float
    """The percentile asked for."""
    batch: float
    """Mean size of an execution."""
    busy: float
    """Share of the time that an instance executes, 0 to 1."""
    skipped: float = 0.0
    """Share of the frames that newer ones superseded."""
    execution: float = 0.0
    """Mean duration."""
    device: float = 0.0
    """Share of the time that the device is at work, 0 to 1."""
    mean: float = 0.0
    """Latency."""
    request: float = 1.0
    """Images in the request that a frame is in, mean over the frames."""
    rate: float = 0.0
    """Images a second that are served until the last of them is."""


def requests_at_once(instances: int, steps: int = 0) -> int:
    """Return how many requests of a model the detector has on their way at most: one more for each step behind."""
    return max(1, min(_MOST_REQUESTS, _REQUESTS_PER_INSTANCE * instances + steps))


@lru_cache(maxsize=8192)
def passage(server: Server, rate: float, percentile: int = 99, frames: int = FRAMES) -> Passage:
    """Return what frames experience that come at `rate` a second."""
    if rate <= 0.0:
        execution = server.apart[0] + server.alone[0]
        held = server.delay if server.largest > 1 else 0.0
        after = server.step[0] if server.steps else 0.0
        return Passage(server.prepare + server.way + held + execution + after, 1.0, 0.0, execution=execution)
    run = Run(server, arrivals(server, rate, frames))
    run.go()
    return run.passage(percentile)


def late(server: Server, rate: float, pause: float, bound: float) -> float:
    """Return the seconds' worth of frames that take longer than `bound` when nothing is executed for `pause` seconds.

    They come at `rate` a second, and what waits after the pause may need batches that hardly catch up.
    """
    if rate <= 0.0:
        return 0.0
    run = Run(server, arrivals(server, rate, FRAMES))
    run.hold(pause)
    run.go()
    return (sum(latency > bound for latency in run.latencies) + run.skipped) / rate


def capacity(server: Server, bound: float, percentile: int = 99, frames: int = FRAMES) -> float:
    """Return the highest demand, images a second, at which the percentile of the latency keeps to `bound` seconds.

    A demand of which a noticeable part is superseded is not served, however quick the rest is. Bisection, then
    interpolation on the logarithm of the latency, so that the figure has no steps.
    """
    low, high = 0.0, HIGHEST_LOAD * server.saturated
    quick = slow = passage(server, 0.0, percentile).latency
    if quick > bound:
        return 0.0
    for _ in range(HALVINGS):
        rate = (low + high) / 2
        there = passage(server, rate, percentile, frames)
        if there.latency > bound or there.skipped > SERVED:
            high, slow = rate, there.latency
        else:
            low, quick = rate, there.latency
    if slow <= bound:
        return low
    return low + (high - low) * math.log(bound / quick) / math.log(slow / quick)


def arrivals(server: Server, rate: float, frames: int, stream: int = 0, *, before: int = WARM) -> list[float]:
    """Return times of frames that come at `rate` a second, and of some before them; streams know nothing of others."""
    cameras = round(min(_MOST_CAMERAS, max(1.0, rate * server.interval))) if math.isfinite(server.interval) else 0
    return [at / rate for at in _arrivals(frames + before, cameras, stream)]


@lru_cache(maxsize=256)
def _arrivals(count: int, cameras: int, stream: int) -> tuple[float, ...]:
    """Return times of `count` frames at a rate of 1: independent, or one in each period of each camera.

    With cameras their phases are drawn anew in every period: the mean over many detectors, not the luck of one.
    """
    if cameras <= 0:
        times, at = [], 0.0
        for value in _uniform(count, stream):
            at -= math.log(1.0 - value)
            times.append(at)
        return tuple(at * count / times[-1] for at in times)
    periods = -(-count // cameras)
    values = _uniform(periods * cameras, stream)
    times = sorted(cameras * (index // cameras + value) for index, value in enumerate(values))
    return tuple(times[:count])


def _uniform(count: int, stream: int) -> list[float]:
    """Return numbers in [0, 1) that look drawn: Knuth's 64-bit linear congruential generator (MMIX), top bits."""
    values, state = [], (stream + 1) * 0x9E3779B97F4A7C15 % 2**64
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append((state >> 11) / 2**53)
    return values


class Device:
    """What executions share, of one model or of several."""

    __slots__ = ("at_work", "crossed", "free")

    def __init__(self) -> None:
        self.free = self.crossed = 0.0  # when device and link are free
        self.at_work = 0  # executions


class Run:
    """Frames on their way, event by event: detector, Triton's queue of prepared batches, instances, device."""

    def __init__(
        self, server: Server, arrivals: Sequence[float], device: Device | None = None, before: int = WARM
    ) -> None:
        self.arrivals = arrivals
        self.latencies: list[float] = []
        self.executed: list[tuple[int, float]] = []  # of each execution, its size and seconds
        self.skipped = 0
        self.together = 0  # over all frames, those in their request
        self.device = self.end = 0.0
        self._server = server
        self._before = before  # frames that are not counted: they find an empty server
        self._room = requests_at_once(server.instances, server.steps)
        self._stepping = [0.0] * server.steps  # a heap: when each instance of the post-processing is free
        self._most = server.largest
        self._enough = {size for size in server.preferred if size <= server.largest} | {server.largest}
        self._events: list[tuple[float, int, Callable[[float, Any], None], Any]] = []
        self._number = self._first = 0  # of events; of the oldest frame that was not sent
        self._idle = server.instances
        self._flying = 0
        self._batches: deque[_Batch] = deque()  # prepared, not yet taken; the last one may grow
        self._shared, self._beside_others = device or Device(), device is not None

    def hold(self, seconds: float) -> None:
        """Let no instance begin anything for so many seconds."""
        for _ in range(self._idle):
            self._at(seconds, self._freed)
        self._shared.at_work += self._idle
        self._idle = 0

    def go(self, until: float = math.inf) -> float:
        """Serve frames up to a time; return when something happens next, infinite if nothing does."""
        events, arrivals, count, room = self._events, self.arrivals, len(self.arrivals), self._room
        while True:
            due = arrivals[self._first] if self._flying < room and self._first < count else math.inf
            if events and events[0][0] <= due:
                if events[0][0] > until:
                    return events[0][0]
                at, _, call, what = heappop(events)
                call(at, what)
            elif due < math.inf and due <= until:
                self._send(due)
            else:
                return due

    def passage(self, percentile: int) -> Passage:
        """Return what the frames experienced that were served, without the first ones."""
        counted = sorted(self.latencies[self._before :] or self.latencies)
        rank = min(len(counted) - 1, math.ceil(len(counted) * percentile / 100.0) - 1)
        working = sum(seconds for _, seconds in self.executed)
        return Passage(
            counted[max(0, rank)],
            len(self.latencies) / len(self.executed),
            min(1.0, working / (self._server.instances * self.end)),
            self.skipped / len(self.arrivals),
            working / len(self.executed),
            min(1.0, self.device / self.end),
            sum(counted) / len(counted),
            self.together / len(self.latencies),
            len(self.latencies) / self.end,
        )

    def _at(self, when: float, call: Callable[[float, Any], None], what: Any = None) -> None:
        self._number += 1
        heappush(self._events, (when, self._number, call, what))

    def _send(self, now: float) -> None:
        """Send what waits, as the detector does: each request with as many frames as there are, up to the largest."""
        server, arrivals, first = self._server, self.arrivals, self._first
        last = bisect_right(arrivals, now, first)
        while self._flying < self._room and first < last:
            while first < last and arrivals[first] < now - server.interval:
                first, self.skipped = first + 1, self.skipped + 1
            size = min(self._most, last - first)
            if size:
                self._flying += 1
                self._at(now + server.prepare * size + server.way / 2, self._arrived, (first, first + size))
            first += size
        self._first = first

    def _arrived(self, now: float, frames: tuple[int, int]) -> None:
        """Join the newest batch that is not yet taken, or begin one."""
        size, delay, batches = frames[1] - frames[0], self._server.delay, self._batches
        if not batches or batches[-1].size + size > self._most:
            batches.append(_Batch(now + delay))
            if delay > 0.0:
                self._at(now + delay, self._take)
        batch = batches[-1]
        batch.requests.append(frames)
        batch.size += size
        if batch.size in self._enough:
            batch.leaves = now
        self._take(now)

    def _take(self, now: float, _: object = None) -> None:
        """Let idle instances begin what waits for nobody any more."""
        while self._idle and self._batches and self._batches[0].leaves <= now:
            self._begin(now, self._batches.popleft())

    def _begin(self, now: float, batch: _Batch) -> None:
        server, size, shared = self._server, batch.size - 1, self._shared
        batch.begun = now
        batch.alone = server.alone[size] * (1.0 + server.contention * shared.at_work)
        self._idle -= 1
        shared.at_work += 1
        crossing = server.link * batch.size
        shared.crossed = crossed = max(shared.crossed, now) + crossing
        due = crossed + server.apart[size] - crossing
        if self._beside_others:
            self._at(due, self._computed, batch)
        else:  # of one model all take about as long, and come to the device as they began: an event less
            self._computed(due, batch)

    def _computed(self, now: float, batch: _Batch) -> None:
        """Have the device for itself, once it is free.

        It serves executions in the order in which they come to it, not in which they began: another model's short one
        has been copied and launched while a long one still is.
        """
        server, shared = self._server, self._shared
        shared.free = end = max(shared.free, now) + batch.alone
        self.device += batch.alone
        for request in batch.requests:
            if server.steps:
                self._at(end, self._executed, request)
            else:
                self._at(end + server.way / 2, self._answered, request)
        self._at(end + server.gap, self._freed)
        self.executed.append((batch.size, end - batch.begun))
        self.end = end

    def _executed(self, now: float, frames: tuple[int, int]) -> None:
        """Let the post-processing have a request, as soon as an instance of it is free."""
        done = max(now, self._stepping[0]) + self._server.step[frames[1] - frames[0] - 1]
        heapreplace(self._stepping, done)
        self._at(done + self._server.way / 2, self._answered, frames)

    def _freed(self, now: float, _: object) -> None:
        self._idle += 1
        self._shared.at_work -= 1
        self._take(now)

    def _answered(self, now: float, frames: tuple[int, int]) -> None:
        self._flying -= 1
        self.together += (frames[1] - frames[0]) ** 2
        self.latencies += [now - arrived for arrived in self.arrivals[frames[0] : frames[1]]]
        self._send(now)


class _Batch:
    """Requests that Triton executes together."""

    __slots__ = ("alone", "begun", "leaves", "requests", "size")

    def __init__(self, leaves: float) -> None:
        self.leaves = leaves
        self.requests: list[tuple[int, int]] = []
        self.size = 0
        self.begun = self.alone = 0.0  # when it was taken, and its seconds on the device, once it is
