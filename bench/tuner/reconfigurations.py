"""A thousand changes of what a live Triton serves, under the detector's load: what fails, how long nothing comes.

The walk through instances, largest batch, preferred sizes and delay is seeded (`bench.tuner.walk`). Stretches with
changes and stretches without take turns, so that whatever else the machine does is in both; the longest gap between two
results of the one is held against that of the other. Ends with what both processes hold beside what they held.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from bench.dataplane.figures import Column, percentile, table
from bench.tuner import changing, gaps, walk
from bench.tuner.changing import Changing, Counts, Held
from bench.tuner.gaps import Stretch
from bench.tuner.walk import START, Way

from edgedetector.plan.triton_config import Knobs

ALLOWED = 0.050
"""Seconds by which the longest gap may exceed that of a run without changes."""
ROUND = 50
"""Changes between two stretches without."""
TTL = 1.0
"""Seconds of a probe that nobody renews."""
LONG_TTL = 120.0
"""Seconds of one that is withdrawn or accepted."""
TAIL = 0.5
"""Seconds after a change in which a gap still counts as its own."""


@dataclass(frozen=True)
class Change:
    """A configuration that came into force in place of another."""

    kind: str
    how: str
    """accepted, tried (as a probe), or how a probe ended: withdrawn, expired."""
    whole: bool
    """Whether the model was loaded whole; otherwise its instances were changed in place."""
    began: float
    effect: float
    """Monotonic seconds: of the write, or since it was waited for, and when it was in force."""


@dataclass
class Story:
    """What happened."""

    changes: list[Change] = field(default_factory=list)
    changing: list[Stretch] = field(default_factory=list)
    resting: list[Stretch] = field(default_factory=list)
    samples: list[Held] = field(default_factory=list)
    """One a round, in whatever configuration that ended."""
    late: int = 0
    """Frames too late in the stretches with changes."""
    most_instances: int = 0
    """At once, as seen after a change: a former copy ends in the background."""
    unloaded: int = 0
    """Probes whose time was over before they came into force."""


class Walker:
    """Brings steps into force, one after the other."""

    def __init__(self, pod: Changing, story: Story, start: Knobs) -> None:
        self._pod, self._story, self.knobs = pod, story, start
        self._probes = 0

    def go(self, step: walk.Step) -> None:
        """Bring a step into force, and what follows it if it does not stay; return once that is so."""
        before, config = self.knobs, self._pod.config(step.knobs)
        if step.way is Way.ACCEPTED:
            self._made(before, step.knobs, "accepted", lambda: self._pod.accept(config))
        elif self._tried(before, step):
            if step.way is Way.KEPT:
                self._pod.accept(config)  # Before the probe goes, else the pod would return to the former one.
            elif step.way is Way.WITHDRAWN:
                self._made(step.knobs, before, "withdrawn", self._pod.withdraw)
            else:
                self._made(step.knobs, before, "expired", lambda: None)  # The pod does it.
        else:
            self._story.unloaded += 1
        self._pod.withdraw()
        self.knobs = step.knobs if step.way.stays else before

    def _tried(self, before: Knobs, step: walk.Step) -> bool:
        """Write a probe; return whether it came into force, which a short one need not."""
        self._probes += 1
        name, config, usual = f"p{self._probes}", self._pod.config(step.knobs), self._pod.config(before)
        former, began = self._pod.instances(), time.monotonic()
        self._pod.try_(name, config, TTL if step.way is Way.EXPIRED else LONG_TTL)
        if not self._pod.until_serves(config, or_else=lambda: self._pod.undone(name, usual)):
            return False
        self._note(before, step.knobs, "tried", former, began)
        return True

    def _made(self, before: Knobs, after: Knobs, how: str, write: Callable[[], object]) -> None:
        former, began = self._pod.instances(), time.monotonic()
        write()
        self._pod.until_serves(self._pod.config(after))
        self._note(before, after, how, former, began)

    def _note(self, before: Knobs, after: Knobs, how: str, former: frozenset[int], began: float) -> None:
        effect, present = time.monotonic(), self._pod.instances()
        self._story.most_instances = max(self._story.most_instances, len(present))
        # In place only those are new by which there are more; of a model that is loaded whole all are. None, too, where
        # Triton fills in what is asked for: preferred sizes [4] are its default of a largest batch of 4.
        whole = len(present - former) >= after.instances
        self._story.changes.append(Change(walk.kind(before, after), how, whole, began, effect))


def run(version: str, number: int, *, backend: str, seed: int, cameras: int, rest: float) -> dict[str, Any]:
    """Make `number` changes, print what is seen as it goes, and return it.

    Parameters
    ----------
    rest
        Seconds without changes for each second with.
    """
    load = f"{cameras} cameras at {changing.RATE:g} frames/s"
    print(f"Triton {version}, {backend} backend, seed {seed}, {load}; {_machine()}", flush=True)
    story = Story()
    with changing.ground(version, backend, cameras, START) as ground:
        pod, began = ground.pod, time.monotonic()
        walker = Walker(pod, story, START)
        _rest(pod, START, [], 5.0)  # What is set up with the first requests is no part of it.
        before, first, refused = pod.held(), pod.counts(), pod.refused()
        steps = walk.walk(seed)
        while len(story.changes) < number:
            _change(pod, walker, steps, story, number)
            _rest(pod, walker.knobs, story.resting, rest * gaps.seconds_of(story.changing[-1:]))
            story.samples.append(pod.held())
            print(_progress(pod, story, began), flush=True)
        if walker.knobs != START:
            walker.go(walk.Step(START, Way.ACCEPTED))
        pod.settle(START)
        _rest(pod, START, [], 5.0)
        after, last, complaints = pod.held(), pod.counts(), pod.complaints()
        ground.end_cameras()
        unaccounted = left(pod)
        found = {
            "benchmark": "tuner-reconfigurations",
            "triton": version,
            "backend": backend,
            "seed": seed,
            "cameras": cameras,
            "seconds": round(time.monotonic() - began),
            "machine": _machine(),
            **summary(story, pod.results, first, last),
            "failedAtTriton": pod.refused() - refused,
            "unaccounted": unaccounted,
            "loads": len(pod.loads()),
            "complaints": complaints,
            "before": asdict(before),
            "after": asdict(after),
            "samples": [asdict(one) for one in story.samples],
        }
    print(report(found), json.dumps(found), sep="\n", flush=True)
    return found


def _change(pod: Changing, walker: Walker, steps: Iterator[walk.Step], story: Story, number: int) -> None:
    """Make a round of changes: the stretch begins with the first write and ends when no former copy is left."""
    began, wanted, late = time.monotonic(), min(number, len(story.changes) + ROUND), pod.counts().late
    for step in steps:
        walker.go(step)
        if len(story.changes) >= wanted:
            break
    pod.settle(walker.knobs)
    story.changing.append((began, time.monotonic()))
    story.late += pod.counts().late - late
    pod.take()


def _rest(pod: Changing, knobs: Knobs, stretches: list[Stretch], seconds: float) -> None:
    began = time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(left, 2.0))
        if not pod.serves(pod.config(knobs)):
            raise RuntimeError(f"{pod.state().models} in a stretch without changes")
    pod.take()
    stretches.append((began, began + seconds))


def left(pod: Changing) -> int:
    """Return the frames that nobody says anything of, when all that was on its way has had its time."""
    deadline = time.monotonic() + 15.0
    while (left := pod.unaccounted()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def summary(story: Story, results: Sequence[gaps.Result], first: Counts, last: Counts) -> dict[str, Any]:
    """Return the figures of a story."""
    stretches = {"with changes": story.changing, "without": story.resting}
    rows = [_stretch(name, found, results) for name, found in stretches.items()]
    with_changes, without = rows
    return {
        "changes": len(story.changes),
        "inPlace": sum(not change.whole for change in story.changes),
        "unloadedProbes": story.unloaded,
        "mostInstances": story.most_instances,
        "failed": last.failed - first.failed,
        "requests": last.requests - first.requests,
        "offered": last.offered - first.offered,
        "late": last.late - first.late,
        "lateWithChanges": story.late,
        "stretches": rows,
        "kinds": _kinds(story, results),
        "beyond": round(with_changes["gap"] - without["gap"], 1),
        "met": last.failed == first.failed and with_changes["gap"] <= without["gap"] + ALLOWED * 1e3,
    }


def _stretch(name: str, stretches: Sequence[Stretch], results: Sequence[gaps.Result]) -> dict[str, Any]:
    inside = gaps.within(results, stretches)
    times = [result.at for result in results]
    found = gaps.gaps(times, stretches)
    ages = [result.age for result in inside]
    return {
        "stretch": name,
        "seconds": round(gaps.seconds_of(stretches), 1),
        "results": len(inside),
        "rate": round(len(inside) / gaps.seconds_of(stretches), 1),
        "gap": _ms(gaps.longest(found)),
        "second": _ms(sorted(gap.seconds for gap in found)[-2]),
        "usual": _ms(statistics.median(gaps.longest(gaps.gaps(times, [one])) for one in stretches)),
        "p999": _ms(percentile([gap.seconds for gap in found], 0.999)),
        "camera": _ms(gaps.longest(gaps.of_each_camera(results, stretches))),
        "p50": percentile(ages, 0.5),
        "p99": percentile(ages, 0.99),
        "oldest": max(ages),
    }


def _kinds(story: Story, results: Sequence[gaps.Result]) -> list[dict[str, Any]]:
    times = [result.at for result in results]
    groups: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for change in story.changes:
        groups[change.kind, "whole" if change.whole else "in place"].append(change)
        groups["all", change.how].append(change)
    return [
        {
            "kind": kind,
            "how": how,
            "number": len(found),
            "median": round(statistics.median(one.effect - one.began for one in found), 2),
            "longest": round(max(one.effect - one.began for one in found), 2),
            "gap": _ms(gaps.longest(gaps.gaps(times, [(one.began, one.effect + TAIL) for one in found]))),
        }
        for (kind, how), found in sorted(groups.items())
    ]


_STRETCHES = (
    Column("stretch", "", 12),
    Column("seconds", "seconds", 8, ".0f"),
    Column("results", "results", 8, "d"),
    Column("rate", "/s", 6, ".1f"),
    Column("gap", "longest gap ms", 15, ".1f"),
    Column("second", "second", 7, ".1f"),
    Column("usual", "median of stretches", 19, ".1f"),
    Column("p999", "p99.9", 6, ".1f"),
    Column("camera", "of a camera", 12, ".1f"),
    Column("p50", "age p50", 8, ".1f"),
    Column("p99", "p99", 6, ".1f"),
    Column("oldest", "oldest", 7, ".1f"),
)
_KINDS = (
    Column("kind", "what is changed", 55),
    Column("how", "how", 10),
    Column("number", "times", 6, "d"),
    Column("median", "effect s", 9, ".2f"),
    Column("longest", "longest", 8, ".2f"),
    Column("gap", "longest gap ms", 15, ".1f"),
)


def report(found: dict[str, Any]) -> str:
    """Return the figures as text."""
    before, after = found["before"], found["after"]
    held = [f"{name:24}{before[name]:10.1f}{after[name]:10.1f}" for name in before]
    counted = (
        f"{found['changes']} changes, {found['inPlace']} of them in place; {found['loads']} loads in the log",
        f"{found['unloadedProbes']} probes ended unloaded; up to {found['mostInstances']} instances at once",
        f"{found['requests']} requests; failed: {found['failed']} (detector), {found['failedAtTriton']} (Triton)",
        f"{found['offered']} frames: {found['unaccounted']} without a result or a reason; {found['late']} too late",
        f"of the late ones {found['lateWithChanges']} in the stretches with changes",
    )
    verdict = f"{found['beyond']:+.1f} ms, allowed {ALLOWED * 1e3:+.0f} ms: {'met' if found['met'] else 'NOT MET'}"
    parts = (
        *counted,
        table(_STRETCHES, found["stretches"]),
        f"longest gap with changes against without: {verdict}",
        table(_KINDS, found["kinds"]),
        f"{'held':24}{'before':>10}{'after':>10}",
        *held,
        *found["complaints"][:20],
    )
    return "\n".join(["", *parts, ""])


def _progress(pod: Changing, story: Story, began: float) -> str:
    times, latest = [result.at for result in pod.results], story.samples[-1]
    took = statistics.median(change.effect - change.began for change in islice(reversed(story.changes), ROUND))
    both = [_ms(gaps.longest(gaps.gaps(times, found))) for found in (story.changing, story.resting)]
    return (
        f"{len(story.changes):5} changes {time.monotonic() - began:5.0f} s  {took:.2f} s each, gap {both[0]:6.1f} ms,"
        f" without {both[1]:6.1f}  failed {pod.counts().failed}  Triton {latest.triton_memory:.1f} MiB"
        f" {latest.triton_threads} threads {latest.triton_descriptors} descriptors, detector"
        f" {latest.detector_memory:.1f} MiB {latest.detector_threads} threads {latest.detector_descriptors} descriptors"
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 1)


def _machine() -> str:
    return f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"


def main(versions: Sequence[str], number: int, **options: Any) -> int:
    """Run one server after the other, with the options of `run`; return the exit code."""
    found = [run(version, number, **options) for version in versions]
    good = all(one["met"] and not one["failedAtTriton"] and not one["unaccounted"] for one in found)
    return 0 if good else 1
