"""How much better one configuration is than another, and how sure that is. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.tuning.evidence import ModelPrediction, ModelVisit, Prediction, Range, Visit
from edgedetector.tuning.prediction import better
from edgedetector.tuning.situation import Goal, Situation

WORTH: Final = 0.03
"""Gain below which nothing is changed: a reload costs a gap of some 50 ms and wears on Triton, and the bar for the
tuner's end is 5 % below the best."""
SATURATED: Final = 0.9
"""Busy share from which a pod that serves less than is wanted shows its capacity."""
KEEPS_UP: Final = 0.97
"""Share of the demand from which a pod keeps up with it: frames that are on their way at a window's ends are 1-2 %."""
_ALPHA: Final = 0.05
_RHO_SQUARED: Final = 0.878
"""Makes the confidence sequence tightest at about ten windows: (-2 log a + log(-2 log a) + 1) / 10, a = 0.05."""
_LITTLE: Final = 0.2
"""Share of a range's width."""
_NEVER: Final = Range(-1.0, -1.0, -1.0)


def gain(one: Prediction, other: Prediction, situation: Situation) -> Range:
    """Return the relative gain of `one` over `other` by the situation's goal, over what both may turn out to be.

    Both come from one cost curve and err together: the worst of one goes with the worst of the other, so that what is
    not known of the server does not make two configurations differ that it serves alike.
    """
    pairs = (
        (_end(one, best=False), _end(other, best=False)),
        (one, other),
        (_end(one, best=True), _end(other, best=True)),
    )
    figures = [better(*pair, situation) for pair in pairs]
    if not all(math.isfinite(figure) for figure in figures):
        return _NEVER
    return Range(min(figures), figures[1], max(figures))


@dataclass(frozen=True, slots=True)
class Measured:
    """The relative gain between two visited configurations, with what was measured instead of predicted."""

    gain: Range
    """Holds at every look at it (`half_width`), so that one may look after each window."""
    noise: float
    """Half of its width that more windows of the same would take away."""

    @property
    def known(self) -> bool:
        """Whether more windows would hardly tell more: what is not known is what the load does not show."""
        return self.noise < _LITTLE * (self.gain.high - self.gain.low)


def measured_gain(one: tuple[Prediction, Visit], other: tuple[Prediction, Visit], situation: Situation) -> Measured:
    """Return the relative gain of one visited configuration over another."""
    ours, theirs = (grounded(*each, situation.limits.latency) for each in (one, other))
    known = gain(ours, theirs, situation) if situation.goal == Goal.THROUGHPUT else _apart(ours, theirs, situation)
    noise = (1 + max(0.0, known.mean)) * math.hypot(*(half_width(v.spread, v.windows) for _, v in (one, other)))
    low = known.mean - math.hypot(known.mean - known.low, noise)
    return Measured(Range(low, known.mean, known.mean + math.hypot(known.high - known.mean, noise)), noise)


def _apart(one: Prediction, other: Prediction, situation: Situation) -> Range:
    """Return the gain of figures that were measured each by itself, and err each by itself."""
    mean = better(one, other, situation)
    ours, theirs = ({best: _end(each, best=best) for best in (False, True)} for each in (one, other))
    low = math.hypot(mean - better(ours[False], other, situation), mean - better(one, theirs[True], situation))
    high = math.hypot(better(ours[True], other, situation) - mean, better(one, theirs[False], situation) - mean)
    return Range(mean - low, mean, mean + high) if math.isfinite(low + mean + high) else _NEVER


def half_width(spread: float, windows: int) -> float:
    """Return how far the mean of windows may be off, with 95 % confidence at all numbers of windows at once.

    The normal mixture of Robbins (1970), as a confidence sequence in Waudby-Smith et al. (2021), eq. 6. A fixed-sample
    interval, looked at after each of 30 windows, would be wrong in a third of all trials.
    """
    if windows < 1:
        return 1.0
    mixed = windows * _RHO_SQUARED + 1
    return spread * math.sqrt(2 * mixed / (windows**2 * _RHO_SQUARED) * math.log(math.sqrt(mixed) / _ALPHA))


def grounded(prediction: Prediction, visit: Visit, limit: float) -> Prediction:
    """Return a prediction with what a visit has measured in the place of what was predicted.

    Parameters
    ----------
    limit
        Of the latency, seconds.
    """
    models = {
        name: _grounded_model(model, visit.models[name], half_width(visit.spread, visit.windows), limit)
        if name in visit.models
        else model
        for name, model in prediction.models.items()
    }
    used = visit.utilization
    return replace(prediction, models=models, utilization=prediction.utilization if used is None else _at(used))


def saturated(model: ModelVisit) -> bool:
    """Whether a model's rate is its capacity: it, or a step behind it, is always busy and serves less than wanted."""
    return model.busiest >= SATURATED and model.rate < KEEPS_UP * model.demand


def _grounded_model(model: ModelPrediction, seen: ModelVisit, noise: float, limit: float) -> ModelPrediction:
    """Live throughput is the capacity where it is saturated, if the latency is kept at that, else at most that."""
    latency = seen.latency or model.latency
    capacity = model.capacity
    if saturated(seen) and latency.mean <= limit:
        capacity = Range(seen.rate * (1 - noise), seen.rate, seen.rate * (1 + noise))
    elif saturated(seen):
        capacity = Range(*(min(each, seen.rate) for each in (capacity.low, capacity.mean, capacity.high)))
    return replace(model, capacity=capacity, latency=latency)


def _end(prediction: Prediction, *, best: bool) -> Prediction:
    """Return a prediction with everything as good, or as bad, as it may turn out to be."""

    def more(figure: Range) -> Range:
        return _at(figure.high if best else figure.low)

    def less(figure: Range) -> Range:
        return _at(figure.low if best else figure.high)

    used = prediction.utilization
    return replace(
        prediction,
        models={
            name: replace(model, capacity=more(model.capacity), latency=less(model.latency))
            for name, model in prediction.models.items()
        },
        utilization=used and less(used),
    )


def _at(figure: float) -> Range:
    return Range(figure, figure, figure)
