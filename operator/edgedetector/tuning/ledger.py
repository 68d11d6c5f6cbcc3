"""What has come of tuning: which knobs are accepted, which are on trial, and why. Pure values.

It is the first of two documents of ConfigMap NAME-tuning; the other one is the search's own memory (`record.State`),
which the ledger sums up for those who plan and tell. So plan and status need to know nothing of how the search works,
and a memory that a later release cannot read costs no accepted knob.

It changes with decisions alone: at rest nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.record import State, Trial
from edgedetector.tuning.window import Configuration, Knobs

LOG: Final = 20
"""Decisions that status shows."""
REPEATED: Final = 600.0
"""Seconds before the particulars of a trouble that stays are told anew."""
FORMER: Final = 3
"""Configurations before the present one that a pod may still be leaving."""
TEXT: Final = 1024
"""Characters of a sentence: what pods say of themselves is in some."""
LONGEST: Final = 600.0
"""Seconds of a trial's ttl beyond which it is none of ours: a trial is over in a minute."""
_END: Final = 253_402_300_800.0
"""Seconds since the epoch at which the year 10000 begins: a time that cannot be told."""
_MOST: Final = 1e9
"""Frames a second that nothing serves."""

BEGUN: Final = "Begun"
CONVERGED: Final = "Converged"
RESUMED: Final = "Resumed"
RETUNED: Final = "Retuned"
HELD: Final = "Held"
WORDS: Final[Mapping[Kind, str]] = {
    Kind.PROBE: "Probed",
    Kind.KEEP: "Kept",
    Kind.REVERT: "Reverted",
    Kind.RECOMMEND: "Recommended",
}
"""What the log calls the decisions that are worth a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A decision for people."""

    at: float
    decision: str
    message: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A configuration on trial in one pod. Seconds."""

    id: str
    pod: str
    configuration: Mapping[str, Knobs]
    ttl: float
    renewed: float
    """When it was begun or last renewed."""
    renewal: int = 0

    def outlived(self, now: float, slack: float) -> bool:
        """Tell whether its pod must have ended it, if that learned of the last renewal within `slack`."""
        return now >= self.renewed + self.ttl + slack


@dataclass(frozen=True, slots=True)
class Capacity:
    """What all pods serve with the accepted configuration. Frames a second."""

    frames: float
    """0: too little was executed to tell."""
    demand: float
    limit: str = ""
    """What bounds it, in a word of the diagnosis, e.g. accelerator, cpu, link."""
    at: float = 0.0
    message: str = ""
    """The same as `limit`, with evidence and remedy."""
    remedy: str = ""
    of: str = ""
    """The configuration that it is of, as `record.key` writes it."""
    pods: int = 0
    """Pods that serve as many frames together; 0: a record of an earlier release does not say."""

    @property
    def of_one(self) -> float | None:
        """Frames a second of one pod; None: not known."""
        return self.frames / self.pods if self.frames > 0 and self.pods > 0 else None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Seconds since the epoch."""

    start: str
    """Digest of what tuning began from: with another one, nothing in here holds."""
    began: float
    accepted: Mapping[str, Knobs] = field(default_factory=dict)
    why: str = ""
    """The decision that accepted them; empty: they are the specification's."""
    attempt: Attempt | None = None
    changed: float = 0.0
    """When pods were last to serve something else."""
    former: tuple[Mapping[str, Knobs], ...] = ()
    """What they were to serve before, newest first."""
    converged: bool = False
    settled: float = 0.0
    """When it first converged; 0: not yet."""
    trouble: str = ""
    """Why nothing can be tuned, and what helps."""
    troubled: float = 0.0
    """Since when that is said."""
    memory_unknown: bool = False
    """Nobody has said how much memory the accelerator has."""
    recommended: Mapping[str, Knobs] | None = None
    recommendation: str = ""
    log: tuple[Line, ...] = ()
    """Oldest first."""
    capacity: Capacity | None = None
    baseline: float = 0.0
    """Frames a second of the first capacity that was known; 0: none was."""
    asked: str = ""
    """Text with which somebody last asked for tuning anew, and got it."""

    @property
    def begins(self) -> bool:
        """Whether tuning is still to begin: it only was told what limits the box, with tuning switched off."""
        return not self.log and not self.why

    @property
    def message(self) -> str:
        """The last line of the log."""
        return self.log[-1].message if self.log else ""

    @property
    def gain(self) -> float | None:
        """Capacity now over the first that was known."""
        frames = self.capacity.frames if self.capacity is not None else 0.0
        return frames / self.baseline if frames > 0 and self.baseline > 0 else None


def sound(ledger: Ledger) -> bool:
    """Tell whether all figures of a ledger that was read can be: each of them is calculated with, or told."""
    attempt, capacity = ledger.attempt, ledger.capacity
    times = [ledger.began, ledger.changed, ledger.settled, ledger.troubled, *(line.at for line in ledger.log)]
    times += [attempt.renewed] if attempt is not None else []
    times += [capacity.at] if capacity is not None else []
    rates = [ledger.baseline, *((capacity.frames, capacity.demand) if capacity is not None else ())]
    return (
        all(0 <= time < _END for time in times)
        and all(0 <= rate < _MOST for rate in rates)
        and (attempt is None or 0 < attempt.ttl <= LONGEST)
    )


def begun(
    start: str, accepted: Configuration, now: float, message: str, before: Ledger | None = None, *, asked: str = ""
) -> Ledger:
    """Return the ledger of a tuning that begins, where only its capacity was told before."""
    first = before or Ledger(start, now)
    return replace(first, began=now, accepted=dict(accepted), log=(Line(now, BEGUN, message),), asked=asked)


def retold(ledger: Ledger, capacity: Capacity) -> Ledger:
    """Return the ledger with what limits the box as it is now; nothing else changes."""
    return replace(ledger, capacity=capacity, baseline=ledger.baseline or capacity.frames)


def retuned(ledger: Ledger, asked: str, now: float) -> Ledger:
    """Return the ledger of a tuning that looks anew because somebody asked: what is accepted serves on.

    A trial that runs is over. That it once converged stays: the autoscaler is not held up a second time.
    """
    after = _served(ledger, State(), Decision(Kind.REVERT), now)
    line = Line(now, RETUNED, "tuning looks anew, since somebody asked; what is accepted serves on")
    return replace(
        after, asked=asked, converged=False, trouble="", troubled=0.0, recommended=None, recommendation="",
        log=(*ledger.log, line)[-LOG:],
    )  # fmt: skip


def entered(
    ledger: Ledger, state: State, decision: Decision, now: float, *, memory: float | None, capacity: Capacity | None
) -> Ledger:
    """Return the ledger after a step of the tuner: equal to the one before if there is nothing to write.

    What serves and what is on trial follow the state, whatever the decision is called.

    Parameters
    ----------
    memory
        Bytes of the accelerator that are stated somewhere; None: nowhere.
    capacity
        As of now; it is taken over with a decision that is about what serves, and the first with any, so that the gain
        is over what tuning began with.
    """
    after = _troubled(_served(ledger, state, decision, now), state.trouble or state.hopeless, now)
    after = replace(
        after,
        converged=state.converged,
        settled=after.settled or (now if state.converged else 0.0),
        memory_unknown=_memory_unknown(ledger, state, memory),
        recommended=state.recommended,
    )
    if decision.kind == Kind.RECOMMEND and decision.configuration != ledger.recommended:
        after = replace(after, recommended=decision.configuration, recommendation=decision.message[:TEXT])
    elif after.recommended is None:
        after = replace(after, recommendation="")
    if after == ledger:
        return ledger
    return _told(ledger, after, decision, now, capacity, resumed=state.resumed)


def _served(ledger: Ledger, state: State, decision: Decision, now: float) -> Ledger:
    accepted, attempt = dict(state.accepted) or dict(ledger.accepted), _attempt(state.trial)
    tried = dict(ledger.attempt.configuration) if ledger.attempt is not None else None
    trying = dict(attempt.configuration) if attempt is not None else None
    if (accepted, trying) == (dict(ledger.accepted), tried):
        return replace(ledger, attempt=attempt)
    left = [one for one in (tried, dict(ledger.accepted)) if one and one != accepted]
    why = decision.message[:TEXT] if accepted != ledger.accepted else ledger.why
    former = tuple([*left, *(one for one in ledger.former if one not in left)][:FORMER])
    return replace(ledger, accepted=accepted, why=why, attempt=attempt, changed=now, former=former)


def _attempt(trial: Trial | None) -> Attempt | None:
    if trial is None:
        return None
    return Attempt(trial.id, trial.pod, dict(trial.configuration), trial.ttl, trial.renewed, trial.renewals)


def _troubled(ledger: Ledger, trouble: str, now: float) -> Ledger:
    """Note why nothing can be tuned; what only says the same with other particulars waits, or they would be at rest."""
    same = trouble and trouble.partition(":")[0] == ledger.trouble.partition(":")[0]
    if trouble == ledger.trouble or (same and now - ledger.troubled < REPEATED):
        return ledger
    return replace(ledger, trouble=trouble, troubled=now)


def _memory_unknown(ledger: Ledger, state: State, stated: float | None) -> bool:
    """Tell it only once something was observed: before, the exporter may still say it."""
    if not state.visits:
        return ledger.memory_unknown and stated is None
    return stated is None and all(visit.memory_total is None for visit in state.visits)


def _told(
    before: Ledger, after: Ledger, decision: Decision, now: float, capacity: Capacity | None, *, resumed: str
) -> Ledger:
    lines = list(after.log)
    if before.converged and not after.converged and resumed:
        lines.append(Line(now, RESUMED, resumed[:TEXT]))
    if decision.kind in WORDS:
        lines.append(Line(now, WORDS[decision.kind], decision.message[:TEXT]))
    elif after.trouble and after.trouble != before.trouble:
        lines.append(Line(now, HELD, after.trouble[:TEXT]))
    if after.converged and not before.converged:
        lines.append(Line(now, CONVERGED, decision.message or "nothing that is safe promises more at this load"))
    about_what_serves = decision.kind in {Kind.KEEP, Kind.REVERT, Kind.RECOMMEND} or after.converged != before.converged
    if capacity is None or not (about_what_serves or after.capacity is None or not after.capacity.frames):
        return replace(after, log=tuple(lines[-LOG:]))
    baseline = after.baseline or capacity.frames
    return replace(after, log=tuple(lines[-LOG:]), capacity=capacity, baseline=baseline)
