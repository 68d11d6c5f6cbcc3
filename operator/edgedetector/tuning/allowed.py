"""Which configurations may be tried at all: within the bounds, another one than serves, not denied. Pure."""

from __future__ import annotations

from edgedetector.tuning import memory, post_processing, sentences
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Configuration, Knobs


def allowable(configuration: Configuration, state: State, situation: Situation, now: float) -> bool:
    """Whether a configuration may be tried at all: another one, within the bounds, not denied."""
    return (
        not alike(configuration, state.accepted)
        and within(configuration, situation)
        and not memory.denied(state, configuration, now)
    )


def alike(one: Configuration, other: Configuration) -> bool:
    """Whether two configurations are served alike, though they may be written differently."""
    return {name: _effective(knobs) for name, knobs in one.items()} == {
        name: _effective(knobs) for name, knobs in other.items()
    }


def _effective(knobs: Knobs) -> Knobs:
    if sentences.largest_batch(knobs) <= 1:
        return Knobs(
            knobs.instances, post_processing=knobs.post_processing
        )  # with batches of one there is nothing to wait for, or to prefer
    return knobs


def within(configuration: Configuration, situation: Situation) -> bool:
    """Whether a configuration has all models and keeps the user's bounds and the engines'.

    What a model is specified to start with may be out of the bounds: it may stay so while another model changes.
    """
    limits = situation.limits

    def fits(name: str, knobs: Knobs) -> bool:
        largest = max(1, situation.engines[name].largest_batch)
        return (
            limits.min_instances <= knobs.instances <= limits.max_instances
            and knobs.max_batch_size <= largest
            and all(size <= max(1, knobs.max_batch_size) for size in knobs.preferred_batch_sizes)
            and 0 <= knobs.max_queue_delay_microseconds <= limits.max_queue_delay_microseconds
            and post_processing.bounded(knobs, situation.start[name], limits)
        )

    known = configuration.keys() == situation.start.keys() <= situation.engines.keys()
    return known and all(knobs == situation.start[name] or fits(name, knobs) for name, knobs in configuration.items())
