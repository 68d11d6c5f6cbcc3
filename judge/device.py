"""A device on which models are executed: what a batch costs, alone and beside others. Seconds throughout.

An execution first has the host (a few processors), then its own time on the way to the device and back, in which others
may compute, and then one of the device's engines for itself. So instances pay as far as they hide the way, batches as
far as they share the fixed cost, and both stop paying where an engine, the host or the memory is full.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MIB = float(1 << 20)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one model costs."""

    base: float
    """Of an execution on an engine."""
    image: float
    """Of each image on an engine."""
    way: float = 0.0005
    """Of an execution outside the engine."""
    way_image: float = 0.0
    host: float = 0.0
    """Processor seconds of an execution, and of each image."""
    host_image: float = 0.0
    sizes: tuple[int, ...] = ()
    """Optimisation profiles: a batch costs what the next larger of them costs, above the last one each image."""
    cliff: int = 0
    """Batch above which each further image costs `cliff_factor` times as much; 0: none."""
    cliff_factor: float = 1.0
    contention: float = 0.0
    """What each further running instance adds to the engine time, relatively."""
    engine_bytes: float = 300 * MIB
    """Of device memory that an instance takes, and each image of its largest batch."""
    image_bytes: float = 10 * MIB

    def engine(self, size: int) -> float:
        """Return the seconds of a batch on an engine when nothing else runs."""
        if self.sizes:
            size = next((compiled for compiled in self.sizes if compiled >= size), size)
        if self.cliff and size > self.cliff:
            return self.base + self.image * (self.cliff + (size - self.cliff) * self.cliff_factor)
        return self.base + self.image * size

    def memory(self, instances: int, largest: int) -> float:
        """Return the bytes of device memory of a loaded model."""
        return instances * (self.engine_bytes + self.image_bytes * max(1, largest))


@dataclass(frozen=True, slots=True)
class Hardware:
    """What all models share."""

    costs: Mapping[str, Cost]
    engines: int = 1
    processors: int = 4
    noise: float = 0.03
    """Standard deviation of the logarithm of an execution's engine time."""
    memory: float = 8192 * MIB
    reserved: float = 300 * MIB
    neighbour: Sequence[tuple[float, float]] = field(default_factory=tuple)
    """(from second, factor on the engine time), ascending: others on the same device."""

    def slowdown(self, now: float) -> float:
        """Return the factor by which neighbours make the engines slower."""
        if not self.neighbour:
            return 1.0
        return self.neighbour[max(0, bisect_right(self.neighbour, (now, math.inf)) - 1)][1]


class Station:
    """Servers with one queue in the order of asking."""

    def __init__(self, servers: int) -> None:
        self.servers = servers
        self._free = [0.0] * servers
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Serve for `seconds` as soon as a server is free; return when that ends."""
        first = self._free[0]
        end = max(first, now) + seconds
        heapq.heapreplace(self._free, end)
        self.busy += seconds
        return end


class SimulatedDevice:
    """A device in use; `batcher.Device`."""

    def __init__(self, hardware: Hardware, seed: int) -> None:
        self.hardware = hardware
        self.engines = Station(hardware.engines)
        self.host = Station(hardware.processors)
        self._running = 0
        self._engine = {(name, size): cost.engine(size) for name, cost in hardware.costs.items() for size in range(129)}
        draw = random.Random(f"noise {seed}")  # noqa: S311 - to be repeated, not secret
        self._noise = [math.exp(draw.gauss(0.0, hardware.noise)) for _ in range(1009)]
        self._drawn = 0

    def execute(self, model: str, size: int, now: float) -> float:
        """Begin an execution now; return when it ends. One that is asked for later never overtakes."""
        hardware = self.hardware
        cost = hardware.costs[model]
        start = now
        if cost.host_image or cost.host:
            start = self.host.serve(now, cost.host + cost.host_image * size)
        start += cost.way + cost.way_image * size
        seconds = self._engine[model, size] * (1.0 + cost.contention * self._running)
        if hardware.neighbour:
            seconds *= hardware.slowdown(now)
        self._drawn = (self._drawn + 1) % 1009
        self._running += 1
        return self.engines.serve(start, seconds * self._noise[self._drawn])

    def finish(self, model: str) -> None:  # noqa: ARG002 - of the protocol
        """Take note that an execution ended."""
        self._running -= 1

    def take_busy(self) -> tuple[float, float]:
        """Return the engine seconds and the processor seconds since this was last asked, per engine and processor."""
        found = self.engines.busy / self.engines.servers, self.host.busy / self.host.servers
        self.engines.busy = self.host.busy = 0.0
        return found
