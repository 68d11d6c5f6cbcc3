"""What the tuner is told each time, and what it answers. Pure values.

    step(state, report, situation, now) -> (state, decision)

`edgedetector.tuning.tuner.step` is called about every two seconds while a probe runs and about every ten at rest. It
reads no clock and draws no random numbers; the same input gives the same decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgedetector.tuning.evidence import Prediction
from edgedetector.tuning.window import Configuration, Window


class Kind(StrEnum):
    """What is to be done."""

    WAIT = "Wait"
    """Nothing."""
    PROBE = "Probe"
    """Try `configuration` in pod `pod`, for at most `ttl` seconds unless renewed."""
    RENEW = "Renew"
    """Let the running probe go on."""
    KEEP = "Keep"
    """Accept `configuration` for all pods."""
    REVERT = "Revert"
    """End the probe; `configuration` is what serves on."""
    RECOMMEND = "Recommend"
    """Tell what mode Auto would do; touch nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer of the tuner."""

    kind: Kind
    message: str = ""
    """One plain line: before, after, predicted, measured, kept or reverted, and why."""
    configuration: Configuration | None = None
    pod: str = ""
    ttl: float = 0.0
    probe: str = ""
    """Id of the probe that this begins, prolongs or ends."""
    prediction: Prediction | None = None
    due: bool = False
    """A choice is due, for which there was no time (`Situation.may_choose`)."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the pod on trial says of its probe."""

    id: str
    outcome: str
    """Running, Expired, Failed, or empty: it does not know it (any more)."""
    message: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is new since the last step."""

    pods: tuple[str, ...]
    """Pods that serve."""
    windows: tuple[Window, ...] = ()
    """Of any of them, oldest first."""
    probe: ProbeReport | None = None
    """None: the pod on trial is gone or does not answer."""
    refused: str = ""
    """Which pod cannot load what is accepted, and why in its words; empty: all can, or it is not known."""
