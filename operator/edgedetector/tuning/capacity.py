"""What pods serve with a configuration, from what they showed: for people, in status. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from edgedetector.api import names
from edgedetector.tuning.ledger import Capacity
from edgedetector.tuning.window import Configuration, Window

LEAST_BUSY: Final = 0.02
"""Share of the time below which too little was executed to say what a whole would be."""


def measured(windows: Iterable[Window], configuration: Configuration, pods: int, now: float) -> Capacity | None:
    """Return the capacity of so many pods; None if no window shows the configuration at work.

    The mix of models as it is: frames a second over the share of the time that the busiest one's instances execute, or
    those of its post-processing, or that the accelerator is at work, whichever is more. What instances take from each
    other only under full load is not in it, so it is an upper bound at low load.
    """
    shown = [window for window in windows if _shows(window, configuration)]
    capacities = [frames for window in shown if (frames := _frames(window)) is not None]
    if not capacities or pods <= 0:
        return None
    frames = round(sum(capacities) / len(capacities) * pods, 1)
    return Capacity(frames=frames, demand=_demand(shown, pods), at=now, pods=pods)


def unmeasured(
    windows: Iterable[Window], configuration: Configuration, pods: int, now: float, told: Capacity | None = None
) -> Capacity | None:
    """Return what is wanted of so many pods where too little is executed to say what they serve.

    Parameters
    ----------
    told
        Of the same configuration, while more was executed.
    """
    shown = [window for window in windows if _shows(window, configuration)]
    if not shown:
        return None
    frames, served = (told.frames, told.pods) if told is not None else (0.0, 0)
    return Capacity(frames=frames, demand=_demand(shown, pods), at=now, pods=served)


def _demand(shown: Sequence[Window], pods: int) -> float:
    return round(sum(model.demand for window in shown for model in window.models.values()) / len(shown) * pods, 1)


def _shows(window: Window, configuration: Configuration) -> bool:
    return not window.disturbed and {name: model.knobs for name, model in window.models.items()} == dict(configuration)


def _frames(window: Window) -> float | None:
    busy = max((max(model.busy, _stepping(window, name)) for name, model in window.models.items()), default=0.0)
    if busy < LEAST_BUSY:
        return None
    # Four instances that take turns at one device are a quarter busy each while it has no time left.
    return sum(model.rate for model in window.models.values()) / max(busy, window.utilization or 0.0)


def _stepping(window: Window, model: str) -> float:
    """Return the share of the time that an instance of a model's post-processing executes, 0 where it is not tuned."""
    step, count = window.steps.get(names.post_processing(model)), window.models[model].knobs.post_processing
    return min(1.0, step.executing / count) if step is not None and count else 0.0
