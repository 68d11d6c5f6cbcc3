"""A box in virtual time, from cameras to boxes, in front of the emulated device: what a window of it would show.

Cameras deliver frames; each is decoded; one is due as often as the camera's target says and waits in its slot, where a
newer one supersedes it. A frame is prepared, travels to Triton, is batched and executed (`emulator.model`), travels
back, passes a post-processing step if there is one, and becomes boxes. Everything but Triton and device runs on the
node's processors, first come, first served. Milliseconds inside, seconds in windows.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Final

from emulator import model as device
from emulator.profile import DeviceProfile, override

from edgedetector.api import names
from edgedetector.tuning.window import BatchTime, Knobs, ModelWindow, StepWindow, Window

if TYPE_CHECKING:
    from collections.abc import Callable


SERVER: Final = 0.4  # ms that Triton itself needs between two executions, as in emulator.simulate
QUANTILE: Final = 0.99


@dataclass(frozen=True, slots=True)
class Work:
    """Processor time, milliseconds a frame; `read` and `decode` of each frame of a stream."""

    read: float = 0.1
    decode: float = 0.5
    prepare: float = 0.5
    request: float = 0.3
    boxes: float = 0.4
    track: float = 0.2


@dataclass(frozen=True, slots=True)
class Box:
    """What stands there. `demand` is frames a second, all cameras."""

    profile: DeviceProfile
    knobs: Knobs
    demand: float
    precision: str = "fp16"
    processors: int = 4
    others: float = 0.05
    """Share of the node's processors that other processes take."""
    work: Work = field(default_factory=Work)
    target: float = 5.0
    stream: float = 10.0
    """Frames a second of a camera's stream."""
    delivered: float = 1.0
    """Share of them that arrive."""
    travel: float = 0.2
    """ms from detector to Triton and back, besides processor time."""
    transport: str = "SharedMemory"
    in_flight: int = 24
    step: float = 0.0
    """ms of a post-processing step inside Triton an image; 0: there is none."""
    step_instances: int = 1
    copies_told: bool = False
    emulated_host: bool = False
    """The host is the emulated device's own, as on the calibrated KS20."""


@dataclass(slots=True)
class Tally:
    """What was counted since the window began."""

    offered: int = 0
    skipped: int = 0
    results: int = 0
    ages: list[float] = field(default_factory=list)
    exchange: float = 0.0
    request: float = 0.0
    queue: float = 0.0
    images: int = 0
    executing: float = 0.0
    device: float = 0.0
    cpu: Counter[str] = field(default_factory=Counter)
    batches: dict[int, list[float]] = field(default_factory=dict)
    step_busy: float = 0.0
    step_request: float = 0.0
    host: float = 0.0


@dataclass(slots=True)
class Frame:
    camera: int
    born: float
    asked: float = 0.0
    queued: float = 0.0


class Simulation:
    """One run; `windows` gives what was seen."""

    def __init__(self, box: Box, seed: int) -> None:
        self.box, self.random = box, Random(f"box {seed}")
        self.now, self.tally = 0.0, Tally()
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.order = itertools.count()
        self.cameras = max(1, round(box.demand / box.target))
        self.slots: dict[int, Frame] = {}
        self.decoding: set[int] = set()
        self.flying = 0
        self.free_cores = box.processors
        self.tasks: deque[tuple[str, float, Callable[[], None]]] = deque()
        self.queue: deque[Frame] = deque()
        self.state, self.idle = device.DeviceState(), []
        for _ in range(box.knobs.instances):
            self.state, session = device.open_session(
                self.state, box.profile, model="m", precision=box.precision, max_batch=box.profile.max_batch
            )
            self.idle.append(session.id)
        self.steps: deque[tuple[float, Callable[[], None]]] = deque()
        self.free_steps = box.step_instances
        for camera in range(self.cameras):
            self.at(self.random.uniform(0, 1e3 / box.stream), self.arrive, camera, 0.0)

    # --- events and processors

    def at(self, time: float, what: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self.events, (time, next(self.order), what, arguments))

    def run(self, until: float) -> None:
        while self.events and self.events[0][0] < until:
            self.now, _, what, arguments = heapq.heappop(self.events)
            what(*arguments)
        self.now = until

    def compute(self, stage: str, cost: float, then: Callable[[], None]) -> None:
        self.tasks.append((stage, cost * self.random.uniform(0.8, 1.2), then))
        self.work_on()

    def work_on(self) -> None:
        while self.free_cores and self.tasks:
            self.free_cores -= 1
            stage, cost, then = self.tasks.popleft()
            # Other processes take their part of every core.
            self.at(self.now + cost / (1.0 - self.box.others), self.worked, stage, cost, then)

    def worked(self, stage: str, cost: float, then: Callable[[], None]) -> None:
        self.free_cores += 1
        self.tally.cpu[stage] += cost
        then()
        self.work_on()

    # --- cameras

    def arrive(self, camera: int, due: float) -> None:
        """A frame of a stream; every one is decoded unless the last one still is."""
        box = self.box
        interval = 1e3 / box.stream
        if self.random.random() < box.delivered and camera not in self.decoding:
            self.decoding.add(camera)
            wanted = self.now >= due
            due = max(due, self.now - interval) + 1e3 / box.target if wanted else due
            cost = box.work.read + box.work.decode
            self.compute("decode", cost, lambda: self.decoded(camera, wanted=wanted))
        self.at(self.now + interval * self.random.uniform(0.95, 1.05), self.arrive, camera, due)

    def decoded(self, camera: int, *, wanted: bool) -> None:
        self.decoding.discard(camera)
        if not wanted:
            return
        self.tally.offered += 1
        self.tally.skipped += camera in self.slots
        self.slots.pop(camera, None)
        self.slots[camera] = Frame(camera, self.now)
        self.send()

    def send(self) -> None:
        while self.slots and self.flying < self.box.in_flight:
            self.flying += 1
            frame = self.slots.pop(next(iter(self.slots)))
            self.compute("prepare", self.box.work.prepare, lambda frame=frame: self.ask(frame))

    def ask(self, frame: Frame) -> None:
        frame.asked = self.now
        travelled = lambda: self.at(self.now + self.box.travel / 2, self.enqueue, frame)  # noqa: E731
        self.compute("request", self.box.work.request, travelled)

    # --- Triton

    def enqueue(self, frame: Frame) -> None:
        frame.queued = self.now
        self.queue.append(frame)
        if delay := self.box.knobs.max_queue_delay_microseconds / 1e3:
            self.at(self.now + delay + 1e-6, self.dispatch)
        self.dispatch()

    def dispatch(self) -> None:
        while self.idle and self.queue and (size := self.batch()):
            self.execute([self.queue.popleft() for _ in range(size)])

    def batch(self) -> int:
        """Return how many requests join now, 0: none yet (Triton's GetDynamicBatch)."""
        knobs, waiting = self.box.knobs, len(self.queue)
        most = max(1, knobs.max_batch_size)
        preferred = [size for size in knobs.preferred_batch_sizes if size <= most] or [most]
        delay = knobs.max_queue_delay_microseconds / 1e3
        if waiting >= max(preferred) or not delay:
            return min(waiting, max(preferred))
        return min(waiting, most) if self.now - self.queue[0].queued >= delay else 0

    def execute(self, frames: list[Frame]) -> None:
        box, session, size = self.box, self.idle.pop(0), len(frames)
        self.state, run = device.execute(
            self.state, box.profile, session, images=size, payload=1_000_000 * size, now=self.now
        )
        took, tally = run.done - self.now, self.tally
        tally.queue += sum(self.now - frame.queued for frame in frames)
        tally.images += size
        tally.executing += took
        tally.device += run.busy / box.profile.scheduler.engines
        tally.host += run.host
        copies = run.link_end - run.link_start if box.copies_told else 0.02 * took
        entry = tally.batches.setdefault(size, [0, 0.0, 0.0])
        entry[0], entry[1], entry[2] = entry[0] + 1, entry[1] + took, entry[2] + copies
        self.at(run.done, self.executed, frames)
        self.at(run.done + SERVER, self.freed, session)

    def freed(self, session: int) -> None:
        self.idle.append(session)
        self.dispatch()

    def executed(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.tally.request += self.now - frame.queued
            if self.box.step:
                self.steps.append((self.now, lambda frame=frame: self.answer(frame)))
            else:
                self.answer(frame)
        self.step_on()

    def step_on(self) -> None:
        while self.free_steps and self.steps:
            self.free_steps -= 1
            since, then = self.steps.popleft()
            began = self.now
            self.compute("triton step", self.box.step, lambda a=since, b=began, c=then: self.stepped(a, b, c))

    def stepped(self, since: float, began: float, then: Callable[[], None]) -> None:
        self.free_steps += 1
        self.tally.step_busy += self.now - began
        self.tally.step_request += self.now - since
        then()
        self.step_on()

    def answer(self, frame: Frame) -> None:
        self.at(self.now + self.box.travel / 2, self.answered, frame)

    def answered(self, frame: Frame) -> None:
        # A message is taken apart before anything else can be done with it.
        part = 0.5 if self.box.transport != "SharedMemory" else 0.05
        self.compute("request", self.box.work.request * part, lambda: self.taken(frame))

    def taken(self, frame: Frame) -> None:
        self.tally.exchange += self.now - frame.asked
        self.flying -= 1
        self.send()
        self.compute("boxes", self.box.work.boxes, lambda: self.compute(
            "track", self.box.work.track, lambda: self.finished(frame)))  # fmt: skip

    def finished(self, frame: Frame) -> None:
        self.tally.results += 1
        self.tally.ages.append(self.now - frame.born)

    # --- what is seen

    def windows(self, *, count: int = 2, seconds: float = 3.0, warm: float = 1.5) -> list[Window]:
        self.run(warm * 1e3)
        found = []
        for index in range(count):
            self.tally = Tally()
            self.run((warm + (index + 1) * seconds) * 1e3)
            found.append(self.window(seconds, warm + index * seconds))
        return found

    def window(self, seconds: float, start: float) -> Window:
        box, tally, noise = self.box, self.tally, self.random.gauss
        span = seconds * 1e3
        host = sum(tally.cpu.values()) / (span * box.processors) + box.others
        host = max(host, tally.host / span if box.emulated_host else 0.0)
        step = StepWindow(tally.step_busy / span, tally.step_request / max(1, tally.images) / 1e3)
        decode = tally.cpu["decode"] / span
        parts = box.work.read + box.work.decode
        stages = {"read": decode * box.work.read / parts, "decode": decode * box.work.decode / parts}
        stages |= {name: tally.cpu[name] / span for name in ("prepare", "request", "boxes", "track")}
        return Window(
            pod="a", start=start, seconds=seconds, models={"people": self.people(tally, span)},
            steps={names.post_processing("people"): step} if box.step else {}, processors=float(box.processors),
            utilization=min(1.0, max(0.0, tally.device / span + noise(0, 0.015))),
            host=min(1.0, max(0.0, host + noise(0, 0.01))),
            pcie_width=None, stages=stages, transport=box.transport,
        )  # fmt: skip

    def people(self, tally: Tally, span: float) -> ModelWindow:
        box, ages = self.box, sorted(tally.ages)
        images, results = max(1, tally.images), max(1, tally.results)
        return ModelWindow(
            knobs=box.knobs, demand=box.demand, offered=tally.offered / span * 1e3, rate=tally.images / span * 1e3,
            skipped=tally.skipped / max(1, tally.offered),
            batches={size: BatchTime(int(count), time / count / 1e3, copies / time)
                     for size, (count, time, copies) in sorted(tally.batches.items())},
            busy=min(1.0, tally.executing / (span * box.knobs.instances)),
            queue=tally.queue / images / 1e3, request=tally.request / images / 1e3,
            exchange=tally.exchange / results / 1e3,
            latency=ages[int(QUANTILE * (len(ages) - 1))] / 1e3 if ages else None,
            median=ages[len(ages) // 2] / 1e3 if ages else None, samples=len(ages),
        )  # fmt: skip


def windows(box: Box, seed: int, **lengths: Any) -> list[Window]:
    """Return what two windows of this box show."""
    return Simulation(box, seed).windows(**lengths)


def changed(box: Box, **changes: Any) -> Box:
    """Return the box with fields replaced; `work.NAME` for the work's, and `device.PATH` for the device's."""
    work = {name.removeprefix("work."): value for name, value in changes.items() if name.startswith("work.")}
    dev = {name.removeprefix("device."): value for name, value in changes.items() if name.startswith("device.")}
    rest = {name: value for name, value in changes.items() if "." not in name}
    return replace(box, work=replace(box.work, **work), profile=override(box.profile, dev), **rest)
