"""One model of a configuration at the present demand: what its instances can do, and what its frames experience.

The batcher model is run on learnt costs: as expected, and with the costs as low and as high as they may be. How far it
was off where visits tell is taken into account; what was measured of the very configuration wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.tuning import batcher, resources, sharing
from edgedetector.tuning.batcher import Server
from edgedetector.tuning.curve import Curve, Curves
from edgedetector.tuning.evidence import ModelPrediction, ModelVisit, Range, Visit
from edgedetector.tuning.sharing import known
from edgedetector.tuning.situation import Limits, Situation
from edgedetector.tuning.window import Configuration, Knobs

NEVER: Final = 3600.0
"""Seconds that stand for a latency of which nothing is known; finite, so that it can be written as JSON."""
ANY: Final = 1e6
"""Images a second that stand for a capacity of which nothing is known."""
_GAP: Final = 0.0003
"""Seconds between two executions of an instance, in Triton: 0.4 ms on a slow host, less on others."""
_OVERHEAD: Final = Range(0.0, 0.002, 0.010)
"""Seconds that a frame needs outside of Triton and the queue before it (boxes), where no visit shows it."""
_PREPARE: Final = 0.001
"""Seconds that the detector needs for an image before its request is sent (docs/results/dataplane.md)."""
_WAY: Final = 0.0006
"""Seconds of a request between detector and Triton, both ways, where no visit shows it (through shared memory)."""
_LONGEST_WAY: Final = 0.05
"""Seconds; what is longer is no way but a fault."""
_LONG: Final = 600.0
"""Seconds of a visit after which more do not count."""
_SLOWEST: Final = 1e-3
"""Images a second that can be believed, at least."""
_NEAR_FULL: Final = 0.93
"""Share of what a server can do at most above which its latency tells of nothing but that."""
_FULL: Final = 0.88
"""The same as a share of the time that instances or the device were seen at work."""
_OFF: Final = 0.05
"""Relative error of a capacity though all costs are known: phases of the cameras, what the batcher model leaves out."""
_ROUNDS: Final = 4
"""Of the search for what several models can do at once."""
_LEAST_FACTOR: Final = 0.5
"""Of the batcher model's latency that a measured one may be, before it is taken for an accident."""
_LEFT: Final = 0.05
"""Share of the device's time that other models leave at least."""
_SERVED: Final = 0.97
"""Share of the demand that is inferred where a server is not saturated."""
_ALIKE: Final = 0.15
"""Relative difference of two demands at which a measurement of one still holds for the other."""
_NOISE: Final = 0.08
"""Relative error of a percentile over the windows of a visit (30 s windows: 38 to 44 ms at the same load)."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One model of a configuration, as it is at the present demand."""

    name: str
    knobs: Knobs
    curve: Curve
    demand: float
    taken: float = 0.0
    """Share of the device's time that the other models take."""
    way: float = _WAY
    interval: float = batcher.INTERVAL
    batch: int = 1
    """Images in a batch at most."""


def lanes(configuration: Configuration, curves: Curves, visits: Sequence[Visit], cameras: int) -> list[Lane]:
    """Return the models with what the others of the configuration take of the device, at the present demand."""
    now = resources.latest(visits)
    seen = now.models if now else {}
    demands = {name: _demand(seen.get(name)) for name in configuration}
    taken = {name: _taken(curves.of(name), demands[name], seen.get(name)) for name in configuration}
    return [
        Lane(
            name,
            knobs,
            curves.of(name),
            demands[name],
            sum(taken.values()) - taken[name],
            _way(name, visits),
            cameras / demands[name] if cameras and demands[name] else batcher.INTERVAL,
            resources.batch(knobs, cameras),
        )
        for name, knobs in sorted(configuration.items())
    ]


def outcome(model: Lane, visits: Sequence[Visit], situation: Situation) -> ModelPrediction:
    """Return what is expected of a model, the others taking as much of the device as at their present demand."""
    if not model.curve.costs:
        return _nothing(model)
    limits, percentile = situation.limits, situation.limits.percentile
    low, mean, high = servers(model)
    excess = _excess(model, visits, situation)
    there = batcher.passage(mean, model.demand, percentile)
    latency = Range(
        excess.applied(batcher.passage(low, model.demand, percentile, batcher.FRAMES // 3).latency, low=True),
        excess.applied(there.latency),
        excess.applied(batcher.passage(high, model.demand, percentile).latency, high=True),
    )
    capacity = _fed(_capacity((low, mean, high), excess, limits), model.name, resources.latest(visits))
    own = [visit for visit in visits if visit.models.get(model.name) and visit.models[model.name].knobs == model.knobs]
    return ModelPrediction(
        capacity=_ordered(_seen_capacity(capacity, model, own, situation)),
        latency=_ordered(_seen_latency(latency, model, own) if model.demand > 0 else Range(0.0, latency.mean, NEVER)),
        busy=there.busy,
        batch=there.batch,
        knobs=model.knobs,
        demand=model.demand,
        served=min(model.demand * (1.0 - there.skipped), mean.saturated),
    )


def _capacity(ends: tuple[Server, Server, Server], excess: _Excess, limits: Limits) -> Range:
    low, mean, high = ends
    bound, percentile = limits.latency, limits.percentile
    most = batcher.capacity(low, excess.bound(bound, low=True), percentile, batcher.FEW_LOADS)
    least = batcher.capacity(high, excess.bound(bound, high=True), percentile, batcher.FEW_LOADS)
    expected = batcher.capacity(mean, excess.bound(bound), percentile)
    return Range(min(least, expected) * (1 - _OFF), expected, max(most, expected) * (1 + _OFF))


def _nothing(model: Lane) -> ModelPrediction:
    return ModelPrediction(
        capacity=Range(0.0, model.demand, ANY),
        latency=Range(0.0, 1.0, NEVER),
        busy=1.0,
        batch=1.0,
        knobs=model.knobs,
        demand=model.demand,
        served=model.demand,
    )


def jointly(
    models: Sequence[Lane], alone: Mapping[str, ModelPrediction], visits: Sequence[Visit], situation: Situation
) -> dict[str, ModelPrediction]:
    """Return the predictions with capacities that all models have at once, their demands growing in proportion."""
    limits = situation.limits
    if any(model.demand <= 0.0 or not model.curve.costs for model in models):
        return dict(alone)
    excesses = {model.name: _excess(model, visits, situation) for model in models}
    factor = min(alone[model.name].capacity.mean / model.demand for model in models)
    for _ in range(_ROUNDS):
        loaded = [replace(model, taken=min(1.0, model.taken * factor)) for model in models]
        most = min(
            batcher.capacity(servers(model)[1], excesses[model.name].bound(limits.latency), limits.percentile)
            / model.demand
            for model in loaded
        )
        factor = math.sqrt(factor * most)
    return {
        model.name: replace(alone[model.name], capacity=_scaled(alone[model.name].capacity, factor * model.demand))
        for model in models
    }


def _scaled(value: Range, mean: float) -> Range:
    """Return a range with another mean, as wide relatively."""
    if value.mean <= 0.0:
        return Range(0.0, mean, max(mean, value.high))
    return Range(value.low / value.mean * mean, mean, value.high / value.mean * mean)


def servers(model: Lane) -> tuple[Server, Server, Server]:
    """Return the batcher's servers with costs as low as they may be, as expected, and as high as they may be.

    What is not known of the serial share and of the costs are independent errors: their logarithms add in quadrature,
    so that neither goes to its end where both are wide.
    """
    serial = model.curve.serial(max(1, model.knobs.instances))
    mean = _server(model, serial.mean, "mean", 0.0)
    low = _end(model, serial, mean, "low")
    return low, mean, _end(model, serial, mean, "high")


def _end(model: Lane, serial: Range, mean: Server, end: str) -> Server:
    # Which end of the serial share is the slow one: with visits to several instances only, a small share means that
    # executions alone take long.
    choose = max if end == "low" else min
    found = choose((serial.low, serial.high), key=lambda value: _server(model, value, "mean", 0.0).saturated)
    one = abs(math.log(_server(model, found, "mean", 0.0).saturated / mean.saturated))
    other = abs(math.log(_server(model, serial.mean, end, 1.0).saturated / mean.saturated))
    part = math.hypot(one, other) / (one + other) if one + other > 0.0 else 1.0
    return _server(model, serial.mean + part * (found - serial.mean), end, part)


def _server(model: Lane, serial: float, end: str, part: float) -> Server:
    """Return a server whose costs are by `part` of the way at the `end` of their intervals."""
    knobs, curve = model.knobs, model.curve
    parts = []
    for size in range(1, model.batch + 1):
        mean = curve.alone(size, serial)
        seconds = mean * (curve.alone(size, serial, end) / mean) ** part if part else mean
        parts.append(sharing.split(seconds, serial))
    left = max(_LEFT, 1.0 - model.taken)
    return Server(
        instances=max(1, knobs.instances),
        apart=tuple(apart for apart, _ in parts),
        alone=tuple(alone / left for _, alone in parts),
        contention=max(0.0, serial - 1.0),
        delay=max(0, knobs.max_queue_delay_microseconds) / 1e6,
        preferred=tuple(knobs.preferred_batch_sizes),
        gap=_GAP,
        prepare=_PREPARE,
        way=model.way,
        interval=model.interval,
    )


@dataclass(frozen=True, slots=True)
class _Excess:
    """How measured latencies differ from the batcher model's: by a time where above, by a factor where below."""

    factor: float = 1.0
    extra: Range = _OVERHEAD

    def applied(self, seconds: float, *, low: bool = False, high: bool = False) -> float:
        """Return the latency that is to be expected where the model says `seconds`."""
        if high:
            return seconds * math.sqrt(self.factor) + self.extra.high
        return seconds * self.factor + (self.extra.low if low else self.extra.mean)

    def bound(self, seconds: float, *, low: bool = False, high: bool = False) -> float:
        """Return what the model may say where `seconds` are allowed."""
        if high:
            return max(0.0, seconds - self.extra.high) / math.sqrt(self.factor)
        return max(0.0, seconds - (self.extra.low if low else self.extra.mean)) / self.factor


def _excess(model: Lane, visits: Sequence[Visit], situation: Situation) -> _Excess:
    """Return how the model's figures differ from measured ones, over the visits that tell."""
    found = []
    for visit in visits:
        seen = visit.models.get(model.name)
        if seen is None or seen.latency is None or not 0.0 < seen.latency.mean < NEVER or not known(seen.rate):
            continue
        if known(seen.demand) and seen.rate < _SERVED * seen.demand:
            continue
        if seen.busy > _FULL or (visit.utilization or 0.0) > _FULL:
            continue
        mean = servers(replace(model, knobs=seen.knobs, batch=resources.batch(seen.knobs, situation.cameras)))[1]
        if seen.rate > _NEAR_FULL * mean.saturated:
            continue  # The latency is that of frames that wait for their cameras' next ones, or soon will be.
        expected = batcher.passage(mean, seen.rate, situation.limits.percentile).latency
        weight = (4.0 if seen.knobs == model.knobs else 1.0) * min(_LONG, max(1.0, visit.seconds))
        found.append((weight, seen.latency.mean, expected))
    if not found:
        return _Excess()
    total = sum(weight for weight, _, _ in found)
    measured, expected = (sum(entry[0] * entry[column] for entry in found) / total for column in (1, 2))
    factor = min(1.0, max(_LEAST_FACTOR, measured / expected))
    extra = max(0.0, measured - expected)
    spread = math.sqrt(sum(w * ((m - e * factor - extra) ** 2 + (_NOISE * m) ** 2) for w, m, e in found) / total)
    return _Excess(factor, Range(extra - spread, extra, extra + 2 * spread))


def _fed(capacity: Range, name: str, now: Visit | None) -> Range:
    """Return the capacity with what the host's processors can feed."""
    if now is None or name not in now.models or not known(now.models[name].rate):
        return capacity
    times = resources.most_of_host(now)
    total = sum(model.rate for model in now.models.values() if known(model.rate))
    most = [now.models[name].rate + (factor - 1.0) * total for factor in (times.low, times.mean, times.high)]
    # The mean only by what is sure: how much of the load grows with the images is not known.
    return Range(min(capacity.low, most[0]), min(capacity.mean, most[2]), min(capacity.high, most[2]))


def _seen_capacity(capacity: Range, model: Lane, own: Sequence[Visit], situation: Situation) -> Range:
    """Return the capacity with what was seen of the very configuration: served in time, or saturated."""
    low, mean, high = capacity.low, capacity.mean, capacity.high
    for visit in own:
        seen = visit.models[model.name]
        if not known(seen.rate):
            continue
        if known(seen.demand) and seen.rate < _SERVED * seen.demand:
            high = min(high, seen.rate * (1 + _ALIKE / 2))
        elif seen.latency is not None and known(seen.latency.high) and seen.latency.high <= situation.limits.latency:
            low = max(low, seen.rate)
    return Range(min(low, high), min(max(low, mean), high), high)


def _seen_latency(latency: Range, model: Lane, own: Sequence[Visit]) -> Range:
    """Return the latency with what was measured of the very configuration at about the same demand."""
    measured = [
        seen.latency
        for visit in own
        if (seen := visit.models[model.name]).latency is not None
        and known(seen.demand)
        and abs(seen.demand / model.demand - 1.0) <= _ALIKE
    ]
    if not measured or measured[-1] is None or not 0.0 < measured[-1].mean < NEVER:
        return latency
    last = measured[-1]
    low = last.low if known(last.low) else 0.0
    high = last.high if 0.0 < last.high < NEVER else NEVER
    return Range(low * (1 - _NOISE), last.mean, high * (1 + _NOISE))


def _ordered(value: Range) -> Range:
    low, mean, high = max(0.0, value.low), max(0.0, value.mean), max(0.0, value.high)
    return Range(min(low, mean), mean, max(mean, high))


def _taken(curve: Curve, demand: float, seen: ModelVisit | None) -> float:
    """Return the share of the device's time that a model takes at its demand."""
    if not curve.costs:
        return 0.0
    size = max(1, round(mean_batch(seen))) if seen else 1
    return min(1.0, demand * curve.per_image(size) * min(1.0, curve.serial(1).mean))


def _way(name: str, visits: Sequence[Visit]) -> float:
    """Return seconds of a request outside of Triton: the client's time less Triton's."""
    ways = [
        visit.models[name].exchange - visit.models[name].request  # type: ignore[operator]
        for visit in visits
        if name in visit.models and known(visit.models[name].exchange) and known(visit.models[name].request)
    ]
    return min(max(ways[-1], 0.0), _LONGEST_WAY) if ways else _WAY


def _demand(seen: ModelVisit | None) -> float:
    """Return images a second; 0: not known."""
    if seen is None:
        return 0.0
    return max((value for value in (seen.demand, seen.rate) if _SLOWEST <= value <= ANY), default=0.0)


def mean_batch(model: ModelVisit) -> float:
    """Return the mean size of a visit's executions, 1 if it has none."""
    executions = sum(batch.executions for batch in model.batches.values())
    images = sum(size * batch.executions for size, batch in model.batches.items())
    return images / executions if executions > 0 else 1.0
