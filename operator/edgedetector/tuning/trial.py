"""What a trial shows, window by window: whether it goes on, is kept or is given up. Pure.

A trial ends at once on what harms (a failed request, a clear breach of the latency objective), and as soon as the
confidence range of its gain lies on one side of what is worth a change. It never lasts longer than `LONGEST`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from edgedetector.tuning import memory, sentences, visits
from edgedetector.tuning.curve import learn
from edgedetector.tuning.evidence import ModelVisit, Prediction, Range, Visit
from edgedetector.tuning.gain import WORTH, gain, grounded, half_width, measured_gain, saturated
from edgedetector.tuning.prediction import predict
from edgedetector.tuning.promise import Aim
from edgedetector.tuning.record import State, Trial
from edgedetector.tuning.rescue import RELIEF
from edgedetector.tuning.reserve import widened
from edgedetector.tuning.safety import MARGIN, SLOWER
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.window import LADDER, ModelWindow, Window

LONGEST: Final = 60.0
"""Seconds."""
FEWEST: Final = 5
"""Windows before anything is said of the gain: 10 s, in which the largest batches have come up at all."""
ENOUGH: Final = 12
"""Windows after which a trial ends if more of them would tell hardly more."""
BETWEEN: Final = 3
"""Windows from one look at the gain to the next: another one tells little more, and a look takes some 0.1 s of one
model, and more of several."""
DROPPED: Final = 1
"""First windows of a trial that are not counted: the first executions after a load are slower (warm-up)."""
FAR: Final = 2.5
"""Factor of demand at which even costs are not comparable any more: so much more of the instances execute at once."""
SAME: Final = 1.08
"""Factor up to which a demand counts as the same: what breaks the objective then is the configuration's fault."""
MOVED: Final = "the demand moved during the trial"
CLEAR: Final = 1.25
"""Factor of the latency limit from which one window is enough: p99 of 8 s windows varies by 30 % (facts)."""
SAMPLES: Final = 20
"""Results below which a window's percentile is the slowest of a few and not enough for an end at once."""
IN_A_ROW: Final = 2
"""Windows that are enough where the breach is less clear."""
SLIGHT: Final = 0.01
"""Relative. Gain to be expected that is enough when a trial can show no more, if more was predicted: not worse. And by
how much a share may be above its limit and count as on it."""


class End(StrEnum):
    """How a trial ends."""

    NOT_YET = ""
    KEEP = "kept"
    NO_GAIN = "reverted"
    HARM = "reverted at once"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether and why a trial ends."""

    end: End
    why: str = ""
    """A clause."""
    figures: str = ""
    """What was measured, for the sentence."""


_BLAMELESS: Final = Verdict(End.INCONCLUSIVE, MOVED)


def breach(model: ModelWindow, base: ModelVisit | None, limit: float) -> tuple[bool, bool]:
    """Return whether a window breaks the latency objective, and whether clearly, where the base would have kept it.

    Where the base breaks it too, only what is clearly worse than the base is a breach, and never at once: an overloaded
    server's latency wavers with what it happens to skip.
    """
    if model.latency is None or model.samples < SAMPLES:
        return False, False
    if base is not None and base.latency is not None and base.latency.mean > limit:
        return model.latency > CLEAR * base.latency.high, False
    late = model.latency > limit
    return late, late and (model.latency > CLEAR * limit or (model.median is not None and model.median > limit))


def alarm(trial: Trial, window: Window, base: Visit | None, situation: Situation) -> tuple[Trial, Verdict]:
    """Return the trial after an undisturbed window of its pod and configuration, and whether that ends it at once."""
    found = [
        (name, model.latency, *breach(model, base.models.get(name) if base else None, situation.limits.latency))
        for name, model in sorted(window.models.items())
    ]
    trial = replace(trial, late=trial.late + 1 if any(late for *_, late, _ in found) else 0)
    for name, latency, late, clearly in found:
        if latency is not None and late and (clearly or trial.late >= IN_A_ROW):
            wanted = sentences.milliseconds(situation.limits.latency)
            limit = f"{sentences.percentile(situation)} {sentences.milliseconds(latency)} of {wanted}"
            moved = memory.apart(trial.demand, trial.before, SAME)
            why = f"{name} broke the latency objective: {limit}"
            return trial, Verdict(End.INCONCLUSIVE, f"{why}, {MOVED}") if moved else Verdict(End.HARM, why)
    return trial, Verdict(End.NOT_YET)


def moved(trial: Trial, situation: Situation) -> Verdict:
    """Return whether the demand has moved so far that nothing can be compared, nor will be."""
    if _strayed(trial, situation) and not _may_tell(trial, situation):
        return _BLAMELESS
    return Verdict(End.NOT_YET)


def urgent(window: Window) -> Verdict:
    """Return what ends a trial whatever was in force in the window, the change itself included."""
    if failed := sum(model.failed for model in window.models.values()):
        return Verdict(End.HARM, f"{failed} requests failed")
    if window.disturbed.startswith(LADDER):
        return Verdict(End.INCONCLUSIVE, LADDER)
    return Verdict(End.NOT_YET)


def _strayed(trial: Trial, situation: Situation) -> bool:
    """Latency and utilisation are compared at one demand; a capacity follows from what executions cost, at any."""
    return memory.apart(trial.demand, trial.before, FAR if _by_cost(trial, situation) else memory.MOVING)


def _by_cost(trial: Trial, situation: Situation) -> bool:
    return situation.goal == Goal.THROUGHPUT and trial.aim == Aim.GAIN


def _may_tell(trial: Trial, situation: Situation) -> bool:
    """Return whether more came, and latency is what counts: what is quicker with more to do is so with as much."""
    by_latency = situation.goal == Goal.LATENCY or trial.aim in {Aim.CURE, Aim.RESCUE}
    return by_latency and all(trial.demand.get(name, before) >= before for name, before in trial.before.items())


def _quicker_with_more(seen: Visit, base: Visit) -> bool:
    for name, model in seen.models.items():
        latency, before = model.latency, base.models[name].latency if name in base.models else None
        if latency is None or before is None or latency.high >= before.low or model.rate < base.models[name].rate:
            return False
    return True


def judged(state: State, trial: Trial, situation: Situation, now: float) -> Verdict:
    """Return the verdict on what the trial has shown so far."""
    over = now - trial.since >= LONGEST
    base = baseline(state, trial)
    seen = visits.of(state.visits, trial.configuration)
    if base is None or seen is None or seen.windows < FEWEST:
        return Verdict(End.INCONCLUSIVE, f"too few windows in {LONGEST:.0f} s") if over else Verdict(End.NOT_YET)
    if trial.windows % BETWEEN and not over:
        return Verdict(End.NOT_YET)
    evidence = _evidence(state, trial, base)
    curves = learn(evidence, situation.engines, situation.cameras_of_each())
    ours = predict(trial.configuration, curves, evidence, situation, state.accepted)
    theirs = predict(state.accepted, curves, evidence, situation, state.accepted)
    measured = grounded(theirs, base, situation.limits.latency), grounded(ours, seen, situation.limits.latency)
    told = sentences.figures(*measured, trial.prediction, situation)
    taken = _takes_the_reserve(seen, base, widened(situation, state), _grown(trial, seen))
    if _strayed(trial, situation):
        quicker = not taken and _quicker_with_more(seen, base)
        return Verdict(End.KEEP, "quicker, although more images came", told) if quicker else _BLAMELESS
    if taken:
        return Verdict(End.NO_GAIN, taken, told)
    return replace(_decided(trial, (ours, seen), (theirs, base), situation, over=over), figures=told)


def baseline(state: State, trial: Trial) -> Visit | None:
    """Return what a trial is held against: the other replicas at the same time, else the same pod before."""
    if trial.control is not None and trial.control.windows >= FEWEST:
        return trial.control
    return visits.of(state.visits, state.accepted)


def keeps_objective(
    seen: Visit, base: Visit, prediction: Prediction, situation: Situation, *, surely: bool = True
) -> bool:
    """Whether a configuration keeps the latency objective, or is no worse than the base where that breaks it."""
    limit = situation.limits.latency
    return all(_keeps(name, seen, base, prediction, limit, surely=surely) for name in seen.models)


def _keeps(name: str, seen: Visit, base: Visit, prediction: Prediction, limit: float, *, surely: bool) -> bool:
    latency, before = seen.models[name].latency, base.models[name].latency if name in base.models else None
    if latency is None:  # too few results for a percentile: what was predicted stands
        expected = prediction.models.get(name)
        return expected is not None and expected.latency.high <= limit
    if before is not None and before.mean > limit and latency.mean <= before.mean:
        return True
    slower = before is None or latency.mean > before.mean * (1 + SLIGHT)
    # What lags behind its demand may take nearly all of the limit to serve more of it, as in `safety`.
    room = MARGIN if name in base.models and saturated(base.models[name]) else SLOWER
    within = (latency.high if surely else latency.mean) <= limit
    return within and not (slower and latency.mean > room * limit)


def _evidence(state: State, trial: Trial, base: Visit) -> tuple[Visit, ...]:
    """Return the visits with the base as the visit to what is accepted."""
    if base is not trial.control:
        return state.visits
    return (*(visit for visit in state.visits if visit.configuration != base.configuration), base)


def _decided(
    trial: Trial,
    one: tuple[Prediction, Visit],
    other: tuple[Prediction, Visit],
    situation: Situation,
    *,
    over: bool,
) -> Verdict:
    if trial.aim == Aim.RESCUE:
        return _rescued(one, other, situation, over=over)
    by = replace(situation, goal=Goal.LATENCY) if trial.aim == Aim.CURE else situation
    found = measured_gain(one, other, by)
    measured = found.gain
    if trial.aim == Aim.CURE and _costs_capacity(one, other, situation):
        return Verdict(End.NO_GAIN, "it costs capacity")
    if measured.low > WORTH and keeps_objective(one[1], other[1], one[0], situation):
        return Verdict(End.KEEP, _surely(measured))
    if measured.high < WORTH or (measured.mean <= SLIGHT and one[1].windows >= ENOUGH):
        # What would not be kept at the end either is not served for longer: it may be worse.
        less = f"less than {WORTH:.0%}" if measured.high < WORTH else "probably no better"
        return Verdict(End.NO_GAIN, f"{_surely(measured)}, {less}")
    over = over or (found.known and one[1].windows >= ENOUGH)
    return _at_the_end(measured, one, other, situation) if over else Verdict(End.NOT_YET)


def _at_the_end(
    measured: Range, one: tuple[Prediction, Visit], other: tuple[Prediction, Visit], situation: Situation
) -> Verdict:
    """Keep what is probably better, though that is not sure after the longest trial.

    Probably: its range lies so that zero is less than half of it below the mean, which is five to one.
    """
    if measured.mean <= max(SLIGHT, -measured.low):
        return Verdict(End.NO_GAIN, f"{_surely(measured)}, and more windows would not tell")
    if not keeps_objective(one[1], other[1], one[0], situation, surely=False):
        return Verdict(End.NO_GAIN, f"{_surely(measured)}, but it leaves too little room below the latency limit")
    return Verdict(End.KEEP, f"{_surely(measured)}, and more windows would not tell")


def _grown(trial: Trial, seen: Visit) -> float:
    """Return how many times the frames are served that came before the trial; 1: as many, or fewer."""
    names = trial.before.keys() & seen.models.keys()
    before, served = sum(trial.before[name] for name in names), sum(seen.models[name].rate for name in names)
    return served / before if before > 0.0 and served > SAME * before else 1.0


def _takes_the_reserve(seen: Visit, base: Visit, situation: Situation, grown: float) -> str:
    """Return which headroom that the base leaves a configuration does not.

    The change is not to blame for what the accelerator works for more frames than came before, in proportion to what
    is served. Of the host's load most is there anyway.
    """
    limits = situation.limits
    for what, share, before, most in (
        (
            "the accelerator's utilisation",
            seen.utilization and seen.utilization / grown,
            base.utilization,
            limits.accelerator,
        ),
        ("the host's load", seen.host, base.host, limits.host),
    ):
        if share is not None and share > max(most, before or 0.0) * (1 + SLIGHT):
            return f"{what} is {share:.0%}, above {most:.0%}"
    return ""


def _rescued(
    one: tuple[Prediction, Visit], other: tuple[Prediction, Visit], situation: Situation, *, over: bool
) -> Verdict:
    """Keep what keeps the objective again, or what comes nearer to it: more served where that is what lacks."""
    (_, seen), (_, base) = one, other
    latencies = [model.latency for model in seen.models.values() if model.latency is not None]
    if latencies and all(latency.high <= situation.limits.latency for latency in latencies):
        return Verdict(End.KEEP, "the objective is kept again")
    served = sum(model.rate for model in seen.models.values()) / max(1e-9, sum(m.rate for m in base.models.values()))
    lacks = any(saturated(model) for model in base.models.values())
    noise = math.hypot(half_width(seen.spread, seen.windows), half_width(base.spread, base.windows))
    if lacks and served > 1 + WORTH + noise:
        return Verdict(End.KEEP, f"{served - 1:+.0%} images are served")
    # More windows tell nothing else of an objective that is surely broken, and cost the more if this is worse.
    surely = any(latency.low > situation.limits.latency for latency in latencies) and seen.windows >= ENOUGH
    if not (over or surely):
        return Verdict(End.NOT_YET)
    nearer = latencies and all(_nearer(seen.models[name].latency, base.models[name].latency) for name in seen.models)
    if (nearer and served > 1 - WORTH) or (lacks and served > 1 + WORTH):
        return Verdict(End.KEEP, "the objective is nearer")
    more = measured_gain(one, other, replace(situation, goal=Goal.THROUGHPUT)).gain.mean
    if lacks and served > 1 - SLIGHT and more > SLIGHT:
        return Verdict(End.KEEP, f"as many images are served, {more:+.0%} could be within the objective")
    return Verdict(End.NO_GAIN, "the objective stays broken")


def _nearer(latency: Range | None, before: Range | None) -> bool:
    return latency is None or before is None or latency.mean <= RELIEF * before.mean


def _costs_capacity(one: tuple[Prediction, Visit], other: tuple[Prediction, Visit], situation: Situation) -> bool:
    by_throughput = replace(situation, goal=Goal.THROUGHPUT)
    limit = situation.limits.latency
    return gain(grounded(*one, limit), grounded(*other, limit), by_throughput).high < -WORTH


def _surely(measured: Range) -> str:
    return f"measured {measured.mean:+.0%} ({measured.low:+.0%} to {measured.high:+.0%})"
