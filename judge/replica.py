"""A coarse pod, second by second: counters as its detector tells them, a ladder, and its own rules for trials.

What it serves follows from what reached it of the operator's documents and from its clock alone, as in
docs/adr/0001-control-path.md: a trial lives as long as it is renewed, and what ended does not begin again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from edgedetector.api.observation import BatchCounters, ModelCounters, Observation
from edgedetector.detector.pressure import Pressure
from edgedetector.tuning.window import Knobs
from judge.beside import Rungs
from judge.site import MODEL, Flow, Site, flow

RELOAD: Final = 2.0
IN_PLACE: Final = 1.0
"""Seconds that a change takes; whole ones, since a pod looks about once a second."""
_NANO: Final = 1e9


@dataclass(frozen=True, slots=True)
class Probe:
    """As the operator writes it."""

    id: str
    pod: str
    knobs: Knobs
    ttl: float
    renewal: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """What reaches a pod: what is accepted, and what is on trial somewhere."""

    accepted: Knobs
    probe: Probe | None = None


@dataclass(slots=True)
class Trial:
    """What a pod remembers of a probe, a restart of its containers included."""

    id: str
    knobs: Knobs
    renewal: int
    deadline: float
    outcome: str = "Running"
    message: str = ""


@dataclass(slots=True)
class Counters:
    """What Triton has counted since it began."""

    executions: dict[int, int] = field(default_factory=dict)
    spent: dict[int, float] = field(default_factory=dict)
    """Seconds, by size."""
    images: int = 0
    queue: float = 0.0
    request: float = 0.0


@dataclass(slots=True)
class Frames:
    """What the detector has counted since it began."""

    failures: int = 0
    offered: float = 0.0
    skipped: float = 0.0
    ages: dict[int, float] = field(default_factory=dict)
    looks: int = 0
    utilizations: float = 0.0


class Replica:
    """One pod. Times are whole seconds of the fleet's clock."""

    def __init__(self, site: Site, name: str, document: Document, now: float) -> None:
        self.site, self.name, self.uid, self.document = site, name, f"{name}-{now:.0f}", document
        self.born = now
        self.trial: Trial | None = None
        self.serving = document.accepted
        self.changing: tuple[Knobs, float] | None = None
        self.rungs = Rungs(site.rate, site.least)
        self.boot = self.loads = self.restarts = 0
        self.triton, self.frames = Counters(), Frames()
        self.detector_back = self.triton_back = self.answers_from = self.hears_from = self.exporter_back = 0.0
        self.cameras = 0
        self.used = (0.0, 0.0)
        """Cores of Triton and of the detector."""
        self.reversals = 0
        """Of ladders that a restart of the detector ended."""
        self._host = [0.0, 0.0]
        self._refused: Knobs | None = None
        self._flows: dict[tuple[Knobs, float, float], Flow] = {}
        self._carried: dict[int, float] = {}
        self._draw = random.Random(f"pod {site.seed} {name}")  # noqa: S311 - to be repeated, not secret
        self._now = now

    def second(self, now: float, document: Document, cameras: int, slow: float) -> None:
        """Let a second pass, with so many cameras, the device being `slow` times as slow as usual."""
        self._now, self.cameras = now, cameras
        if now < self.detector_back:
            self.used = (0.0, 0.0)
            return
        if now >= self.hears_from:
            self.document = document
        self._try(now)
        self._change(now)
        self._serve(now, slow)

    # What is served.

    def _try(self, now: float) -> None:
        probe, trial = self.document.probe, self.trial
        if probe is None or probe.pod != self.name:
            self.trial = None
        elif trial is None or trial.id != probe.id:
            self.trial = Trial(probe.id, probe.knobs, probe.renewal, now + probe.ttl)
        elif trial.outcome != "Running":
            return
        elif now >= trial.deadline:
            trial.outcome, trial.message = "Expired", "not renewed"
        elif probe.renewal > trial.renewal:
            trial.renewal, trial.deadline = probe.renewal, now + probe.ttl

    @property
    def wanted(self) -> Knobs:
        """What it is to serve."""
        trial = self.trial
        return trial.knobs if trial is not None and trial.outcome == "Running" else self.document.accepted

    def _change(self, now: float) -> None:
        if now < self.triton_back:
            return
        if self.changing is not None and now >= self.changing[1]:
            self._loaded(self.changing[0])
        if self.changing is None and self.wanted not in (self.serving, self._refused):
            self._load(self.wanted, now)

    def _load(self, wanted: Knobs, now: float) -> None:
        site, present = self.site, self.serving
        alone = site.in_place and _but_instances(present) == _but_instances(wanted)
        peak = site.memory_of(wanted) + (0.0 if alone else site.memory_of(present))
        self.loads += 1
        if peak > site.memory:
            self.loads += 1
            self._refused = wanted
            if self.trial is not None and self.trial.knobs == wanted:
                self.trial.outcome, self.trial.message = "Failed", "out of memory"
            return
        self.changing = (wanted, now + (IN_PLACE if alone else RELOAD))

    def _loaded(self, knobs: Knobs) -> None:
        if _but_instances(knobs) != _but_instances(self.serving) or not self.site.in_place:
            self.triton = Counters()
        self.serving, self.changing, self._refused = knobs, None, None
        self.loads += 1

    # What comes of it.

    def _serve(self, now: float, slow: float) -> None:
        site = self.site
        offered = self.rungs.offered(self.cameras)
        detector = offered * site.decode
        self.frames.offered += offered
        if now < self.triton_back:
            self.frames.skipped += offered
            self.used = (0.0, detector)
            self._look(None, detector, now)
            return
        found = self._flow(offered, slow)
        self._count(found, found.rate * (1.0 - 1e-9), self._draw.lognormvariate(0.0, site.noise))
        self.frames.skipped += offered * found.skipped
        self.used = (found.rate * site.host, detector)
        self._look(found, sum(self.used), now)

    def _flow(self, offered: float, slow: float) -> Flow:
        key = (self.serving, round(offered, 2), round(slow, 3))
        if key not in self._flows:
            self._flows[key] = flow(self.site, *key)
        return self._flows[key]

    def _count(self, found: Flow, rate: float, noise: float) -> None:
        triton, ages = self.triton, self.frames.ages
        for size, executions, seconds in found.batches:
            carried = self._carried.get(size, 0.0) + executions
            whole = int(carried)
            self._carried[size] = carried - whole
            triton.executions[size] = triton.executions.get(size, 0) + whole
            triton.spent[size] = triton.spent.get(size, 0.0) + whole * seconds * noise
            triton.images += size * whole
            triton.queue += size * whole * found.queue
            triton.request += size * whole * found.request
        for bucket, share in found.ages:
            ages[bucket] = ages.get(bucket, 0.0) + rate * share

    def _look(self, found: Flow | None, cores: float, now: float) -> None:
        site, shown = self.site, now >= self.exporter_back
        busy = min(site.cores, cores + site.others)
        self._host = [self._host[0] + busy, self._host[1] + site.cores]
        device = 0.0 if found is None else min(1.0, found.device * self._draw.gauss(1.0, site.noise))
        if shown:
            self.frames.looks += 1
            self.frames.utilizations += device
        pressure = Pressure(host_cpu=busy / site.cores)
        if found is not None and self.changing is None:
            pressure = Pressure(
                frame_age=found.late * site.rate,
                skipped=found.skipped,
                queue_share=None if self.serving.max_queue_delay_microseconds else found.queue / found.request,
                accelerator=device if shown else None,
                host_cpu=busy / site.cores,
            )
        self.rungs.advance(pressure, now)

    # What happens to it.

    def restart_detector(self, back: float) -> None:
        """End the detector's container, which begins anew at `back`; its trial is on disk."""
        self.detector_back, self.boot = back, self.boot + 1
        self.reversals += self.rungs.reversals
        self.frames, self.rungs = Frames(), Rungs(self.site.rate, self.site.least)

    def restart_triton(self, back: float) -> None:
        """End Triton, with what it had begun; it loads what is wanted when it is back."""
        self.frames.failures += round(self.rungs.offered(self.cameras))
        self.triton, self.triton_back, self.changing = Counters(), back, None
        self.serving, self.loads = self.wanted, self.loads + 2

    def reload(self, now: float) -> None:
        """Have somebody else load the model, after which the pod loads what is wanted."""
        self.triton = Counters()
        self.loads += 1 - self.loads % 2
        self.changing = (self.wanted, now + RELOAD)

    def reset(self, *, told: bool) -> None:
        """Begin Triton's counters anew, in another epoch if that is `told`."""
        self.triton = Counters()
        self.restarts += told

    # What it tells.

    @property
    def runs(self) -> bool:
        """Whether it infers anything."""
        return self._now >= max(self.detector_back, self.triton_back)

    @property
    def tries(self) -> bool:
        """Whether it is to serve, or still serves, a trial's configuration."""
        trial = self.trial
        return trial is not None and trial.outcome == "Running"

    def observation(self) -> Observation | None:
        """Answer GET /observation."""
        now, frames, trial = self._now, self.frames, self.trial
        if now < max(self.detector_back, self.answers_from):
            return None
        shown = now >= self.exporter_back
        gauges = {"memoryUsed": self.site.memory_of(self.serving)} if shown else {}
        if shown and self.site.memory_shown:
            gauges["memoryTotal"] = self.site.memory
        return Observation(
            at=now - self.born,
            epoch=f"{self.boot}-{self.loads}-{self.restarts}",
            models=() if now < self.triton_back else (self._counters(),),
            gauges=gauges,
            host_busy=self._host[0],
            host_total=self._host[1],
            moves=self.rungs.moves,
            degraded=self.rungs.degraded,
            transport="SharedMemory",
            probe_id=trial.id if trial else "",
            probe_outcome=trial.outcome if trial else "",
            probe_message=trial.message if trial else "",
            looks=frames.looks,
            utilizations=frames.utilizations,
        )

    def _counters(self) -> ModelCounters:
        triton, frames = self.triton, self.frames
        exchange = triton.request + 0.0006 * triton.images
        return ModelCounters(
            name=MODEL,
            serving_id="" if self.changing is not None else serving_id(self.serving),
            images=triton.images,
            executions=sum(triton.executions.values()),
            failures=frames.failures,
            queue=int(triton.queue * _NANO),
            request=int(triton.request * _NANO),
            batches=tuple(
                BatchCounters(size, count, 0, int(triton.spent[size] * _NANO), 0)
                for size, count in sorted(triton.executions.items())
                if count
            ),
            ages={str(bucket): int(count) for bucket, count in sorted(frames.ages.items())},
            demand=self.cameras * self.site.rate,
            offered=int(frames.offered),
            skipped=int(frames.skipped),
            requests=triton.images,
            exchange=int(exchange * _NANO),
            exchanges={"40": triton.images},
        )


def serving_id(knobs: Knobs) -> str:
    """Return the id of a serving configuration."""
    return repr(knobs)


def _but_instances(knobs: Knobs) -> tuple[object, ...]:
    return knobs.max_batch_size, knobs.preferred_batch_sizes, knobs.max_queue_delay_microseconds
