"""What a configuration will give: the batcher model on learnt costs, drawn to what was measured of the same or others.

A figure's interval comes from the costs' (simulated at their ends) and from how far the model was off where a visit
shows it. Of what nothing is known the interval says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from edgedetector.tuning import footprint, resources, several
from edgedetector.tuning.curve import Curves
from edgedetector.tuning.evidence import ModelPrediction, Prediction, Range, Visit
from edgedetector.tuning.lane import lanes, outcome, worked
from edgedetector.tuning.sharing import known
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.window import Configuration
from edgedetector.tuning.worlds import Lane

_TIE: Final = 0.002
"""Relative gain that a further instance, or a doubled batch, must give at least to be the better one."""
_TIE_DELAY: Final = 0.001
"""The same for a millisecond of queue delay."""


def predict(
    configuration: Configuration,
    curves: Curves,
    visits: Sequence[Visit],
    situation: Situation,
    present: Configuration | None = None,
    *,
    rough: bool = False,
) -> Prediction:
    """Return what is expected of a configuration.

    Parameters
    ----------
    visits
        What was seen; the one that ended last gives the present demand.
    present
        What serves now, from which memory during the change is told; None: the configuration that was visited last.
    rough
        From few frames, and of capacities only what is expected: a tenth of the time.
    """
    now = resources.present(visits, present)
    models = lanes(configuration, curves, visits, situation)
    if len(models) > 1:
        predictions = several.outcomes(models, visits, situation, rough=rough)
    else:
        predictions = {model.name: outcome(model, visits, situation, rough=rough) for model in models}
    used, change = footprint.memory(configuration, visits, situation, now)
    return Prediction(
        models=predictions,
        utilization=_utilization(predictions, models, visits, situation),
        host=_host(predictions, resources.latest(visits)),
        memory=used,
        change_memory=change,
        shared_memory=resources.shared_memory(configuration, situation),
        memory_total=footprint.total(visits, situation),
        shared_memory_room=_room(now, situation),
    )


def better(one: Prediction, other: Prediction, situation: Situation) -> float:
    """Return how much better `one` is by the situation's goal: 0.05 is 5 %, below 0 it is worse.

    Of several models the gains count by their demand, and by latency the slowest one counts: the limit is one for all.
    Where two give the same, the one with fewer instances, smaller
    batches and less delay is a little better.
    """
    gains = {
        Goal.THROUGHPUT: lambda a, b: _log_ratio(a.capacity.mean, b.capacity.mean),
        Goal.LATENCY: lambda a, b: _log_ratio(b.latency.mean, a.latency.mean),
        Goal.EFFICIENCY: lambda a, b: _log_ratio(_working(b), _working(a)),
    }
    names = [name for name in one.models if name in other.models]
    total = sum(other.models[name].demand for name in names)
    gain = sum(
        (other.models[name].demand / total if total > 0 else 1 / len(names))
        * gains[situation.goal](one.models[name], other.models[name])
        for name in names
    )
    if situation.goal is Goal.LATENCY and names:
        gain = _log_ratio(*(max(each.models[name].latency.mean for name in names) for each in (other, one)))
    if situation.goal is Goal.EFFICIENCY and one.utilization and other.utilization and other.utilization.mean > 0:
        gain = _log_ratio(other.utilization.mean, one.utilization.mean)
    return math.expm1(gain) - (_burden(one.configuration) - _burden(other.configuration))


def _burden(configuration: Configuration) -> float:
    return sum(
        _TIE * (knobs.instances + knobs.post_processing + math.log2(max(1, knobs.max_batch_size)))
        + _TIE_DELAY * knobs.max_queue_delay_microseconds / 1000.0
        for knobs in configuration.values()
    )


def _working(prediction: ModelPrediction) -> float:
    return prediction.knobs.instances * prediction.busy


def _log_ratio(one: float, other: float) -> float:
    return math.log(max(one, 1e-6) / max(other, 1e-6))


def _utilization(
    predictions: Mapping[str, ModelPrediction], models: Sequence[Lane], visits: Sequence[Visit], situation: Situation
) -> Range | None:
    wanted = sum(one.device for one in predictions.values())
    told = [(_worked(models, visit, situation), visit) for visit in visits if visit.utilization is not None]
    if not told:
        return None
    # From what is nearest: monitors are not linear, and what a batch takes is not known exactly.
    had, seen = min(told, key=lambda entry: abs(entry[0] - wanted))
    return resources.utilization(seen, wanted, had)


def _worked(models: Sequence[Lane], visit: Visit, situation: Situation) -> float:
    if len(models) > 1:
        return several.worked(models, visit, situation)
    return sum(
        worked(model, visit.models[model.name], situation.cameras_of(model.name))
        for model in models
        if model.name in visit.models
    )


def _host(predictions: Mapping[str, ModelPrediction], now: Visit | None) -> Range | None:
    rate = sum(one.served for one in predictions.values())
    rated = sum(model.rate for model in now.models.values() if known(model.rate)) if now else 0.0
    return resources.host(now, rate, rated)


def _room(now: Visit | None, situation: Situation) -> float | None:
    """Return bytes of /dev/shm for requests in flight: what is free and what those of now take."""
    if now is None or now.shared_memory_free is None or not math.isfinite(now.shared_memory_free):
        return None
    taken = resources.shared_memory(now.configuration, situation)
    return None if taken is None else max(0.0, now.shared_memory_free) + taken
