"""What a trial that disappointed says of configurations like its own. Pure.

A prediction errs alike for configurations that are alike. By how much the model still promises more of what was tried
than it showed, after it has learnt from that, is taken off what it promises of others, less with each step away: the
discrepancy of a computer model, correlated over its inputs (Kennedy and O'Hagan, J. R. Stat. Soc. B 63, 2001, eq. 5).
Without that a tuner tries one after the other what all fails for one reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgedetector.tuning import memory, visits
from edgedetector.tuning.curve import Curves
from edgedetector.tuning.evidence import Prediction, Visit
from edgedetector.tuning.gain import gain, measured_gain
from edgedetector.tuning.nearness import nearness
from edgedetector.tuning.prediction import predict
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Configuration

MOST: Final = 4
"""Trials that are learnt from, the latest: bounds the time of a step."""
FEWEST: Final = 5
"""Windows in which a trial showed its gain (`trial.FEWEST`)."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A trial that disappointed."""

    configuration: Configuration
    short: float
    """By how much its relative gain fell short of what is predicted of it otherwise."""


def lessons(state: State, curves: Curves, present: Prediction, by: Situation, now: float) -> list[Lesson]:
    """Return what denied trials showed less than the model promises, at the present demand.

    Parameters
    ----------
    curves
        Learnt from all visits, the trials' included.
    by
        With the goal by which gains are compared.
    """
    base = visits.of(state.visits, state.accepted)
    tried = [visit for visit in state.visits if _denied(visit, state, now)]
    return [_lesson(visit, state, curves, (present, base), by) for visit in tried[-MOST:]] if base is not None else []


def _denied(visit: Visit, state: State, now: float) -> bool:
    """Whether a visit is a trial that was denied, long enough to show its gain and at the present demand."""
    demand = {name: model.demand for name, model in visit.models.items()}
    told = visit.windows >= FEWEST and visit.configuration != dict(state.accepted)
    return (
        told
        and bool(memory.denied(state, visit.configuration, now))
        and not memory.apart(state.demand, demand, memory.MOVING)
    )


def _lesson(visit: Visit, state: State, curves: Curves, base: tuple[Prediction, Visit], by: Situation) -> Lesson:
    others = tuple(other for other in state.visits if other is not visit)
    promised = predict(visit.configuration, curves, others, by, state.accepted)
    drawn = predict(visit.configuration, curves, state.visits, by, state.accepted)
    short = gain(promised, base[0], by).mean - measured_gain((drawn, visit), base, by).gain.mean
    return Lesson(visit.configuration, max(0.0, short) if math.isfinite(short) else 0.0)


def shortfall(configuration: Configuration, learnt: Sequence[Lesson]) -> float:
    """Return what the nearest disappointment takes of the relative gain that a configuration promises."""
    return max((lesson.short * nearness(configuration, lesson.configuration) for lesson in learnt), default=0.0)
