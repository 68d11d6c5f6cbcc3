"""The cases of the live tuner in virtual time: `python -m bench.tuner emulated [CASE ...]`.

The device is the emulator's, of which the same functions are asked as by a real Triton's backend; batcher and detector
are the judge's. What takes minutes of a quiet machine beside a real Triton takes seconds here, and is the same each
time. What is found here is to be seen on a real Triton all the same (`live`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from bench.tuner import live_cases
from bench.tuner.live import MODEL
from bench.tuner.live_cases import Case, shown
from emulator import model as emulation
from emulator.device import choose
from emulator.profile import ELEMENT_BYTES, DeviceProfile, override
from judge import harness, report
from judge.device import MIB, Cost, Hardware
from judge.pod import Lane, Pod
from judge.server import Server
from judge.traffic import Traffic

from edgedetector.tuning.decision import Kind
from edgedetector.tuning.situation import Engine, Limits
from edgedetector.tuning.window import Knobs

SECONDS: Final = 10.0
"""Of a measurement, after `WARM`."""
WARM: Final = 5.0
LONGEST: Final = 600.0
AFTER: Final = 60.0
"""Seconds that it is looked on once it has converged."""
SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
STALE: Final = 2.0
"""Seconds without an execution after which an instance is taken to be unloaded."""
JITTER: Final = 0.05
NAMES: Final = ("ks20-x4", "ks20-x1", "batching", "seeded")


@dataclass(frozen=True, slots=True)
class EmulatedHardware(Hardware):
    """A device of the emulator; costs and memory are those of an instance."""

    profile: DeviceProfile = field(kw_only=True)


class EmulatedDevice:
    """The emulator's device in the pod's time; `batcher.Device`."""

    def __init__(self, profile: DeviceProfile) -> None:
        # What fits is the pod's to say.
        self._profile = replace(profile, memory=replace(profile.memory, total=float("inf")))
        self._state = emulation.DeviceState()
        self._ends: dict[int, float] = {}
        self._busy = self._host = 0.0

    def execute(self, model: str, size: int, now: float) -> float:
        """Begin an execution now, of the instance that was at work last of those that are idle; return when it ends."""
        at = now * 1e3
        for stale in [one for one, end in self._ends.items() if end < at - STALE * 1e3]:
            del self._ends[stale]
            self._state = emulation.close_session(self._state, stale)
        idle = [(end, one) for one, end in self._ends.items() if end <= at + 1e-6]
        if idle:
            instance = max(idle)[1]
        else:
            self._state, session = emulation.open_session(
                self._state, self._profile, model=model, precision="fp32", max_batch=self._profile.max_batch
            )
            instance = session.id
        self._state, run = emulation.execute(
            self._state, self._profile, instance, images=size, payload=0, now=at
        )  # fmt: skip
        self._ends[instance] = run.done
        self._busy += run.busy / 1e3
        self._host += run.host / 1e3
        return run.done / 1e3

    def finish(self, model: str) -> None:
        """Take note that an execution ended."""

    def take_busy(self) -> tuple[float, float]:
        """Return the seconds that an engine, and the host, worked since this was last asked."""
        busy, host = self._busy / max(1, len(self._state.engines)), self._host
        self._busy = self._host = 0.0
        return busy, host


class EmulatedPod(Pod):
    """A pod with such a device."""

    def __init__(self, server: Server, *given: Any, **named: Any) -> None:
        super().__init__(server, *given, **named)
        hardware = cast("EmulatedHardware", server.hardware)
        self.device = EmulatedDevice(hardware.profile)  # type: ignore[assignment]
        self.lanes = {model: Lane(self, model, knobs) for model, knobs in self.accepted.items()}
        for lane in self.lanes.values():
            lane.detector.bound = server.limits.latency


class Run(harness.Run):
    """One tuner on one such pod."""

    made = EmulatedPod


@dataclass(frozen=True, slots=True)
class Figures:
    """What a configuration serves."""

    rate: float
    """Images a second."""
    p99: float
    """Seconds; infinite: nothing was served."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case."""

    server: Server
    story: harness.Story
    start: Figures
    reached: Figures
    swept: Mapping[Knobs, Figures]

    @property
    def final(self) -> Knobs:
        """What was accepted in the end."""
        return self.story.final[MODEL]

    @property
    def best(self) -> tuple[Knobs, Figures] | None:
        """The most that is served within the latency bound, what was reached included."""
        found = {**self.swept, self.final: self.reached}
        within = [item for item in found.items() if item[1].p99 <= self.server.limits.latency]
        return max(within, key=lambda item: item[1].rate, default=None)

    @property
    def ratio(self) -> float | None:
        """Reached / best; None: nothing keeps the bound."""
        return self.reached.rate / self.best[1].rate if self.best else None


def server(case: Case) -> Server:
    """Return the pod that a case is about."""
    wanted = case.wanted
    profile = slowed(override(choose(wanted.device), wanted.changes), wanted.slower)
    memory, image = profile.memory, profile.link.elements_per_image * ELEMENT_BYTES[wanted.precision]
    # What a batch costs is the profile's; the judge asks this for its memory only.
    cost = Cost(
        0.0, 0.0, engine_bytes=memory.engine[wanted.precision] * MIB, image_bytes=memory.workspace_per_image * MIB
    )
    return Server(
        name=case.name,
        seed=0,
        family="emulated",
        hardware=EmulatedHardware(
            {MODEL: cost}, memory=memory.total * MIB, reserved=memory.reserved * MIB, profile=profile
        ),
        engines={MODEL: Engine(wanted.largest or profile.max_batch, tensors=float(round(image)))},
        traffic={MODEL: Traffic(wanted.load.cameras, wanted.load.rate, JITTER)},
        start={MODEL: wanted.start},
        limits=Limits(
            latency=wanted.latency,
            accelerator=1.0 - wanted.accelerator,
            host=1.0 - wanted.cpu,
            max_instances=wanted.instances,
        ),
        memory_stated=True,
    )


def slowed(profile: DeviceProfile, factor: float) -> DeviceProfile:
    """Return a device that takes so many times as long for everything (`live.become`)."""
    compute = {
        name: replace(cost, base=factor * cost.base, per_image=factor * cost.per_image)
        for name, cost in profile.compute.items()
    }
    scheduler = profile.scheduler
    return replace(
        profile,
        compute=compute,
        turnaround=factor * profile.turnaround,
        link=replace(profile.link, efficiency=profile.link.efficiency / factor),
        host=replace(profile.host, time_per_image=factor * profile.host.time_per_image),
        scheduler=replace(
            scheduler,
            switch=factor * scheduler.switch,
            switch_per_further_instance=factor * scheduler.switch_per_further_instance,
            patched_switch=factor * scheduler.patched_switch,
        ),
    )


def tuned(made: Server, *, swept: Sequence[Knobs] | None = None) -> Outcome:
    """Tune a pod until it has converged, and measure what was reached and a sweep.

    Parameters
    ----------
    swept
        Configurations that "best" is looked for among; None: all instance counts and usual batches that fit.
    """
    step, state = harness.ours()
    story = Run(made, step, state).go(after=AFTER)
    start = made.start[MODEL]
    sweep = [knobs for knobs in (_grid(made) if swept is None else swept) if _fits(made, knobs)]
    return Outcome(
        made,
        story,
        measured(made, start),
        measured(made, story.final[MODEL]),
        {knobs: measured(made, knobs) for knobs in sweep},
    )


def _grid(made: Server) -> Iterator[Knobs]:
    largest = made.engines[MODEL].largest_batch
    for count in range(1, made.limits.max_instances + 1):
        yield from (Knobs(count, size) for size in SIZES if size <= largest)


def _fits(made: Server, knobs: Knobs) -> bool:
    """Return whether it can be come to from the start: old and new are loaded together."""
    new = {MODEL: knobs}
    return knobs == made.start[MODEL] or made.memory_to_change(made.start, new, in_place=False) <= made.hardware.memory


def measured(made: Server, knobs: Knobs) -> Figures:
    """Return what a pod serves that always had these knobs."""
    pod = EmulatedPod(made, {MODEL: knobs})
    pod.run(WARM)
    pod.window(0.0)
    pod.run(WARM + SECONDS)
    found = pod.window(0.0)[0].models[MODEL]
    return Figures(found.rate, float("inf") if found.latency is None else found.latency)


def main(names: Sequence[str], *, tell: bool = False) -> int:
    """Tune cases and print a line of each, with `tell` also what was decided; return 0."""
    print("SIMULATED: an emulated device in virtual time, no Triton")
    ratios = []
    for case in live_cases.chosen(names or NAMES):
        outcome = tuned(server(case))
        print(line(outcome), flush=True)
        if tell:
            print(*[f"    {at:6.0f} s  {report.decide(one)}" for at, one in outcome.story.decisions], sep="\n")
        if case.name.startswith("seed") and outcome.ratio is not None:
            ratios.append(outcome.ratio)
        print(json.dumps(record(outcome)), flush=True)
    if len(ratios) > 1:
        print(live_cases.distribution(ratios))
    return 0


def line(outcome: Outcome) -> str:
    """Return a case in a line."""
    limit, story = outcome.server.limits.latency, outcome.story
    text = (
        f"{outcome.server.name:18} {outcome.start.rate:6.1f} -> {outcome.reached.rate:6.1f} frames/s"
        f" with {shown(outcome.final):20} p99 {outcome.reached.p99 * 1e3:5.0f} of {limit * 1e3:.0f} ms;"
        f" {story.all_probes} probes, last change at {story.exploring:.0f} s"
    )
    if outcome.best and outcome.ratio is not None:
        text += f"; best {outcome.best[1].rate:.1f} with {shown(outcome.best[0])}: reached {outcome.ratio:.1%}"
    return text + (f"  {story.violations[0]}" if story.violations else "")


def record(outcome: Outcome) -> dict[str, Any]:
    """Return a case as a line of JSON."""
    story, best = outcome.story, outcome.best
    return {
        "case": outcome.server.name,
        "simulated": True,
        "before": round(outcome.start.rate, 2),
        "after": round(outcome.reached.rate, 2),
        "final": shown(outcome.final),
        "best": best and [shown(best[0]), round(best[1].rate, 2)],
        "reached": outcome.ratio and round(outcome.ratio, 4),
        "probes": story.all_probes,
        "kept": sum(one.kind is Kind.KEEP for _, one in story.decisions),
        "seconds": round(story.exploring, 1),
        "broken": len(story.broken),
        "windows": story.windows,
        "laterChanges": story.later_changes,
        "swept": {shown(knobs): [round(one.rate, 2), round(one.p99 * 1e3, 1)] for knobs, one in outcome.swept.items()},
    }
