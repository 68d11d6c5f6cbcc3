"""Cases in which the simulator is held against a real Triton, and what it says of them.

The model sleeps a known time, so that it is Triton's batcher that is compared and not a processor. What Triton and the
client add is measured once (`Overheads`), on one instance with one request at a time, kept busy, and with full batches;
those loads are not among the cases.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judge.batcher import Batching, Model
from judge.clients import ClosedLoop, OpenLoop
from judge.device import Station
from judge.events import Clock

CASES = 50
TOLERANCE = 0.10
SETTLE = 0.5
"""Seconds of a closed loop before anything is counted."""


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration, a cost and a load."""

    number: int
    batching: Batching
    base: float
    """Seconds that an execution takes, and `image` of each image."""
    image: float
    flights: int = 0
    """Requests kept on their way; 0: an open loop."""
    rate: float = 0.0
    """Of the open loop, requests a second."""

    @property
    def name(self) -> str:
        """Return it in a line."""
        serving = self.batching
        load = f"{self.flights} in flight" if self.flights else f"{self.rate:.0f}/s"
        liked = f" preferred {','.join(map(str, serving.preferred))}" if serving.preferred else ""
        return f"{serving.instances} x {serving.max_batch}{liked} delay {serving.delay * 1e3:g} ms, {load}"


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a real server adds, seconds."""

    execution: float = 0.0
    """To each execution, as `batch_stats` counts it, above the time that the model sleeps."""
    image: float = 0.0
    """The same, of each further request of a batch."""
    turn: float = 0.0
    """Between two executions of an instance."""
    way: float = 0.0
    """Of a request outside Triton's own count."""
    serial: float = 0.0
    """Of it, that no two requests have at once: what all processors need for a request that takes the model no time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case gave."""

    throughput: float
    """Requests a second."""
    median: float
    """Latency, seconds."""


def cases(count: int = CASES) -> list[Case]:
    """Return the cases: the same ones every time."""
    draw = random.Random("calibration")  # noqa: S311 - to be repeated, not secret
    found = []
    loops = itertools.cycle((True, False))
    for number, closed in zip(range(count), loops, strict=False):
        largest = draw.choice((1, 2, 4, 8, 8, 16))
        sizes = [size for size in (2, 4, 6, 8) if size <= largest]
        preferred = tuple(sorted(draw.sample(sizes, draw.randint(1, len(sizes))))) if sizes else ()
        serving = Batching(
            draw.randint(1, 4),
            largest,
            preferred if draw.random() < 0.4 else (),
            draw.choice((0.0, 0.0, 0.0005, 0.002, 0.005)),
        )
        # Slow enough that a few hundred requests a second are the most: neither client nor server is then in the way.
        image = draw.uniform(2e-3, 4e-3) * serving.instances
        case = Case(number, serving, draw.uniform(8e-3, 24e-3), image)
        size = max(serving.preferred, default=largest)
        most = serving.instances * size / (case.base + size * image)
        load = {"flights": draw.randint(1, 32)} if closed else {"rate": most * draw.uniform(0.3, 0.9)}
        found.append(Case(number, serving, case.base, image, **load))
    return found


class Sleeper:
    """A device on which nothing waits for anything; `batcher.Device`. `late`: of its times, what is random."""

    def __init__(
        self, base: float, image: float, known: Mapping[int, float] | None = None, *, late: float = 0.0
    ) -> None:
        self._base, self._image, self._known, self._late = base, image, known or {}, late
        self._draw = random.Random("late")  # noqa: S311 - to be repeated, not secret

    def execute(self, _model: str, size: int, now: float) -> float:
        """Return when a batch that begins now ends."""
        seconds = self._known.get(size, self._base + self._image * size)
        if not self._late:
            return now + seconds
        # Who sleeps is woken late by more or less; without that a closed loop keeps a pattern that nothing real keeps.
        return now + max(0.0, seconds - self._late) + self._draw.expovariate(1.0 / self._late)

    def finish(self, _model: str) -> None:
        """Do nothing."""


class _Threads(Station):
    """The processors of a client, which take more or less for a request: threads wait for each other's locks.

    Exponential, of the measured mean, as the lateness of `Sleeper` is. With a constant time, what was answered together
    comes back together, and a closed loop keeps a batch together for ever that nothing real keeps.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self._draw = random.Random("threads")  # noqa: S311 - to be repeated, not secret

    def serve(self, now: float, seconds: float) -> float:
        """Serve for about `seconds`."""
        return super().serve(now, self._draw.expovariate(1.0 / seconds))


class _Closed(ClosedLoop):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._client = _Threads()


class _Open(OpenLoop):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._client = _Threads()


def predict(
    case: Case,
    overheads: Overheads,
    *,
    seconds: float,
    sent: Sequence[float] = (),
    known: Mapping[int, float] | None = None,
) -> Outcome:
    """Return what the simulator says.

    Parameters
    ----------
    sent
        When the requests of an open loop really were sent, seconds from its beginning.
    known
        Seconds of an execution by batch size, as the real server counted them in this case; other sizes take what the
        model was told to sleep. So a machine that is late in waking sleepers is not taken for another batcher.
    """
    clock, way = Clock(), max(0.0, overheads.way - overheads.serial)
    device = Sleeper(
        case.base + overheads.execution - overheads.image, case.image + overheads.image, known, late=overheads.execution
    )
    model = Model("sleeper", case.batching, device, clock, turn=overheads.turn)
    if case.flights:
        loop = _Closed(clock, model.enqueue, case.flights, way=way, serial=overheads.serial)
        clock.run(SETTLE)
        settled = len(loop.latencies)
        # Longer than the real one, for the mean over whatever patterns there are.
        seconds *= 10.0
        clock.run(SETTLE + seconds)
        found = loop.latencies[settled:]
    else:
        paced = _Open(clock, model.enqueue, iter(sent), way=way, serial=overheads.serial)
        clock.run(seconds)
        found = paced.latencies
    return outcome(found, seconds)


def outcome(latencies: Sequence[float], seconds: float) -> Outcome:
    """Return what was measured, from the latencies of what was answered within `seconds`."""
    ordered = sorted(latencies)
    return Outcome(len(ordered) / seconds, ordered[len(ordered) // 2] if ordered else float("inf"))
