"""What keeps the tuner from a step that promises more: the clause for the sentence that it ends with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from edgedetector.tuning import resources, sentences
from edgedetector.tuning.evidence import Prediction, Visit
from edgedetector.tuning.prediction import better
from edgedetector.tuning.safety import refusal
from edgedetector.tuning.situation import Goal, Situation
from edgedetector.tuning.window import Configuration

CLEARLY: Final = 0.10
"""Relative gain from which a step that is not safe is worth a word: a short look is no more exact."""
FRAIL: Final = "were it taken back, the gap of that change might break the objective"
ALIKE: Final = "what was tried and is like it showed less than was predicted"


def hindrance(
    offered: Sequence[tuple[Configuration, Prediction]],
    base: Prediction,
    looked: Iterable[tuple[Configuration, Prediction]],
    present: Prediction,
    situation: Situation,
    *,
    now: Visit | None = None,
    frail: bool,
) -> str:
    """Return which step promises most of those that are refused, and why; empty: none promises clearly more.

    Where none does since all are cut off at what the host's processors can feed, that is said.

    Parameters
    ----------
    offered, base
        Short looks at what could be tried and at what serves.
    looked, present
        Full predictions of some of them and of what serves.
    now
        What was seen last.
    frail
        Nothing is tried of which the gain is not sure.
    """
    full = [(c, p, refusal(p, present, situation) or (FRAIL if frail else ALIKE)) for c, p in looked]
    known = [c for c, _, _ in full]
    promised = [(better(p, present, situation), c, why) for c, p, why in full]
    promised += [
        (better(p, base, situation), c, why)
        for c, p in offered
        if (why := refusal(p, base, situation)) and c not in known
    ]
    value, configuration, why = max(promised, key=lambda one: one[0], default=(0.0, present.configuration, ""))
    if value < CLEARLY:
        return _by_the_host(offered, present, now, situation)
    return f"more is predicted of {sentences.change(present.configuration, configuration)}, but {why}"


def _by_the_host(
    offered: Sequence[tuple[Configuration, Prediction]], present: Prediction, now: Visit | None, situation: Situation
) -> str:
    """Return that the host's processors could not feed a step that gains; empty: what they can feed cuts none off."""
    if now is None or now.host is None or situation.goal is not Goal.THROUGHPUT:
        return ""
    for name, model in present.models.items():
        most = resources.fed(now, name).high
        cut = any(p.models[name].capacity.mean >= most for _, p in offered if name in p.models)
        if cut and most < (1.0 + CLEARLY) * model.capacity.mean:
            return f"what the host's processors, busy {now.host:.0%}, can feed leaves no step clearly more"
    return ""
