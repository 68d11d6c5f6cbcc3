"""What outlasts a trial: traffic levels with the best known at each, and what is not to be tried for a while. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from edgedetector.tuning.record import Best, Denial, State, key
from edgedetector.tuning.window import Configuration, Window

STEP: Final = 1.3
"""Factor of demand between two traffic levels."""
STAY: Final = 0.75
"""Levels that the demand may be off the middle of its level (half a level is where the next begins): hysteresis."""
SMOOTHING: Final = 20.0
"""Seconds over which the demand is smoothed."""
MOVING: Final = 1.25
"""Factor between the last and the smoothed demand from which it is still moving."""
AN_HOUR: Final = 3600.0
LONGEST_DENIAL: Final = 24 * AN_HOUR


def smoothed(demand: Mapping[str, float], window: Window, over: float) -> dict[str, float]:
    """Return the demand by model, smoothed over some seconds, after one more window."""
    share = 1 - math.exp(-window.seconds / over)
    return {
        name: _short(model.demand if name not in demand else demand[name] + share * (model.demand - demand[name]))
        for name, model in window.models.items()
    }


def bucket(demand: float) -> int:
    """Return the number of a traffic level; each is `STEP` times the one below. 0 images a second has a level too."""
    return round(math.log(max(demand, 0.01), STEP))


def level(demand: Mapping[str, float], present: Mapping[str, int]) -> dict[str, int]:
    """Return the traffic level by model: the present one while the demand is not clearly off it."""
    return {name: _level(each, present.get(name)) for name, each in demand.items()}


def apart(one: Mapping[str, float], other: Mapping[str, float], factor: float) -> bool:
    """Whether two demands differ by more than a factor, for any model."""
    return any(
        max(one[name], other[name], 0.01) / max(min(one[name], other[name]), 0.01) > factor
        for name in one.keys() & other.keys()
    )


def best(state: State) -> Best | None:
    """Return the best that is known at the present traffic level."""
    return next((each for each in state.memory if each.level == state.level), None)


def remembered(state: State, now: float, *, converged: bool, vain: int = 0) -> State:
    """Return the state with what is accepted as the best at the present traffic level."""
    entry = Best(dict(state.level), dict(state.accepted), now, converged, vain)
    return replace(state, memory=(*(each for each in state.memory if each.level != state.level), entry))


def denied(state: State, configuration: Configuration, now: float) -> str:
    """Return why a configuration is not tried now; empty: it may be.

    A denial that ends later than any may was written while the clock was ahead.
    """
    name = key(configuration)
    return next(
        (each.why for each in state.denials if each.key == name and now < each.until <= now + LONGEST_DENIAL), ""
    )


def deny(state: State, configuration: Configuration, now: float, seconds: float, why: str) -> State:
    """Return the state with a configuration denied for a time, four times longer at each repetition, up to a day."""
    name = key(configuration)
    before = next((each.times for each in state.denials if each.key == name), 0)
    until = now + min(LONGEST_DENIAL, seconds * 4**before)
    # An ended denial stays for a day, so that a repetition is known as one.
    others = tuple(each for each in state.denials if each.key != name and now < each.until + LONGEST_DENIAL)
    return replace(state, denials=(*others, Denial(name, until, before + 1, why[:200])))


def _level(demand: float, present: int | None) -> int:
    if present is not None and abs(math.log(max(demand, 0.01), STEP) - present) <= STAY:
        return present
    return bucket(demand)


def _short(figure: float) -> float:
    return float(f"{figure:.6g}")
