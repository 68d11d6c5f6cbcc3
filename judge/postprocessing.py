"""Servers with post-processing inside Triton, whose truth is known: a second station behind the model.

A request whose execution is over goes on to an instance of the post-processing, one request at a time each, and that
needs one of the host's processors for as long as it works; the detector reads and decodes on the same ones. Pod and
harness are those of all servers, the best is found here by trying everything (`sweep.sweep` knows one station).
"""

from __future__ import annotations

import itertools
import math
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgedetector.tuning.situation import Engine, Limits, Situation
from edgedetector.tuning.window import BatchTime, Configuration, Knobs, StepWindow, Window
from judge import truth
from judge.batcher import Request
from judge.clients import Detector
from judge.device import Cost, Hardware
from judge.harness import Run, Step, Story
from judge.pod import Lane, Pod
from judge.server import Server
from judge.statistics import exact
from judge.sweep import Best
from judge.traffic import Traffic

NAME: Final = "people"
FAMILIES: Final = (
    "boxes",  # post-processing is what limits, and the processors have room
    "device",  # the model is
    "both",  # hardly anything is gained by one of the two alone
    "crowded",  # post-processing is, and the processors have no room for much of it
)
DELAYS: Final = (0, 2000)
"""Microseconds."""
PRECISION: Final = 0.01
"""Of a capacity, relatively."""


@dataclass(frozen=True)
class Boxes:
    """What post-processing takes of a processor. Seconds."""

    base: float = 0.0005
    """Of a request."""
    image: float = 0.004
    noise: float = 0.1
    """Standard deviation of the logarithm: objects in the pictures differ."""
    reading: float = 0.002
    """Of each frame that comes, inferred or not: the detector reads and decodes it."""


@dataclass(frozen=True)
class BoxServer(Server):
    """A server with post-processing behind its model."""

    boxes: Boxes = field(default_factory=Boxes)
    host_shown: bool = True

    @property
    def situation(self) -> Situation:
        """Return what the tuner is told: an ensemble keeps its largest batch."""
        engines = {name: replace(engine, fixed_batch=True) for name, engine in self.engines.items()}
        return replace(super().situation, engines=engines)

    def memory_to_change(self, old: Configuration, new: Configuration, *, in_place: bool) -> float:
        """Return the same as of any server: post-processing takes no memory of the device."""
        return super().memory_to_change(_on_device(old), _on_device(new), in_place=in_place)


def _on_device(configuration: Configuration) -> dict[str, Knobs]:
    return {name: replace(knobs, post_processing=0) for name, knobs in configuration.items()}


class Instances:
    """Those of the post-processing."""

    def __init__(self, pod: BoxPod, count: int) -> None:
        self.count = count
        self.batches: dict[int, list[float]] = {}
        """Images -> [executions, seconds in all], since they were last taken."""
        self.waited = 0.0
        """Seconds of the requests, waiting and executing."""
        self._pod, self._working = pod, 0
        self._queue: deque[tuple[Request, float, Any]] = deque()
        draw = random.Random(f"boxes {pod.server.name}")  # noqa: S311 - to be repeated, not secret
        self._noise = itertools.cycle([math.exp(draw.gauss(0.0, pod.box.boxes.noise)) for _ in range(1009)])

    def resize(self, count: int) -> None:
        """Have another number of them: those too many end after what they execute."""
        self.count = count
        self._take()

    def enqueue(self, request: Request, answered: Any) -> None:
        """Take what the model has given."""
        self._queue.append((request, self._pod.clock.now, answered))
        self._take()

    def _take(self) -> None:
        clock, boxes, host = self._pod.clock, self._pod.box.boxes, self._pod.device.host
        while self._queue and self._working < self.count:
            request, came, answered = self._queue.popleft()
            self._working += 1
            end = host.serve(clock.now, (boxes.base + boxes.image * request.size) * next(self._noise))
            clock.at(end, self._done, (request, came, clock.now, answered))

    def _done(self, work: tuple[Request, float, float, Any]) -> None:
        request, came, began, answered = work
        now = self._pod.clock.now
        entry = self.batches.setdefault(request.size, [0, 0.0])
        entry[0] += 1
        entry[1] += now - began
        self.waited += now - came
        self._working -= 1
        answered(request)
        self._take()


class BoxDetector(Detector):
    """The detector's side: a request is answered once its boxes are made, and more of them are on their way."""

    instances: Instances

    def serve(self, instances: int, max_batch: int, preferred: Any) -> None:
        """Send what this serving configuration takes (`batching.capacity`)."""
        super().serve(instances, max_batch, preferred)
        self.requests = max(1, min(16, 2 * instances + self.instances.count))
        self._look(None)

    def _finished(self, request: Request) -> None:
        self.instances.enqueue(request, super()._finished)


class BoxLane(Lane):
    """A model with post-processing."""

    def __init__(self, pod: BoxPod, name: str, knobs: Knobs) -> None:
        super().__init__(pod, name, knobs)
        self.instances = Instances(pod, knobs.post_processing)
        self.detector = BoxDetector(pod.clock, self._enqueue, prepare=pod.server.prepare, way=pod.server.way)
        self.detector.instances = self.instances
        self.detector.serve(knobs.instances, knobs.max_batch_size, knobs.preferred_batch_sizes)

    def replace(self, knobs: Knobs, real: Knobs, *, in_place: bool) -> None:
        """Serve with other knobs; a model of which nothing changes is left alone."""
        self.instances.resize(real.post_processing)
        super().replace(knobs, real, in_place=in_place or replace(knobs, post_processing=0) == replace(
            self.knobs, post_processing=0))  # fmt: skip

    def second(self, number: int, cameras: int, rate: float) -> None:
        """Let the frames of a second come, which the processors read before."""
        super().second(number, cameras, rate)
        pod: Any = self._pod
        for index in range(round(cameras * rate)):
            pod.clock.at(number + index / (cameras * rate), pod.read)


class BoxPod(Pod):
    """A pod with post-processing."""

    lanes: dict[str, BoxLane]  # type: ignore[assignment]

    def __init__(self, server: Server, configuration: Configuration, **rest: Any) -> None:
        super().__init__(server, configuration, **rest)
        self.lanes = {model: BoxLane(self, model, knobs) for model, knobs in configuration.items()}
        for lane in self.lanes.values():
            lane.detector.bound = server.limits.latency

    @property
    def box(self) -> BoxServer:
        """The server."""
        assert isinstance(self.server, BoxServer)  # noqa: S101 - nobody else makes one
        return self.server

    def read(self, _: Any) -> None:
        """Read and decode a frame."""
        self.device.host.serve(self.clock.now, self.box.boxes.reading)

    def window(self, since: float) -> tuple[Window, bool]:
        """Return what was since the last call, post-processing included."""
        found, disturbed = super().window(since)
        # Named as Triton names them.
        steps = {f"{name}+postprocessing": _step(lane, found.seconds) for name, lane in self.lanes.items()}
        host, processors = (found.host, self.device.host.servers) if self.box.host_shown else (None, None)
        return replace(found, steps=steps, host=host, processors=processors), disturbed


def _step(lane: BoxLane, seconds: float) -> StepWindow:
    instances = lane.instances
    batches = {size: BatchTime(int(count), total / count) for size, (count, total) in sorted(instances.batches.items())}
    executions = sum(batch.executions for batch in batches.values())
    spent = sum(total for _, total in instances.batches.values())
    found = StepWindow(spent / seconds, instances.waited / max(1, executions), batches)
    instances.batches, instances.waited = {}, 0.0
    return found


class BoxRun(Run):
    """A tuner on such a server."""

    made = BoxPod


def tune(server: BoxServer, step: Step, state: Any, *, after: float = 0.0) -> Story:
    """Let a tuner tune a server, and compare what was reached with the best there is."""
    run = BoxRun(server, step, state)
    story = run.go(after=after)
    story.best, story.reached = sweep(server), capacity(server, story.final)
    return story


def server(seed: int) -> BoxServer:
    """Return the server of a seed, from 0."""
    family = FAMILIES[seed % len(FAMILIES)]
    draw = random.Random(f"post-processing {seed}")  # noqa: S311 - to be repeated, not secret
    cost = Cost(
        draw.uniform(0.002, 0.006), draw.uniform(0.001, 0.003), way=draw.uniform(0.001, 0.003), host_image=0.0003
    )
    image = cost.engine(1) + cost.way
    slower = {"boxes": (1.5, 3.0), "device": (0.2, 0.5), "both": (0.8, 1.2), "crowded": (1.5, 3.0)}[family]
    boxes = Boxes(image=image * draw.uniform(*slower), reading=draw.uniform(0.001, 0.002))
    alone = image + boxes.base + boxes.image
    largest = draw.choice((1, 4, 8))
    made = BoxServer(
        name=f"{family} {seed}",
        seed=seed,
        family=family,
        hardware=Hardware({NAME: cost}, processors=2 if family == "crowded" else draw.choice((6, 8))),
        engines={NAME: Engine(largest)},
        traffic={NAME: Traffic(8, 5.0)},
        start={NAME: Knobs(1, largest, post_processing=1)},
        limits=Limits(
            latency=round(draw.uniform(5.0, 9.0) * alone + 0.01, 3),
            percentile=draw.choice((95, 99)),
            min_post_processing=1,
            max_post_processing=4,
        ),
        in_place=draw.random() < 0.5,
        coexisting=True,
        memory_stated=True,
        boxes=boxes,
        host_shown=family == "crowded" or draw.random() < 0.7,
    )
    start = capacity(made, made.start)
    # From half of what the start can do to more than that.
    cameras = max(3, round(draw.choice((0.5, 0.7, 0.9, 1.2)) * start / 5.0))
    return replace(made, traffic={NAME: Traffic(cameras, 5.0)})


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a steady load."""

    kept: bool
    """The latency bound was."""
    latency: float
    utilization: float
    host: float


def load(server: BoxServer, configuration: Configuration, cameras: int, rate: float, seconds: int = 16) -> Load:
    """Serve a steady load and return what came of it."""
    pod = BoxPod(server, configuration, cameras=lambda _, __: (cameras, rate))
    pod.run(truth.WARM)
    pod.window(0.0)
    detector = pod.lanes[NAME].detector
    detector.late = 0
    pod.run(truth.WARM + seconds)
    engines, host = pod.device.take_busy()
    share = server.limits.percentile / 100.0
    kept = detector.late <= (1.0 - share) * cameras * rate * seconds
    return Load(kept, exact(detector.ages, share), engines / seconds, host / seconds)


def capacity(server: BoxServer, configuration: Configuration) -> float:
    """Return the most images a second within the latency bound."""
    knobs, cost = configuration[NAME], server.hardware.costs[NAME]
    size = max(1, knobs.max_batch_size)
    low, high = 0.0, 1.05 * size / cost.engine(size) * server.hardware.engines
    while high - low > PRECISION * high:
        middle = 0.5 * (low + high)
        cameras = max(1, math.ceil(middle / 5.0))
        low, high = (middle, high) if load(server, configuration, cameras, middle / cameras).kept else (low, middle)
    return low


def every(server: BoxServer) -> list[Configuration]:
    """Return all configurations within the bounds."""
    limits, largest = server.limits, server.engines[NAME].largest_batch
    counts = range(limits.min_instances, limits.max_instances + 1)
    steps = range(limits.min_post_processing, limits.max_post_processing + 1)
    delays = DELAYS if largest > 1 else DELAYS[:1]
    return [
        {NAME: Knobs(count, largest, (), delay, step)}
        for count, step, delay in itertools.product(counts, steps, delays)
    ]


def sweep(server: BoxServer) -> Best:
    """Return the configuration with the highest capacity of those that are safe at the present demand."""
    traffic = server.traffic[NAME]
    scores: Mapping[int, float]
    found = every(server)
    present = load(server, server.start, traffic.cameras, traffic.rate)
    scores = {number: capacity(server, one) for number, one in enumerate(found)}
    start = capacity(server, server.start)
    best, top = dict(server.start), start
    for number in sorted(scores, key=lambda each: scores[each], reverse=True):
        if scores[number] <= start:
            break
        now = load(server, found[number], traffic.cameras, traffic.rate)
        kept = now.kept or (not present.kept and now.latency <= present.latency)
        device = max(server.limits.accelerator, present.utilization)
        if kept and now.utilization <= device and now.host <= max(server.limits.host, present.host):
            best, top = dict(found[number]), scores[number]
            break
    return Best(best, top, start, len(found), len(found))
