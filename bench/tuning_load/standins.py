"""What stands in for pods and the API server: in this process, and no part of what is measured but where it is said."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from edgedetector.api.observation import BatchCounters, ModelCounters, Observation, bucket_of
from edgedetector.api.wire import to_json
from edgedetector.tuning.window import Knobs

Object = dict[str, Any]

FIXED, EACH, CONTENTION = 0.004, 0.003, 0.4
"""Seconds of an execution, alone: fixed + each * images; and by which share each other instance at work prolongs it."""


@dataclass
class Pod:
    """A pod that serves 20 frames a second of four cameras, and answers GET /observation."""

    serving_id: str
    knobs: Knobs
    demand: float = 20.0
    at: float = 0.0
    """Seconds on its clock, of the last look."""
    images: float = 0.0
    batches: dict[int, list[float]] = field(default_factory=dict)
    """Size -> executions, seconds."""
    ages: Counter[int] = field(default_factory=Counter)
    epoch: int = 0
    probe: tuple[str, str] = ("", "")

    def serve(self, serving_id: str, knobs: Knobs) -> None:
        """Take another configuration, by a reload."""
        if serving_id != self.serving_id:
            self.serving_id, self.knobs, self.epoch = serving_id, knobs, self.epoch + 1

    def advance(self, now: float) -> None:
        """Count what was served since the last look."""
        seconds, self.at = now - self.at, now
        largest = max(1, self.knobs.max_batch_size)
        frames = self.demand * seconds
        self.images += frames
        for size, share in ((1, 0.7), (min(2, largest), 0.2), (min(4, largest), 0.1)):
            count, spent = self.batches.get(size, [0.0, 0.0])
            more = frames * share / size
            one = (FIXED + EACH * size) * (1 + CONTENTION * (self.knobs.instances - 1) * 0.2)
            self.batches[size] = [count + more, spent + more * one]
            for factor, part in ((1.0, 0.8), (1.3, 0.17), (2.0, 0.03)):
                self.ages[bucket_of(one * factor + 0.003)] += frames * share * part  # type: ignore[assignment]

    def text(self, now: float) -> str:
        """Return what it answers."""
        self.advance(now)
        images = int(self.images)
        busy = sum(spent for _, spent in self.batches.values())
        ages = {str(bucket): int(count) for bucket, count in sorted(self.ages.items())}
        model = ModelCounters(
            name="people", serving_id=self.serving_id, images=images,
            executions=int(sum(count for count, _ in self.batches.values())), failures=0,
            queue=int(busy * 2e8), request=int(busy * 1.2e9),
            batches=tuple(
                BatchCounters(size, int(count), 0, int(spent * 1e9), 0)
                for size, (count, spent) in sorted(self.batches.items())
            ),
            ages=ages, exchanges=ages, demand=self.demand, offered=images, requests=images, exchange=int(busy * 1.3e9),
        )  # fmt: skip
        told = Observation(
            at=self.at, epoch=str(self.epoch), models=(model,), host_busy=self.at * 1.2, host_total=self.at * 4,
            stages={"read": self.at * 0.1, "decode": self.at * 0.4}, transport="SharedMemory",
        )  # fmt: skip
        return to_json(replace(told, probe_id=self.probe[0], probe_outcome=self.probe[1]))


class Writes:
    """The API server: takes what is applied and counts it."""

    def __init__(self) -> None:
        self._versions = itertools.count(1)
        self.counted: Counter[str] = Counter()
        self.objects: dict[tuple[str, str], Object] = {}

    async def apply(self, body: Object, manager: str, only: object = None) -> Object:
        """Return the object as it is then."""
        del manager, only
        self.counted[body["kind"]] += 1
        version = str(next(self._versions))
        metadata = {**body["metadata"], "uid": "u", "resourceVersion": version}
        live = self.objects[metadata["namespace"], metadata["name"]] = {**body, "metadata": metadata}
        return live

    async def create(self, body: Object) -> Object:
        """Take an Event."""
        self.counted[body["kind"]] += 1
        return body
