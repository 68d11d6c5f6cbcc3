"""How executions that are at work at the same time lengthen each other.

One number says it, the *serial share*: up to 1 it is the part of an execution in which it has the device for itself;
what is above 1 is what each further execution at work adds to that part (a scheduler that switches, shared memory
bandwidth). 0 is perfect overlap, 1 a device that does one execution at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgedetector.tuning.evidence import ModelVisit, Visit
from edgedetector.tuning.posterior import Prior

PRIOR: Final = Prior(mode=0.75, below=0.25, above=0.30, most=2.4)
"""Where utilisation does not tell: most of an execution is the device's, some devices get worse with each instance."""
_BELOW, _ABOVE = 0.10, 0.20
"""Standard deviations about what utilisation tells. A monitor sees less than the device's part (the KS20's leaves out
copies) rather than more."""
_LEAST: Final = 0.1
_LUCK: Final = 0.6
"""Of the others' time at work in which an execution need not meet them (judged by simulated cameras)."""
_STEPS: Final = 45


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
        return _LUCK * self.others * (1.0 - self.busy)


def company(name: str, models: Mapping[str, ModelVisit]) -> Company:
    """Return the company of a model's executions in a visit: its other instances and the other models'."""
    working = {other: max(0, visit.knobs.instances) * share(visit.busy) for other, visit in models.items()}
    own = models[name]
    beside = max(0, own.knobs.instances - 1) * share(own.busy)
    instances = sum(max(1, visit.knobs.instances) for visit in models.values())
    return Company(instances, beside + sum(working.values()) - working[name])


def stretch(serial: float, beside: Company) -> float:
    """Return how many times longer than alone an execution takes in this company.

    With `n` instances always at work a serial share `d` makes it max(1, n * d); in between it grows in proportion to
    how many are at work (closed queueing network with one serial station; fits an event simulation within 3 %).
    """
    if beside.instances <= 1:
        return 1.0
    part, more = min(1.0, serial), max(0.0, serial - 1.0)
    return (1.0 + max(0.0, beside.instances * part - 1.0) * beside.busy) * (1.0 + more * beside.others)


def prior(name: str, visits: Sequence[Visit]) -> Prior:
    """Return what is to be expected of a model's serial share, from the accelerator's utilisation where it is known.

    Of the visits the one in which executions lengthened each other least.
    """
    told = [
        (company(name, visit.models).others, visit)
        for visit in visits
        if name in visit.models and known(visit.utilization) and _working(visit) > _LEAST
    ]
    if not told:
        return PRIOR
    _, visit = min(told, key=lambda entry: entry[0])
    return Prior(_told(visit), _BELOW, _ABOVE, PRIOR.most)


def _told(visit: Visit) -> float:
    """Return the smallest serial share with which the visit's executions make the device as busy as was seen.

    Executions at work, each shortened to what it takes alone, of which the serial share is the device's.
    """
    shares = [_LEAST + (1.0 - _LEAST) * step / _STEPS for step in range(_STEPS + 1)]
    companies = {name: company(name, visit.models) for name in visit.models}
    for value in shares:
        device = sum(
            max(1, model.knobs.instances) * share(model.busy) / stretch(value, companies[name])
            for name, model in visit.models.items()
        )
        if device * value >= share(visit.utilization or 0.0):
            return value
    return 1.0


def _working(visit: Visit) -> float:
    return sum(share(model.busy) for model in visit.models.values())


def split(seconds: float, serial: float) -> tuple[float, float]:
    """Return the part of an execution in which others may compute and the part of its own; seconds."""
    part = min(1.0, serial)
    return seconds * (1.0 - part), seconds * part


def known(value: float | None) -> bool:
    """Return whether a figure is a positive number."""
    return value is not None and math.isfinite(value) and value > 0.0


def share(value: float) -> float:
    """Return a share between 0 and 1; of what is no number, 0."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0


ALONE: Final = Company()
