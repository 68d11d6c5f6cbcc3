"""A server whose truth is known, and what the tuner is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgedetector.tuning.situation import Engine, Goal, Limits, Situation
from edgedetector.tuning.window import Configuration, Knobs
from judge.device import Hardware
from judge.traffic import Traffic


@dataclass(frozen=True)
class Server:
    """One simulated server."""

    name: str
    """Family and seed."""
    seed: int
    family: str
    hardware: Hardware
    engines: Mapping[str, Engine]
    traffic: Mapping[str, Traffic]
    start: Configuration
    limits: Limits = field(default_factory=Limits)
    goal: Goal = Goal.THROUGHPUT
    prepare: float = 0.001
    """Seconds that a frame takes in the detector before it is sent."""
    way: float = 0.0006
    """Seconds that a request takes between detector and Triton, both ways together."""
    copies: float = 0.05
    """Share of an execution that is input and output."""
    in_place: bool = False
    """Instances alone can be changed in place, and the tuner is told so."""
    coexisting: bool = False
    exporter: bool = True
    memory_shown: bool = True
    """The exporter tells the total memory."""
    memory_stated: bool = False
    """The total memory is stated in the EdgeDetector."""
    lie: str = ""
    """What is not as it should be, if only safety is judged; see `servers.LIES`."""

    @property
    def safety_only(self) -> bool:
        """Whether nothing but safety is judged."""
        return bool(self.lie)

    @property
    def situation(self) -> Situation:
        """Return what the tuner is told."""
        limits = replace(self.limits, memory=self.hardware.memory if self.memory_stated else None)
        return Situation(
            start=self.start,
            engines=self.engines,
            goal=self.goal,
            limits=limits,
            in_place=self.in_place,
            coexisting=self.coexisting,
            cameras=max(traffic.cameras for traffic in self.traffic.values()),
        )

    @property
    def memory_known(self) -> bool:
        """Whether the tuner can know how much memory there is and how much of it is in use."""
        return self.exporter and (self.memory_shown or self.memory_stated)

    def really(self, knobs: Knobs) -> Knobs:
        """Return what is served when it is told to serve `knobs`."""
        if self.lie == "serves-less":
            return replace(knobs, instances=1)
        if self.lie == "serves-more":
            return replace(knobs, max_queue_delay_microseconds=5000)
        return knobs

    def memory(self, configuration: Configuration) -> float:
        """Return the bytes of device memory that a configuration takes."""
        return self.hardware.reserved + sum(self._of(name, knobs) for name, knobs in configuration.items())

    def memory_to_change(self, old: Configuration, new: Configuration, *, in_place: bool) -> float:
        """Return the bytes that are taken while `old` gives way to `new`, one model after the other."""
        return max(
            self.hardware.reserved + sum(self._of(name, knobs) for name, knobs in there)
            for there in loaded(old, new, in_place=in_place)
        )

    def _of(self, name: str, knobs: Knobs) -> float:
        return self.hardware.costs[name].memory(knobs.instances, knobs.max_batch_size)


Loaded = Sequence[tuple[str, Knobs]]
"""What is in the device's memory at one time; a model that is being reloaded is there twice."""


def loaded(old: Configuration, new: Configuration, *, in_place: bool) -> list[Loaded]:
    """Return what is there together at each stage of a change from `old` to `new`, one model after the other."""
    present = dict(old)
    stages: list[Loaded] = [tuple(present.items())]
    for name, knobs in new.items():
        before = present[name]
        if knobs == before:
            continue
        beside = () if in_place and replace(knobs, instances=before.instances) == before else ((name, before),)
        present[name] = knobs
        stages.append((*present.items(), *beside))
    return stages
