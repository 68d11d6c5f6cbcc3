"""Why nothing can be tuned, each with its remedy. Pure.

Bad words and bad figures change nothing: what is accepted goes on serving, and the sentence says what would help.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Limits, Situation
from edgedetector.tuning.window import Window

SILENCE: Final = 120.0
"""Seconds without a usable window after which that is said."""


def contradiction(situation: Situation) -> str:
    """Return what in the words of the user or the profile cannot be; empty: nothing."""
    return next(_contradictions(situation), "")


def blindness(state: State, windows: Iterable[Window], now: float) -> str:
    """Return why the windows say nothing for so long; empty: they do say something."""
    if now - state.useful < SILENCE:
        return ""
    last = max(windows, key=lambda window: window.start, default=None)
    if last is None:
        return "no pod has told of its load for two minutes: see whether GET /observation of its detector answers"
    if last.disturbed:
        return f"nothing can be learnt at present: {last.disturbed}"
    if any(model.rate > 0 and not model.batches for model in last.models.values()):
        return "Triton's statistics by batch size are missing: its model statistics must be reachable (--allow-grpc)"
    return "what the pod tells of its load are not figures that can be: see GET /observation of the detector container"


def _contradictions(situation: Situation) -> Iterator[str]:
    limits = situation.limits
    if not situation.start:
        yield "there is no model to tune: name one in spec.models"
    for name in sorted(situation.start.keys() - situation.engines.keys()):
        yield f"nothing is known of the engine of {name}: state spec.models[].maxBatchSize"
    yield from _bounds(limits)
    if not (math.isfinite(limits.latency) and limits.latency > 0):
        yield "the latency objective is no time above 0: correct spec.tuning.objective.latency.max"
    if not 1 <= limits.percentile <= 99:  # noqa: PLR2004 - of a hundred
        yield "the latency percentile must be 1 to 99: correct spec.tuning.objective.latency.percentile"
    for share, field in ((limits.accelerator, "accelerator"), (limits.host, "cpu")):
        if not 0 < share <= 1:
            yield f"the headroom leaves nothing to use: correct spec.tuning.headroom.{field} to 0% to 99%"
    if limits.memory is not None and not limits.memory > 0:
        yield "the accelerator's memory is stated as nothing: correct the size in the profile or the EdgeDetector"


def _bounds(limits: Limits) -> Iterator[str]:
    if limits.min_instances > limits.max_instances:
        yield (
            f"at least {limits.min_instances} and at most {limits.max_instances} instances contradict each other: "
            "correct spec.tuning.bounds.instances"
        )
    if limits.min_instances < 1:
        yield "a model needs at least 1 instance: correct spec.tuning.bounds.instances.min"
    if limits.min_post_processing > limits.max_post_processing:
        yield (
            f"at least {limits.min_post_processing} and at most {limits.max_post_processing} instances of "
            "post-processing contradict each other: correct spec.tuning.bounds.postProcessingInstances"
        )
    if limits.max_queue_delay_microseconds < 0:
        yield "a queue delay cannot be negative: correct spec.tuning.bounds.maxQueueDelay"
