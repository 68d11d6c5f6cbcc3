"""Profile verification: what a test on the real card is asked for, what it found, and for how long that counts. Pure.

The operator writes a `Task` into the test's Job; the test leaves a `Report` as its container's last words; and the
status of the AcceleratorProfile holds what came of it, a `Verification`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgedetector.api.dataplane import AcceleratorMetric
from edgedetector.api.decode import decode
from edgedetector.api.errors import InvalidSpecError
from edgedetector.api.wire import LEFT_OUT, to_json

MAX_REPORT: Final = 4000
"""Bytes. The kubelet keeps 4096 of a container's last words."""
MAX_REQUEST: Final = 128
"""Characters of an annotation's value that count."""
_EVIDENCE: Final = 240
"""Characters of one piece of evidence to begin with."""


@dataclass(frozen=True, slots=True)
class DriverLabel:
    """The metric of an exporter that carries the driver's version as a label; empty names: none does."""

    metric: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What a test is to do."""

    request: str
    """The annotation's value that asked for it."""
    basis: str
    """`ProfileSpec.basis` of the profile as it is tested."""
    exporter: str = ""
    """URL of the exporter's metrics; empty: nobody can be asked."""
    metrics: tuple[AcceleratorMetric, ...] = ()
    driver: DriverLabel = field(default_factory=DriverLabel)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one capability, or of one figure of the exporter."""

    name: str
    supported: bool = False
    verified: bool = False
    """It was tested. What is not tested stays as the profile says."""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a test leaves."""

    request: str
    basis: str
    driver: str = ""
    """Version of the driver, as the exporter names it; empty: it names none."""
    triton: str = ""
    model: str = ""
    capabilities: tuple[Finding, ...] = ()
    metrics: tuple[Finding, ...] = ()
    failure: str = field(default="", metadata=LEFT_OUT)
    """Why there is nothing of the above: what kept the test from running."""


@dataclass(frozen=True, slots=True)
class Verification:
    """`.status.verification` of an AcceleratorProfile.

    The last try, and what the last one that ran to its end has found.
    """

    observed: str = ""
    """Value of the annotation that asked for the last try."""
    detector: str = ""
    """namespace/name of the EdgeDetector that carries it."""
    time: str = ""
    """When the last try ended, RFC 3339."""
    failure: str = ""
    """Why the last try found nothing; empty: what follows is from it."""
    measured: str = ""
    """When what follows was found, RFC 3339; empty: never."""
    basis: str = ""
    driver: str = ""
    triton: str = ""
    model: str = ""
    capabilities: tuple[Finding, ...] = ()
    metrics: tuple[Finding, ...] = ()


NEVER: Final = "never"
PROFILE_CHANGED: Final = "profile"
DRIVER_CHANGED: Final = "driver"


def lapsed(verification: Verification, basis: str, drivers: Iterable[str]) -> str:
    """Return why a verification does not count now, empty if it does.

    Parameters
    ----------
    basis
        `ProfileSpec.basis` of the profile as it is.
    drivers
        Versions of the driver that are in use; empty: none is known, then the one that was verified is taken to be.
    """
    if not verification.measured:
        return NEVER
    if verification.basis != basis:
        return PROFILE_CHANGED
    return DRIVER_CHANGED if set(drivers) - {verification.driver} else ""


def verification_of(status: Mapping[str, Any]) -> Verification:
    """Return what the status of an AcceleratorProfile says; an empty one if it says nothing that can be read."""
    try:
        return decode(Verification, status.get("verification") or {}, "status.verification")
    except InvalidSpecError:
        return Verification()


def drivers_of(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the versions of the driver that were last seen in use."""
    found = status.get("drivers")
    return tuple(str(driver) for driver in found) if isinstance(found, list) else ()


def text(report: Report, limit: int = MAX_REPORT) -> str:
    """Return the report as JSON of at most `limit` bytes: evidence is cut as far as that takes.

    The cut is the same for all, since a report without one of its findings would say less than one without its end.
    """
    length = _EVIDENCE
    while len(found := to_json(_cut(report, length))) > limit and length > 0:  # ASCII: a character is a byte
        length //= 2
    return found


def _cut(report: Report, length: int) -> Report:
    return replace(
        report,
        request=report.request[:MAX_REQUEST],
        driver=report.driver[:64],
        triton=report.triton[:32],
        model=report.model[:64],
        failure=report.failure[: 4 * length],
        capabilities=tuple(replace(one, evidence=one.evidence[:length]) for one in report.capabilities),
        metrics=tuple(replace(one, evidence=one.evidence[:length]) for one in report.metrics),
    )
