"""What the tuner must keep and may choose from: the user's words and the profile's, resolved. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edgedetector.tuning.window import Configuration


class Goal(StrEnum):
    """What is to become better, within the latency bound; names as in `spec.tuning.objective.goal`."""

    THROUGHPUT = "Throughput"
    """The most images a second that the box can serve (capacity), whatever the present load."""
    LATENCY = "Latency"
    """The lowest latency at the present demand."""
    EFFICIENCY = "Efficiency"
    """The least of the accelerator for the present demand."""


class Mode(StrEnum):
    """What the tuner may do; in mode Off nobody asks it."""

    AUTO = "Auto"
    RECOMMEND = "Recommend"
    """Say what Auto would do; touch nothing."""
    FROZEN = "Frozen"
    """Stay with what is accepted until somebody resumes it; go on observing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What every step keeps."""

    latency: float = 0.050
    """Seconds that the percentile may be at most."""
    percentile: int = 99
    accelerator: float = 0.80
    """Utilisation of the accelerator at the present demand, at most."""
    host: float = 0.85
    """Utilisation of the node's processors at the present demand, at most."""
    memory: float | None = None
    """Bytes of the accelerator, where its exporter does not tell; None: not stated either; infinite: it has none of its
    own, since models run on the host's processors."""
    min_instances: int = 1
    max_instances: int = 4
    max_queue_delay_microseconds: int = 5000
    min_post_processing: int = 0
    max_post_processing: int = 0
    """Instances of a model's post-processing; 0: no model has one that is tuned."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What is fixed of one model."""

    largest_batch: int = 0
    """That it was compiled for (`models[].maxBatchSize`); 0: it has no batch dimension."""
    preferred: tuple[int, ...] = ()
    """Batch sizes that it was compiled for (optimisation profiles), if that is stated."""
    region: float = 0.0
    """Bytes of /dev/shm that one image in a request takes, inputs and outputs; 0: not known."""
    tensors: float = 0.0
    """Bytes of one image's inputs and outputs, which cross the accelerator's link; 0: not known."""
    fixed_batch: bool = False
    """Its largest batch is no knob: an ensemble in Triton states it too, and the two cannot change at one moment."""
    post_region: float = 0.0
    """Bytes of /dev/shm that an instance of its post-processing takes for each image of a batch; 0: it has none."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that is not measured."""

    start: Configuration
    """What the specification says: where tuning starts, and what mode Off serves."""
    engines: Mapping[str, Engine]
    goal: Goal = Goal.THROUGHPUT
    limits: Limits = field(default_factory=Limits)
    cameras: int = 0
    """How many cameras a pod has about; 0: not known."""
    cameras_by_model: Mapping[str, int] = field(default_factory=dict)
    """How many of them a model serves, where that is stated: a batch holds one frame of each at most."""
    in_place: bool = False
    """A change of instances alone keeps the old ones (verified); otherwise every change is a whole reload, for which
    old and new instances coexist in the accelerator's memory."""
    coexisting: bool = False
    """That old and new fit beside each other was verified; otherwise memory must be known to hold both."""
    mode: Mode = Mode.AUTO
    may_choose: bool = True
    """There is time to choose, and room for another trial; otherwise `Decision.due` says that a choice is due."""
    accepted: Configuration | None = None
    """What the serving configuration on record says is accepted: where to begin when the tuner's own record is lost;
    None: not known, the start."""

    def cameras_of(self, model: str) -> int:
        """Return how many cameras of a pod a model serves about; 0: not known."""
        return self.cameras_by_model.get(model, self.cameras)

    def cameras_of_each(self) -> dict[str, int]:
        """Return the same of all models."""
        return {name: self.cameras_of(name) for name in self.engines}
