"""A replica on virtual time: cameras, pacers, the batch queue and the ladder are ours, the server is a model of one.

The server runs `instances` batches at once, the rest waits in order, as Triton does with what was sent to it. A batch
of b frames takes ``setup + b * per_frame`` seconds, give or take the share `noise`.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgedetector.api.dataplane import FrameRate
from edgedetector.detector.batching import Batch, BatchQueue, Capacity, Offer, Outcome
from edgedetector.detector.fairness import weights
from edgedetector.detector.ladder import Change, Ladder, Settings
from edgedetector.detector.pacing import Pacer
from edgedetector.detector.passage import Passage
from edgedetector.detector.pressure import Pressure
from edgedetector.detector.rates import AdaptiveRate
from edgedetector.detector.rungs import KEYFRAME_RATE, Options

WINDOW = 3.0


@dataclass(frozen=True)
class Cam:
    name: str
    priority: int = 0
    rates: FrameRate = field(default_factory=FrameRate)
    frames: float = 10.0
    jitter: float = 0.1


@dataclass
class Server:
    setup: float = 0.010
    per_frame: float = 0.016
    instances: int = 1
    batch: int = 8
    noise: float = 0.05

    @property
    def room(self) -> Capacity:
        return Capacity(self.batch, 2 * self.instances)

    @property
    def frames_a_second(self) -> float:
        return self.instances * self.batch / (self.setup + self.batch * self.per_frame)


@dataclass
class Served:
    camera: str
    age: float
    inference: float
    at: float


class Replica:
    def __init__(
        self,
        cameras: Sequence[Cam],
        server: Server,
        *,
        seed: int = 0,
        settings: Settings | None = None,
        active: Callable[[str, float], bool] = lambda _camera, _now: False,
    ) -> None:
        self.now = 0.0
        self.server = server
        self.cameras = {camera.name: camera for camera in cameras}
        self.outcomes: dict[str, Counter[Outcome]] = defaultdict(Counter)
        self.offered: Counter[str] = Counter()
        self.served: list[Served] = []
        self.changes: list[tuple[float, Change]] = []
        self.most_waiting = 0
        self.most_requests = 0
        self.queue: BatchQueue[int] = BatchQueue(server.room, self._settled)
        self.queue.set_weights(weights({camera.name: camera.priority for camera in cameras}))
        self.rates = {camera.name: AdaptiveRate.of(camera.rates) for camera in cameras}
        self._active = active
        self._passage = Passage()
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._free = [0.0] * server.instances
        self._busy: list[tuple[float, float]] = []
        self._pacers = {camera.name: Pacer(1.0 / camera.rates.target) for camera in cameras}
        self._recent: list[tuple[float, str, Outcome, float]] = []
        options = [Options(c.name, c.priority, c.rates.minimum, c.rates.target) for c in cameras]
        self.ladder, _ = Ladder().configured(settings or Settings(enabled=False), options)
        self._levels = {standing.camera: standing.level for standing in self.ladder.standings()}
        for camera in cameras:
            self._at(self._random.random() / camera.frames, lambda camera=camera: self._frame(camera))
        self._at(1.0, self._tick)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._send()
        self.now = end

    def count(self, outcome: Outcome) -> dict[str, int]:
        return {name: self.outcomes[name][outcome] for name in self.cameras}

    def served_since(self, since: float) -> Counter[str]:
        return Counter(served.camera for served in self.served if served.at > since)

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _frame(self, camera: Cam) -> None:
        gap = (1.0 + camera.jitter * self._random.uniform(-1, 1)) / camera.frames
        self._at(self.now + gap, lambda: self._frame(camera))
        left = self._levels[camera.name]
        pacer = self._pacers[camera.name]
        rate = min(self.rates[camera.name].rate, KEYFRAME_RATE) if left.keyframes_only else self.rates[camera.name].rate
        if pacer.interval != 1.0 / rate:
            pacer = pacer.at(rate, late=self._random.random())
        wanted = pacer.admits(self.now) and not left.suspended
        pacer = pacer.seen(self.now)
        if wanted:
            pacer = pacer.admitted(self.now)
            self.offered[camera.name] += 1
            self.queue.offer(Offer(camera.name, self.offered[camera.name], self.now, wait=1.0 / rate))
        self._pacers[camera.name] = pacer

    def _send(self) -> None:
        self.most_waiting = max(self.most_waiting, self.queue.waiting)
        while batch := self.queue.pick(self.now):
            self._submit(batch)
        self.most_requests = max(self.most_requests, self.queue.requests)

    def _submit(self, batch: Batch[int]) -> None:
        took = self.server.setup + len(batch.offers) * self.server.per_frame
        took *= 1.0 + self.server.noise * self._random.uniform(-1, 1)
        start = max(self.now, heapq.heappop(self._free))
        heapq.heappush(self._free, start + took)
        self._busy.append((start, start + took))
        self._at(start + took, lambda: self._answered(batch))

    def _answered(self, batch: Batch[int]) -> None:
        for offer in batch.offers:
            self.served.append(Served(offer.camera, self.now - offer.arrived, self.now - batch.sent, self.now))
        self.queue.finish(batch, [True] * len(batch.offers), self.now)

    def _settled(self, offer: Offer[int], outcome: Outcome) -> None:
        self.outcomes[offer.camera][outcome] += 1
        self._recent.append((self.now, offer.camera, outcome, self.now - offer.arrived))

    def _tick(self) -> None:
        self._at(self.now + 1.0, self._tick)
        self.ladder, changes = self.ladder.advance(self._pressure(), self.now)
        self.changes += [(self.now, change) for change in changes]
        if changes:
            self._passage = Passage.at(self.now)
        if not self.ladder.settings.enabled and not any(self._active(name, self.now) for name in self.cameras):
            return
        for standing in self.ladder.standings():
            name = standing.camera
            self._levels[name] = standing.level
            self.rates[name] = self.rates[name].advance(
                self.now, active=self._active(name, self.now), room=self.ladder.room, ceiling=standing.level.rate
            )

    def _pressure(self) -> Pressure:
        begin = self.now - WINDOW
        self._recent = [entry for entry in self._recent if entry[0] > begin]
        self._busy = [span for span in self._busy if span[1] > begin]
        busy = sum(max(0.0, min(end, self.now) - max(start, begin)) for start, end in self._busy)
        ages: dict[str, list[float]] = defaultdict(list)
        served = [entry for entry in self._recent if entry[2] is Outcome.SERVED]
        self._passage = self._passage.seen((at - age, at) for at, _, _, age in served)
        for at, name, _, age in served:
            if self._passage.tells(at - age):
                # By the interval in force, as a camera reckons it.
                ages[name].append(age * min(self.rates[name].rate, self.cameras[name].rates.target))
        lost = sum(outcome in (Outcome.SUPERSEDED, Outcome.EXPIRED) for _, _, outcome, _ in self._recent)
        return Pressure(
            frame_age=max((percentile(each, 0.99) for each in ages.values()), default=None),
            skipped=lost / len(self._recent) if self._recent else None,
            accelerator=busy / (WINDOW * self.server.instances),
        )


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
