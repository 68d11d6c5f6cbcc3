"""What this pod tells of its load: GET /observation.

Looked at only when somebody asks, and at most once a second. Within an epoch no counter goes backwards, whatever its
source does: what would begins another epoch. Triton's statistics begin anew when it restarts or a model is reloaded
whole; by the time of the next look they may have grown past where they were, so each load begins an epoch, too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from edgedetector.api import names
from edgedetector.api.dataplane import ModelServing, ModelState
from edgedetector.api.observation import BatchCounters, ModelCounters, Observation, shrunk
from edgedetector.detector.gauges import Seen, Ticks, ticks
from edgedetector.detector.ledger import Counted, Ledger
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.trial import Trial
from edgedetector.triton.errors import TritonError
from edgedetector.triton.shared_memory import DIRECTORY

EVERY: Final = 1.0
"""Seconds between looks; in between the last one is told again."""
TIMEOUT: Final = 1.0
"""Seconds that Triton may take to give its statistics, else there are none: it has them at hand (1 ms)."""
_STAT: Final = Path("/proc/stat")
_TICK: Final = 1.0 / os.sysconf("SC_CLK_TCK")
"""Seconds."""


class Applied(Protocol):
    """What is asked of `serving.Serving`."""

    @property
    def loads(self) -> int:
        """Odd while a model is being loaded, another number after each load."""

    @property
    def wanted(self) -> Mapping[str, ModelServing]:
        """The models that are to be served."""

    @property
    def states(self) -> tuple[ModelState, ...]:
        """What serves."""

    @property
    def trial(self) -> Trial | None:
        """The probe."""


class Observer:
    """Looks at everything. Safe for many threads: those that ask at once get the same observation.

    Parameters
    ----------
    statistics
        Triton's ``ModelStatistics`` by model, within so many seconds; see `triton.client.Client.all_statistics`.
    demand
        Frames a second that the cameras served here are meant to have inferred, by model.
    device
        What the accelerator's exporter has told by a time on `clock`.
    transport
        How tensors travel.
    boot
        Different for each start of this process.
    clock
        Seconds, monotonic.
    measurements
        See `measuring.Measurements.count`.
    """

    def __init__(
        self,
        *,
        statistics: Callable[[float], Mapping[str, Any]],
        serving: Applied,
        ledger: Ledger,
        metrics: Metrics,
        demand: Callable[[], Mapping[str, float]],
        device: Callable[[float], Seen],
        transport: Callable[[], str],
        boot: str,
        clock: Callable[[], float],
        measurements: Callable[[], int] = lambda: 0,
        stat: Callable[[], str] = _STAT.read_text,
        shared_memory: Path = DIRECTORY,
    ) -> None:
        self._statistics, self._serving, self._ledger, self._metrics = statistics, serving, ledger, metrics
        self._demand, self._device, self._transport = demand, device, transport
        self._boot, self._clock, self._stat, self._shared_memory = boot, clock, stat, shared_memory
        self._measurements = measurements
        self._lock = threading.Lock()
        self._last: Observation | None = None
        self._known: Observation | None = None
        self._host = Ticks(0, 0)
        self._restarts = 0

    def observation(self) -> Observation:
        """Return how things stand, or stood within the last second."""
        with self._lock:
            if self._last is None or self._clock() - self._last.at >= EVERY:
                self._last = self._numbered(self._look())
            return self._last

    def fresh(self) -> Observation:
        """Return how things stand now."""
        with self._lock:
            self._last = self._numbered(self._look())
            return self._last

    def _look(self) -> Observation:
        loads, measurements = self._serving.loads, self._measurements()
        statistics = self._asked()
        now = self._clock()
        models = self._models(statistics)
        before, loads = loads, self._serving.loads
        steady = before == loads and loads % 2 == 0
        if measurements != self._measurements():
            measurements |= 1  # One began or ended while we looked: what was counted may be of it.
        device, trial, host = self._device(now), self._serving.trial, self._node()
        moves, degraded = self._metrics.ladder()
        return Observation(
            at=now,
            epoch=f"{self._boot}-{loads}",
            models=models if steady else tuple(replace(model, serving_id="") for model in models),
            gauges={**device.figures, **self._free()},
            host_busy=host.busy * _TICK if host else None,
            host_total=host.total * _TICK if host else None,
            stages=self._metrics.stage_seconds(),
            moves=moves,
            degraded=degraded,
            transport=self._transport(),
            probe_id=trial.id if trial else "",
            probe_outcome=trial.outcome if trial else "",
            probe_message=trial.message if trial else "",
            looks=device.looks,
            utilizations=device.utilizations,
            measurements=measurements,
        )

    def _numbered(self, now: Observation) -> Observation:
        """Return the observation in its epoch: a new one if anything in it is lower than it was."""
        known = self._known
        if known is not None and shrunk(known, now):
            self._restarts += 1
            known = None
        self._known = _merged(known, now) if known else now
        return replace(now, epoch=f"{now.epoch}-{self._restarts}")

    def _asked(self) -> Mapping[str, Any]:
        try:
            return self._statistics(TIMEOUT)
        except TritonError:
            return {}

    def _models(self, statistics: Mapping[str, Any]) -> tuple[ModelCounters, ...]:
        demand, serving = self._demand(), {state.name: state.serving_id for state in self._serving.states}
        served = [one.name for one in self._serving.wanted.values() if one.platform != names.ENSEMBLE]
        found = []
        for name in sorted(set(served) & statistics.keys()):
            frames_of, plus, _ = name.partition("+")
            counted = self._ledger.counted(frames_of)
            if plus:  # Whichever of the two it was, a frame has come to nothing once.
                counted = replace(counted, failed=0)
            found.append(counters(statistics[name], serving.get(name, ""), counted, demand.get(frames_of, 0.0)))
        return tuple(found)

    def _node(self) -> Ticks | None:
        """Return the processors' time; never less than before, as the kernel's figures can be (proc(5), iowait)."""
        try:
            found = ticks(self._stat())
        except (OSError, ValueError):
            return None
        if found is None:
            return None
        self._host = Ticks(max(self._host.busy, found.busy), max(self._host.total, found.total))
        return self._host

    def _free(self) -> dict[str, float]:
        try:
            found = os.statvfs(self._shared_memory)
        except OSError:
            return {}
        return {"sharedMemoryFree": float(found.f_bavail * found.f_frsize)}


def counters(statistics: Any, serving_id: str, counted: Counted, demand: float) -> ModelCounters:
    """Return what is told of a model, of Triton's ``ModelStatistics`` and of what was counted here."""
    inferences = statistics.inference_stats
    return ModelCounters(
        name=statistics.name,
        serving_id=serving_id,
        images=statistics.inference_count,
        executions=statistics.execution_count,
        failures=counted.failed,
        queue=inferences.queue.ns,
        request=inferences.success.ns,
        requests=inferences.success.count,
        batches=tuple(
            BatchCounters(
                size=batch.batch_size,
                executions=batch.compute_infer.count,
                compute_input=batch.compute_input.ns,
                compute_infer=batch.compute_infer.ns,
                compute_output=batch.compute_output.ns,
            )
            for batch in sorted(statistics.batch_stats, key=lambda batch: int(batch.batch_size))
        ),
        ages=counted.ages,
        exchanges=counted.exchanges,
        exchange=counted.exchange,
        demand=demand,
        offered=counted.offered,
        skipped=counted.skipped,
    )


def _merged(before: Observation, now: Observation) -> Observation:
    """Return the observation with what is missing in it, since that may come again and must not be lower then."""
    models = {model.name: model for model in (*before.models, *now.models)}
    return replace(
        now,
        models=tuple(models.values()),
        host_busy=before.host_busy if now.host_busy is None else now.host_busy,
        host_total=before.host_total if now.host_total is None else now.host_total,
        stages={**before.stages, **now.stages},
    )
