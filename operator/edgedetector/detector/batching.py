"""Which frames go to one model next: the newest of each camera, in fair batches, and none that would come too late.

Times are seconds of one monotonic clock, passed in. Nothing here waits: while the server is busy, frames gather and
form the next batch; when it has room, what is there goes at once. So batches grow with the load by themselves, and no
delay has to be chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from edgedetector.api.dataplane import ModelServing
from edgedetector.detector.fairness import FairQueue

T = TypeVar("T")

REQUESTS_PER_INSTANCE: Final = 2
"""Triton prepares up to 2 x instances batches ahead (`PayloadSlotAvailable` in its core): one computes, one is ready.
More would only wait in Triton, where a newer frame cannot take their place."""
_SMOOTHING: Final = 0.2
"""Weight of the newest request in the expected duration: follows a change within about ten requests."""
_HALF_LIFE: Final = 1.0
"""Seconds without an answer in which the expected duration halves. Without this a single slow answer (a reload takes
2 s) could make every later frame look hopeless, and none would be sent that proves the opposite."""


class Outcome(StrEnum):
    """What became of an offered frame; each frame has exactly one."""

    SERVED = "served"
    SUPERSEDED = "superseded"
    """A newer frame of the camera came first."""
    EXPIRED = "expired"
    """It could no longer be sent in time."""
    FAILED = "failed"
    """It was sent and gave no result."""
    WITHDRAWN = "withdrawn"
    """The camera or the model went away."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the server takes now."""

    batch: int = 1
    """Frames a request."""
    requests: int = REQUESTS_PER_INSTANCE
    """Requests at once."""


def capacity(
    serving: ModelServing,
    post: ModelServing | None = None,
    *,
    per_instance: int = REQUESTS_PER_INSTANCE,
    most: int = 16,
) -> Capacity:
    """Return what a model's serving configuration lets us send.

    The largest preferred size is the bound where there is one, since Triton forms no larger batch without a delay
    (`GetDynamicBatch`). Smaller preferred sizes are not rounded to: 7 waiting frames in one request beat 4 and 3.

    Parameters
    ----------
    post
        The model's post-processing in Triton, if it has one. While its instances work on requests, the model is to have
        as many as without it: one that computes and one that is ready, an instance.
    most
        Requests at once, whatever the instances: each has a thread and its buffers.
    """
    batch = min(max(serving.preferred_batch_sizes, default=serving.max_batch_size), serving.max_batch_size)
    requests = per_instance * serving.instances + (post.instances if post else 0)
    return Capacity(max(1, batch), max(1, min(most, requests)))


@dataclass(frozen=True, slots=True)
class Offer(Generic[T]):
    """A frame that waits."""

    camera: str
    frame: T
    arrived: float
    wait: float
    """Seconds after its arrival within which it must be sent; normally the camera's target interval."""
    budget: float = math.inf
    """Seconds after its arrival within which its result must be expected."""

    def latest(self, expected: float) -> float:
        """Return when it must be sent, if a request takes `expected` seconds."""
        return self.arrived + min(self.wait, self.budget - expected)


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Frames of one model for one request, at most one a camera."""

    number: int
    sent: float
    offers: tuple[Offer[T], ...]


Settled = Callable[[Offer[T], Outcome], None]


class BatchQueue(Generic[T]):
    """The waiting frames of one model and the requests on their way. Single-threaded.

    Parameters
    ----------
    settled
        Told once of every offered frame: the place to count it and to give back what it holds.
    """

    def __init__(self, room: Capacity, settled: Settled[T]) -> None:
        self.room = room
        self._settled = settled
        self._fair = FairQueue()
        self._waiting: dict[str, Offer[T]] = {}
        self._sent: dict[int, Batch[T]] = {}
        self._number = 0
        self._expected = 0.0
        self._answered = 0.0

    @property
    def waiting(self) -> int:
        """Frames that wait; at most one a camera."""
        return len(self._waiting)

    @property
    def requests(self) -> int:
        """Requests on their way."""
        return len(self._sent)

    def expected(self, now: float) -> float:
        """Return how many seconds a request is expected to take, 0 before the first answer."""
        return self._expected * math.exp2(-max(0.0, now - self._answered) / _HALF_LIFE)

    def set_weights(self, weights: Mapping[str, int]) -> None:
        """Serve these cameras; what others have waiting is withdrawn."""
        for camera in self._fair.set_weights(weights):
            self._settled(self._waiting.pop(camera), Outcome.WITHDRAWN)

    def offer(self, offer: Offer[T]) -> None:
        """Let a frame wait, in place of an older one of the same camera."""
        if offer.camera not in self._fair:
            self._settled(offer, Outcome.WITHDRAWN)
            return
        older = self._waiting.get(offer.camera)
        self._waiting[offer.camera] = offer
        self._fair.arrive(offer.camera)
        if older is not None:
            self._settled(older, Outcome.SUPERSEDED)

    def pick(self, now: float) -> Batch[T] | None:
        """Return the next request, which counts as sent; None if the server has no room or no frame is in time."""
        self.expire(now)
        if len(self._sent) >= self.room.requests or not self._waiting:
            return None
        cameras = self._fair.first(self.room.batch)
        self._fair.serve(cameras)
        self._number += 1
        batch = Batch(self._number, now, tuple(self._waiting.pop(camera) for camera in cameras))
        self._sent[batch.number] = batch
        return batch

    def finish(self, batch: Batch[T], served: Sequence[bool], now: float) -> None:
        """Take note that a request is over; `served` says in order which frames have a result, missing ones have none.

        Raises
        ------
        KeyError
            If the batch is not on its way.
        """
        del self._sent[batch.number]
        if any(served):
            self._learn(now - batch.sent, now)
        for index, offer in enumerate(batch.offers):
            good = index < len(served) and served[index]
            self._settled(offer, Outcome.SERVED if good else Outcome.FAILED)

    def expire(self, now: float) -> None:
        """Drop the frames that can no longer be sent in time."""
        expected = self.expected(now)
        late = [camera for camera, offer in self._waiting.items() if now > offer.latest(expected)]
        for camera in late:
            self._fair.leave(camera)
            self._settled(self._waiting.pop(camera), Outcome.EXPIRED)

    def _learn(self, took: float, now: float) -> None:
        # The halving only says "perhaps it takes less by now": a duration within that doubt is taken as it is, so that
        # a model that is asked rarely is not thought faster than it is.
        known = self._expected or took
        base = min(max(took, min(known, self.expected(now))), known)
        self._expected = base + _SMOOTHING * (took - base)
        self._answered = now
