"""Triton's dynamic batcher, its queue of prepared batches and the instances that take from it.

Follows `dynamic_batch_scheduler.cc`, `instance_queue.cc` and `rate_limiter.cc` of Triton's core (r23.07, r24.10) step
by step, with threads that need no time: what they do takes microseconds, what they wait for milliseconds. What matters:

- Requests leave the queue for a *payload* as soon as fewer than 2 x instances payloads are ready
  (`PayloadSlotAvailable`), so they are batched earlier than an instance is free.
- A payload that is ready but not yet taken may grow, as long as it is the newest one and not saturated.
- Without a delay the largest preferred size is a hard cap, and a preferred size that was reached saturates the payload.
- With a delay, what has waited that long goes as one batch up to the maximal size, whatever is preferred; and an
  instance that takes a payload merges the next ones into it that have waited longer than the delay.
- Without preferred sizes Triton itself puts the maximal batch size in their place (`NormalizeModelConfig`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from judge.events import Clock


@dataclass(frozen=True, slots=True)
class Batching:
    """One model's serving configuration, as the batcher has it."""

    instances: int = 1
    max_batch: int = 1
    """Largest batch; 0 and 1: the batcher is off, every request is executed as it came."""
    preferred: tuple[int, ...] = ()
    delay: float = 0.0
    """Seconds."""


class Request:
    """What a client sent: `size` images. It is called with it `way` seconds after its execution ended."""

    __slots__ = ("answered", "queued", "size", "tag", "way")

    def __init__(self, size: int, answered: Callable[[Request], None], *, way: float = 0.0, tag: Any = None) -> None:
        self.size = size
        self.answered = answered
        self.way = way
        self.tag = tag
        self.queued = 0.0
        """When it came to the server."""


class Device(Protocol):
    """What executes batches."""

    def execute(self, model: str, size: int, now: float) -> float:
        """Begin an execution now; return when it ends."""

    def finish(self, model: str) -> None:
        """Take note that an execution ended."""


class _Payload:
    __slots__ = ("oldest", "requests", "size", "taken")

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.size = 0
        self.oldest = math.inf
        self.taken = False

    def add(self, request: Request) -> None:
        self.requests.append(request)
        self.size += request.size
        self.oldest = min(self.oldest, request.queued)


_TAKEN = _Payload()
_TAKEN.taken = True


class Counters:
    """What Triton counts, since the counters were last taken."""

    __slots__ = ("batches", "images", "queue", "request", "requests")

    def __init__(self) -> None:
        self.batches: dict[int, list[float]] = {}
        """Batch size -> [executions, seconds in all]; counted when they end, as `batch_stats` is."""
        self.images = 0
        self.requests = 0
        self.queue = 0.0
        """Seconds, over all requests."""
        self.request = 0.0


class Model:
    """A loaded model: batcher and instances.

    Parameters
    ----------
    turn
        Seconds for which an instance is not ready between two executions, over what `batch_stats` counts: the way to
        the backend and back, and the wake-up of its thread.
    """

    def __init__(self, name: str, batching: Batching, device: Device, clock: Clock, *, turn: float = 0.0) -> None:
        self.name = name
        self.batching = batching
        self.counters = Counters()
        self.running = 0
        self._device, self._clock, self._turn = device, clock, turn
        self._dynamic = batching.max_batch > 1
        self._largest = max(1, batching.max_batch)
        self._preferred: frozenset[int] = frozenset(batching.preferred or (self._largest,))
        self._cap = max(self._preferred)
        self._prompt = not self._dynamic or batching.delay == 0.0
        self._instances = batching.instances
        self._idle = batching.instances
        self._queue: deque[Request] = deque()
        self._queued = 0
        self._ready: deque[_Payload] = deque()
        self._current = _Payload()
        self._saturated = False
        self._next = 0
        self._wake = 0

    @property
    def waiting(self) -> int:
        """Images that wait, in the queue or in prepared batches."""
        return self._queued + sum(payload.size for payload in self._ready)

    def resize(self, instances: int) -> None:
        """Have another number of instances: those too many end after what they execute."""
        self._idle += instances - self._instances
        self._instances = instances
        self.batching = Batching(instances, self.batching.max_batch, self.batching.preferred, self.batching.delay)
        self._take()
        if self._dynamic:
            self._batch()

    def enqueue(self, request: Request) -> None:
        """Take a request."""
        request.queued = self._clock.now
        if self._idle > 0 and not self._queue and (self._prompt or request.size in self._preferred):
            # Nobody waits and nothing is waited for: what follows would come to the same.
            self._current, self._saturated, self._next = _TAKEN, False, 0
            self._begin([request], request.size)
            return
        if not self._dynamic:
            payload = _Payload()
            payload.add(request)
            self._ready.append(payload)
            self._take()
            return
        self._queue.append(request)
        self._queued += request.size
        if len(self._ready) < 2 * self._instances and (
            self._saturated or self._current.taken or self._queued >= self._next
        ):
            self._batch()

    def _batch(self) -> None:
        """Do what the batcher's thread does until it waits: for a request, for a slot, or for the delay to be over."""
        while True:
            if self._saturated or self._current.taken:
                self._current, self._saturated, self._next = _Payload(), False, 0
            if not self._queue or len(self._ready) >= 2 * self._instances:
                return
            count, wait = self._choose()
            if wait > 0.0:
                self._wake += 1
                self._clock.at(self._clock.now + wait, self._woken, self._wake)
                return
            self._move(count)

    def _woken(self, wake: int) -> None:
        if wake == self._wake:
            self._batch()

    def _choose(self) -> tuple[int, float]:
        """Return how many requests go now, or for how long to wait (`GetDynamicBatch`)."""
        base, pending, count, best, mark, full = self._current.size, 0, 0, 0, 0, False
        preferred, cap, largest = self._preferred, self._cap, self._largest
        for request in self._queue:
            if base + count > 0:
                total = base + pending + request.size
                if total > cap and best == 0:
                    best, mark, self._saturated = pending, count, True
                if total > largest:
                    full = True
                    break
            pending += request.size
            count += 1
            if base + pending in preferred:
                best, mark = pending, count
        delay = self.batching.delay
        age = self._clock.now - self._queue[0].queued
        exceeded = delay > 0.0 and age >= delay - 1e-9
        if best and not exceeded:
            self._saturated |= delay == 0.0
            return mark, 0.0
        if count == 0 or full or base + pending >= cap:
            # A payload that cannot take even one more request is left to the instances, and a new one begun.
            self._saturated = True
            return count, 0.0
        if exceeded or delay == 0.0:
            return count, 0.0
        larger = [size for size in preferred if size > base + pending]
        self._next = min(larger or preferred) - base
        if not self._saturated and base and base not in preferred:
            return count, 0.0
        return 0, delay - age

    def _move(self, count: int) -> None:
        payload, fresh = self._current, not self._current.requests
        for _ in range(count):
            request = self._queue.popleft()
            self._queued -= request.size
            payload.add(request)
        if fresh and payload.requests:
            self._ready.append(payload)
            self._take()

    def _take(self) -> None:
        """Let idle instances begin (`InstanceQueue::Dequeue`)."""
        while self._idle > 0 and self._ready:
            payload = self._ready.popleft()
            payload.taken = True
            requests = payload.requests
            if self.batching.delay > 0.0 and self._ready:
                payload.size = self._merge(requests, payload.size)
            self._begin(requests, payload.size)

    def _merge(self, requests: list[Request], size: int) -> int:
        while self._ready:
            other = self._ready[0]
            waited = self._clock.now - other.oldest
            if waited <= self.batching.delay or size + other.size > self._largest:
                break
            other.taken = True
            requests += other.requests
            size += other.size
            self._ready.popleft()
        return size

    def _begin(self, requests: list[Request], size: int) -> None:
        clock = self._clock
        now = clock.now
        self._idle -= 1
        self.running += 1
        end = self._device.execute(self.name, size, now)
        # When it ends is known by now, so that what follows from it needs no further event.
        for request in requests:
            clock.at(end + request.way, request.answered, request)
        clock.at(end + self._turn, self._freed, (requests, size, now, end))

    def _freed(self, execution: tuple[Sequence[Request], int, float, float]) -> None:
        requests, size, began, end = execution
        counters = self.counters
        self._device.finish(self.name)
        self.running -= 1
        self._idle += 1
        entry = counters.batches.get(size)
        if entry is None:
            entry = counters.batches[size] = [0, 0.0]
        entry[0] += 1
        entry[1] += end - began
        counters.images += size
        counters.requests += len(requests)
        for request in requests:
            counters.queue += began - request.queued
            counters.request += end - request.queued
        if self._ready:
            self._take()
        # Both the end of an execution and the taking of a payload wake the batcher's thread.
        if self._queue:
            self._batch()
