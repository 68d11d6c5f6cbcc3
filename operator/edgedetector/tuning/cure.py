"""The cure of a queue delay that waits for nobody: it comes first, whatever the goal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from edgedetector.tuning import visits
from edgedetector.tuning.allowed import allowable
from edgedetector.tuning.evidence import ModelVisit, Prediction
from edgedetector.tuning.gain import WORTH, gain
from edgedetector.tuning.lessons import Lesson, shortfall
from edgedetector.tuning.promise import Aim, Choice, best, less
from edgedetector.tuning.record import State
from edgedetector.tuning.safety import refusal
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.window import Configuration

DELAY_SHARE: Final = 0.4
"""Of the time in Triton that the configured delay takes where it waits for nobody; the reference's took 0.4 to 0.8."""
DELAY_SPENT: Final = 0.25
"""Of the configured delay that requests really wait in the mean (half of it where several join a batch): less, and
batches fill before it ends."""
IDLE: Final = 0.7
"""Busy share below which a delay is not what keeps a device from overload."""
SHORTER_DELAYS: Final = (0, 100, 500, 1000, 2000, 5000)
"""Microseconds."""


def cure(
    situation: Situation,
    present: Prediction,
    options: Sequence[tuple[Configuration, Prediction]],
    learnt: Sequence[Lesson] = (),
) -> Choice | None:
    """Return the shorter delay with the lowest latency that costs no capacity.

    Parameters
    ----------
    learnt
        What cures showed that disappointed, by latency.
    """
    by_latency = replace(situation, goal=Goal.LATENCY)
    by_throughput = replace(situation, goal=Goal.THROUGHPUT)
    choices = [
        Choice(Aim.CURE, c, p, present, less(gain(p, present, by_latency), shortfall(c, learnt)))
        for c, p in options
        if not refusal(p, present, situation) and gain(p, present, by_throughput).mean > -WORTH
    ]
    worthy = [choice for choice in choices if choice.gain.mean >= WORTH]
    return best(worthy, lambda one: one.gain.mean, None)


def shorter(state: State, situation: Situation, now: float) -> Iterator[Configuration]:
    """Yield the accepted configuration with shorter delays, where waiting is most of the time in Triton for nothing."""
    seen = visits.of(state.visits, state.accepted)
    idle = [name for name, model in seen.models.items() if waits_for_nobody(model)] if seen else []
    if not idle:
        return
    for delay in SHORTER_DELAYS:
        shortened = {
            name: replace(knobs, max_queue_delay_microseconds=min(delay, knobs.max_queue_delay_microseconds))
            if name in idle
            else knobs
            for name, knobs in state.accepted.items()
        }
        if allowable(shortened, state, situation, now):
            yield shortened


def waits_for_nobody(model: ModelVisit) -> bool:
    """Whether a model's queue delay is most of what a request takes, though the device has time."""
    delay = model.knobs.max_queue_delay_microseconds / 1e6
    return (
        delay > 0
        and model.busy < IDLE
        and model.queue >= DELAY_SPENT * delay
        and model.queue >= DELAY_SHARE * model.request > 0
    )
