"""What presses on a box, and what of it is too much: a reason in plain words, or room.

Each signal has a limit, above which something must give way, and a lower mark, below which there is room again; between
the two nothing changes. What is not known is neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Final


class Signal(StrEnum):
    """Why the ladder moves; the field of `Pressure` and `Limits` has the same name in snake case."""

    FRAME_AGE = "FrameAge"
    SKIPPED = "Skipped"
    QUEUE_SHARE = "QueueShare"
    ACCELERATOR = "Accelerator"
    HOST_CPU = "HostCpu"
    TEMPERATURE = "Temperature"
    OBJECTS = "Objects"


HARM: Final = frozenset({Signal.FRAME_AGE, Signal.SKIPPED, Signal.TEMPERATURE})
"""Signals of harm that is being done; the others are ceilings that keep it away. Only for harm is a camera suspended:
a box whose CPU another process keeps busy would otherwise see nothing at all, and be no less busy."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What was measured over the last seconds; None or not finite: not known."""

    frame_age: float | None = None
    """99th percentile of the age of results over the camera's target interval, of the worst camera."""
    skipped: float | None = None
    """Share of the frames due that were superseded or expired, 0 to 1."""
    queue_share: float | None = None
    """Triton's queue duration over its request duration, 0 to 1."""
    accelerator: float | None = None
    """Utilisation, 0 to 1."""
    host_cpu: float | None = None
    """Utilisation over all cores of the node, 0 to 1."""
    temperature: float | None = None
    """Of the accelerator, in degrees Celsius."""
    objects: float | None = None
    """95th percentile of the objects a frame, of the camera with the most; None where the model itself does NMS."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A limit, and where there is room again."""

    limit: float
    room: float


@dataclass(frozen=True, slots=True)
class Limits:
    """When each signal is too much."""

    frame_age: Mark = Mark(1.5, 1.0)
    """A frame waits up to an interval (then a newer one comes) and takes an inference: above 1.5, both are long."""
    skipped: Mark = Mark(0.05, 0.01)
    """The acceptance tests ask for under 1 %."""
    queue_share: Mark = Mark(0.75, 0.6)
    """With two requests an instance a busy queue has about one half; more than that comes from elsewhere."""
    accelerator: Mark = Mark(0.80, 0.65)
    """The reference deployments' ceiling."""
    host_cpu: Mark = Mark(0.85, 0.75)
    """The reference deployments keep 10-20 % free."""
    temperature: Mark = Mark(85.0, 78.0)
    """Celsius. No source for the KS20; a guess below where accelerators throttle by themselves."""
    objects: Mark = Mark(50.0, 40.0)
    """Objects a frame above which NMS on the CPU surges, in the reference deployment."""


def limits(accelerator_headroom: float, cpu_headroom: float) -> Limits:
    """Return the limits for the shares to keep free (spec.tuning.headroom), each 0 to 1."""
    marks = Limits()
    return replace(
        marks,
        accelerator=_below(1.0 - accelerator_headroom, marks.accelerator),
        host_cpu=_below(1.0 - cpu_headroom, marks.host_cpu),
    )


def _below(limit: float, usual: Mark) -> Mark:
    return Mark(limit, limit * usual.room / usual.limit)


@dataclass(frozen=True, slots=True)
class Finding:
    """A signal that is over its limit."""

    signal: Signal
    excess: float
    """Value over limit, above 1."""
    because: str
    """A clause in the past tense, e.g. "the host CPU was 96 % busy"."""
    harm: bool = field(default=False, compare=False)


def blended(before: Pressure | None, now: Pressure, weight: float) -> Pressure:
    """Return the moving average with `weight` (0 to 1) for the newest; what is unknown now is unknown."""
    if before is None:
        return now
    mixed: dict[str, float | None] = {}
    for item in fields(Pressure):
        old, new = _known(getattr(before, item.name)), _known(getattr(now, item.name))
        mixed[item.name] = new if old is None or new is None else old + weight * (new - old)
    return Pressure(**mixed)


def findings(pressure: Pressure, marks: Limits) -> tuple[Finding, ...]:
    """Return what is over its limit, worst first."""
    found = []
    for signal, name in _NAMES.items():
        value, mark = _known(getattr(pressure, name)), getattr(marks, name)
        if (
            value is not None
            and value > mark.limit
            and (signal is not Signal.OBJECTS or _crowded(pressure, marks, marks.objects.limit))
        ):
            because = _WORDS[signal](value, pressure)
            found.append(Finding(signal, value / mark.limit, because, signal in HARM))
    return tuple(sorted(found, key=lambda finding: -finding.excess))


def relaxed(pressure: Pressure, marks: Limits, causes: Collection[Signal] | None = None) -> bool:
    """Return whether there is room by everything that is known.

    Of what gave no reason to give way, `causes` being the signals that did, it is enough not to be over its limit: a
    box whose processors are always three quarters busy would else never get back what it gave for another reason.

    Also if nothing is known: with all cameras suspended there are no frames to measure, and who waited for a
    measurement would wait for ever.
    """

    def mark(signal: Signal) -> float:
        found: Mark = getattr(marks, _NAMES[signal])
        return found.room if causes is None or signal in causes else found.limit

    known = ((signal, _known(getattr(pressure, name))) for signal, name in _NAMES.items())
    return not _crowded(pressure, marks, mark(Signal.OBJECTS)) and all(
        value is None or value <= mark(signal) for signal, value in known if signal is not Signal.OBJECTS
    )


def eased(then: Pressure, now: Pressure | None) -> bool:
    """Return whether something presses clearly less than it did, or nothing of the cameras is known.

    What is late or skipped does not count: where all is well it is near nothing, and moves by itself.
    """
    if now is None or _known(now.frame_age) is None:
        return True
    both = [(_known(getattr(then, name)), _known(getattr(now, name))) for name in _LASTING]
    return any(old is not None and new is not None and new < _LESS * old for old, new in both)


def _crowded(pressure: Pressure, marks: Limits, many: float) -> bool:
    """Whether many objects are a burden: they are none to a CPU that has room for a surge."""
    objects, cpu = _known(pressure.objects), _known(pressure.host_cpu)
    return objects is not None and objects > many and (cpu is None or cpu > marks.host_cpu.room)


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _objects(value: float, pressure: Pressure) -> str:
    cpu = _known(pressure.host_cpu)
    return f"{value:.0f} objects were in a frame" + (
        f" and the host CPU was {_percent(cpu)} busy" if cpu is not None else ""
    )


_LESS: Final = 0.85
"""Share of what a signal was below which it is clearly less."""
_NAMES: Final = {signal: item.name for signal, item in zip(Signal, fields(Pressure), strict=True)}
_LASTING: Final = tuple(name for signal, name in _NAMES.items() if signal not in (Signal.FRAME_AGE, Signal.SKIPPED))
_WORDS: Final[dict[Signal, Callable[[float, Pressure], str]]] = {
    Signal.FRAME_AGE: lambda value, _: f"results were {value:.1f} frame intervals old",
    Signal.SKIPPED: lambda value, _: f"{_percent(value)} of the frames were skipped",
    Signal.QUEUE_SHARE: lambda value, _: f"requests spent {_percent(value)} of their time in Triton's queue",
    Signal.ACCELERATOR: lambda value, _: f"the accelerator was {_percent(value)} busy",
    Signal.HOST_CPU: lambda value, _: f"the host CPU was {_percent(value)} busy",
    Signal.TEMPERATURE: lambda value, _: f"the accelerator was {value:.0f} °C hot",
    Signal.OBJECTS: _objects,
}
