"""Which configuration is tried next, if any: of those that are predicted to be safe the one that gains most. Pure.

All are ranked by a short look at what is expected of them; then, best first, a full prediction says which are safe,
until those that follow cannot be better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Final

from edgedetector.tuning import memory, post_processing, sentences, visits
from edgedetector.tuning.candidates import around, candidates, reaches_out
from edgedetector.tuning.curve import Curves, learn
from edgedetector.tuning.evidence import ModelVisit, Prediction, Range
from edgedetector.tuning.gain import WORTH, gain, saturated
from edgedetector.tuning.hindrance import hindrance
from edgedetector.tuning.lane import lanes, late
from edgedetector.tuning.lessons import Lesson, lessons, shortfall
from edgedetector.tuning.prediction import better, predict
from edgedetector.tuning.record import State, key
from edgedetector.tuning.safety import refusal
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.window import Configuration, Knobs

MOST: Final = 4000
"""Candidates that are looked at: bounds the time of a step."""
SHORT: Final = 0.6
"""Share of the accelerator's limit from which its headroom may be what hinders: below, no delay need be thought of."""
LOOKED_AT: Final = 12
"""Candidates that are predicted in full: bounds the time of a step."""
CLIMBS: Final = 3
"""Times that one of several models is changed further in what promises most: bounds the time of a step."""
BLUR: Final = 0.10
"""Relative error of a short look: what follows by more than this is not looked at once something safe is found."""
RELIEF: Final = 0.9
"""Share of the present latency that a rescue must be predicted to come down to, where not to the limit itself."""
OFF: Final = 0.05
"""Relative error of what an overloaded server is expected to serve otherwise (`lane._OFF`)."""
TIE: Final = 0.01
"""Gains that differ by less are equal: the simulations behind them are no more exact."""
DELAY_SHARE: Final = 0.4
"""Of the time in Triton that the configured delay takes where it waits for nobody; the reference's took 0.4 to 0.8."""
DELAY_SPENT: Final = 0.25
"""Of the configured delay that requests really wait in the mean (half of it where several join a batch): less, and
batches fill before it ends."""
IDLE: Final = 0.7
"""Busy share below which a delay is not what keeps a device from overload."""
PAUSE: Final = 0.06
"""Seconds for which nothing is answered at the end of a change, at most (docs/results/tuner-reconfigurations.md)."""
LOOK: Final = 10.0
"""Seconds over which the objective's percentile is taken, at least."""
SHORTER_DELAYS: Final = (0, 100, 500, 1000, 2000, 5000)
"""Microseconds."""


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


@dataclass(frozen=True, slots=True)
class Nothing:
    """Why nothing is to be tried."""

    present: Prediction
    trouble: str = ""
    """If something is wrong, with the remedy."""
    hindered: str = ""
    """Which step promises more and is not safe, and why: a clause."""


def choose(state: State, situation: Situation, now: float) -> Choice | Nothing:
    """Return what to try next from the accepted configuration."""
    curves = learn(state.visits, situation.engines, {name: situation.cameras_of(name) for name in situation.engines})
    dearer = Curves({name: curve.dearer() for name, curve in curves.models.items()})

    def expect(configuration: Configuration, *, rough: bool = False) -> Prediction:
        found = predict(configuration, curves, state.visits, situation, state.accepted, rough=rough)
        if not reaches_out(configuration, state.accepted, curves):
            return found
        worst = predict(configuration, dearer, state.visits, situation, state.accepted, rough=rough)
        return _no_quicker(found, worst)

    present = _reserved(expect(state.accepted), state, situation)
    if cure := _cure(situation, present, [(c, expect(c)) for c in _shorter(state, situation, now)]):
        return cure
    by = _wanted(state, situation)
    offered = islice(candidates(state.accepted, situation, curves), MOST)
    hasty = situation.goal is Goal.THROUGHPUT and not _short(state, situation)

    def allow(configuration: Configuration) -> bool:
        waits = hasty and _waits(configuration, state.accepted)
        return not waits and allowable(configuration, state, situation, now)

    allowed = [c for c in offered if allow(c)]
    recalled = _recalled(state, situation, now)
    if recalled is not None:
        allowed = [recalled, *(c for c in allowed if c != recalled)]

    def glance(configuration: Configuration) -> Prediction:
        found = expect(configuration, rough=True)
        return _reserved(found, state, situation) if configuration == state.accepted else found

    def beside(configuration: Configuration) -> list[Configuration]:
        return [c for c in around(configuration, situation, curves) if allow(c)] if len(configuration) > 1 else []

    learnt, base = lessons(state, curves, present, by, now), glance(state.accepted)

    def worth(configuration: Configuration, prediction: Prediction) -> float:
        # What is not safe at a short look need not be looked at.
        told = better(prediction, base, by) - shortfall(configuration, learnt)
        return -math.inf if refusal(prediction, base, by) else told

    glances = _climbed([(c, glance(c)) for c in allowed], worth, beside, glance)
    looked = _looked_at(glances, worth, by, present, recalled, expect=expect, learnt=learnt)
    safe = [(c, p) for c, p in looked if not refusal(p, present, situation, tried=bool(learnt))]
    if broken(state, situation):
        # What no configuration can keep is the user's to change: a rescue would be one without an end.
        possible = _fastest(state) <= situation.limits.latency
        return (_rescue(state, situation, present, safe, learnt) if possible else None) or Nothing(
            present, _hopeless(state, situation, looked, present)
        )
    frail = _frail([late(model, state.visits, situation, PAUSE) for model in
                    lanes(state.accepted, curves, state.visits, situation)], situation)  # fmt: skip
    return _most_promising(situation, present, safe, recalled, frail=frail, learnt=learnt) or Nothing(
        present, hindered=hindrance(glances, base, looked, present, situation, frail=frail)
    )


def _reserved(present: Prediction, state: State, situation: Situation) -> Prediction:
    """Return the present prediction with the accelerator's time that the start took, if that is more.

    Of several models one may need what another gave back: what the start left of the reserve is left to them together.
    """
    started, used = visits.of(state.visits, situation.start), present.utilization
    if len(present.models) < 2 or started is None or started.utilization is None or used is None:  # noqa: PLR2004
        return present
    most = max(used.mean, started.utilization)
    return replace(present, utilization=replace(used, mean=most, high=max(most, used.high)))


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


def _waits(configuration: Configuration, accepted: Configuration) -> bool:
    """Whether a configuration waits in the queue for longer than the accepted one."""
    return any(
        knobs.max_queue_delay_microseconds > accepted[name].max_queue_delay_microseconds
        for name, knobs in configuration.items()
    )


def _wanted(state: State, situation: Situation) -> Situation:
    """Return the situation with the goal by which candidates are ranked now."""
    if not broken(state, situation):
        return situation
    return replace(situation, goal=Goal.THROUGHPUT if _lacks(state) else Goal.LATENCY)


def _lacks(state: State) -> bool:
    """Whether capacity is what the accepted configuration lacks."""
    seen = visits.of(state.visits, state.accepted)
    return seen is not None and any(saturated(model) for model in seen.models.values())


def _looked_at(
    glances: Sequence[tuple[Configuration, Prediction]],
    worth: Callable[[Configuration, Prediction], float],
    by: Situation,
    present: Prediction,
    recalled: Configuration | None,
    *,
    expect: Callable[[Configuration], Prediction],
    learnt: Sequence[Lesson] = (),
) -> list[tuple[Configuration, Prediction]]:
    """Return full predictions of those that promise most, as far as they can be what is chosen."""
    gains = [(worth(c, p), -index) for index, (c, p) in enumerate(glances)]
    ranked = [(value, glances[-index][0]) for value, index in sorted(gains, reverse=True) if value > -math.inf]
    found: list[tuple[Configuration, Prediction]] = [(recalled, expect(recalled))] if recalled is not None else []
    best = WORTH
    for value, configuration in ranked[:LOOKED_AT]:
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
    beside: Callable[[Configuration], list[Configuration]],
    glance: Callable[[Configuration], Prediction],
) -> list[tuple[Configuration, Prediction]]:
    """Return short looks at what is allowed and at what is come to from the best of it by changing model after model.

    Parameters
    ----------
    beside
        Gives what differs from a configuration of several models in one of them; of one model nothing.
    """
    if not glances:
        return []
    found, seen = list(glances), {key(c) for c, _ in glances}
    top, value = max(((c, worth(c, p)) for c, p in glances), key=lambda one: one[1])
    for _ in range(CLIMBS if value > -math.inf else 0):
        new = [(c, glance(c)) for c in beside(top) if key(c) not in seen]
        seen |= {key(c) for c, _ in new}
        found += new
        best, most = max(((c, worth(c, p)) for c, p in new), key=lambda one: one[1], default=(top, value))
        if most < value + TIE:
            break
        top, value = best, most
    return found


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


def broken(state: State, situation: Situation) -> bool:
    """Whether the accepted configuration surely breaks the objective at the present load."""
    seen = visits.of(state.visits, state.accepted)
    return seen is not None and any(
        model.latency is not None and model.latency.low > situation.limits.latency for model in seen.models.values()
    )


def _most_promising(
    situation: Situation,
    present: Prediction,
    safe: Sequence[tuple[Configuration, Prediction]],
    recalled: Configuration | None,
    *,
    frail: bool,
    learnt: Sequence[Lesson] = (),
) -> Choice | None:
    choices = [
        Choice(Aim.GAIN, c, p, present, _less(gain(p, present, situation), shortfall(c, learnt))) for c, p in safe
    ]
    promising = [choice for choice in choices if choice.gain.mean >= WORTH and (choice.gain.low >= WORTH or not frail)]
    # What was the best at this traffic before comes first; then ties go to the one that needs least.
    return _best(promising, lambda one: one.gain.mean, recalled)


def _less(promised: Range, short: float) -> Range:
    return Range(promised.low - short, promised.mean - short, promised.high - short)


def _best(choices: list[Choice], worth: Callable[[Choice], float], recalled: Configuration | None) -> Choice | None:
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


def _recalled(state: State, situation: Situation, now: float) -> Configuration | None:
    known = memory.best(state)
    if known is None or not allowable(known.configuration, state, situation, now):
        return None
    return known.configuration


def _cure(situation: Situation, present: Prediction, options: list[tuple[Configuration, Prediction]]) -> Choice | None:
    """Return the shorter delay with the lowest latency that costs no capacity."""
    by_latency = replace(situation, goal=Goal.LATENCY)
    by_throughput = replace(situation, goal=Goal.THROUGHPUT)
    choices = [
        Choice(Aim.CURE, c, p, present, gain(p, present, by_latency))
        for c, p in options
        if not refusal(p, present, situation) and gain(p, present, by_throughput).mean > -WORTH
    ]
    worthy = [choice for choice in choices if choice.gain.mean >= WORTH]
    return _best(worthy, lambda one: one.gain.mean, None)


def _shorter(state: State, situation: Situation, now: float) -> Iterator[Configuration]:
    """Yield the accepted configuration with shorter delays, where waiting is most of the time in Triton for nothing."""
    seen = visits.of(state.visits, state.accepted)
    idle = [name for name, model in seen.models.items() if waits_for_nobody(model)] if seen else []
    if not idle:
        return
    for delay in SHORTER_DELAYS:
        shorter = {
            name: replace(knobs, max_queue_delay_microseconds=min(delay, knobs.max_queue_delay_microseconds))
            if name in idle
            else knobs
            for name, knobs in state.accepted.items()
        }
        if allowable(shorter, state, situation, now):
            yield shorter


def waits_for_nobody(model: ModelVisit) -> bool:
    """Whether a model's queue delay is most of what a request takes, though the device has time."""
    delay = model.knobs.max_queue_delay_microseconds / 1e6
    return (
        delay > 0
        and model.busy < IDLE
        and model.queue >= DELAY_SPENT * delay
        and model.queue >= DELAY_SHARE * model.request > 0
    )


def _rescue(
    state: State,
    situation: Situation,
    present: Prediction,
    safe: list[tuple[Configuration, Prediction]],
    learnt: Sequence[Lesson],
) -> Choice | None:
    """Return what keeps the objective best: by capacity where that is what lacks, else by latency."""
    lacks, by = _lacks(state), _wanted(state, situation)
    choices = [
        Choice(Aim.RESCUE, c, p, present, _less(gain(p, present, by), shortfall(c, learnt)))
        for c, p in safe
        if (lacks or _relieves(p, present, situation.limits.latency))
        and _helps(p, present, situation, tried=bool(learnt))
    ]
    known = memory.best(state)
    recalled = known.configuration if known else None
    return _best([one for one in choices if one.gain.mean >= WORTH], lambda one: one.gain.mean, recalled)


def _relieves(one: Prediction, present: Prediction, limit: float) -> bool:
    return all(
        model.latency.mean <= max(limit, RELIEF * present.models[name].latency.mean)
        for name, model in one.models.items()
    )


def _helps(one: Prediction, present: Prediction, situation: Situation, *, tried: bool) -> bool:
    """Whether a rescue is expected to pass its trial: to keep the objective, or else to serve no less than now.

    An overloaded server keeps up by skipping frames; what could do more within the objective and serves less of this
    load does not help it. Until a trial has shown more than the largest batches, what is expected may be off.
    """
    within = all(model.latency.mean <= situation.limits.latency for model in one.models.values())
    served, now = (sum(model.served for model in each.models.values()) for each in (one, present))
    return within or served > (1.0 - WORTH - (0.0 if tried else OFF)) * now


def _hopeless(
    state: State, situation: Situation, refused: list[tuple[Configuration, Prediction]], present: Prediction
) -> str:
    """Return why the objective cannot be kept, with the remedy."""
    limit, name = situation.limits.latency, sentences.percentile(situation)
    fastest = _fastest(state)
    if fastest > limit:
        return (
            f"no configuration can keep {name} within {sentences.milliseconds(limit)}: one image alone takes "
            f"{sentences.milliseconds(fastest)}; raise spec.tuning.objective.latency.max, or use a faster engine"
        )
    reasons = Counter(filter(None, (refusal(prediction, present, situation) for _, prediction in refused)))
    why = f": {reasons.most_common(1)[0][0]}" if reasons else ""
    return (
        f"{name} is above {sentences.milliseconds(limit)}, and nothing within the bounds is predicted to keep it{why}; "
        "lower frame rates, raise spec.tuning.objective.latency.max, widen spec.tuning.bounds, or add an accelerator"
    )


def _fastest(state: State) -> float:
    """Seconds that the slowest model takes for one image alone: below it no percentile can be. 0: it was not seen."""
    return max((min(_alone(state, name), default=0.0) for name in state.accepted), default=0.0)


def _alone(state: State, name: str) -> Iterator[float]:
    """Yield what one image took with one instance: others take of the device, and a batch tells of itself."""
    for visit in state.visits:
        model = visit.models.get(name)
        if model is not None and model.knobs.instances == 1 and 1 in model.batches:
            yield model.batches[1].seconds
