"""Which configuration is tried next, if any: of those that are predicted to be safe the one that gains most. Pure.

All are ranked by a short look at what is expected of them, of several models as many as `effort` allows; then, best
first, a full prediction says which are safe, until those that follow cannot be better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from edgedetector.tuning import memory, resources, several
from edgedetector.tuning.allowed import allowable
from edgedetector.tuning.candidates import around, candidates, reaches_out
from edgedetector.tuning.cure import cure, shorter
from edgedetector.tuning.curve import Curves, learn
from edgedetector.tuning.effort import FULL, Effort, Order, effort, order
from edgedetector.tuning.evidence import Prediction
from edgedetector.tuning.gain import WORTH, gain
from edgedetector.tuning.hindrance import hindrance
from edgedetector.tuning.lane import lanes
from edgedetector.tuning.lessons import Lesson, lessons, shortfall
from edgedetector.tuning.prediction import better, predict
from edgedetector.tuning.promise import CURIOUS, TIE, Aim, Choice, Nothing, best, less, waits, worthwhile
from edgedetector.tuning.record import State, key
from edgedetector.tuning.rescue import broken, fastest, hopeless, rescue, wanted
from edgedetector.tuning.reserve import widened
from edgedetector.tuning.safety import lags, refusal
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.window import Configuration

MOST: Final = 4000
"""Candidates that are looked at: bounds the time of a step."""
SHORT: Final = 0.6
"""Share of the accelerator's limit from which its headroom may be what hinders: below, no delay need be thought of."""
CLIMBS: Final = 3
"""Times that one of several models is changed further in what promises most: bounds the time of a step."""
BLUR: Final = 0.10
"""Relative error of a short look: what follows by more than this is not looked at once something safe is found."""
PAUSE: Final = 0.06
"""Seconds for which nothing is answered at the end of a change, at most (docs/results/tuner-reconfigurations.md)."""
LOOK: Final = 10.0
"""Seconds over which the objective's percentile is taken, at least."""


def choose(state: State, situation: Situation, now: float) -> Choice | Nothing:
    """Return what to try next from the accepted configuration."""
    left = effort(len(state.accepted), wanted(state, situation).goal)
    return replace(_chosen(state, situation, now, left), unseen=left.cut)


def _chosen(state: State, situation: Situation, now: float, left: Effort) -> Choice | Nothing:
    curves = learn(state.visits, situation.engines, situation.cameras_of_each())
    dearer = Curves({name: curve.dearer() for name, curve in curves.models.items()})

    def expect(configuration: Configuration, *, rough: bool = False) -> Prediction:
        found = predict(configuration, curves, state.visits, situation, state.accepted, rough=rough)
        if not reaches_out(configuration, state.accepted, curves):
            return found
        worst = predict(configuration, dearer, state.visits, situation, state.accepted, rough=rough)
        return _no_quicker(found, worst)

    present, situation = expect(state.accepted), widened(situation, state)
    cures = [(c, expect(c)) for c in shorter(state, situation, now)]
    by_latency = replace(situation, goal=Goal.LATENCY)
    if cured := cure(situation, present, cures, lessons(state, curves, present, by_latency, now) if cures else ()):
        return cured
    by = wanted(state, situation)
    offered = islice(candidates(state.accepted, situation, curves), MOST)
    hasty = situation.goal is Goal.THROUGHPUT and not _short(state, situation)

    def allow(configuration: Configuration) -> bool:
        waiting = hasty and waits(configuration, state.accepted)
        return not waiting and allowable(configuration, state, situation, now)

    allowed = [c for c in offered if allow(c)]
    recalled = _recalled(state, situation, now)
    if recalled is not None:
        allowed = [recalled, *(c for c in allowed if c != recalled)]

    def glance(configuration: Configuration) -> Prediction:
        return expect(configuration, rough=True)

    ordered = _ordered(state, curves, situation, by)
    allowed = left.first(allowed, ordered)
    learnt, base = lessons(state, curves, present, by, now), glance(state.accepted)

    def worth(configuration: Configuration, prediction: Prediction) -> float:
        # What is not safe at a short look need not be looked at.
        told = better(prediction, base, by) - shortfall(configuration, learnt)
        return -math.inf if refusal(prediction, base, by) else told

    onward = _onward(state, curves, situation, allow, lambda steps: left.next(steps, ordered))
    glances = _climbed([(c, glance(c)) for c in allowed], worth, onward, glance)
    looked = _looked_at(glances, worth, by, present, recalled, expect=expect, learnt=learnt, full=left.full)
    safe = [(c, p) for c, p in looked if not refusal(p, present, situation, tried=bool(learnt))]
    if broken(state, situation):
        # What no configuration can keep is the user's to change: a rescue would be one without an end.
        possible = fastest(state, curves) <= situation.limits.latency
        return (rescue(state, situation, present, safe, learnt) if possible else None) or Nothing(
            present, hopeless(state, situation, looked, present, curves)
        )
    models = lanes(state.accepted, curves, state.visits, situation)
    frail = _frail(several.late(models, state.visits, situation, PAUSE), situation)
    curious = state.probes < CURIOUS and lags(present)
    return _most_promising(situation, present, safe, recalled, frail=frail, learnt=learnt, curious=curious) or Nothing(
        present,
        hindered=hindrance(glances, base, looked, present, situation, now=resources.latest(state.visits), frail=frail),
    )


def _ordered(state: State, curves: Curves, situation: Situation, by: Situation) -> Order:
    """Return how configurations are ordered where not all are looked at."""

    def most(configuration: Configuration) -> float:
        return several.most(configuration, curves, state.visits, situation)

    return lambda steps: order(steps, state.accepted, most if by.goal is Goal.THROUGHPUT else None)


def _onward(
    state: State,
    curves: Curves,
    situation: Situation,
    allow: Callable[[Configuration], bool],
    taken: Callable[[Sequence[Configuration]], list[Configuration]],
) -> Callable[[Configuration, Collection[str]], list[Configuration]]:
    """Return what gives steps of one model further from a configuration of several, as far as they are looked at."""

    def onward(configuration: Configuration, seen: Collection[str]) -> list[Configuration]:
        if len(configuration) == 1:
            return []
        steps = around(configuration, state.accepted, situation, curves)
        return taken([c for c in steps if key(c) not in seen and allow(c)])

    return onward


def _no_quicker(found: Prediction, worst: Prediction) -> Prediction:
    """Return a prediction whose latencies may reach what is expected of them in the worst case."""
    models = {
        name: replace(one, latency=replace(one.latency, high=max(one.latency.high, worst.models[name].latency.mean)))
        for name, one in found.models.items()
    }
    return replace(found, models=models)


def _frail(found: Sequence[float], situation: Situation) -> bool:
    """Whether the gap of a change back may break the objective: then nothing is tried that may have to be reverted."""
    return max(found, default=0.0) > LOOK * (1.0 - situation.limits.percentile / 100.0)


def _short(state: State, situation: Situation) -> bool:
    """Whether the accelerator's headroom may be short, which a delay gives some of: of anything that was tried."""
    used = max((visit.utilization or 0.0 for visit in state.visits), default=0.0)
    return used >= SHORT * situation.limits.accelerator


def _looked_at(
    glances: Sequence[tuple[Configuration, Prediction]],
    worth: Callable[[Configuration, Prediction], float],
    by: Situation,
    present: Prediction,
    recalled: Configuration | None,
    *,
    expect: Callable[[Configuration], Prediction],
    learnt: Sequence[Lesson] = (),
    full: int = FULL,
) -> list[tuple[Configuration, Prediction]]:
    """Return full predictions of those that promise most, as far as they can be what is chosen."""
    gains = [(worth(c, p), -index) for index, (c, p) in enumerate(glances)]
    ranked = [(value, glances[-index][0]) for value, index in sorted(gains, reverse=True) if value > -math.inf]
    found: list[tuple[Configuration, Prediction]] = [(recalled, expect(recalled))] if recalled is not None else []
    best = WORTH
    for value, configuration in ranked[:full]:
        if value < best - BLUR:
            break
        if configuration == recalled:
            continue
        prediction = expect(configuration)
        found.append((configuration, prediction))
        if not refusal(prediction, present, by):
            best = max(best, better(prediction, present, by) - shortfall(configuration, learnt))
    return found


def _climbed(
    glances: list[tuple[Configuration, Prediction]],
    worth: Callable[[Configuration, Prediction], float],
    onward: Callable[[Configuration, Collection[str]], list[Configuration]],
    glance: Callable[[Configuration], Prediction],
) -> list[tuple[Configuration, Prediction]]:
    """Return short looks at what is allowed and at what is come to from the best of it by changing model after model.

    Parameters
    ----------
    onward
        Gives what differs from a configuration of several models in one of them and was not seen yet; of one model
        nothing.
    """
    if not glances:
        return []
    found, seen = list(glances), {key(c) for c, _ in glances}
    top, value = max(((c, worth(c, p)) for c, p in glances), key=lambda one: one[1])
    for _ in range(CLIMBS if value > -math.inf else 0):
        new = [(c, glance(c)) for c in onward(top, seen)]
        seen |= {key(c) for c, _ in new}
        found += new
        best, most = max(((c, worth(c, p)) for c, p in new), key=lambda one: one[1], default=(top, value))
        if most < value + TIE:
            break
        top, value = best, most
    return found


def _most_promising(
    situation: Situation,
    present: Prediction,
    safe: Sequence[tuple[Configuration, Prediction]],
    recalled: Configuration | None,
    *,
    frail: bool,
    learnt: Sequence[Lesson] = (),
    curious: bool = False,
) -> Choice | None:
    choices = [
        Choice(Aim.GAIN, c, p, present, less(gain(p, present, situation), shortfall(c, learnt))) for c, p in safe
    ]
    promising = [
        choice
        for choice in worthwhile(choices, present.configuration, curious=curious and not frail)
        if choice.gain.low >= WORTH or not frail
    ]
    # What was the best at this traffic before comes first; then ties go to the one that needs least.
    return best(promising, lambda one: one.gain.mean, recalled)


def _recalled(state: State, situation: Situation, now: float) -> Configuration | None:
    known = memory.best(state)
    if known is None or not allowable(known.configuration, state, situation, now):
        return None
    return known.configuration
