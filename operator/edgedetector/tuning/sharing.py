"""How executions that are at work at the same time lengthen each other.

Two numbers say it. The *part* of an execution in which it has the device for itself: 0 is perfect overlap, 1 a device
that does one execution at a time; the accelerator's utilisation tells it of a single instance already. And the
*contention*: what each further execution at work adds to that part, relatively (a scheduler that switches, memory
bandwidth that is shared), which shows only where several are at work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgedetector.tuning.evidence import ModelVisit, Range, Visit
from edgedetector.tuning.posterior import Prior

UNTOLD: Final = Range(0.45, 0.75, 1.0)
"""Part where utilisation does not tell it: most of an execution is the device's."""
_BELOW, _ABOVE = 0.05, 0.10
"""How far the part may be off what utilisation tells. A monitor sees less than the device's part (the KS20's leaves out
copies) rather than more."""
CONTENTION: Final = Prior(mode=0.0, below=0.03, above=0.03, most=1.2, power=1.0)
"""Most devices queue and lose a few per cent, some switch and lose as much as a further instance could win."""
_SEEN: Final = 0.02
"""Relative error of utilisation over a visit."""
_FEWEST: Final = 100
"""Executions of which utilisation tells what one takes of the device."""
_MIXED: Final = 0.25
"""Relative error of what is said of how long an execution of one size takes beside others: small batches wait for large
ones (9 -> 14 ms where one of four goes 17 -> 18), and luck decides how often they meet."""
_LEAST: Final = 0.1
_LUCK: Final = 0.6
"""Of the others' time at work in which an execution need not meet them (judged by simulated cameras)."""
_STEPS: Final = 180


@dataclass(frozen=True, slots=True)
class Company:
    """What is at work while an execution is."""

    instances: int = 1
    """Of all models."""
    others: float = 0.0
    """Mean executions at work beside one."""

    @property
    def busy(self) -> float:
        """Return the share of the time that the others are at work."""
        return min(1.0, self.others / (self.instances - 1)) if self.instances > 1 else 0.0

    @property
    def doubt(self) -> float:
        """Return the relative error of what is said of how long executions take in this company.

        Cameras send at fixed phases, so whether frames meet at all is luck; only where instances are always at work it
        is none.
        """
        return _MIXED * min(1.0, self.others) + _LUCK * self.others * (1.0 - self.busy)


def company(name: str, models: Mapping[str, ModelVisit]) -> Company:
    """Return the company of a model's executions in a visit: its other instances and the other models'."""
    working = {other: max(0, visit.knobs.instances) * share(visit.busy) for other, visit in models.items()}
    own = models[name]
    beside = max(0, own.knobs.instances - 1) * share(own.busy)
    instances = sum(max(1, visit.knobs.instances) for visit in models.values())
    return Company(instances, beside + sum(working.values()) - working[name])


@dataclass(frozen=True, slots=True)
class Sharing:
    """How executions of a model share the device."""

    part: float
    contention: float = 0.0


def stretch(sharing: Sharing, beside: Company) -> float:
    """Return how many times longer than alone an execution takes in this company.

    With `n` instances always at work a part `d`, contention included, makes it max(1 - part + d, n * d); in between it
    grows in proportion to how many are at work (closed queueing network with one serial station; fits an event
    simulation within 3 %).
    """
    if beside.instances <= 1:
        return 1.0
    slower = sharing.part * sharing.contention
    full = slower * (beside.instances - 1)
    waits = max(0.0, beside.instances * (sharing.part + full) - 1.0 - full)
    return 1.0 + slower * beside.others + waits * beside.busy


def part(name: str, visits: Sequence[Visit]) -> Range:
    """Return the part of a model's execution in which it has the device for itself, from utilisation where it is known.

    Of the visits the one in which executions lengthened each other least.
    """
    told = [(company(name, visit.models).others, visit) for visit in _telling(name, visits)]
    if not told:
        return UNTOLD
    _, visit = min(told, key=lambda entry: entry[0])
    value = _told(visit)
    return Range(max(_LEAST, value - _BELOW), value, min(1.0, value + _ABOVE))


def misfit(name: str, visits: Sequence[Visit], part_: float, alone: Callable[[int], Range]) -> Callable[[float], float]:
    """Return how badly a contention fits the device's seconds an execution, where several instances were at work.

    Parameters
    ----------
    part_
        Of an execution alone, in which it has the device for itself.
    alone
        Seconds of an execution alone, by size.
    """
    told = []
    for visit in _telling(name, visits):
        model, beside = visit.models[name], company(name, visit.models)
        if len(visit.models) > 1 or beside.others <= 0.0 or share(visit.utilization or 0.0) >= 1.0 - _SEEN:
            continue  # A device that is always at work says only that it could not be more.
        count = sum(batch.executions for batch in model.batches.values())
        together = sum(batch.executions * batch.seconds for batch in model.batches.values())
        ends = [
            sum(batch.executions * getattr(alone(size), end) for size, batch in model.batches.items())
            for end in ("low", "mean", "high")
        ]
        if count < _FEWEST or not known(ends[1]):
            continue
        device = share(visit.utilization or 0.0) * together / _working(visit)
        told.append((math.log(device / (part_ * ends[1])), (math.log(ends[2] / ends[0]) / 4) ** 2, beside.others))

    def chi_squared(contention: float) -> float:
        return sum(
            (longer - math.log1p(contention * others)) ** 2 / (_SEEN**2 + variance) for longer, variance, others in told
        )

    return chi_squared


def _telling(name: str, visits: Sequence[Visit]) -> list[Visit]:
    return [visit for visit in visits if name in visit.models and known(visit.utilization) and _working(visit) > _LEAST]


def _device(sharing: Sharing, beside: Company, working: float) -> float:
    """Return the device's share of time at work, of executions at work that each take as long as they do together."""
    return working * sharing.part * (1.0 + sharing.contention * beside.others) / stretch(sharing, beside)


def _told(visit: Visit) -> float:
    """Return the smallest part with which the visit's executions make the device as busy as was seen."""
    shares = [_LEAST + (1.0 - _LEAST) * step / _STEPS for step in range(_STEPS + 1)]
    companies = {name: company(name, visit.models) for name in visit.models}
    for value in shares:
        device = sum(
            _device(Sharing(value), companies[name], max(1, model.knobs.instances) * share(model.busy))
            for name, model in visit.models.items()
        )
        if device >= share(visit.utilization or 0.0):
            return value
    return 1.0


def _working(visit: Visit) -> float:
    """Return executions at work, in the mean."""
    return sum(max(1, model.knobs.instances) * share(model.busy) for model in visit.models.values())


def split(seconds: float, part_: float) -> tuple[float, float]:
    """Return the part of an execution in which others may compute and the part of its own; seconds."""
    return seconds * (1.0 - part_), seconds * part_


def known(value: float | None) -> bool:
    """Return whether a figure is a positive number."""
    return value is not None and math.isfinite(value) and value > 0.0


def share(value: float) -> float:
    """Return a share between 0 and 1; of what is no number, 0."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0


ALONE: Final = Company()
