"""Which steps may be tried on a live server: those that are predicted to keep what the situation asks for.

Upper ends of intervals count, not means. Where what serves now already breaks a limit, a step that makes that better is
allowed though it may not reach the limit yet: otherwise a bad start could never be left.
"""

from __future__ import annotations

import math
from typing import Final

from edgedetector.tuning import footprint
from edgedetector.tuning.evidence import ModelPrediction, Prediction, Range
from edgedetector.tuning.sharing import known
from edgedetector.tuning.situation import Limits, Situation
from edgedetector.tuning.window import Knobs

MARGIN: Final = 0.9
"""Share of the latency limit that the upper end may take: what is uncertain of costs and measurement is in that end,
one tenth is for a load that moves during a probe."""
SLOWER: Final = 0.65
"""Share of the limit that the latency is expected to take at most where that is more than now: somebody else on the
device who makes executions half as long again, and does no harm now, is not to break the objective later."""
_BETTER: Final = 0.97
"""Share of the present latency below which a step counts as an improvement of a broken objective."""
_NOT_WORSE: Final = 1.02
"""Ratio up to which a share counts as on its limit, or as no worse than now: a trial shows more exactly."""
_RESCUE: Final = 1.1
"""The same where the objective is broken: of an overloaded server only the largest batches are known, and nothing is
kept that really takes of the reserve."""
_SERVED: Final = 0.97
"""Share of the demand below which a capacity does not serve it."""
ROOM: Final = 1.3
"""Times the demand that must be within capacity, or as much as is now: up to there the demand may rise before it counts
as another traffic level (`memory.STEP`), and a neighbour may take of the device before that is noticed."""


def refusal(prediction: Prediction, present: Prediction, situation: Situation, *, tried: bool = False) -> str:
    """Return why a configuration must not be tried, in one clause; empty if it is predicted to be safe.

    Parameters
    ----------
    prediction
        Of the configuration that may be tried.
    present
        Of the one that serves now.
    tried
        A trial at this load has shown what is not known of an overloaded server.
    """
    if not known(situation.limits.latency):
        return "the latency limit is no positive number"
    broken = any(_breaks(model, situation.limits) for model in present.models.values())
    several = len(prediction.models) > 1
    bears = several and broken
    for name, model in prediction.models.items():
        now = present.models.get(name)
        # What stays as it is does not hinder another model's step.
        stays = now is not None and model.knobs == now.knobs and several
        found = (
            ("" if stays else _outside(name, model.knobs, situation) or _steps_outside(name, model.knobs, situation))
            or ("" if bears and _bears(model, now, situation.limits) else _slow(name, model, now, situation.limits))
            or _tight(name, model, now)
        )
        if found:
            return found
    spare = _RESCUE if broken and not tried else _NOT_WORSE
    device, host = situation.limits.accelerator, situation.limits.host
    return (
        _over("the accelerator's utilisation", prediction.utilization, present.utilization, (device, spare))
        or _over("the host's load", prediction.host, present.host, (host, spare))
        or _memory(prediction, present, situation)
        or _shared_memory(prediction, present)
    )


def lags(present: Prediction) -> bool:
    """Return whether less is served than is wanted, and frames are given up."""
    return any(model.capacity.mean < _SERVED * model.demand for model in present.models.values())


def _outside(name: str, knobs: Knobs, situation: Situation) -> str:
    """Return which bound of the engine or the user the knobs do not keep."""
    limits, engine = situation.limits, situation.engines.get(name)
    sizes = (knobs.max_batch_size, *knobs.preferred_batch_sizes)
    if not limits.min_instances <= knobs.instances <= limits.max_instances or knobs.instances < 1:
        return f"{knobs.instances} instances of {name} are not within {limits.min_instances} to {limits.max_instances}"
    if not 0 <= knobs.max_queue_delay_microseconds <= limits.max_queue_delay_microseconds:
        return (
            f"a queue delay of {knobs.max_queue_delay_microseconds} us of {name} is above"
            f" {limits.max_queue_delay_microseconds} us"
        )
    if engine is None:
        return f"the engine of {name} is not known"
    if max(sizes) > max(1, engine.largest_batch):
        return f"a batch of {max(sizes)} is above the {max(1, engine.largest_batch)} that {name} was compiled for"
    if any(size < 1 or size > max(1, knobs.max_batch_size) for size in knobs.preferred_batch_sizes):
        return f"a preferred batch size of {name} is not within 1 to its largest batch"
    return ""


def _steps_outside(name: str, knobs: Knobs, situation: Situation) -> str:
    """Return whether the instances of the post-processing are out of the user's bounds."""
    count, least, most = (
        knobs.post_processing,
        situation.limits.min_post_processing,
        situation.limits.max_post_processing,
    )
    if not count or least <= count <= most:
        return ""
    return f"{count} instances of the post-processing of {name} are not within {least} to {most}"


def _slow(name: str, model: ModelPrediction, now: ModelPrediction | None, limits: Limits) -> str:
    """Return whether the latency may pass its limit without being better than now."""
    if not known(model.latency.high):
        return f"the latency of {name} cannot be predicted"
    slower = now is None or model.latency.mean > _NOT_WORSE * now.latency.mean
    if model.latency.high <= MARGIN * limits.latency and not (slower and model.latency.mean > SLOWER * limits.latency):
        return ""
    if now is not None and _relieves(model, now, limits):
        return ""
    if now is not None and model.knobs == now.knobs and now.latency.mean > limits.latency and not slower:
        return ""  # Another model's step leaves it as it is.
    near = now is not None and now.latency.mean > SLOWER * limits.latency
    if near and now is not None and model.latency.high <= limits.latency and model.latency.mean <= now.latency.mean:
        return ""  # Surely within the limit, and no slower than now, which is near it by itself.
    rises, most = f"is expected to rise to {model.latency.mean * 1e3:.0f}", SLOWER
    if model.latency.high > MARGIN * limits.latency:
        rises, most = f"may reach {model.latency.high * 1e3:.0f}", MARGIN
    return f"the latency of {name} {rises} ms, more than {most:.0%} of {limits.latency * 1e3:.0f} ms"


def _bears(model: ModelPrediction, now: ModelPrediction | None, limits: Limits) -> bool:
    """Return whether a model that keeps the objective may give to another that does not: expected to keep it, too.

    The pod's objective is broken anyway, and what is not known of a model that always waits for another is much. That
    it keeps it is judged by what it serves: its capacity is that of all models' mix, which one that lags ends for all.
    """
    if now is None or now.latency.mean > limits.latency or now.served < _SERVED * now.demand:
        return False
    return model.latency.mean <= max(SLOWER * limits.latency, min(limits.latency, now.latency.mean))


def _relieves(model: ModelPrediction, now: ModelPrediction, limits: Limits) -> bool:
    """Return whether what serves now breaks the objective and the step is predicted to break it less.

    Where only capacity lacks, and the latency is kept by what is skipped, it is to be kept.
    """
    if not _breaks(now, limits):
        return False
    lags = now.capacity.mean < _SERVED * now.demand
    more = model.capacity.mean * _BETTER > now.capacity.mean
    if now.latency.mean <= limits.latency:
        return lags and more and model.latency.high <= limits.latency
    quicker = model.latency.mean < _BETTER * now.latency.mean
    return quicker or (lags and more)


def _tight(name: str, model: ModelPrediction, now: ModelPrediction | None) -> str:
    """Return whether a step leaves too little room above the demand, and less than now."""
    capacity = model.capacity.mean
    if capacity >= ROOM * model.demand or (now is not None and capacity >= _SERVED * now.capacity.mean):
        return ""
    return f"{name} could serve only {capacity:.3g} images/s, {ROOM:g} times the demand are {ROOM * model.demand:.3g}"


def _breaks(now: ModelPrediction, limits: Limits) -> bool:
    """Return whether what serves now breaks the objective or lags behind its demand."""
    return now.latency.mean > limits.latency or now.capacity.mean < _SERVED * now.demand


def _over(what: str, value: Range | None, now: Range | None, most: tuple[float, float]) -> str:
    """Return whether a share is expected to pass its limit and become worse; one that is not known is not judged.

    The mean counts: what lies above the limit is a reserve, and a trial shows whether it is touched.

    Parameters
    ----------
    most
        The limit, and by which factor the expectation may be above it.
    """
    limit, spare = most
    if value is None or value.mean <= spare * limit or (now is not None and value.mean <= _NOT_WORSE * now.mean):
        return ""
    return f"{what} is expected to reach {value.mean:.0%}, above {limit:.0%}"


def _memory(prediction: Prediction, present: Prediction, situation: Situation) -> str:
    """Return whether the accelerator's memory may not hold a step, or is not known while the step may need more."""
    if situation.limits.memory == math.inf:
        return ""  # the host's, of which the pod's own limit is the bound
    if not footprint.grows(prediction.configuration, present.configuration, situation):
        return _too_large(prediction)
    if not known(prediction.memory_total) or prediction.memory_total is None:
        return "the accelerator's total memory is not known"
    if prediction.change_memory is None or prediction.memory is None:
        return "how much of the accelerator's memory is used is not known"
    most = max(prediction.change_memory.high, prediction.memory.high)
    if not most <= prediction.memory_total:
        return (
            f"the change may need {most / 1e6:.0f} MB of the accelerator's memory,"
            f" it has {prediction.memory_total / 1e6:.0f} MB"
        )
    return ""


def _too_large(prediction: Prediction) -> str:
    """Return whether a change is expected not to fit, though that old and new fit was verified: with another model."""
    change, total = prediction.change_memory, prediction.memory_total
    if change is None or total is None or not known(total) or change.mean <= total:
        return ""
    return (
        f"the change is expected to need {change.mean / 1e6:.0f} MB of the accelerator's memory,"
        f" it has {total / 1e6:.0f} MB"
    )


def _shared_memory(prediction: Prediction, present: Prediction) -> str:
    """Return whether requests in flight need more of /dev/shm than there is and than now."""
    need, room, had = prediction.shared_memory, prediction.shared_memory_room, present.shared_memory
    if need is None or room is None or need <= room or (had is not None and need <= had):
        return ""
    return f"requests in flight need {need / 1e6:.0f} MB of /dev/shm, there are {room / 1e6:.0f} MB"
