"""What was seen of a configuration, over all windows that it was in force, and what is expected of one. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgedetector.api.wire import LEFT_OUT
from edgedetector.tuning.window import BatchTime, Knobs


@dataclass(frozen=True, slots=True)
class Range:
    """A figure and how far it may be from that: with 95 % confidence between `low` and `high`."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class StepVisit:
    """A model's post-processing inside Triton, over the same windows."""

    batches: Mapping[int, BatchTime] = field(default_factory=dict)
    """By images in a request."""
    busy: float = 0.0
    """Share of the time that an instance was executing, mean, 0 to 1."""
    request: float = 0.0
    """Mean seconds that a request took in it."""


@dataclass(frozen=True, slots=True)
class ModelVisit:
    """One model in a visited configuration, over all its undisturbed windows."""

    knobs: Knobs
    batches: Mapping[int, BatchTime] = field(default_factory=dict)
    """By batch size."""
    demand: float = 0.0
    """Of the last window, images a second."""
    rate: float = 0.0
    """Mean, images a second."""
    busy: float = 0.0
    """Mean, 0 to 1."""
    queue: float = 0.0
    """Mean seconds that a request waited."""
    latency: Range | None = None
    """The objective's percentile, over the windows, seconds."""
    exchange: float | None = None
    """Mean seconds in the client."""
    request: float = 0.0
    """Mean seconds in Triton."""
    ages: Mapping[int, float] = field(default_factory=dict)
    """Bucket -> results of its windows, by the time from a decoded frame to its result (`api.observation`)."""
    step: StepVisit | None = field(default=None, metadata=LEFT_OUT)
    """Of its post-processing; None: it has none that is tuned, or nothing was seen of it."""

    @property
    def busiest(self) -> float:
        """Busy share of the model's instances or of its post-processing's, whichever have less room."""
        return max(self.busy, self.step.busy) if self.step is not None else self.busy


@dataclass(frozen=True, slots=True)
class Visit:
    """A configuration that was in force for a while."""

    models: Mapping[str, ModelVisit]
    seconds: float
    """That were observed."""
    ended: float
    """When the last of its windows ended, seconds since the epoch."""
    utilization: float | None = None
    memory_used: float | None = None
    """The highest, bytes."""
    host: float | None = None
    memory_total: float | None = None
    """Of the accelerator, bytes."""
    shared_memory_free: float | None = None
    """The lowest, bytes of /dev/shm."""
    windows: int = 0
    """That were merged."""
    spread: float = 0.0
    """Relative standard deviation of what an execution costs, between windows; 0: not known."""
    processors: float | None = field(default=None, metadata=LEFT_OUT)
    """That the node has, where a model has post-processing that is tuned."""

    @property
    def configuration(self) -> dict[str, Knobs]:
        """The knobs by model."""
        return {name: model.knobs for name, model in self.models.items()}


@dataclass(frozen=True, slots=True)
class ModelPrediction:
    """What is expected of one model. Images a second, seconds."""

    capacity: Range
    """The most that a pod serves within the latency bound, whatever the present demand."""
    latency: Range
    """The objective's percentile at the present demand."""
    busy: float
    """Share of the time that an instance executes, at the present demand."""
    batch: float
    """Mean batch size at the present demand."""
    knobs: Knobs = field(default_factory=Knobs)
    demand: float = 0.0
    """The present demand, images a second."""
    served: float = 0.0
    """Of it, what is inferred."""
    device: float = 0.0
    """Share of the time that the device works for it, at the present demand."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is expected of a configuration; what cannot be known is None."""

    models: Mapping[str, ModelPrediction]
    utilization: Range | None = None
    """Of the accelerator, at the present demand."""
    host: Range | None = None
    """Share of the node's processors, at the present demand."""
    memory: Range | None = None
    """Bytes of the accelerator once it serves; `change_memory` while old and new are there together."""
    change_memory: Range | None = None
    shared_memory: float | None = None
    """Bytes of /dev/shm that the requests in flight take."""
    memory_total: float | None = None
    """Bytes that the accelerator has, by its exporter or as stated."""
    shared_memory_room: float | None = None
    """Bytes of /dev/shm that there are for requests in flight."""

    @property
    def configuration(self) -> dict[str, Knobs]:
        """The knobs by model."""
        return {name: model.knobs for name, model in self.models.items()}
