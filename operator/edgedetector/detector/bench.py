"""A short load beside the cameras, to learn what the box can still take: POST /bench.

It grows step by step and ends as soon as a camera would pay for it: at the first frame that is lost, at the latency
objective, when the degradation ladder moves. It ends by its own clock, too, whatever becomes of who asked.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from edgedetector.api.bench import Bench, Order, Served, Step
from edgedetector.api.observation import Observation, bound, percentile
from edgedetector.detector.dispatch import Beside, Tap
from edgedetector.detector.ledger import Counted
from edgedetector.detector.load import Load, Sample, Stretch, levels, slots
from edgedetector.detector.measuring import MeasurementRefusedError, Measurements
from edgedetector.triton.errors import TritonError
from edgedetector.triton.shared_memory import DIRECTORY
from edgedetector.triton.slots import Slot

SAMPLE: Final = 5.0
"""Seconds in which each model must be asked once: its cameras have a frame a second at least."""
BASE: Final = 0.2
"""Share of the time in which the cameras are looked at alone."""
SHORTEST: Final = 1.0
"""Seconds of a step: of less there is no window."""
TICK: Final = 0.001
"""Seconds of a step at least, in a rate."""
LOOK: Final = 0.05
"""Seconds between looks at whether a camera pays."""
SPARED: Final = 0.5
"""Share of the free shared memory that is left to the cameras' own requests."""
TWICE: Final = 2.0
"""Factor on the present percentile at which it ends where no objective is stated."""


class BenchRefusedError(MeasurementRefusedError):
    """A bench cannot be made; the message says the way out."""


class Ways(Protocol):
    """What is needed of `dispatch.Dispatcher`."""

    tap: Tap | None

    def beside(self, models: Collection[str]) -> dict[str, Beside]:
        """Return memory for requests beside those of the models' frames, of no slots yet."""

    def waiting(self, model: str) -> int:
        """Return how many frames wait for a model."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is looked at of the pod."""

    demand: Callable[[], Mapping[str, float]]
    """Frames a second that cameras are meant to have inferred, by model."""
    counted: Callable[[str], Counted]
    """What came of a model's frames."""
    observe: Callable[[], Observation]
    """The counters of now."""
    served: Callable[[], Mapping[str, Served]]
    """How models are served."""
    events: Callable[[], Mapping[str, int]]
    """What ends it when it changes: a sentence -> how often that was so."""


@dataclass(slots=True)
class _Run:
    """One bench on its way."""

    order: Order
    gone: Callable[[], bool]
    ends: float
    models: tuple[str, ...]
    limit: float | None = None
    steps: list[Step] = field(default_factory=list)
    pair: tuple[Observation, Observation] | None = None
    looked: float = 0.0


class Bencher:
    """Makes one bench at a time. Safe for many threads.

    Parameters
    ----------
    free
        Bytes that are free in shared memory.
    clock
        Seconds, monotonic.
    now
        The node's time.
    """

    def __init__(
        self,
        ways: Ways,
        sight: Sight,
        measurements: Measurements,
        *,
        free: Callable[[], float] = lambda: float(os.statvfs(DIRECTORY).f_bavail * os.statvfs(DIRECTORY).f_frsize),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ways, self._sight, self._measurements = ways, sight, measurements
        self._free, self._clock, self._now = free, clock, now
        self.running = False

    def bench(self, order: Order, gone: Callable[[], bool]) -> Bench:
        """Load the box as far as its cameras allow.

        Parameters
        ----------
        gone
            Returns whether whoever asked has gone.

        Raises
        ------
        BusyError
            If another measurement runs.
        BenchRefusedError
            If there is nothing to send, or no room for it.
        """
        with self._measurements.of("a bench", order.by):
            self.running, began = True, self._now()
            try:
                run, stopped = self._made(order, gone)
            except TritonError as error:
                raise BenchRefusedError(f"no load can be sent to Triton: {error}") from None
            finally:
                self.running = False
        before, after = run.pair or (None, None)
        return Bench(
            began=began.isoformat(timespec="milliseconds"),
            ended=self._now().isoformat(timespec="milliseconds"),
            stopped=stopped,
            steps=tuple(run.steps),
            limit=run.limit,
            percentile=order.percentile,
            by=order.by,
            models=dict(self._sight.served()),
            before=before,
            after=after,
        )

    def _made(self, order: Order, gone: Callable[[], bool]) -> tuple[_Run, str]:
        ends, demand = self._clock() + order.seconds, {name: one for name, one in self._sight.demand().items() if one}
        samples = self._samples(frozenset(demand), gone)
        run = _Run(order, gone, ends, tuple(samples), order.latency)
        weights = {name: demand[name] for name in samples}
        load = Load(self._ways.beside(samples), samples, weights, waiting=self._ways.waiting, clock=self._clock)
        try:
            most, why = self._most(load.beside, order)
            return run, self._alone(run, load, (ends - self._clock()) * BASE) or self._grown(run, load, most, why)
        finally:
            load.close()

    def _samples(self, wanted: frozenset[str], gone: Callable[[], bool]) -> dict[str, Sample]:
        """Return what was last sent to each model that is asked in time.

        Raises
        ------
        BenchRefusedError
            If none is.
        """
        found, changed = dict[str, Sample](), threading.Event()

        def tap(model: str, slot: Slot, rows: int) -> None:
            if model in wanted and model not in found:
                found[model] = slot.sample(rows)
                changed.set()

        self._ways.tap, until = tap, self._clock() + SAMPLE
        try:
            while wanted - found.keys() and self._clock() < until and not gone():
                changed.wait(LOOK)
                changed.clear()
        finally:
            self._ways.tap = None
        if not found:
            raise BenchRefusedError(
                f"no frame was inferred within {SAMPLE:g} s, and those of cameras are what is sent again;"
                " are cameras of this pod live?"
            )
        return found

    def _most(self, beside: Mapping[str, Beside], order: Order) -> tuple[int, str]:
        """Make room for as many frames as there are to be at most; return how many, and why not more.

        Raises
        ------
        BenchRefusedError
            If there is no room.
        """
        most, why = order.frames, "as many frames were on their way as were allowed"
        own = sum(one.room.batch * one.room.requests for one in beside.values())
        if own < most:
            most, why = own, "as many frames were on their way as the detector ever sends at once"
        free = self._free() * SPARED
        while sum(one.pool.bytes * slots(most, one.pool.rows) for one in beside.values()) > free:
            if most <= 1:
                raise BenchRefusedError(
                    "shared memory has no room for a request beside the cameras' own;"
                    " raise triton.sharedMemory of the AcceleratorProfile"
                )
            most, why = most // 2, "more frames have no room in shared memory"
        for one in beside.values():
            one.pool.resize(batch=one.pool.rows, slots=slots(most, one.pool.rows))
        return most, why

    def _alone(self, run: _Run, load: Load, seconds: float) -> str:
        """Look at the cameras without load; return why there is to be none."""
        before = {name: self._sight.counted(name) for name in run.models}
        stretch = self._stretch(run, load, 0, max(SHORTEST, seconds))
        found = exchanges(before, {name: self._sight.counted(name) for name in run.models})
        p50, p90, p99, own = (nearest(found, percent) for percent in (50, 90, 99, run.order.percentile))
        cameras = self._cameras(before, stretch)
        run.steps.append(Step(0, stretch.seconds, sum(found.values()), 0.0, cameras, p50, p90, p99))
        if run.limit is None and own is not None:
            run.limit = TWICE * own
        elif run.limit is not None and own is not None and own > run.limit:
            return f"without load already, {said(run.order.percentile, own, run.limit)}"
        return f"without load already: {stretch.stopped}" if stretch.stopped else ""

    def _grown(self, run: _Run, load: Load, most: int, why: str) -> str:
        """Let the load grow; return why it ended."""
        steps = levels(most)
        for index, frames in enumerate(steps):
            left = run.ends - self._clock()
            if left < SHORTEST:
                return "its time was over"
            before = {name: self._sight.counted(name) for name in run.models}
            stretch = self._stretch(run, load, frames, max(SHORTEST, left / (len(steps) - index)))
            requests, rate = stretch.requests, stretch.frames / max(stretch.seconds, TICK)
            p50, p90, p99 = (of(requests, percent) for percent in (50, 90, 99))
            cameras = self._cameras(before, stretch)
            run.steps.append(Step(frames, stretch.seconds, len(requests), rate, cameras, p50, p90, p99))
            if stopped := stretch.stopped or self._slow(run, stretch, before):
                return stopped
        return why

    def _slow(self, run: _Run, stretch: Stretch, before: Mapping[str, Counted]) -> str:
        """Return whether a request of the load, or a camera's result, was too late by its percentile."""
        percent, limit = run.order.percentile, run.limit
        if limit is None:
            return ""
        if (own := of(stretch.requests, percent)) is not None and own > limit:
            return said(percent, own, limit)
        if run.order.latency is None:
            return ""
        for name in run.models:
            ages = grown(before[name].ages, self._sight.counted(name).ages)
            for one in (percent, 50):
                if (age := percentile(ages, one)) is not None and age > limit:
                    return f"cameras' results were too old: {said(one, age, limit)}"
        return ""

    def _stretch(self, run: _Run, load: Load, frames: int, seconds: float) -> Stretch:
        events = dict(self._sight.events())
        counted = {name: self._sight.counted(name) for name in run.models}
        before = self._sight.observe()

        def stop() -> str:
            if self._clock() - run.looked < LOOK:
                return ""
            run.looked = self._clock()
            if run.gone():
                return "who asked has gone"
            now = self._sight.events()
            return next((what for what, count in now.items() if count != events.get(what)), "") or lost(
                counted, {name: self._sight.counted(name) for name in run.models}
            )

        found = load.run(frames, min(self._clock() + seconds, run.ends), stop)
        after = self._sight.observe()
        if after.at - before.at >= SHORTEST or run.pair is None:
            run.pair = before, after
        return found

    def _cameras(self, before: Mapping[str, Counted], stretch: Stretch) -> float:
        """Return the frames a second of cameras that were inferred since."""
        ages = (grown(one.ages, self._sight.counted(name).ages) for name, one in before.items())
        return sum(sum(one.values()) for one in ages) / max(stretch.seconds, TICK)


def lost(before: Mapping[str, Counted], after: Mapping[str, Counted]) -> str:
    """Return what cameras have lost since; empty: nothing."""
    failed = sum(after[name].failed - one.failed for name, one in before.items())
    skipped = sum(after[name].skipped - one.skipped for name, one in before.items())
    if failed:
        return f"{failed} frames of cameras failed" if failed > 1 else "a frame of a camera failed"
    if skipped:
        return f"{skipped} frames of cameras were dropped" if skipped > 1 else "a frame of a camera was dropped"
    return ""


def exchanges(before: Mapping[str, Counted], after: Mapping[str, Counted]) -> dict[int, int]:
    """Return the cameras' requests in between by bucket of their time, all models together."""
    found = [grown(one.exchanges, after[name].exchanges) for name, one in before.items()]
    return {
        bucket: sum(one.get(bucket, 0) for one in found) for bucket in sorted({key for one in found for key in one})
    }


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[int, int]:
    """Return by how much each bucket grew, of those that did."""
    return {int(key): count - before.get(key, 0) for key, count in after.items() if count > before.get(key, 0)}


def nearest(buckets: Mapping[int, int], percent: int) -> float | None:
    """Return a percentile by nearest rank, the upper bound of its bucket in seconds; None: nothing was counted."""
    values = [bound(bucket) for bucket, count in sorted(buckets.items()) for _ in range(count)]
    return of(values, percent)


def of(values: tuple[float, ...] | list[float], percent: int) -> float | None:
    """Return a percentile by nearest rank; None: there are no values."""
    found = sorted(values)
    return found[max(0, -(-percent * len(found) // 100) - 1)] if found else None


def said(percent: int, seconds: float, limit: float) -> str:
    """Return a clause that a percentile is over its limit."""
    return f"p{percent} was {seconds * 1e3:.3g} ms, above {limit * 1e3:.3g} ms"
