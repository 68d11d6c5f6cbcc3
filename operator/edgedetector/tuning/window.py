"""What one stretch of time showed of a pod: the tuner's only sight of the world. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edgedetector.api.wire import LEFT_OUT


@dataclass(frozen=True, slots=True, order=True)
class Knobs:
    """How one model is served: what tuning turns."""

    instances: int = 1
    max_batch_size: int = 0
    """Largest batch that Triton joins; 0 or 1: none. Never above the engine's compiled one."""
    preferred_batch_sizes: tuple[int, ...] = ()
    """Ascending; empty: none. With delay 0 the largest of them is the largest batch that is joined."""
    max_queue_delay_microseconds: int = 0
    post_processing: int = field(default=0, metadata=LEFT_OUT)
    """Instances of its post-processing inside Triton; 0: it has none that is tuned."""

    @property
    def joined(self) -> int:
        """Images in a batch that Triton joins at most: with delay 0 the largest preferred size is a hard cap."""
        largest = max(1, self.max_batch_size)
        capped = self.preferred_batch_sizes and self.max_queue_delay_microseconds == 0
        return min(largest, max(self.preferred_batch_sizes)) if capped else largest


LADDER: Final = "the degradation ladder moved"
"""Begins `Window.disturbed` where it did: the pod gives way or takes back, which ends a trial."""

Configuration = Mapping[str, Knobs]
"""Knobs by model: all models of the detector."""


@dataclass(frozen=True, slots=True)
class BatchTime:
    """Executions of one batch size in a window."""

    executions: int
    seconds: float
    """Mean duration of an execution: input, inference and output in Triton."""
    share_of_copies: float = 0.0
    """Of it, what input and output took, 0 to 1."""


@dataclass(frozen=True, slots=True)
class ModelWindow:
    """One model. Rates are images a second, durations seconds."""

    knobs: Knobs
    """In force throughout the window."""
    demand: float
    """What the cameras are meant to have, before anything is given up: the load that counts."""
    offered: float
    """What came to be inferred, after what was given up."""
    rate: float
    """What was inferred."""
    failed: int = 0
    skipped: float = 0.0
    """Share of the offered frames that were superseded or too late, 0 to 1."""
    batches: Mapping[int, BatchTime] = field(default_factory=dict)
    """By batch size."""
    busy: float = 0.0
    """Share of the time that an instance was executing, 0 to 1, mean over the instances."""
    queue: float = 0.0
    """Mean time that a request waited in Triton."""
    request: float = 0.0
    """Mean time that a request took in Triton."""
    exchange: float | None = None
    """Mean time from request to answer in the client; None: not known."""
    latency: float | None = None
    """The objective's percentile of the time from a decoded frame to its result; None: too few results."""
    median: float | None = None
    """The 50th percentile of the same."""
    samples: int = 0
    """Results that `latency` is of."""
    stretch: float = 0.0
    """Seconds that `latency` is of: those of the window, or where too few results came in it more of them before, while
    nothing changed. Percentiles of overlapping stretches are not independent."""
    ages: Mapping[int, int] = field(default_factory=dict)
    """Bucket -> results in this window alone, by the same time: what a percentile over several windows is made of
    (`api.observation.percentile`)."""


@dataclass(frozen=True, slots=True)
class StepWindow:
    """A post-processing model inside Triton: of it the number of instances is tuned (`Knobs.post_processing`)."""

    executing: float = 0.0
    """How many of its instances were executing, mean over the time."""
    request: float = 0.0
    """Mean time that a request took in it, seconds."""
    batches: Mapping[int, BatchTime] = field(default_factory=dict)
    """By images in a request; requests are not joined."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one pod's life in which nothing was changed. What is not known is None."""

    pod: str
    start: float
    """Seconds, on the tuner's monotonic clock."""
    seconds: float
    models: Mapping[str, ModelWindow]
    utilization: float | None = None
    """Of the accelerator, 0 to 1."""
    memory_used: float | None = None
    """Of the accelerator, bytes."""
    memory_total: float | None = None
    temperature: float | None = None
    """Of the accelerator, degrees Celsius."""
    pcie_width: float | None = None
    """Lanes in use."""
    host: float | None = None
    """Share of the node's processors that was busy, 0 to 1."""
    processors: float | None = None
    """That the node has."""
    shared_memory_free: float | None = None
    """Bytes of /dev/shm."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """The detector's CPU by stage, in cores."""
    transport: str = ""
    """`SharedMemory`, `Grpc`, or empty: not known."""
    degraded: int | None = None
    """Rungs of the degradation ladder that all cameras together were down; None: not known."""
    steps: Mapping[str, StepWindow] = field(default_factory=dict)
    """By name in Triton."""
    disturbed: str = ""
    """Why this window says nothing of its configuration, e.g. "the degradation ladder moved"; empty: it does."""
