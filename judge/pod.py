"""A simulated pod: detector, Triton and device in virtual time, and the way a serving configuration reaches them.

A change takes its time as on a real Triton: instances alone in place where the server can, all else by a reload in the
background while the old copy serves on, with both in memory, and a short gap at the end. A probe that is not renewed
ends by itself.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edgedetector.tuning.window import BatchTime, Configuration, Knobs, ModelWindow, Window
from judge.batcher import Batching, Model, Request
from judge.clients import Detector
from judge.device import SimulatedDevice
from judge.events import Clock
from judge.server import Server
from judge.statistics import buckets, least, percentile
from judge.traffic import Frames

TURN = 0.00015
"""Seconds between two executions of an instance; measured on a real Triton (`judge.calibration`)."""
IN_PLACE = (0.4, 1.0)
RELOAD = (1.6, 2.1)
"""Seconds that a change takes on a real Triton (docs/adr/0001-control-path.md)."""
GAP = (0.02, 0.06)
"""Seconds for which nothing is answered at the end of a change."""
PAST = 30
"""Windows that are looked back on for a percentile."""
SEEN = (0.3, 0.9)
"""Seconds until a pod sees what was written."""


def batching(knobs: Knobs) -> Batching:
    """Return knobs as the batcher has them."""
    delay = knobs.max_queue_delay_microseconds * 1e-6
    return Batching(knobs.instances, knobs.max_batch_size, knobs.preferred_batch_sizes, delay)


class Lane:
    """One model of a pod: its cameras, its detector's queue and what serves it."""

    def __init__(self, pod: Pod, name: str, knobs: Knobs) -> None:
        server = pod.server
        traffic = server.traffic[name]
        self.name, self.knobs, self._pod = name, knobs, pod
        self.model = pod.load(name, knobs)
        self.detector = Detector(pod.clock, self._enqueue, prepare=server.prepare, way=server.way)
        self.detector.serve(knobs.instances, knobs.max_batch_size, knobs.preferred_batch_sizes)
        self._frames = Frames(f"{server.name} {name}", jitter=traffic.jitter)
        self.counted: list[Model] = [self.model]
        """Also those that only finish what they have."""
        self.demand = 0.0
        self._past: list[tuple[float, list[float], float]] = []
        """Seconds, ages and demand of the windows since the last change, oldest first."""

    def _enqueue(self, request: Request) -> None:
        gap = self._pod.gap_ends
        if self._pod.clock.now < gap:
            self._pod.clock.at(gap, self.model.enqueue, request)
        else:
            self.model.enqueue(request)

    def second(self, number: int, cameras: int, rate: float) -> None:
        """Let the frames of a second come."""
        self.demand = cameras * rate
        cap = 1 << max(0, cameras - 1).bit_length()
        if self.detector.cap != cap:
            self.detector.cap = cap
            self.detector.serve(self.knobs.instances, self.knobs.max_batch_size, self.knobs.preferred_batch_sizes)
        times, named = self._frames.second(number, cameras, rate)
        self.detector.expect(times, named, 1.0 / rate)

    def stretch(self, ages: list[float], seconds: float, share: float, *, disturbed: bool) -> tuple[float, list[float]]:
        """Return of how many seconds a percentile is, and of which ages: with too few, of earlier windows, too."""
        if disturbed:
            self._past = []
            return seconds, ages
        if self._past and self._past[-1][2] != self.demand:
            self._past = []
        self._past = [*self._past[-PAST:], (seconds, ages, self.demand)]
        over: list[float] = []
        whole = 0.0
        for earlier, found, _ in reversed(self._past):
            over, whole = over + found, whole + earlier
            if len(over) >= least(share):
                break
        return whole, over

    def replace(self, knobs: Knobs, real: Knobs, *, in_place: bool) -> None:
        """Serve with other knobs from now on."""
        if in_place:
            self.model.resize(real.instances)
        else:
            self.model = self._pod.load(self.name, real)
            self.counted.append(self.model)
        self.knobs = knobs
        self.detector.serve(knobs.instances, knobs.max_batch_size, knobs.preferred_batch_sizes)


@dataclass(slots=True)
class Trial:
    """What the pod knows of a probe."""

    id: str
    configuration: Configuration
    deadline: float
    outcome: str = ""
    message: str = ""


class Pod:
    """Runs from second `begins` on.

    Parameters
    ----------
    cameras
        Tells how many cameras of a model are on in a second, and the frames a second of each; by default the server's
        own traffic.
    """

    def __init__(
        self,
        server: Server,
        configuration: Configuration,
        *,
        name: str = "pod-0",
        begins: int = 0,
        cameras: Callable[[str, int], tuple[int, float]] | None = None,
    ) -> None:
        self.server, self.name = server, name
        self.clock = Clock()
        self.clock.now = float(begins)
        self.device = SimulatedDevice(server.hardware, server.seed)
        self.gap_ends = 0.0
        self.accepted: dict[str, Knobs] = dict(configuration)
        self.trial: Trial | None = None
        self.changing = False
        self.changes: deque[float] = deque()
        """When a change came into force."""
        self.attempts = 0
        self.overcommitted = 0
        """Loads for which the device's memory did not do."""
        self.most_memory = 0.0
        self._draw = random.Random(f"pod {server.name}")  # noqa: S311 - to be repeated, not secret
        self._cameras = cameras or self._own
        self._wanted: dict[str, Knobs] = dict(configuration)
        self._refused: dict[str, Knobs] | None = None
        self._disturbed = False
        self.moved = 1.0
        self.seen: dict[tuple[str, int], tuple[int, float]] = {}
        """What `cameras` said, by model and second."""
        self.lanes = {model: Lane(self, model, knobs) for model, knobs in configuration.items()}
        for lane in self.lanes.values():
            lane.detector.bound = server.limits.latency
        self._second = begins
        self._taken = float(begins)

    def load(self, model: str, knobs: Knobs) -> Model:
        """Return a loaded model."""
        return Model(model, batching(knobs), self.device, self.clock, turn=TURN)

    @property
    def serving(self) -> dict[str, Knobs]:
        """What is in force."""
        return {name: lane.knobs for name, lane in self.lanes.items()}

    def _own(self, model: str, second: int) -> tuple[int, float]:
        traffic = self.server.traffic[model]
        return traffic.on(second, self.moved), traffic.rate

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._second < until:
            for name, lane in self.lanes.items():
                found = self.seen[name, self._second] = self._cameras(name, self._second)
                lane.second(self._second, *found)
            self._second += 1
            self.clock.run(min(until, float(self._second)))
        if self.clock.now < until:
            self.clock.run(until)

    # What the operator writes, and what the pod makes of it.

    def probe(self, number: str, configuration: Configuration, ttl: float) -> None:
        """Be told of a probe."""
        seen = self.clock.now + self._draw.uniform(*SEEN)
        trial = Trial(number, dict(configuration), seen + ttl)
        self.trial = trial
        self.clock.at(seen, self._begin, trial)

    def renew(self, number: str, ttl: float) -> None:
        """Be told that a probe may go on."""
        if self.trial is not None and self.trial.id == number and self.trial.outcome in {"", "Running"}:
            trial, self.trial.deadline = self.trial, self.clock.now + ttl
            self.clock.at(trial.deadline + 1e-6, self._expire, trial)

    def accept(self, configuration: Configuration) -> None:
        """Be told of what is to be served, without a probe."""
        self.clock.at(self.clock.now + self._draw.uniform(*SEEN), self._accept, dict(configuration))

    def _begin(self, trial: Trial) -> None:
        if self.trial is trial:
            trial.outcome = "Running"
            self.clock.at(trial.deadline + 1e-6, self._expire, trial)
            self._want(trial.configuration)

    def _expire(self, trial: Trial) -> None:
        if self.trial is trial and trial.outcome == "Running" and self.clock.now >= trial.deadline:
            trial.outcome, trial.message = "Expired", "not renewed"
            self._want(self.accepted)

    def _accept(self, configuration: dict[str, Knobs]) -> None:
        self.accepted, self.trial, self._refused = configuration, None, None
        self._want(configuration)

    def _want(self, configuration: Configuration) -> None:
        self._wanted = dict(configuration)
        if not self.changing:
            self._change()

    def _change(self) -> None:
        wanted = self._wanted
        if wanted in (self.serving, self._refused):
            return
        self.changing = self._disturbed = True
        self.attempts += 1
        new = {name: knobs for name, knobs in wanted.items() if knobs != self.lanes[name].knobs}
        in_place = {name for name, knobs in new.items() if self.server.in_place and _only_instances(self, name, knobs)}
        peak = self.server.memory_to_change(self.serving, wanted, in_place=self.server.in_place)
        self.most_memory = max(self.most_memory, peak)
        if peak > self.server.hardware.memory:
            self.overcommitted += 1
            self.clock.at(self.clock.now + 0.9, self._failed, wanted)
            return
        takes = sum(self._draw.uniform(*(IN_PLACE if name in in_place else RELOAD)) for name in new)
        self.clock.at(self.clock.now + takes, self._changed, (wanted, in_place))

    def _failed(self, wanted: dict[str, Knobs]) -> None:
        self.changing = False
        self._refused = wanted
        if self.trial is not None and self.trial.configuration == wanted:
            self.trial.outcome, self.trial.message = "Failed", "out of memory"
            self._wanted = dict(self.accepted)
        self._change()

    def _changed(self, change: tuple[dict[str, Knobs], set[str]]) -> None:
        wanted, in_place = change
        self.changing, self._refused = False, None
        now = self.clock.now
        self.gap_ends = now + self._draw.uniform(*GAP)
        self.changes.append(now)
        for name, knobs in wanted.items():
            if knobs != self.lanes[name].knobs:
                self.lanes[name].replace(knobs, self.server.really(knobs), in_place=name in in_place)
        self._change()

    # What the operator sees.

    def window(self, since: float) -> tuple[Window, bool]:
        """Return what was since the last call, and whether something was changed in it."""
        now = self.clock.now
        seconds = now - self._taken
        engines, host = self.device.take_busy()
        server = self.server
        disturbed, self._disturbed = self._disturbed or self.changing, self.changing
        models = {name: self._model(lane, seconds, disturbed=disturbed) for name, lane in self.lanes.items()}
        start, self._taken = self._taken, now
        return Window(
            pod=self.name,
            start=since + start,
            seconds=seconds,
            models=models,
            utilization=min(1.0, engines / seconds) if server.exporter else None,
            memory_used=server.memory(self.serving) if server.exporter else None,
            memory_total=server.hardware.memory if server.exporter and server.memory_shown else None,
            host=min(1.0, host / seconds),
            transport="SharedMemory",
        ), disturbed

    def _model(self, lane: Lane, seconds: float, *, disturbed: bool) -> ModelWindow:
        batches: dict[int, list[float]] = {}
        images = requests = 0
        queue = request = 0.0
        for model in lane.counted:
            counters = model.counters
            for size, (count, total) in counters.batches.items():
                entry = batches.setdefault(size, [0, 0.0])
                entry[0] += count
                entry[1] += total
            images, requests = images + counters.images, requests + counters.requests
            queue, request = queue + counters.queue, request + counters.request
            model.counters = type(counters)()
        lane.counted = [model for model in lane.counted if model is lane.model or model.running or model.waiting]
        detector = lane.detector
        detector.catch_up()
        ages, offered = list(detector.ages), detector.offered
        share = self.server.limits.percentile / 100.0
        stretch, over = lane.stretch(ages, seconds, share, disturbed=disturbed)
        found = ModelWindow(
            knobs=lane.knobs,
            demand=lane.demand,
            offered=offered / seconds,
            rate=images / seconds,
            skipped=min(1.0, detector.skipped / max(1, offered)),
            batches={
                size: BatchTime(int(count), total / count, self.server.copies)
                for size, (count, total) in sorted(batches.items())
            },
            busy=min(1.0, sum(total for _, total in batches.values()) / (seconds * lane.knobs.instances)),
            queue=queue / max(1, requests),
            request=request / max(1, requests),
            exchange=detector.exchange / detector.exchanges if detector.exchanges else None,
            latency=percentile(over, share),
            median=percentile(ages, 0.5),
            samples=len(over),
            stretch=stretch,
            ages=buckets(ages),
        )
        detector.offered = detector.skipped = detector.exchanges = 0
        detector.exchange = 0.0
        detector.ages.clear()
        return found


def _only_instances(pod: Pod, name: str, knobs: Knobs) -> bool:
    old = pod.lanes[name].knobs
    return _but_instances(old) == _but_instances(knobs)


def _but_instances(knobs: Knobs) -> tuple[object, ...]:
    return knobs.max_batch_size, knobs.preferred_batch_sizes, knobs.max_queue_delay_microseconds
