"""Cases of the tuner on a real Triton: `python -m bench.tuner live [CASE ...]`.

A case begins with knobs that somebody left, measures, tunes, measures the same again, and then a few configurations of
a sweep, so that "best" is by the same measurement as "reached". Its demand is above what the box can do, so that
capacity shows as frames a second; what the demand leaves over is skipped by the detector, as in a pod.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from bench.tuner import live
from bench.tuner.live import FED, MODEL, Box, Load, Measured, Wanted
from bench.tuner.live_loop import OPERATOR, Loop, Story
from emulator import simulate
from emulator.device import choose
from emulator.profile import DeviceProfile, override

from edgedetector.tuning.findings import Bottleneck
from edgedetector.tuning.window import Knobs

BEFORE: Final = 15.0
"""Seconds of a measurement before and after."""
STEADY: Final = 0.10
"""By which the start's throughput may differ at both ends of a case that counts."""
SWEEP: Final = 5.0
"""The same of each configuration of a sweep."""
ENOUGH: Final = 400
"""Results of a measurement: a 99th percentile needs 299."""
LONGEST: Final = 300.0
AFTER: Final = 60.0
"""Seconds that it is looked on once it has converged: nothing may change then."""
ALL_BATCHES: Final = (1, 4, 8, 16, 32)
SEEDS: Final = range(1, 21)
CAMERAS: Final = 32
"""Of the seeded devices; a batch holds one frame of a camera at most."""
SLOWER: Final = 3.0
"""Times as slow as they are that the seeded devices run: their best do up to 600 frames/s, for which two processors are
too few beside anything else. Rates and latencies scale with it."""
ABOVE: Final = 1.2
"""Times the best rate that the simulation of the device finds that its cameras want."""


@dataclass(frozen=True)
class Case:
    """A box, and what is promised of its tuning."""

    name: str
    wanted: Wanted
    note: str = ""
    sweep: tuple[Knobs, ...] = ()
    """Configurations among which the best is looked for."""
    seconds: float = LONGEST
    rest: float = OPERATOR.tuning_rest
    """Seconds between looks at rest."""
    after: float = AFTER
    before: float = BEFORE
    """Seconds of the measurements before and after."""
    missed: Callable[[Outcome], list[str]] = lambda _: []
    """What was promised and not reached."""


@dataclass
class Outcome:
    """What came of a case."""

    before: Measured
    after: Measured
    story: Story
    bottleneck: str
    limit: str
    failed: int
    """Requests that came to nothing between the two measurements, both included."""
    swept: dict[Knobs, Measured] = field(default_factory=dict)
    latency: float = 0.0
    again: Measured | None = None
    """What it began with, measured once more in the end: if that differs, the machine was not steady meanwhile."""

    @property
    def steady(self) -> bool | None:
        """Whether what it began with showed the same at both ends; None: it was not measured again."""
        return self.again and abs(self.again.rate / max(self.before.rate, 0.1) - 1.0) <= STEADY

    @property
    def times(self) -> float:
        """Throughput after over before."""
        return self.after.rate / self.before.rate if self.before.rate else float("inf")

    @property
    def best(self) -> tuple[Knobs, Measured] | None:
        """The most that was measured within the latency bound, what was reached included."""
        within = [
            item
            for item in [*self.swept.items(), (self.story.final[MODEL], self.after)]
            if item[1].p99 is not None and item[1].p99 <= self.latency * 1e3
        ]
        return max(within, key=lambda item: item[1].rate, default=None)

    @property
    def reached(self) -> float | None:
        """Reached / best."""
        return self.after.rate / self.best[1].rate if self.best and self.best[1].rate else None


def _grid(instances: Sequence[int], batches: Sequence[int]) -> tuple[Knobs, ...]:
    return tuple(Knobs(count, batch) for count in instances for batch in batches)


def _ks20_x4(outcome: Outcome) -> list[str]:
    return [] if outcome.after.rate >= 165 else [f"{outcome.after.rate} frames/s, goal 165"]


def _ks20_x1(outcome: Outcome) -> list[str]:
    said = [] if outcome.bottleneck == Bottleneck.LINK else [f"says {outcome.bottleneck}, not Link"]
    useless = outcome.story.kept and outcome.times < 1.03
    return [*said, *(["kept what gains nothing"] if useless else [])]


def _delay(outcome: Outcome) -> list[str]:
    first = next((message for _, what, message in outcome.story.decisions if what == "Probed"), "")
    fell = (outcome.before.p50 or 0.0) - (outcome.after.p50 or 0.0)
    return [
        *([] if "delay" in first else [f"the first action is {first!r}"]),
        *([] if fell >= 90 else [f"p50 fell by {fell:.0f} ms, goal 90"]),
    ]


def _batching(outcome: Outcome) -> list[str]:
    return [] if outcome.times >= 4.4 else [f"{outcome.times:.2f} times, goal 4.4"]


X4: Final = Wanted(start=Knobs(1, 1), load=Load(20, 10.0), latency=0.5, accelerator=0.05, cpu=0.05)
NAMED: Final[Mapping[str, Case]] = {
    "ks20-x4": Case(
        "ks20-x4", X4, "PCIe x4, FP32, 1 instance, no batching; the scheduler is not patched",
        _grid((1, 2, 4), ALL_BATCHES), missed=_ks20_x4,
    ),
    "ks20-x1": Case(
        "ks20-x1",
        replace(X4, changes={"link.generation": 3, "link.lanes": 1}, load=Load(12, 5.0), latency=0.6),
        "PCIe 3.0 x1, FP32", _grid((1, 2, 4), (1, 4, 8)), missed=_ks20_x1,
    ),
    "delay": Case(
        "delay", Wanted(start=Knobs(1, 8, (), 100_000), largest=8, load=Load(5, 5.0, live.CAMERAS), latency=0.05),
        "queue delay left at 100 ms; five cameras through go2rtc", missed=_delay,
    ),
    "batching": Case(
        "batching",
        Wanted("batching", slower=2.0, start=Knobs(1, 1), load=Load(40, 11.0), latency=0.4, accelerator=0.0, cpu=0.0),
        "device 4 + 2b ms, twice as slow (8 + 4b ms) since two processors cannot offer 633 frames/s",
        _grid((1, 2, 4), ALL_BATCHES), missed=_batching,
    ),
}  # fmt: skip


def seeded(seed: int) -> Case:
    """Return the case of a seeded device: the demand is above what it can do, the sweep is the best three simulated."""
    name = f"seed:{seed}"
    profile = choose(name)
    top = _simulated(profile)
    rate = ABOVE * top[0][1] / CAMERAS / SLOWER
    load = Load(CAMERAS, round(rate, 1))
    # A frame may wait for one interval, and then for two requests an instance.
    latency = 0.3 * SLOWER
    wanted = Wanted(name, slower=SLOWER, start=Knobs(1, 1), load=load, latency=latency, accelerator=0.0, cpu=0.0)
    return Case(
        f"{name} {profile.name.rpartition('-')[2]}", wanted, "", tuple(knobs for knobs, _ in top), 200.0, 3.0, 10.0
    )


def _simulated(profile: DeviceProfile, most: int = 3) -> list[tuple[Knobs, float]]:
    """Return the best configurations by the emulator's own simulation of a closed loop, and their frames a second."""
    found = simulate.sweep(override(profile, {}), instances=4, latency=120.0, seconds=1.5)
    ranked = sorted(found.items(), key=lambda item: -item[1].images_per_second)
    return [(Knobs(*key), outcome.images_per_second) for key, outcome in ranked[:most]]


def chosen(names: Sequence[str]) -> Iterator[Case]:
    """Yield the cases of these names; ``seeded`` is all 20, ``seed:N`` one of them.

    Raises
    ------
    KeyError
        If there is none of a name.
    """
    for name in names or (*NAMED, "seeded"):
        if name == "seeded":
            yield from map(seeded, SEEDS)
        elif name.startswith("seed:"):
            yield seeded(int(name.partition(":")[2]))
        else:
            yield NAMED[name]


def main(names: Sequence[str], *, seconds: float | None = None, swept: bool = True) -> int:
    """Run cases and print what came of them; 1 if something that was promised was not reached."""
    print("EMULATED accelerator: simulated figures; real Triton 24.10, the detector's own process")
    rows, short = [], []
    for case in chosen(names):
        case = replace(case, seconds=seconds or case.seconds)  # noqa: PLW2901
        try:
            outcome = run(case, swept=swept)
        except (RuntimeError, TimeoutError) as error:
            short.append(f"{case.name}: {error}")
            print(f"{case.name}: NOT RUN: {str(error)[:2000]}", flush=True)
            continue
        missed = [f"{case.name}: {text}" for text in [*case.missed(outcome), *_lost(outcome), *_unsteady(outcome)]]
        short += missed
        rows.append(record(case, outcome, missed))
        print(summary(case, outcome), *[f"  NOT REACHED {text}" for text in missed], sep="\n", flush=True)
        print(json.dumps(rows[-1]), flush=True)
    seeds = [row["reached"] for row in rows if row["case"].startswith("seed") and row["steady"] and row["reached"]]
    if len(seeds) > 1:
        print(distribution(seeds))
    print(json.dumps({
        "benchmark": "tuner-live", "emulated": True, "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2), "triton": "24.10", "missed": short,
        "reached": {row["case"]: row["reached"] for row in rows},
    }))  # fmt: skip
    return 1 if short else 0


def run(case: Case, *, swept: bool = True) -> Outcome:
    """Measure, tune, measure again, and measure the configurations of the sweep."""
    load = case.wanted.load
    print(f"\n== {case.name}: {case.note or case.wanted.device}; {load.cameras} x {load.rate:g} frames/s"
          f" {'from memory, not decoded' if load.streams == FED else 'through go2rtc'},"
          f" p99 at most {case.wanted.latency * 1e3:.0f} ms", flush=True)  # fmt: skip
    with live.box(case.wanted) as box:
        began = failures(box)
        before = box.measure(case.before)
        print(f"  before: {told(before)}", flush=True)
        loop = Loop(box, rest=case.rest, say=lambda text: print(text, flush=True))
        story = loop.run(case.seconds, case.after)
        found = loop.diagnosis()
        box.settle()
        measured = box.measure(case.before)
        outcome = Outcome(
            before, measured, story, found.bottleneck.bottleneck, found.message, failures(box) - began,
            latency=case.wanted.latency,
        )  # fmt: skip
        print(f"  after:  {told(measured)}", flush=True)
        print(f"  limit:  {found.bottleneck.bottleneck}: {found.message}", flush=True)
        start = case.wanted.start
        outcome.again = sweep(box, (start,)).get(start)
        if swept:
            outcome.swept = sweep(box, [knobs for knobs in case.sweep if knobs != start])
    return outcome


def failures(box: Box) -> int:
    """Return the requests that came to nothing so far."""
    found = box.observe()
    if found is None:
        raise RuntimeError("the pod does not answer")
    return sum(model.failures for model in found.models)


def sweep(box: Box, configurations: Sequence[Knobs]) -> dict[Knobs, Measured]:
    """Measure configurations, one after the other; those that the pod does not take are left out."""
    found = {}
    for knobs in configurations:
        box.serve({MODEL: knobs})
        try:
            box.settle(20.0, warm=1.5)
        except TimeoutError:
            print(f"  {shown(knobs):28} is not taken", flush=True)
            continue
        found[knobs] = box.measure(max(SWEEP, ENOUGH / max(1.0, box.wanted.load.demand / ABOVE)))
        print(f"  {shown(knobs):28} {told(found[knobs])}", flush=True)
    return found


def _lost(outcome: Outcome) -> list[str]:
    return [f"{outcome.failed} requests failed"] if outcome.failed else []


def _unsteady(outcome: Outcome) -> list[str]:
    again = outcome.again
    if again is None or outcome.steady:
        return []
    return [f"nothing that counts: the start gave {outcome.before.rate} frames/s before and {again.rate} in the end"]


def shown(knobs: Knobs) -> str:
    """Return knobs in a few words."""
    rest = f", preferred {list(knobs.preferred_batch_sizes)}" if knobs.preferred_batch_sizes else ""
    delay = f", {knobs.max_queue_delay_microseconds / 1e3:g} ms" if knobs.max_queue_delay_microseconds else ""
    return f"{knobs.instances} x batch {knobs.max_batch_size}{rest}{delay}"


def told(one: Measured) -> str:
    """Return a measurement in a line."""
    p50, p99 = (f"{value:.0f}" if value is not None else "?" for value in (one.p50, one.p99))
    device = f", device {one.utilization:.0%}" if one.utilization is not None else ""
    return (
        f"{one.rate:.1f} frames/s of {one.demand:.0f} (the device counted {one.images:.1f}), p50 {p50} p99 {p99} ms"
        f"{device}, failed {one.failed}" + (f" ({one.disturbed})" if one.disturbed else "")
    )


def summary(case: Case, outcome: Outcome) -> str:
    """Return a case in a line."""
    story, best = outcome.story, outcome.best
    converged = f"converged after {story.converged:.0f} s" if story.converged else "not converged"
    last = f"  {case.name}: {outcome.before.rate:.1f} -> {outcome.after.rate:.1f} frames/s ({outcome.times:.2f} times)"
    last += f" with {shown(story.final[MODEL])}; {story.probes} probes, {story.kept} kept, last change at"
    last += f" {story.seconds:.0f} s, {converged}; {outcome.failed} requests failed"
    if best and outcome.reached:
        last += f"; best measured {best[1].rate:.1f} with {shown(best[0])}: reached {outcome.reached:.1%}"
    return last


def record(case: Case, outcome: Outcome, missed: Sequence[str]) -> dict[str, Any]:
    """Return a case as a line of JSON."""
    story, best = outcome.story, outcome.best
    return {
        "case": case.name, "before": asdict(outcome.before), "after": asdict(outcome.after),
        "again": outcome.again and asdict(outcome.again), "steady": outcome.steady,
        "times": round(outcome.times, 3), "final": asdict(story.final[MODEL]), "probes": story.probes,
        "kept": story.kept, "reverted": story.reverted, "seconds": round(story.seconds, 1),
        "converged": story.converged and round(story.converged, 1), "failed": outcome.failed,
        "bottleneck": outcome.bottleneck, "limit": outcome.limit,
        "best": best and {"knobs": asdict(best[0]), **asdict(best[1])},
        "reached": outcome.reached and round(outcome.reached, 4),
        "swept": {shown(knobs): [one.rate, one.p99] for knobs, one in outcome.swept.items()},
        "disturbed": story.disturbed, "windows": story.windows, "thought": round(story.thought, 2),
        "longest": round(story.longest, 3), "decisions": story.decisions, "missed": list(missed),
        "load_average": round(os.getloadavg()[0], 2), "at": time.strftime("%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip


def distribution(reached: Sequence[float]) -> str:
    """Return how reached / best is distributed."""
    ranked = sorted(reached)
    return (
        f"{len(ranked)} seeded devices: reached / best {ranked[0]:.1%} at worst, {ranked[len(ranked) // 2]:.1%} in the"
        f" median, {ranked[-1]:.1%} at best; {sum(one >= 0.95 for one in ranked)} at 95 % or more"
    )
