"""The rescue of an objective that what serves now breaks: what is tried, and what is said if nothing can be. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from edgedetector.tuning import memory, sentences, visits
from edgedetector.tuning.curve import Curves
from edgedetector.tuning.evidence import Prediction
from edgedetector.tuning.gain import WORTH, gain, saturated
from edgedetector.tuning.lane import OFF
from edgedetector.tuning.lessons import Lesson, shortfall
from edgedetector.tuning.promise import CURIOUS, Aim, Choice, best, less, worthwhile
from edgedetector.tuning.record import State
from edgedetector.tuning.safety import refusal
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.window import Configuration

RELIEF: Final = 0.9
"""Share of the present latency that a rescue must be predicted to come down to, where not to the limit itself."""
EVENER: Final = 1.5
"""Times the share of its demand that the model gets that gets least, from which serving less in all may be a rescue."""


def broken(state: State, situation: Situation) -> bool:
    """Whether the accepted configuration surely breaks the objective at the present load."""
    seen = visits.of(state.visits, state.accepted)
    return seen is not None and any(
        model.latency is not None and model.latency.low > situation.limits.latency for model in seen.models.values()
    )


def lacks(state: State) -> bool:
    """Whether capacity is what the accepted configuration lacks."""
    seen = visits.of(state.visits, state.accepted)
    return seen is not None and any(saturated(model) for model in seen.models.values())


def wanted(state: State, situation: Situation) -> Situation:
    """Return the situation with the goal by which candidates are ranked now."""
    if not broken(state, situation):
        return situation
    return replace(situation, goal=Goal.THROUGHPUT if lacks(state) else Goal.LATENCY)


def rescue(
    state: State,
    situation: Situation,
    present: Prediction,
    safe: Sequence[tuple[Configuration, Prediction]],
    learnt: Sequence[Lesson],
) -> Choice | None:
    """Return what keeps the objective best: by capacity where that is what lacks, else by latency."""
    lacking, by = lacks(state), wanted(state, situation)
    choices = [
        Choice(Aim.RESCUE, c, p, present, less(gain(p, present, by), shortfall(c, learnt)))
        for c, p in safe
        if (lacking or _relieves(p, present, situation.limits.latency))
        and helps(p, present, situation, tried=bool(learnt))
    ]
    known = memory.best(state)
    recalled = known.configuration if known else None
    curious = lacking and state.probes < CURIOUS
    return best(worthwhile(choices, state.accepted, curious=curious), lambda one: one.gain.mean, recalled)


def _relieves(one: Prediction, present: Prediction, limit: float) -> bool:
    return all(
        model.latency.mean <= max(limit, RELIEF * present.models[name].latency.mean)
        for name, model in one.models.items()
    )


def helps(one: Prediction, present: Prediction, situation: Situation, *, tried: bool) -> bool:
    """Whether a rescue is expected to pass its trial: to keep the objective, or else to serve no less than now.

    An overloaded server keeps up by skipping frames; what could do more within the objective and serves less of this
    load does not help it. Until a trial has shown more than the largest batches, what is expected may be off.
    """
    off = 0.0 if tried else OFF
    keeps = all(model.latency.mean <= situation.limits.latency for model in one.models.values())
    served, now = (sum(model.served for model in each.models.values()) for each in (one, present))
    return keeps or served > (1.0 - WORTH - off) * now or _evener(one, present)


def _evener(one: Prediction, present: Prediction) -> bool:
    """Whether of several models the one that gets least of what it wants gets clearly more: each is to keep up."""
    least, now = (
        min((model.served / model.demand for model in each.models.values() if model.demand > 0.0), default=0.0)
        for each in (one, present)
    )
    return len(one.models) > 1 and least > EVENER * now


def hopeless(
    state: State,
    situation: Situation,
    refused: Sequence[tuple[Configuration, Prediction]],
    present: Prediction,
    curves: Curves,
) -> str:
    """Return why the objective cannot be kept, with the remedy."""
    limit, name = situation.limits.latency, sentences.percentile(situation)
    alone = fastest(state, curves)
    if alone > limit:
        return (
            f"no configuration can keep {name} within {sentences.milliseconds(limit)}: one image alone takes "
            f"{sentences.milliseconds(alone)}; raise spec.tuning.objective.latency.max, or use a faster engine"
        )
    kept = any(all(model.latency.mean <= limit for model in one.models.values()) for _, one in refused)
    nothing = "is sure enough to keep it" if kept else "is predicted to keep it"
    reasons = Counter(filter(None, (refusal(prediction, present, situation) for _, prediction in refused)))
    why = f": {reasons.most_common(1)[0][0]}" if reasons else ""
    return (
        f"{name} is above {sentences.milliseconds(limit)}, and nothing within the bounds {nothing}{why}; "
        "lower frame rates, raise spec.tuning.objective.latency.max, widen spec.tuning.bounds, or add an accelerator"
    )


def fastest(state: State, curves: Curves) -> float:
    """Seconds that the slowest model takes for one image alone: below it no percentile can be. 0: it was not seen.

    Of several models, that it takes at least: beside others one image was seen to take as long as they do.
    """
    if len(state.accepted) > 1:
        return max(curves.of(name).seconds(1).low for name in state.accepted)
    return max((min(_alone(state, name), default=0.0) for name in state.accepted), default=0.0)


def _alone(state: State, name: str) -> Iterator[float]:
    """Yield what one image took with one instance: others take of the device, and a batch tells of itself."""
    for visit in state.visits:
        model = visit.models.get(name)
        if model is not None and model.knobs.instances == 1 and 1 in model.batches:
            yield model.batches[1].seconds
