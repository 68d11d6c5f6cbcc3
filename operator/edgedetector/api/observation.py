"""What a pod tells of its load, as JSON over HTTP: counters since it began, from which the tuner makes windows.

Every counter only grows while `epoch` stays the same. Two observations of one epoch give a window; across epochs there
is none. What is not known is absent, never 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
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


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration: the first whose bound is not below it."""
    if seconds <= SHORTEST:
        return 0
    return min(BUCKETS - 1, math.ceil(math.log2(seconds / SHORTEST) * BUCKETS_AN_OCTAVE - 1e-9))


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
    """One model. Counts are of images (frames), executions of batches; nanoseconds are summed over requests."""

    name: str
    serving_id: str
    """Id of the serving configuration that is in force for it; empty while it is being changed."""
    images: int
    executions: int
    failures: int
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
    """Frames that came to be inferred: images + skipped + failed + on their way."""
    skipped: int = 0
    """Frames that a newer one superseded or whose time ran out."""


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
