"""One model of a configuration at the present demand: what its instances can do, and what its frames experience.

The batcher model is run on learnt costs: as expected, and with the costs as low and as high as they may be. How far it
was off where visits tell is taken into account; what was measured of the very configuration wins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.tuning import batcher, resources
from edgedetector.tuning.batcher import Passage
from edgedetector.tuning.curve import Curve, Curves
from edgedetector.tuning.evidence import ModelPrediction, ModelVisit, Range, Visit
from edgedetector.tuning.nearness import steps
from edgedetector.tuning.sharing import known
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.visits import mean_age
from edgedetector.tuning.window import Configuration
from edgedetector.tuning.worlds import Full, Lane, World, between, expected, server, worlds

NEVER: Final = 3600.0
"""Seconds that stand for a latency of which nothing is known; finite, so that it can be written as JSON."""
ANY: Final = 1e6
"""Images a second that stand for a capacity of which nothing is known."""
_OVERHEAD: Final = 0.002
"""Seconds that a frame needs outside of Triton and the queue before it (boxes), where no visit shows it."""
_UNSEEN: Final = 0.15
"""Relative error of a latency of the batcher model where no visit shows one: phases of the cameras are not known."""
_LEAST: Final = 1e-6
"""Seconds below which no latency can be believed."""
MOST_FACTOR: Final = 1.4
"""Between a measured latency and the batcher model's: luck of the cameras' phases. What is above that is a load that
surges, or else a time that everything takes longer."""
SURGES: Final = (1.0, 1.15, 1.3, 1.5, 1.75, 2.0)
"""Times the mean rate at which the slowest frames may have come: their percentile is that of a burst."""
ROUGH: Final = 240
"""Frames of a run where only an order is wanted."""
NEARER: Final = (1.0, 0.6, 0.35, 0.2)
"""Shares of the way to an end of what may be true that are looked at."""
_LONGEST_WAY: Final = 0.05
"""Seconds; what is longer is no way but a fault."""
_LONGEST_PREPARE: Final = 0.01
_SLOWEST: Final = 1e-3
"""Images a second that can be believed, at least."""
OFF: Final = 0.05
"""Relative error of a capacity though all costs are known: phases of the cameras, what the batcher model leaves out."""
_CALM: Final = 0.7
"""Share of the time that instances are at work, up to which frames hardly wait for them."""
_FULL: Final = 0.9
"""Share of the time from which instances count as always at work."""
FEWEST: Final = 3
"""Windows of a visit that show what an overloaded server serves."""
_SERVED: Final = 0.97
"""Share of the demand that is inferred where a server is not saturated."""
_ALIKE: Final = 0.15
"""Relative difference of two demands at which a measurement of one still holds for the other."""
_NOISE: Final = 0.08
"""Relative error of a percentile over the windows of a visit (30 s windows: 38 to 44 ms at the same load)."""


def lanes(configuration: Configuration, curves: Curves, visits: Sequence[Visit], situation: Situation) -> list[Lane]:
    """Return the models with what the others of the configuration take of the device, at the present demand."""
    now = resources.latest(visits)
    seen = now.models if now else {}
    demands = {name: _demand(seen.get(name)) for name in configuration}
    taken = {name: _taken(curves.of(name), demands[name], seen.get(name)) for name in configuration}
    found = [
        Lane(
            name,
            knobs,
            curves.of(name),
            demands[name],
            sum(taken.values()) - taken[name],
            _way(name, visits),
            interval=cameras / demands[name] if cameras and demands[name] else batcher.INTERVAL,
            batch=resources.batch(knobs, cameras),
        )
        for name, knobs in sorted(configuration.items())
        for cameras in [situation.cameras_of(name)]
    ]
    found = [replace(model, prepare=_prepare(model, visits, situation.cameras_of(model.name))) for model in found]
    return [replace(model, full=_full(model.name, visits, situation)) for model in found] if len(found) == 1 else found


def _full(name: str, visits: Sequence[Visit], situation: Situation) -> tuple[Full, ...]:
    """Return what visits show of an overloaded server, the latest last."""
    cameras = situation.cameras_of(name)
    return tuple(
        Full(seen.knobs, resources.batch(seen.knobs, cameras), seen.demand, seen.rate)
        for visit in visits
        if (seen := visit.models.get(name)) is not None
        and overloaded(seen)
        and seen.busy >= _FULL
        and visit.windows >= FEWEST
        and known(seen.rate)
    )


def outcome(model: Lane, visits: Sequence[Visit], situation: Situation, *, rough: bool = False) -> ModelPrediction:
    """Return what is expected of a model, the others taking as much of the device as at their present demand.

    Parameters
    ----------
    rough
        Of the capacity only what is expected, and if that is what is wanted from few frames: a tenth of the time.
    """
    if not model.curve.costs:
        return _nothing(model)
    percentile, bound = situation.limits.percentile, situation.limits.latency
    anchor = _anchor(model, visits, situation)
    ends = anchor.possible(model, worlds(model), percentile)
    # Where the latency at the present load decides, few frames would refuse what is safe, and rank by luck.
    frames = ROUGH if rough and situation.goal is Goal.THROUGHPUT else batcher.FRAMES
    corrections = [anchor.correction(model, world, percentile, frames) for world in ends]
    slowest = [
        one.applied(batcher.passage(server(model, world), anchor.surge * model.demand, percentile, frames).latency)
        for world, one in zip(ends, corrections, strict=True)
    ]
    noise = corrections[1].noise
    latency = Range(min(slowest) * (1 - noise), slowest[1], max(slowest) * (1 + noise))
    asked = list(zip(ends, corrections, strict=True))
    if rough:  # Only as expected, and not where nobody asks for it.
        asked = asked[1:2] if situation.goal is Goal.THROUGHPUT else []
    most = [batcher.capacity(server(model, world), one.bound(bound), percentile, frames) for world, one in asked] or [
        server(model, ends[1]).saturated
    ]
    capacity = Range(min(most) * (1 - OFF), most[len(most) // 2], max(most) * (1 + OFF))
    there = batcher.passage(server(model, ends[1]), model.demand, percentile, frames)
    own = [visit for visit in visits if visit.models.get(model.name) and visit.models[model.name].knobs == model.knobs]
    return drawn(model, visits, situation, latency=latency, capacity=capacity, there=there, own=own)


def late(model: Lane, visits: Sequence[Visit], situation: Situation, pause: float) -> float:
    """Return the seconds' worth of a model's frames that a pause makes late, in the worst world that is possible."""
    if not model.curve.costs:
        return 0.0
    limits, anchor = situation.limits, _anchor(model, visits, situation)
    ends = anchor.possible(model, worlds(model), limits.percentile)
    rate, seen = anchor.surge * model.demand, anchor.seen
    servers = [server(model, world) for world in ends]
    # What an overloaded server gives up anyway is not the pause's.
    steady = 0.0 if seen is None or not overloaded(seen) else 1.0
    return max(
        batcher.late(one, rate, pause, limits.latency) - steady * batcher.late(one, rate, 0.0, limits.latency)
        for one in servers
    )


def drawn(
    model: Lane,
    visits: Sequence[Visit],
    situation: Situation,
    *,
    latency: Range,
    capacity: Range,
    there: Passage,
    own: Sequence[Visit],
) -> ModelPrediction:
    """Return the prediction: figures of the batcher model, drawn to what was measured.

    Parameters
    ----------
    own
        Visits of the very configuration.
    """
    return ModelPrediction(
        capacity=_ordered(_seen_capacity(_fed(capacity, model.name, resources.latest(visits)), model, own, situation)),
        latency=_ordered(_seen_latency(latency, model, own) if model.demand > 0 else Range(0.0, latency.mean, NEVER)),
        busy=there.busy,
        batch=there.batch,
        knobs=model.knobs,
        demand=model.demand,
        served=min(model.demand * (1.0 - there.skipped), server(model, expected(model)).saturated),
        device=there.device * (1.0 - model.taken),
    )


def worked(model: Lane, seen: ModelVisit, cameras: int) -> float:
    """Return the share of the time that the device worked for a model in a visit, by the batcher model."""
    if not model.curve.costs or not known(seen.rate):
        return 0.0
    then = replace(model, knobs=seen.knobs, batch=resources.batch(seen.knobs, cameras))
    return batcher.passage(server(then, expected(then)), came(then, seen)).device * (1.0 - model.taken)


def came(then: Lane, seen: ModelVisit) -> float:
    """Return images a second that came in a visit, those among them that were given up.

    An overloaded server gives up what it has no time for. One that waits for its batches does so, too, although it is
    idle: where the batcher model gives up about as many with these knobs.
    """
    if overloaded(seen):
        return min(ANY, seen.demand)
    if not known(seen.demand) or seen.rate >= _SERVED * seen.demand:
        return seen.rate
    demand = min(ANY, seen.demand)
    served = batcher.passage(server(then, expected(then)), demand).rate
    return demand if served - seen.rate < (demand - seen.rate) / 2 else seen.rate


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


@dataclass(frozen=True, slots=True)
class Correction:
    """How measured latencies differ from the batcher model's."""

    factor: float = 1.0
    extra: float = 0.0
    """Seconds."""
    noise: float = _UNSEEN
    """Relative error of a corrected latency, though costs were known."""

    def applied(self, seconds: float) -> float:
        """Return the latency that is to be expected where the model says `seconds`."""
        return seconds * self.factor + self.extra

    def bound(self, seconds: float) -> float:
        """Return what the model may say at another load where `seconds` are allowed.

        Without the factor: it is the luck of the cameras that are there now, at this load.
        """
        return max(0.0, seconds - self.extra)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A measured latency that others are told from: both are simulated in one world, of which the ratio is taken.

    So what is not known of the world counts only as far as it makes a difference between the two.
    """

    seen: ModelVisit | None = None
    batch: int = 1
    surge: float = 1.0
    """Times the mean rate at which the slowest frames came."""

    def possible(self, model: Lane, ends: Sequence[World], percentile: int) -> list[World]:
        """Return the worlds, those nearer to the expected one in which the measured latency could not have been."""
        low, mean, high = ends
        if not self._fits(model, mean, percentile):
            return list(ends)
        return [self._nearest(model, low, mean, percentile), mean, self._nearest(model, high, mean, percentile)]

    def _nearest(self, model: Lane, end: World, mean: World, percentile: int) -> World:
        nearer = (between(end, mean, share) for share in NEARER)
        return next((world for world in nearer if self._fits(model, world, percentile)), mean)

    def _fits(self, model: Lane, world: World, percentile: int) -> bool:
        if self.seen is None or self.seen.latency is None:
            return True
        there = server(replace(model, knobs=self.seen.knobs, batch=self.batch), world)
        told = batcher.passage(there, self._rate, percentile).latency
        return told / MOST_FACTOR <= self.seen.latency.mean <= told * MOST_FACTOR

    @property
    def _rate(self) -> float:
        """Images a second that came: of an overloaded server, also those that were given up."""
        if self.seen is None:
            return 0.0
        return min(ANY, self.seen.demand) if overloaded(self.seen) else self.surge * self.seen.rate

    def correction(self, model: Lane, world: World, percentile: int, frames: int = batcher.FRAMES) -> Correction:
        """Return how the batcher model is to be corrected in a world."""
        seen = self.seen
        if seen is None or seen.latency is None:
            return Correction(extra=_OVERHEAD)
        there = server(replace(model, knobs=seen.knobs, batch=self.batch), world)
        return corrected(seen, batcher.passage(there, self._rate, percentile, frames).latency)


def corrected(seen: ModelVisit | None, told: float) -> Correction:
    """Return how the batcher model is to be corrected that says `told` seconds of a visit."""
    if seen is None or seen.latency is None:
        return Correction(extra=_OVERHEAD)
    told = max(_LEAST, told)
    factor = min(MOST_FACTOR, max(1 / MOST_FACTOR, seen.latency.mean / told))
    measured = (seen.latency.high - seen.latency.low) / (2 * seen.latency.mean)
    return Correction(factor, max(0.0, seen.latency.mean - factor * told), math.hypot(OFF, measured))


def _anchor(model: Lane, visits: Sequence[Visit], situation: Situation) -> _Anchor:
    """Return the measurement of the same knobs, or else the latest; only overloaded ones if there are no others.

    Of those the nearest: how many frames wait is the detector's, and hardly depends on what came when.
    """
    told = [visit.models[model.name] for visit in visits if tells(visit.models.get(model.name))]
    calm = [seen for seen in told if not overloaded(seen)]
    if not told:
        return _Anchor()
    near = calm[-1] if calm else min(reversed(told), key=lambda each: steps(model.knobs, each.knobs))
    seen = next((each for each in reversed(calm) if each.knobs == model.knobs), near)
    batch = resources.batch(seen.knobs, situation.cameras_of(model.name))
    then = replace(model, knobs=seen.knobs, batch=batch)
    return _Anchor(seen, batch, 1.0 if overloaded(seen) else _surge(then, seen, situation))


def _surge(then: Lane, seen: ModelVisit, situation: Situation) -> float:
    """Return the least surge of the load that explains a measured latency; 1: none does, or none is needed.

    A surge makes few frames slow. Where the mean tells that all are, it is none.
    """
    there, percentile, age = server(then, expected(then)), situation.limits.percentile, mean_age(seen.ages)
    steady = batcher.passage(there, seen.rate, percentile)
    measured = seen.latency.mean if seen.latency is not None else 0.0
    if age is None or age - steady.mean > (measured - steady.latency) / 2:
        return 1.0
    slow = (batcher.passage(there, surge * seen.rate, percentile).latency * MOST_FACTOR for surge in SURGES)
    return next((surge for surge, latency in zip(SURGES, slow, strict=True) if latency >= measured), 1.0)


def tells(seen: ModelVisit | None) -> bool:
    """Return whether a visit shows a latency that can be believed."""
    if seen is None or seen.latency is None or not known(seen.rate):
        return False
    low, mean, high = seen.latency.low, seen.latency.mean, seen.latency.high
    return _LEAST <= mean < NEVER and low <= mean <= high < NEVER


def overloaded(seen: ModelVisit) -> bool:
    """Return whether a visit shows less served than wanted, and not only that demand rose in its last window."""
    return known(seen.demand) and seen.rate < _SERVED * seen.demand and seen.busiest >= _FULL


def _fed(capacity: Range, name: str, now: Visit | None) -> Range:
    """Return the capacity with what the host's processors can feed."""
    most = resources.fed(now, name)
    # The mean only by what is sure: how much of the load grows with the images is not known.
    return Range(min(capacity.low, most.low), min(capacity.mean, most.high), min(capacity.high, most.high))


def _seen_capacity(capacity: Range, model: Lane, own: Sequence[Visit], situation: Situation) -> Range:
    """Return the capacity with what was seen of the very configuration: served in time, or saturated."""
    low, mean, high = capacity.low, capacity.mean, capacity.high
    for visit in own:
        seen = visit.models[model.name]
        if not known(seen.rate):
            continue
        if overloaded(seen):
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
    return min(1.0, demand * curve.per_image(size) * curve.part.mean)


def _way(name: str, visits: Sequence[Visit]) -> float:
    """Return seconds of a request outside of Triton: the client's time less Triton's, post-processing included."""
    ways = [
        visit.models[name].exchange - visit.models[name].request - _stepped(visit.models[name])  # type: ignore[operator]
        for visit in visits
        if name in visit.models and known(visit.models[name].exchange) and known(visit.models[name].request)
    ]
    return min(max(ways[-1], 0.0), _LONGEST_WAY) if ways else batcher.WAY


def _stepped(seen: ModelVisit) -> float:
    """Return seconds of a request in the post-processing, of which the model's own time in Triton does not tell."""
    return seen.step.request if seen.step is not None and known(seen.step.request) else 0.0


def _prepare(model: Lane, visits: Sequence[Visit], cameras: int) -> float:
    """Return seconds that the detector needs for an image: what frames take longer than without, in the mean.

    Only of visits in which frames hardly wait: else it is little beside what phases of the cameras do to waiting.
    """
    for visit in reversed(visits):
        seen = visit.models.get(model.name)
        age = mean_age(seen.ages) if seen else None
        if seen is None or age is None or not model.curve.costs:
            continue
        if seen.busiest > _CALM or seen.knobs.instances > 1 or seen.knobs.max_queue_delay_microseconds > 0:
            continue
        then = replace(model, knobs=seen.knobs, batch=resources.batch(seen.knobs, cameras), prepare=0.0)
        there = batcher.passage(server(then, expected(then)), seen.rate)
        return min(max((age - there.mean) / there.request, 0.0), _LONGEST_PREPARE)
    return batcher.PREPARE


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
