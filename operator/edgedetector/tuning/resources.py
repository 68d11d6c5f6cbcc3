"""What a configuration takes of the box: the accelerator's time, the host's processors, shared memory.

Everything is told from what was seen of a visited configuration and how the wanted one differs from it. What was not
seen stays None: nothing is invented.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from edgedetector.tuning.batcher import requests_at_once
from edgedetector.tuning.evidence import Range, Visit
from edgedetector.tuning.sharing import known
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Configuration, Knobs

_SPREAD: Final = 0.05
"""Relative error of utilisation and host load between two windows of the same load."""
_SHARE_OF_LOAD: Final = Range(0.5, 0.8, 1.0)
"""How much of the host's load grows with the images that are inferred; the rest is there anyway (cameras are read and
decoded whatever becomes of their frames)."""
_PYTHON: Final = float(1 << 20)
"""Bytes that a python model takes at its start (`plan.shared_memory`)."""


def latest(visits: Sequence[Visit]) -> Visit | None:
    """Return the visit that ended last: the last one, since they stand in the order in which they were last seen.

    Not that of the latest time: a clock that was set back has seen later ones than what is seen now.
    """
    return visits[-1] if visits else None


def present(visits: Sequence[Visit], configuration: Configuration | None = None) -> Visit | None:
    """Return the visit of what serves now: of `configuration`, or the one that ended last."""
    same = [visit for visit in visits if configuration is not None and visit.configuration == dict(configuration)]
    return latest(same) or latest(visits)


def batch(knobs: Knobs, cameras: int = 0) -> int:
    """Return how many images the detector puts into one request at most; Triton then forms no larger batch either.

    `detector.batching.capacity` and `detector.dispatch`: the largest preferred size bounds it, and the next power of
    two of the number of cameras, since a batch holds one frame of a camera.
    """
    largest = max(1, knobs.max_batch_size)
    most = max((size for size in knobs.preferred_batch_sizes if size >= 1), default=largest)
    return min(largest, most, 1 << (cameras - 1).bit_length() if cameras > 0 else largest)


def shared_memory(configuration: Configuration, situation: Situation) -> float | None:
    """Return bytes of /dev/shm that the requests in flight take; None: what an image takes is not known."""
    total = 0.0
    for name, knobs in configuration.items():
        engine = situation.engines.get(name)
        if engine is None or not known(engine.region):
            return None
        images = batch(knobs, situation.cameras_of(name))
        total += engine.region * requests_at_once(knobs.instances, knobs.post_processing) * images
        total += knobs.post_processing * (_PYTHON + engine.post_region * images)
    return total


def utilization(visit: Visit | None, work: float, worked: float) -> Range | None:
    """Return the accelerator's share of time at work.

    Parameters
    ----------
    visit
        Of which utilisation was seen.
    work, worked
        Seconds of executions alone, a second: of the configuration asked for, and of that visit.
    """
    if visit is None or visit.utilization is None or not math.isfinite(visit.utilization):
        return None
    seen = min(1.0, max(0.0, visit.utilization))
    ratio = work / worked if worked > 0.0 else 1.0
    # What does not grow with the executions' time (copies an image, switching) may stay as it is.
    return _share(seen * min(1.0, ratio), seen * ratio, seen * max(ratio, min(1.0, (1 + ratio) / 2)))


def host(visit: Visit | None, rate: float, rated: float) -> Range | None:
    """Return the share of the node's processors at work, for `rate` images a second where `rated` were seen."""
    if visit is None or visit.host is None or not math.isfinite(visit.host):
        return None
    seen = min(1.0, max(0.0, visit.host))
    growth = rate / rated - 1.0 if rated > 0.0 else 0.0
    ends = [seen * (1.0 + part * growth) for part in (_SHARE_OF_LOAD.low, _SHARE_OF_LOAD.mean, _SHARE_OF_LOAD.high)]
    return _share(min(ends), ends[1], max(ends))


def most_of_host(visit: Visit | None) -> Range:
    """Return how many times the images that were inferred the host's processors could feed."""
    if visit is None or visit.host is None or not known(visit.host):
        return Range(math.inf, math.inf, math.inf)
    if visit.host >= 1.0:
        return Range(1.0, math.inf, math.inf)
    room = 1.0 / visit.host - 1.0
    return Range(*(1.0 + room / part for part in (_SHARE_OF_LOAD.high, _SHARE_OF_LOAD.mean, _SHARE_OF_LOAD.low)))


def fed(visit: Visit | None, name: str) -> Range:
    """Return how many images a second of a model the host's processors could feed, were the others fed as now."""
    if visit is None or name not in visit.models or not known(visit.models[name].rate):
        return Range(math.inf, math.inf, math.inf)
    times, rate = most_of_host(visit), visit.models[name].rate
    total = sum(model.rate for model in visit.models.values() if known(model.rate))
    return Range(*(rate + (factor - 1.0) * total for factor in (times.low, times.mean, times.high)))


def _share(low: float, mean: float, high: float) -> Range:
    """Return a share between 0 and 1, wider by what windows of the same load differ."""
    mean = min(1.0, max(0.0, mean))
    return Range(min(mean, max(0.0, low * (1 - _SPREAD))), mean, max(mean, min(1.0, high * (1 + _SPREAD))))
