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
_ALWAYS: Final = 0.97
"""Utilisation from which a device may be always at work."""
_FEWEST: Final = 100
"""Executions of which utilisation tells what one takes of the device."""
_LARGER: Final = 0.35
"""Relative error of a wait that was measured of the next smaller size: large batches wait a little less."""
_MIXED: Final = 0.5
"""Of the mean execution, how far a wait may be off that was not measured and where others are always at work: small
batches wait for large ones, and large ones for small (50 and 2 ms, where the mean execution takes 74)."""
_LIKE: Final = 0.1
"""Relative error of a wait for executions that are all of one size."""
_LUCK: Final = 0.6
"""Relative error of a wait where the others are hardly at work: cameras send at fixed phases, so whether frames meet is
luck."""
_OWN: Final = 1 / 3
"""Share of an execution in company that is its own at least."""
_LEAST: Final = 0.1
_LONGEST: Final = 600.0
"""Seconds of an execution that can be believed."""
_STEPS: Final = 180


@dataclass(frozen=True, slots=True)
class Company:
    """What is at work while an execution is."""

    instances: int = 1
    """Of all models."""
    others: float = 0.0
    """Mean executions at work beside one."""
    mean: float = 0.0
    """Seconds that executions take in this company; 0: not known."""
    here: float = 0.0
    """The same of the nearest size, not above the one in question, that is known without company too; 0: none is."""
    alone: float = 0.0
    """Seconds that this takes without company."""

    @property
    def busy(self) -> float:
        """Return the share of the time that the others are at work."""
        return min(1.0, self.others / (self.instances - 1)) if self.instances > 1 else 0.0


def company(name: str, models: Mapping[str, ModelVisit]) -> Company:
    """Return the company of a model's executions in a visit: its other instances and the other models'."""
    working = {other: max(0, visit.knobs.instances) * share(visit.busy) for other, visit in models.items()}
    own = models[name]
    beside = max(0, own.knobs.instances - 1) * share(own.busy)
    instances = sum(max(1, visit.knobs.instances) for visit in models.values())
    told = [batch for batch in own.batches.values() if batch.executions > 0 and 0.0 < batch.seconds <= _LONGEST]
    count = sum(batch.executions for batch in told)
    mean = sum(batch.executions * batch.seconds for batch in told) / count if count > 0 else 0.0
    return Company(instances, beside + sum(working.values()) - working[name], mean)


@dataclass(frozen=True, slots=True)
class Sharing:
    """How executions of a model share the device."""

    part: float
    contention: float = 0.0


def stretch(sharing: Sharing, beside: Company) -> float:
    """Return how many times longer than alone executions take in this company, in the mean over their sizes.

    With `n` instances always at work a part `d`, contention included, makes it max(1 - part + d, n * d); in between it
    grows in proportion to how many are at work (closed queueing network with one serial station; fits an event
    simulation within 3 %).
    """
    if beside.instances <= 1:
        return 1.0
    full = sharing.part * sharing.contention * (beside.instances - 1)
    waits = max(0.0, beside.instances * (sharing.part + full) - 1.0 - full)
    return _slower(sharing, beside) + waits * beside.busy


def wait(seconds: float, sharing: Sharing, beside: Company) -> float:
    """Return how long an execution waits for others that takes so many seconds in this company.

    As measured, where a size is known without company; else so that the mean over all sizes is longer by `stretch`. A
    larger batch waits less: for longer it does what it can while another has the device.
    """
    slower = _slower(sharing, beside)
    if beside.alone > 0.0:
        waited, reference = max(0.0, beside.here - slower * beside.alone), beside.here
    else:
        waited, reference = beside.mean * (1.0 - slower / stretch(sharing, beside)), beside.mean
    longer = (1.0 - sharing.part) * (seconds - reference) / beside.mean
    return waited * min(2.0, max(0.0, 1.0 - longer))


def doubt(waited: float, beside: Company, alike: float = 0.0) -> float:
    """Return how far a wait in this company may be off, seconds.

    Parameters
    ----------
    alike
        Share of the time of all executions that those of the same size take: who waits for his like waits as long.
    """
    mixed = (1.0 - alike**2) * _MIXED * beside.busy**2 * beside.mean + alike**2 * _LIKE * waited
    off = _LARGER * waited if beside.alone > 0.0 else mixed
    return off + _LUCK * (1.0 - beside.busy) * waited


def alone(seconds: float, sharing: Sharing, beside: Company) -> float:
    """Return how long an execution takes without company that takes `seconds` in this one."""
    if beside.others <= 0.0:
        return seconds
    if beside.mean <= 0.0:
        return seconds / stretch(sharing, beside)
    return max(_OWN * seconds, seconds - wait(seconds, sharing, beside)) / _slower(sharing, beside)


def together(seconds: float, sharing: Sharing, beside: Company) -> float:
    """Return how long an execution takes in this company that takes `seconds` without."""
    if beside.mean <= 0.0:
        return seconds * stretch(sharing, beside)
    return seconds * _slower(sharing, beside) + wait(seconds, sharing, beside)


def _slower(sharing: Sharing, beside: Company) -> float:
    """Return how many times longer an execution takes for contention alone."""
    return 1.0 + sharing.part * sharing.contention * beside.others


def part(name: str, visits: Sequence[Visit]) -> Range:
    """Return the part of a model's execution in which it has the device for itself, from utilisation where it is known.

    Of the visits the one in which executions lengthened each other least.
    """
    told = [(company(name, visit.models).others, visit) for visit in _telling(name, visits)]
    if not told:
        return UNTOLD
    _, visit = min(told, key=lambda entry: entry[0])
    seen = share(visit.utilization or 0.0)
    # Where several instances nearly fill the device, utilisation hardly depends on the part, and its error is much.
    if seen >= _ALWAYS:  # It could not be more, whatever the part.
        least = _told(visit, _ALWAYS * (1.0 - _SEEN))
        return Range(max(_LEAST, least - _BELOW), (least + 1.0) / 2, 1.0)
    low, value, high = (_told(visit, seen * (1.0 + off)) for off in (-_SEEN, 0.0, _SEEN))
    return Range(max(_LEAST, min(low, value - _BELOW)), value, min(1.0, max(high, value + _ABOVE)))


@dataclass(frozen=True, slots=True)
class Worked:
    """How long the device worked in a visit with company, by utilisation; seconds."""

    device: float
    executions: Mapping[int, int]
    """By size."""
    others: float
    """Mean executions at work beside one."""


def worked(name: str, visits: Sequence[Visit]) -> list[Worked]:
    """Return how long the device worked where several instances of the model were at work, and no other model."""
    found = []
    for visit in _telling(name, visits):
        model, beside = visit.models[name], company(name, visit.models)
        if len(visit.models) > 1 or beside.others <= 0.0 or share(visit.utilization or 0.0) >= _ALWAYS:
            continue  # A device that is always at work says only that it could not be more.
        executions = {size: batch.executions for size, batch in model.batches.items()}
        together = sum(batch.executions * batch.seconds for batch in model.batches.values())
        if sum(executions.values()) >= _FEWEST and known(together):
            found.append(
                Worked(share(visit.utilization or 0.0) * together / _working(visit), executions, beside.others)
            )
    return found


def misfit(seen: Sequence[Worked], part_: float, alone: Callable[[int], Range]) -> Callable[[float], float]:
    """Return how badly a contention fits the device's seconds, where several instances were at work.

    Parameters
    ----------
    part_
        Of an execution alone, in which it has the device for itself.
    alone
        Seconds of an execution alone, by size.
    """
    told = []
    for one in seen:
        ranges = [(count, alone(size)) for size, count in one.executions.items()]
        low, mean, high = (sum(count * getattr(each, end) for count, each in ranges) for end in ("low", "mean", "high"))
        told.append((math.log(one.device / (part_ * mean)), (math.log(high / low) / 4) ** 2, one.others))

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


def _told(visit: Visit, utilization: float) -> float:
    """Return the smallest part with which the visit's executions make the device as busy as that."""
    shares = [_LEAST + (1.0 - _LEAST) * step / _STEPS for step in range(_STEPS + 1)]
    companies = {name: company(name, visit.models) for name in visit.models}
    for value in shares:
        device = sum(
            _device(Sharing(value), companies[name], max(1, model.knobs.instances) * share(model.busy))
            for name, model in visit.models.items()
        )
        if device >= utilization:
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
