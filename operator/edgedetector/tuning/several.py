"""Several models of a configuration at the present demand: what `lane` tells of one, side by side on a device. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.tuning import batcher, lane, resources, together
from edgedetector.tuning.batcher import Passage, Server
from edgedetector.tuning.curve import Curves
from edgedetector.tuning.evidence import ModelPrediction, ModelVisit, Range, Visit
from edgedetector.tuning.lane import (
    ANY,
    MOST_FACTOR,
    NEARER,
    OFF,
    SURGES,
    Correction,
    corrected,
    drawn,
    outcome,
    overloaded,
    tells,
)
from edgedetector.tuning.sharing import known
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.visits import mean_age
from edgedetector.tuning.window import Configuration
from edgedetector.tuning.worlds import Lane, World, between, expected, server, worlds

_Worlds = Mapping[str, World]
"""What may be true of each model."""
_ROUGH: Final = 160
"""Frames of each of two models where only an order is wanted, or how wide a range is."""
_FEWEST: Final = 80, 200
"""Frames of a model at least, where only an order is wanted and else: of more models each has fewer, so that a
simulation costs hardly more than of two."""
_ALWAYS: Final = 0.9
"""Busy share from which an instance, or one of the post-processing, counts as always at work."""
_FEW_HALVINGS: Final = 4
"""Of the loads that are looked at, where only an order is wanted: to 6 %, between which is interpolated."""


def outcomes(
    models: Sequence[Lane], visits: Sequence[Visit], situation: Situation, *, rough: bool = False
) -> dict[str, ModelPrediction]:
    """Return what is expected of all models at once; capacities while the demands keep their ratio.

    Parameters
    ----------
    rough
        From few frames, and of the capacity only what is expected: a tenth of the time.
    """
    if _unknown(models):
        return {model.name: outcome(model, visits, situation, rough=rough) for model in models}
    models = [replace(model, taken=0.0) for model in models]  # Nobody else takes anything.
    few, many = _frames(len(models))
    frames, percentile = (few if rough else many), situation.limits.percentile
    anchor = _anchor(models, visits, situation)
    ends = anchor.possible(models, percentile, rough=rough)
    rates = tuple(anchor.surge * model.demand for model in models)
    found = [together.passages(_servers(models, end), rates, percentile, frames) for end in ends]
    told = [anchor.corrections(models, end, percentile, frames) for end in ends]
    mean = ends[len(ends) // 2]
    factors = [
        together.capacity(
            _servers(models, end),
            [model.demand for model in models],
            [one.bound(situation.limits.latency) for one in corrections],
            percentile,
            frames=frames if end is mean else few,
            halvings=_FEW_HALVINGS if rough else batcher.HALVINGS,
        )
        for end, corrections in zip(ends, told, strict=True)
        if not rough or situation.goal is Goal.THROUGHPUT
    ] or [min(server_.saturated / model.demand for server_, model in zip(_servers(models, mean), models, strict=True))]
    there = together.passages(_servers(models, mean), tuple(model.demand for model in models), percentile, frames)
    same = {model.name: model.knobs for model in models}
    own = [visit for visit in visits if visit.configuration == same]
    predictions = {}
    for index, model in enumerate(models):
        slowest = [one[index].applied(passages[index].latency) for passages, one in zip(found, told, strict=True)]
        noise = told[len(told) // 2][index].noise
        predictions[model.name] = drawn(
            model,
            visits,
            situation,
            latency=Range(min(slowest) * (1 - noise), slowest[len(slowest) // 2], max(slowest) * (1 + noise)),
            capacity=Range(
                min(factors) * model.demand * (1 - OFF),
                factors[len(factors) // 2] * model.demand,
                max(factors) * model.demand * (1 + OFF),
            ),
            there=there[index],
            own=own,
        )
    return predictions


def _frames(count: int) -> tuple[int, int]:
    """Return the frames of each of so many models in a short look, and in a full prediction."""
    few, many = (
        max(least, 2 * of_two // count) for least, of_two in zip(_FEWEST, (_ROUGH, batcher.FRAMES), strict=True)
    )
    return few, many


def late(models: Sequence[Lane], visits: Sequence[Visit], situation: Situation, pause: float) -> list[float]:
    """Return the seconds' worth of each model's frames that a pause of all makes late, in the worst possible world."""
    if len(models) < 2 or _unknown(models):  # noqa: PLR2004
        return [lane.late(model, visits, situation, pause) for model in models]
    models = [replace(model, taken=0.0) for model in models]
    limits, anchor = situation.limits, _anchor(models, visits, situation)
    ends = anchor.possible(models, limits.percentile, rough=False)
    rates = [anchor.surge * model.demand for model in models]
    found = [together.late(_servers(models, end), rates, pause, limits.latency) for end in ends]
    return [max(each) for each in zip(*found, strict=True)]


def most(configuration: Configuration, curves: Curves, visits: Sequence[Visit], situation: Situation) -> float:
    """Return how many times the present demands all models could serve at most, by a closed formula; 0: not known."""
    models = [replace(model, taken=0.0) for model in lane.lanes(configuration, curves, visits, situation)]
    if _unknown(models):
        return 0.0
    return together.most(_servers(models, _expected(models)), [model.demand for model in models])


def _unknown(models: Sequence[Lane]) -> bool:
    """Whether of a model demand or costs are not known, so that all can only be told one by one."""
    return any(model.demand <= 0.0 or not model.curve.costs for model in models)


def worked(models: Sequence[Lane], visit: Visit, situation: Situation) -> float:
    """Return the share of the time that the device worked for all models in a visit, by the batcher model."""
    seen = [(model, visit.models[model.name]) for model in models if model.name in visit.models]
    told = [(_then(model, one, situation), one.rate) for model, one in seen if model.curve.costs and known(one.rate)]
    if not told:
        return 0.0
    lanes = [replace(model, taken=0.0) for model, _ in told]
    there = together.passages(_servers(lanes, _expected(lanes)), tuple(rate for _, rate in told))
    return sum(one.device for one in there)


def _then(model: Lane, seen: ModelVisit, situation: Situation) -> Lane:
    return replace(model, knobs=seen.knobs, batch=resources.batch(seen.knobs, situation.cameras_of(model.name)))


def _expected(models: Sequence[Lane]) -> _Worlds:
    return {model.name: expected(model) for model in models}


def _servers(models: Sequence[Lane], ends: _Worlds) -> tuple[Server, ...]:
    return tuple(server(model, ends[model.name]) for model in models)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Latencies of one visit that others are told from; see `lane`."""

    situation: Situation
    seen: Mapping[str, ModelVisit] | None = None
    surge: float = 1.0

    def possible(self, models: Sequence[Lane], percentile: int, *, rough: bool) -> list[_Worlds]:
        """Return worlds: at the low, the expected and the high end, as far as the measured latencies can be in them."""
        mean = _expected(models)
        if rough:
            return [mean]
        low, high = ({model.name: worlds(model)[end] for model in models} for end in (0, -1))
        if not self._fits(models, mean, percentile):
            return [low, mean, high]
        return [self._nearest(models, low, mean, percentile), mean, self._nearest(models, high, mean, percentile)]

    def _nearest(self, models: Sequence[Lane], end: _Worlds, mean: _Worlds, percentile: int) -> _Worlds:
        nearer = ({name: between(end[name], mean[name], share) for name in end} for share in NEARER)
        return next((world for world in nearer if self._fits(models, world, percentile)), mean)

    def _fits(self, models: Sequence[Lane], world: _Worlds, percentile: int) -> bool:
        return self.seen is None or all(
            one.latency / MOST_FACTOR <= seen.latency.mean <= one.latency * MOST_FACTOR
            for one, seen in zip(self.told(models, world, percentile), self._each(models), strict=True)
            if seen.latency is not None and seen.busiest < _ALWAYS
        )

    def _each(self, models: Sequence[Lane]) -> list[ModelVisit]:
        assert self.seen is not None  # noqa: S101 - asked by those only who looked
        return [self.seen[model.name] for model in models]

    def told(
        self, models: Sequence[Lane], world: _Worlds, percentile: int, frames: int = 0, surge: float = 0.0
    ) -> tuple[Passage, ...]:
        """Return what the batcher model says of the visit; 0 frames: as many as in a full prediction."""
        each = self._each(models)
        rates = tuple(min(ANY, seen.demand) if overloaded(seen) else (surge or self.surge) * seen.rate for seen in each)
        then = [_then(model, seen, self.situation) for model, seen in zip(models, each, strict=True)]
        return together.passages(_servers(then, world), rates, percentile, frames or _frames(len(models))[1])

    def corrections(self, models: Sequence[Lane], world: _Worlds, percentile: int, frames: int) -> list[Correction]:
        """Return how the batcher model is to be corrected in a world, by model."""
        if self.seen is None:
            return [corrected(None, 0.0) for _ in models]
        there = self.told(models, world, percentile, frames)
        # What is always at work waits for as long as it lags behind, of which costs that are a little off say nothing.
        return [
            corrected(None if seen.busiest >= _ALWAYS else seen, one.latency)
            for one, seen in zip(there, self._each(models), strict=True)
        ]


def _anchor(models: Sequence[Lane], visits: Sequence[Visit], situation: Situation) -> _Anchor:
    """Return the measurement of the same knobs, or else the latest; only overloaded ones if there are no others.

    Models with few results tell no percentile: what the others tell is not waited for.
    """
    names = {model.name: model.knobs for model in models}
    told = [seen for visit in visits if (seen := _telling(visit, names)) is not None]
    told = [seen for seen in told if not any(overloaded(seen[name]) for name in names)] or told
    if not told:
        return _Anchor(situation)
    same = [seen for seen in told if all(seen[name].knobs == knobs for name, knobs in names.items())]
    anchor = _Anchor(situation, (same or told)[-1])
    return replace(anchor, surge=_surge(anchor, models, situation.limits.percentile))


def _telling(visit: Visit, names: Collection[str]) -> dict[str, ModelVisit] | None:
    """Return the models of a visit, those without a latency that can be believed as such; None: no latency can be."""
    seen = {name: visit.models[name] for name in names if name in visit.models and known(visit.models[name].rate)}
    if len(seen) < len(names) or not any(tells(one) for one in seen.values()):
        return None
    return {name: one if tells(one) else replace(one, latency=None) for name, one in seen.items()}


def _surge(anchor: _Anchor, models: Sequence[Lane], percentile: int) -> float:
    """Return the least surge of the load that explains the measured latencies; 1: none does, or none is needed."""
    seen = anchor._each(models)  # noqa: SLF001 - of this module
    world = _expected(models)
    steady = anchor.told(models, world, percentile)
    if any(overloaded(one) for one in seen):
        return 1.0
    measured = [(index, one.latency.mean) for index, one in enumerate(seen) if one.latency is not None]
    for index, latency in measured:
        age, there = mean_age(seen[index].ages), steady[index]
        if age is None or age - there.mean > (latency - there.latency) / 2:
            return 1.0
    for surge in SURGES:
        told = steady if surge == 1.0 else anchor.told(models, world, percentile, surge=surge)
        if all(told[index].latency * MOST_FACTOR >= latency for index, latency in measured):
            return surge
    return 1.0
