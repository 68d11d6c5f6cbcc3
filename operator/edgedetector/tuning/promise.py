"""What is chosen to be tried, and which of several choices comes first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgedetector.tuning.evidence import Prediction, Range
from edgedetector.tuning.gain import WORTH
from edgedetector.tuning.record import key
from edgedetector.tuning.window import Configuration

CURIOUS: Final = 3
"""Trials of a traffic level up to which, while frames are given up, what is expected to be no worse is tried, too."""
CLEARLY: Final = 0.10
"""Gain that it may have, at least."""
TIE: Final = 0.01
"""Gains that differ by less are equal: the simulations behind them are no more exact."""


class Aim(StrEnum):
    """What a trial is for."""

    GAIN = "gain"
    """To be better by the situation's goal."""
    CURE = "cure"
    """To be rid of a queue delay that waits for nobody; judged by latency, whatever the goal."""
    RESCUE = "rescue"
    """To keep the objective, which the accepted configuration breaks."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to try."""

    aim: Aim
    configuration: Configuration
    prediction: Prediction
    present: Prediction
    gain: Range
    unseen: int = 0
    """Steps that could be taken and were not looked at, since they are many."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Why nothing is to be tried."""

    present: Prediction
    trouble: str = ""
    """If something is wrong, with the remedy."""
    hindered: str = ""
    """Which step promises more and is not safe, and why: a clause."""
    unseen: int = 0
    """As of a choice."""


def worthwhile(choices: Sequence[Choice], accepted: Configuration, *, curious: bool) -> list[Choice]:
    """Return the choices that are expected to gain enough, or else, if `curious`, those that may gain much.

    They are expected to be no worse then, and wait no longer for more requests, which are there anyway: what is not
    known of them may be worth more than the trial costs.
    """
    found = [choice for choice in choices if choice.gain.mean >= WORTH]
    if found or not curious:
        return found
    return [
        choice
        for choice in choices
        if choice.gain.mean >= 0.0 and choice.gain.high >= CLEARLY and not waits(choice.configuration, accepted)
    ]


def waits(configuration: Configuration, accepted: Configuration) -> bool:
    """Whether a configuration waits in the queue for longer than the accepted one."""
    return any(
        knobs.max_queue_delay_microseconds > accepted[name].max_queue_delay_microseconds
        for name, knobs in configuration.items()
    )


def best(choices: Sequence[Choice], worth: Callable[[Choice], float], recalled: Configuration | None) -> Choice | None:
    """Return what was the best at this traffic before, else what is worth most; about equals go by what they need."""
    if not choices:
        return None
    if again := [choice for choice in choices if choice.configuration == recalled]:
        return again[0]
    values = [worth(choice) for choice in choices]
    equals = [choice for choice, value in zip(choices, values, strict=True) if value >= max(values) - TIE]
    return max(equals, key=lambda one: _modesty(one.configuration))


def _modesty(configuration: Configuration) -> tuple[int, int, int, str]:
    knobs = configuration.values()
    return (
        -sum(each.instances + each.post_processing for each in knobs),
        -sum(each.max_queue_delay_microseconds for each in knobs),
        -sum(each.max_batch_size for each in knobs),
        key(configuration),
    )


def less(promised: Range, short: float) -> Range:
    """Return a gain by which so much less is expected."""
    return Range(promised.low - short, promised.mean - short, promised.high - short)
