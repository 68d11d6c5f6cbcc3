"""What a pod tells of its load, as JSON over HTTP: counters since it began, from which the tuner makes windows.

Every counter only grows while `epoch` stays the same. Two observations of one epoch give a window; across epochs there
is none. What is not known is absent, never 0.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Final

SHORTEST: Final = 0.0005
"""Seconds. Upper bound of the first bucket of every histogram here."""
BUCKETS_AN_OCTAVE: Final = 8
"""Bounds grow by 2^(1/8) = 9 %: a percentile within a bucket is off by less than that."""
BUCKETS: Final = 121
"""The last bound is 0.5 ms * 2^15 = 16 s; what takes longer counts in the last bucket."""


def bound(bucket: int) -> float:
    """Return the upper bound of a bucket in seconds."""
    return float(SHORTEST * 2 ** (bucket / BUCKETS_AN_OCTAVE))


_BOUNDS: Final = tuple(map(bound, range(BUCKETS - 1)))
"""Without that of the last, which has none."""


bucket_of: Final[Callable[[float], int]] = partial(bisect_left, _BOUNDS)
"""Returns the bucket of a duration in seconds: the first whose bound is not below it. Called with every frame, and so a
function in C: one of our own would take twice the time."""


def least(percent: int) -> int:
    """Return how many results a percentile needs: with fewer, all of them may well lie below the true one.

    That n independent results all do has probability q^n (q: the share), and with more than 5 % nothing that is made of
    them could show that a bound on the percentile is broken: 299 for the 99th percentile, 59 for the 95th, 5 for the
    median (S. S. Wilks, "Determination of sample sizes for setting tolerance limits", 1941).

    Raises
    ------
    ValueError
        If `percent` is not between 1 and 99.
    """
    if not 0 < percent < 100:  # noqa: PLR2004 - percent
        raise ValueError(f"no percentile: {percent}")
    return math.ceil(math.log(0.05) / math.log(percent / 100))


def percentile(results: Mapping[int, int], percent: int) -> float | None:
    """Return a percentile in seconds (nearest rank, within its bucket by logarithm); None with too few (`least`).

    Of several windows of one configuration: of the sum of their histograms.

    Parameters
    ----------
    results
        Bucket -> results, none negative. The last bucket counts as its bound, although it has none.
    """
    total = sum(results.values())
    if total < least(percent):
        return None
    rank, buckets = -(-percent * total // 100), sorted(results)
    for bucket, up_to in zip(buckets, accumulate(results[bucket] for bucket in buckets), strict=True):
        if up_to >= rank:
            into = 1.0 - (up_to - rank + 0.5) / results[bucket]
            return bound(bucket) * 2 ** ((into - 1.0) / BUCKETS_AN_OCTAVE)
    return None


@dataclass(frozen=True, slots=True)
class BatchCounters:
    """Executions of one batch size, from Triton's `batch_stats`. Nanoseconds, over all instances."""

    size: int
    executions: int
    compute_input: int
    compute_infer: int
    compute_output: int


@dataclass(frozen=True, slots=True)
class ModelCounters:
    """One model. Counts are of images (frames), executions of batches; nanoseconds are summed over requests.

    Every frame of a model goes through its post-processing too, where it has one in Triton: of that, what Triton counts
    is its own, `failures` are told at the model alone, and all else is the model's.
    """

    name: str
    serving_id: str
    """Id of the serving configuration that is in force for it; empty while it is being changed."""
    images: int
    """From Triton, with those of other clients."""
    executions: int
    failures: int
    """Frames of this detector that were sent and came to nothing, whoever's fault it was."""
    queue: int
    """Nanoseconds that requests waited in Triton."""
    request: int
    """Nanoseconds that requests took in Triton."""
    batches: tuple[BatchCounters, ...] = ()
    ages: dict[str, int] = field(default_factory=dict)
    """Bucket -> results, by the time from the decoded frame to its result."""
    exchanges: dict[str, int] = field(default_factory=dict)
    """Bucket -> requests, by the time from request to answer in the client."""
    demand: float = 0.0
    """Frames a second that the cameras of this pod are meant to have inferred, before anything is given up; a gauge."""
    offered: int = 0
    """Frames that came to be inferred: with a result + skipped + failed + waiting or on their way + withdrawn with
    their camera or model."""
    skipped: int = 0
    """Frames that a newer one superseded or whose time ran out."""
    requests: int = 0
    """Requests that Triton answered, which `queue` and `request` are the times of; each has one or more images."""
    exchange: int = 0
    """Nanoseconds from request to answer in the client, summed over the requests in `exchanges`."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Answer of GET /observation of the detector container."""

    at: float
    """Seconds, monotonic in the pod."""
    epoch: str
    """Another one whenever a counter may begin anew: detector or Triton restarted, or a model was reloaded whole."""
    models: tuple[ModelCounters, ...] = ()
    gauges: dict[str, float] = field(default_factory=dict)
    """Of the accelerator, by our names (`AcceleratorMetric.name`): utilization 0 to 1, memoryUsed and memoryTotal in
    bytes, temperature in degrees Celsius, pcieWidth in lanes; sharedMemoryFree in bytes. Only what is known."""
    host_busy: float | None = None
    """Seconds that all processors of the node were busy, summed; None: not known."""
    host_total: float | None = None
    """Seconds of all processors of the node, summed."""
    stages: dict[str, float] = field(default_factory=dict)
    """CPU seconds of the detector by stage (read, decode, prepare, request, boxes, track)."""
    moves: int = 0
    """Moves of the degradation ladder."""
    degraded: int = 0
    """Rungs that all cameras together are down; a gauge."""
    transport: str = ""
    """How tensors travel: `SharedMemory`, `Grpc`."""
    probe_id: str = ""
    probe_outcome: str = ""
    probe_message: str = ""
    """Why it failed or expired."""
    looks: int = 0
    """Times that the exporter has told the accelerator's utilization."""
    utilizations: float = 0.0
    """Sum of what it told, 0 to 1 each: the mean over a window says more than the last one."""
    measurements: int = 0
    """Beginnings and ends of measurements (`trace`, `bench`): odd while one runs. Of a time with one the counters tell
    the measurement's load, too."""


def shrunk(before: Observation, after: Observation) -> str:
    """Return a counter that both have and that is lower in the later one; empty: there is none.

    A model, a stage or the node's time may be missing in either; of a model that both have, nothing may.
    """
    news = {model.name: model for model in after.models}
    for model in before.models:
        if model.name in news and (found := _lower(counters_of(model), dict(counters_of(news[model.name])), 0)):
            return f"{model.name}: {found}"
    return _lower(_of_pod(before), dict(_of_pod(after)), math.inf)


def _lower(old: Iterator[tuple[str, float]], new: Mapping[str, float], missing: float) -> str:
    return next((name for name, value in old if new.get(name, missing) < value), "")


def _of_pod(one: Observation) -> Iterator[tuple[str, float]]:
    yield from (("moves", one.moves), ("looks", one.looks), ("utilizations", one.utilizations))
    yield "measurements", one.measurements
    hosts = (("busy", one.host_busy), ("total", one.host_total))
    yield from ((name, value) for name, value in hosts if value is not None)
    yield from ((f"stage {name}", value) for name, value in one.stages.items())


def counters_of(model: ModelCounters) -> Iterator[tuple[str, float]]:
    """Yield every counter of a model by a name of its own."""
    for name in _COUNTERS:
        yield name, getattr(model, name)
    for kind, found in (("ages", model.ages), ("exchanges", model.exchanges)):
        yield from ((f"{kind} {bucket}", count) for bucket, count in found.items())
    for batch in model.batches:
        yield from ((f"batch {batch.size} {name}", getattr(batch, name)) for name in _OF_A_BATCH)


_COUNTERS: Final = (
    *("images", "executions", "failures", "queue", "request", "requests"),
    *("offered", "skipped", "exchange"),
)
_OF_A_BATCH: Final = ("executions", "compute_input", "compute_infer", "compute_output")
