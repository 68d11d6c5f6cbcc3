"""Trials of a serving configuration, pure: which configuration a pod must serve now.

The operator writes a probe; the pod alone decides how long it lives. Times are seconds of CLOCK_BOOTTIME, which goes on
while the machine sleeps and which no wall-clock change moves.

    (no probe for this pod) ──probe appears──> Running ──ttl over, not renewed──> Expired
                                                  └──its configuration does not load──> Failed

Expired and Failed are ends: nothing that the probe's document says later, a renewal included, brings the trial back.
When the document disappears or names another trial, the old one is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from edgedetector.api.dataplane import Probe, ServingConfig


class Outcome(StrEnum):
    """Where a trial stands."""

    RUNNING = "Running"
    EXPIRED = "Expired"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a pod remembers of a probe: on disk, so that a restart of the container neither extends nor repeats it."""

    id: str
    renewal: int
    deadline: float
    """Seconds of CLOCK_BOOTTIME."""
    boot: str
    """Id of the boot that `deadline` belongs to."""
    outcome: str = Outcome.RUNNING
    message: str = ""


def judge(probe: Probe | None, trial: Trial | None, *, pod: str, now: float, boot: str) -> Trial | None:
    """Return the trial as of `now`, given the probe's document and what was remembered."""
    if probe is None or probe.pod != pod:
        return None
    if trial is None or trial.id != probe.id:
        return Trial(probe.id, probe.renewal, now + probe.ttl_seconds, boot)
    if trial.outcome != Outcome.RUNNING:
        return trial
    # A deadline of another boot cannot be compared: the accepted configuration is the safe side.
    if trial.boot != boot or now >= trial.deadline:
        return replace(trial, outcome=Outcome.EXPIRED, message=f"not renewed within {probe.ttl_seconds:g} s")
    if probe.renewal > trial.renewal:
        return replace(trial, renewal=probe.renewal, deadline=now + probe.ttl_seconds)
    return trial


def failed(trial: Trial, message: str) -> Trial:
    """Return the trial after its configuration did not load."""
    return replace(trial, outcome=Outcome.FAILED, message=message)


def target(accepted: ServingConfig, probe: Probe | None, trial: Trial | None) -> ServingConfig:
    """Return what must be served: the probe's configuration while its trial runs, else the accepted one."""
    if probe is not None and trial is not None and trial.id == probe.id and trial.outcome == Outcome.RUNNING:
        return probe.serving
    return accepted
