"""How much of the accelerator several models may take together. Pure."""

from __future__ import annotations

from dataclasses import replace

from edgedetector.tuning import memory, visits
from edgedetector.tuning.record import State
from edgedetector.tuning.situation import Situation


def widened(situation: Situation, state: State) -> Situation:
    """Return the situation with what the start took of the accelerator as the limit, where that is more than the limit.

    Of several models one may need what another gave back: what the start left of the reserve is left to them together.
    It counts as far as it was seen at the present demand, since at another one it says nothing of this load.
    """
    started = visits.of(state.visits, situation.start)
    if len(situation.start) < 2 or started is None or started.utilization is None:  # noqa: PLR2004
        return situation
    demand = {name: model.demand for name, model in started.models.items()}
    if memory.apart(state.demand, demand, memory.MOVING) or started.utilization <= situation.limits.accelerator:
        return situation
    return replace(situation, limits=replace(situation.limits, accelerator=min(1.0, started.utilization)))
