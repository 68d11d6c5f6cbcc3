"""How long an image takes on the link between host and device, of what executions wait for: one image at a time. Pure.

Waits that instances overlap in and batches share (launches, turning to another instance) and those for a link look
alike where one instance executed one batch size. The bytes of an image tell which of them it can be, as in the
diagnosis: what a narrow link would take as long for is taken for one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from edgedetector.tuning import sharing
from edgedetector.tuning.evidence import ModelVisit, Range, Visit
from edgedetector.tuning.stations import DEVICE_BUSY, NARROW, SLOWEST_LINK, TURNAROUND
from edgedetector.tuning.window import BatchTime

NONE: Final = Range(0.0, 0.0, 0.0)
_FEWEST: Final = 30
"""Executions of a size that tell how much longer a further image takes."""
_EXACT: Final = 1.05
"""Of the link's time, how much images may seem to take by what is not exact of a wait."""


def an_image(name: str, visits: Sequence[Visit], tensors: float) -> Range:
    """Return the seconds that an image has the link for itself; zeros: nothing says that it does.

    As long as the device waits for an image, at least as the fastest of narrow links takes. Where more images came
    through than that leaves time for, it is another wait.

    Parameters
    ----------
    tensors
        Bytes of an image's inputs and outputs; 0: not known.
    """
    alone = [visit for visit in visits if _alone(name, visit)]
    if not alone or not sharing.known(tensors):
        return NONE
    visit = alone[-1]
    found = _waits(visit.models[name], sharing.share(visit.utilization or 0.0))
    fastest, slowest = tensors / NARROW, tensors / SLOWEST_LINK
    most = max((one.models[name].rate for one in visits if name in one.models), default=0.0)
    if not fastest <= found.mean <= slowest or most * found.mean > _EXACT:
        return NONE
    return Range(min(fastest, found.mean), found.mean, found.high)


def _alone(name: str, visit: Visit) -> bool:
    """Whether a visit shows one instance alone, of which utilisation says that the device waits."""
    if list(visit.models) != [name] or visit.models[name].knobs.instances != 1 or not visit.models[name].batches:
        return False
    return sharing.known(visit.utilization) and (visit.utilization or 0.0) < DEVICE_BUSY


def _waits(model: ModelVisit, utilization: float) -> Range:
    """Return the seconds an image for which the instance works and the device does not: at most with the turnaround.

    Where several sizes were seen, of what each further image takes.
    """
    executions = sum(batch.executions for batch in model.batches.values())
    seconds = sum(batch.executions * batch.seconds for batch in model.batches.values())
    images = sum(size * batch.executions for size, batch in model.batches.items())
    busy = sharing.share(model.busy)
    if busy <= utilization or executions <= 0 or images <= 0:
        return NONE
    part, turnaround = 1.0 - utilization / busy, TURNAROUND * executions / images
    whole = part * seconds / images
    wait = max(0.0, whole - turnaround)
    further = min((part * each for each in _further(model.batches)), default=math.inf)
    return Range(0.0, min(wait, further), min(max(whole, turnaround), further))


def _further(batches: Mapping[int, BatchTime]) -> list[float]:
    """Return the most seconds that a further image took, from size to size; nothing if one size alone was seen."""
    seen = sorted((size, batch.seconds) for size, batch in batches.items() if batch.executions >= _FEWEST)
    steps = [(more - less) / (larger - size) for (size, less), (larger, more) in pairwise(seen)]
    return [max([0.0, *steps])] if steps else []
