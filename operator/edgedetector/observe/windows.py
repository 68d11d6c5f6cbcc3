"""From two observations of a pod to what it showed in between. Pure, and safe with whatever a pod may answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from edgedetector.api import observation as api
from edgedetector.api.observation import BatchCounters, ModelCounters, Observation
from edgedetector.observe import words
from edgedetector.tuning.window import BatchTime, Configuration, Knobs, ModelWindow, StepWindow, Window

SHORTEST: Final = 1.0
"""Seconds below which a window says nothing: a pod looks at itself once a second, and a batch of a slow model that ends
in one window and began before counts as a whole."""
STEADY: Final = 0.10
"""By which the demand may differ between beginning and end, of the larger."""
ANEW: Final = "the detector or Triton restarted, or a model was loaded"
MEASURED: Final = "a trace or a bench ran"
_NANO: Final = 1e-9
_LARGEST: Final = 2**63
"""Counters of Triton have 64 bits; 2^63 ns are 292 years."""


def window(
    before: Observation,
    after: Observation,
    *,
    pod: str,
    knobs: Mapping[str, Configuration],
    percentile: int,
    now: float,
    start: float,
    earlier: Sequence[Observation] = (),
) -> Window:
    """Return what the pod showed between two observations; `disturbed` says why it tells nothing of a configuration.

    Whatever can be told is told in a disturbed window, too: that requests failed is worth knowing while the ladder
    moves or a model is loaded. Where the counters themselves cannot be trusted there are no models in it.

    Parameters
    ----------
    knobs
        Serving id -> how each model is served; what is in none of them is a step after a model.
    percentile
        Of the latency, 1 to 99.
    now, start
        Seconds, on the tuner's clock, when `after` and `before` came.
    earlier
        Observations before `before`, newest first, since which no window was disturbed: if too few results came in this
        one, percentiles are of the shortest of the stretches from one of them that has enough. Short windows would
        never know a 99th percentile otherwise: 299 results are 12 s of five cameras at 5 frames/s.
    """
    broken = _broken(before, after, now=now, start=start)
    if broken:
        return Window(pod=pod, start=start, seconds=0.0, models={}, disturbed=words.line(broken))
    seconds = after.at - before.at
    if before.epoch != after.epoch:
        failed = {name: _failed(old, new, used) for name, old, new, used in _pairs(before, after, knobs)}
        return Window(pod=pod, start=start, seconds=seconds, models=failed, disturbed=ANEW)
    disturbed = words.line(_disturbed(before, after, knobs))
    since = (before, *(() if disturbed else (one for one in earlier if not _demand(one, after))))
    return Window(
        pod=pod,
        start=start,
        seconds=seconds,
        models={
            name: _with_latency(_model(old, new, used, seconds), new, since, after.at, percentile)
            for name, old, new, used in _pairs(before, after, knobs)
        },
        utilization=_utilization(before, after),
        memory_used=_most(before.gauges.get("memoryUsed"), after.gauges.get("memoryUsed")),
        memory_total=_known(after.gauges.get("memoryTotal")),
        temperature=_most(before.gauges.get("temperature"), after.gauges.get("temperature")),
        pcie_width=_known(after.gauges.get("pcieWidth")),
        host=_host(before, after),
        processors=_processors(before, after),
        shared_memory_free=_least(before.gauges.get("sharedMemoryFree"), after.gauges.get("sharedMemoryFree")),
        stages={
            name: (after.stages[name] - spent) / seconds
            for name, spent in before.stages.items()
            if name in after.stages
        },
        transport=after.transport,
        steps=dict(_steps(before, after, knobs, seconds)),
        degraded=after.degraded,
        disturbed=disturbed,
    )


def _broken(before: Observation, after: Observation, *, now: float, start: float) -> str:
    """Return why no difference of the two means anything, or nothing."""
    if found := _nonsense(before) or _nonsense(after):
        return f"the pod does not tell its load in figures that can be: {found}"
    if after.at <= before.at or not now >= start:
        return "time went backwards"
    if before.epoch == after.epoch and (found := api.shrunk(before, after)):
        return f"a counter went backwards: {found}"
    return ""


def _pairs(
    before: Observation, after: Observation, knobs: Mapping[str, Configuration]
) -> Iterator[tuple[str, ModelCounters, ModelCounters, Knobs]]:
    """Yield the models that both have and that are tuned, with the knobs in force.

    Where those are not known, as during a change, any of the model's: such a window tells nothing of them.
    """
    olds = {model.name: model for model in before.models}
    for new in after.models:
        old = olds.get(new.name)
        if old is None:
            continue
        known = (knobs.get(new.serving_id, {}), knobs.get(old.serving_id, {}), *knobs.values())
        used = next((one[new.name] for one in known if new.name in one), None)
        if used is not None:
            yield new.name, old, new, used


def _steps(
    before: Observation, after: Observation, knobs: Mapping[str, Configuration], seconds: float
) -> Iterator[tuple[str, StepWindow]]:
    """Yield what is known of the models that have no knobs of their own: post-processing after a model, in Triton."""
    tuned = {name for one in knobs.values() for name in one}
    olds = {model.name: model for model in before.models if model.name not in tuned}
    for new in after.models:
        if (old := olds.get(new.name)) is not None:
            batches = dict(_batches(old.batches, new.batches))
            spent = sum(time.executions * time.seconds for time in batches.values())
            request = _mean(new.request - old.request, new.requests - old.requests) or 0.0
            yield new.name, StepWindow(spent / seconds, request, batches)


def _failed(before: ModelCounters, after: ModelCounters, knobs: Knobs) -> ModelWindow:
    """Return what is known where counters began anew: what failed meanwhile, or since then if that did, too."""
    failed = after.failures - before.failures if after.failures >= before.failures else after.failures
    return ModelWindow(knobs=knobs, demand=after.demand, offered=0.0, rate=0.0, failed=failed)


def _disturbed(before: Observation, after: Observation, knobs: Mapping[str, Configuration]) -> str:
    """Return why the differences tell nothing of one configuration, or nothing. Most telling first."""
    checks = (
        _away(before, after), _served(before, after, knobs), _pressed(before, after), _measured(before, after),
        _demand(before, after),
    )  # fmt: skip
    if found := next(filter(None, checks), ""):
        return found
    if after.at - before.at < SHORTEST:
        return f"{after.at - before.at:.1f} s are too short"
    return ""


def _away(before: Observation, after: Observation) -> str:
    if not before.models or not after.models:
        return "Triton did not answer"
    missing = {model.name for model in before.models} ^ {model.name for model in after.models}
    return f"model {min(missing)} was not served all the time" if missing else ""


def _served(before: Observation, after: Observation, knobs: Mapping[str, Configuration]) -> str:
    ids = {model.serving_id for one in (before, after) for model in one.models}
    if not ids:
        return ""  # there is no model of which it could be said
    if "" in ids:
        return "a model was being loaded"
    if len(ids) > 1:
        return "the serving configuration changed"
    (serving_id,) = ids
    if serving_id not in knobs:
        return "it serves a configuration that is not known here"
    missing = knobs[serving_id].keys() - {model.name for model in after.models}
    return f"model {min(missing)} is not served" if missing else ""


def _pressed(before: Observation, after: Observation) -> str:
    if before.moves != after.moves or before.degraded != after.degraded:
        return "the degradation ladder moved"
    if before.transport != after.transport:
        return "tensors began to travel another way"
    return ""


def _measured(before: Observation, after: Observation) -> str:
    """Say that somebody measured meanwhile: what it cost, and what it sent, is no load of the cameras."""
    return MEASURED if before.measurements != after.measurements or after.measurements % 2 else ""


def _demand(before: Observation, after: Observation) -> str:
    olds = {model.name: model.demand for model in before.models}
    for model in after.models:
        old, new = olds.get(model.name, 0.0), model.demand
        if abs(new - old) > STEADY * max(new, old):
            return f"the demand for {model.name} moved from {old:.1f} to {new:.1f} images/s"
    return ""


def _model(before: ModelCounters, after: ModelCounters, knobs: Knobs, seconds: float) -> ModelWindow:
    requests, offered = after.requests - before.requests, after.offered - before.offered
    exchanges = sum(_grown(before.exchanges, after.exchanges).values())
    batches = dict(_batches(before.batches, after.batches))
    spent = sum(batch.executions * batch.seconds for batch in batches.values())
    return ModelWindow(
        knobs=knobs,
        demand=after.demand,
        offered=offered / seconds,
        rate=(after.images - before.images) / seconds,
        failed=after.failures - before.failures,
        # What was offered before may be skipped now.
        skipped=min(1.0, (after.skipped - before.skipped) / offered) if offered else 0.0,
        batches=batches,
        busy=min(1.0, spent / (max(1, knobs.instances) * seconds)),
        queue=_mean(after.queue - before.queue, requests) or 0.0,
        request=_mean(after.request - before.request, requests) or 0.0,
        exchange=_mean(after.exchange - before.exchange, exchanges),
        ages=_grown(before.ages, after.ages),
    )


def _with_latency(
    window: ModelWindow, after: ModelCounters, since: Sequence[Observation], at: float, percentile: int
) -> ModelWindow:
    """Return the window with its percentiles, each of the shortest stretch since an observation that has enough."""
    stretches = [
        (at - one.at, _grown(model.ages, after.ages))
        for one in since
        for model in one.models
        if model.name == after.name
    ]

    def of(percent: int) -> tuple[float, dict[int, int]]:
        enough = (one for one in stretches if sum(one[1].values()) >= api.least(percent))
        return next(enough, stretches[-1])

    (stretch, ages), (_, recent) = of(percentile), of(50)
    return replace(
        window,
        latency=api.percentile(ages, percentile),
        median=api.percentile(recent, 50),
        samples=sum(ages.values()),
        stretch=stretch,
    )


def _batches(before: Iterable[BatchCounters], after: Iterable[BatchCounters]) -> Iterator[tuple[int, BatchTime]]:
    olds = {batch.size: batch for batch in before}
    for new in after:
        old = olds.get(new.size, BatchCounters(new.size, 0, 0, 0, 0))
        executions = new.executions - old.executions
        copies = new.compute_input - old.compute_input + new.compute_output - old.compute_output
        spent = copies + new.compute_infer - old.compute_infer
        if executions > 0:
            yield new.size, BatchTime(executions, spent * _NANO / executions, copies / spent if spent else 0.0)


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[int, int]:
    grown = {int(bucket): count - before.get(bucket, 0) for bucket, count in after.items()}
    return {bucket: count for bucket, count in sorted(grown.items()) if count}


def _mean(nanoseconds: int, count: int) -> float | None:
    return nanoseconds * _NANO / count if count > 0 else None


def _utilization(before: Observation, after: Observation) -> float | None:
    looks = after.looks - before.looks
    if looks > 0:
        return (after.utilizations - before.utilizations) / looks
    return _known(after.gauges.get("utilization"))


def _host(before: Observation, after: Observation) -> float | None:
    times = (before.host_busy, before.host_total, after.host_busy, after.host_total)
    if None in times:
        return None
    old_busy, old_total, busy, total = (time or 0.0 for time in times)
    return min(1.0, (busy - old_busy) / (total - old_total)) if total > old_total else None


def _processors(before: Observation, after: Observation) -> float | None:
    """Return how many processors the node has: so many seconds pass on them in one."""
    if before.host_total is None or after.host_total is None:
        return None
    found = (after.host_total - before.host_total) / (after.at - before.at)
    return float(round(found)) or None if math.isfinite(found) else None


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _most(*values: float | None) -> float | None:
    return max((value for value in map(_known, values) if value is not None), default=None)


def _least(*values: float | None) -> float | None:
    return min((value for value in map(_known, values) if value is not None), default=None)


def _nonsense(one: Observation) -> str:
    """Return a figure that cannot be, by name; empty: there is none. Gauges are looked at where they are used."""
    figures = (
        ("at", one.at), ("moves", one.moves), ("looks", one.looks), ("utilizations", one.utilizations),
        ("measurements", one.measurements),
    )  # fmt: skip
    host = (("hostBusy", one.host_busy or 0.0), ("hostTotal", one.host_total or 0.0))
    for name, value in (*figures, *host, *one.stages.items()):
        if not 0 <= value < _LARGEST:
            return name
    if len({model.name for model in one.models}) != len(one.models):
        return "a model twice"
    return next((f"{model.name}: {found}" for model in one.models if (found := _nonsense_of(model))), "")


def _nonsense_of(model: ModelCounters) -> str:
    for name, value in api.counters_of(model):
        if not 0 <= value < _LARGEST:
            return name
    if not 0 <= model.demand < _LARGEST:
        return "demand"
    if not all(bucket in _BUCKETS for bucket in (*model.ages, *model.exchanges)):
        return "buckets"
    sizes = [batch.size for batch in model.batches]
    return "" if len(set(sizes)) == len(sizes) and all(size > 0 for size in sizes) else "batches"


_BUCKETS: Final = frozenset(map(str, range(api.BUCKETS)))
