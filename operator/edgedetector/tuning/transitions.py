"""The moves of the tuner's state machine: each takes the state and gives the next one with the decision. Pure.

    at rest ──began──> on trial ──kept──> at rest, with another accepted configuration, watched for a while
       ^                  └──reverted──────┐      └──went_back──> at rest, with the former one
       └───────────────────────────────────┘

The accepted configuration changes in `kept` and `went_back` alone, and every other end leaves what is known to be good:
whichever of these decisions is lost, or whatever state, what serves in the end is an accepted configuration.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edgedetector.tuning import memory, visits
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.evidence import Visit
from edgedetector.tuning.promise import Choice
from edgedetector.tuning.record import Kept, State, Trial
from edgedetector.tuning.window import Configuration

TTL: Final = 30.0
"""Seconds that a pod goes on with a trial of which it hears nothing more: three missed renewals."""
RENEW: Final = 10.0
"""Seconds between renewals."""
COOLDOWN: Final = 15.0
"""Seconds of rest after a trial, so that frames that waited during it are gone and windows are of rest alone."""
UNHEARD: Final = 5.0
"""Seconds without a word of the pod on trial: two questions of three that it may be given up for."""
SETTLE: Final = 5.0
"""Seconds after a change in which windows say nothing: a reload takes effect within 4 s (ADR 1)."""
BUDGET: Final = 16
"""Changes an hour, reverts included: eight trials, all of which fail. Triton has leaked with frequent reloads."""
HOUR: Final = 3600.0

Move = tuple[State, Decision]


def began(state: State, choice: Choice, pod: str, why: str, now: float) -> Move:
    """Begin a trial in one pod."""
    name = f"{int(now):x}-{state.begun}"
    trial = Trial(
        name, pod, dict(choice.configuration), now, now, TTL, dict(state.demand), choice.prediction,
        aim=str(choice.aim), demand=dict(state.demand),
    )  # fmt: skip
    state = replace(
        _changed(state, now),
        trial=trial,
        kept=None,
        visits=_with_room_for(state.visits, choice.configuration),
        probes=state.probes + 1,
        begun=state.begun + 1,
        converged=False,
        settle=0.0,
    )
    decision = Decision(Kind.PROBE, why, choice.configuration, pod, TTL, name, choice.prediction)
    return state, decision


def renewed(state: State, trial: Trial, now: float) -> Move:
    """Let the trial go on, telling the pod so when it is time to."""
    if now - trial.renewed < RENEW:
        return replace(state, trial=trial), Decision(Kind.WAIT, "the trial goes on", probe=trial.id, pod=trial.pod)
    trial = replace(trial, renewed=now, renewals=trial.renewals + 1)
    decision = Decision(Kind.RENEW, "the trial goes on", trial.configuration, trial.pod, trial.ttl, trial.id)
    return replace(state, trial=trial), decision


def kept(state: State, trial: Trial, why: str, now: float, *, held: bool) -> Move:
    """Accept what was on trial, for all pods.

    Parameters
    ----------
    held
        What was accepted so far kept the latency objective.
    """
    previous = state.accepted
    state = replace(
        state,
        accepted=dict(trial.configuration),
        trial=None,
        tried=state.tried + _lasted(trial, now),
        kept=Kept(dict(previous), now, dict(trial.demand), held),
        cooldown=now + SETTLE,
        settle=now + SETTLE,
        recommendation=None,
        astray=0.0,
    )
    state = memory.remembered(state, now, converged=False)
    decision = Decision(Kind.KEEP, why, state.accepted, trial.pod, 0.0, trial.id, trial.prediction)
    return state, decision


def reverted(state: State, trial: Trial, why: str, now: float) -> Move:
    """End the trial; what is accepted serves on."""
    # A pod that says nothing may hear nothing either: it goes on until the time is over.
    alone = trial.renewed + trial.ttl + SETTLE if now - max(trial.heard, trial.since) > UNHEARD else now
    rest = max(now + COOLDOWN, alone)
    state = replace(
        _changed(state, now), trial=None, cooldown=rest, settle=now + SETTLE, recommendation=None, astray=0.0,
        tried=state.tried + _lasted(trial, now),
    )  # fmt: skip
    decision = Decision(Kind.REVERT, why, state.accepted, trial.pod, 0.0, trial.id)
    return state, decision


def withdrawn(state: State, probe: str, now: float) -> Move:
    """End a trial of which the record knows nothing, for it was lost or is old."""
    why = "a trial is running that is not on record: what is accepted serves on"
    state = replace(state, settle=now + SETTLE, cooldown=now + COOLDOWN)
    return state, Decision(Kind.REVERT, why, state.accepted, "", 0.0, probe)


def went_back(state: State, to: Configuration, why: str, now: float) -> Move:
    """Accept again what was accepted before, for all pods."""
    state = replace(
        _changed(state, now),
        accepted=dict(to),
        kept=None,
        converged=False,
        cooldown=now + COOLDOWN,
        settle=now + SETTLE,
        recommendation=None,
        astray=0.0,
    )
    state = memory.remembered(state, now, converged=False)
    return state, Decision(Kind.KEEP, why, state.accepted)


def said_again(state: State, why: str, now: float) -> Move:
    """Say once more what is accepted, since pods serve something else."""
    state = replace(state, astray=0.0, settle=now + SETTLE)
    return state, Decision(Kind.KEEP, why, state.accepted)


def dated(state: State, now: float) -> State:
    """Return the state with its trial as begun at `now`: to choose it may have taken long, and its ttl begins there."""
    return state if state.trial is None else replace(state, trial=replace(state.trial, since=now, renewed=now))


def _lasted(trial: Trial, now: float) -> float:
    """Return for how long a pod served a trial at most: it ends one by itself that nobody renews."""
    return max(0.0, min(now, trial.renewed + trial.ttl) - trial.since)


def left(state: State, now: float) -> int:
    """Return how many changes the budget of the last hour leaves."""
    return BUDGET - sum(1 for at in state.changes if 0 <= now - at < HOUR)


def _changed(state: State, now: float) -> State:
    return replace(state, changes=(*(at for at in state.changes if 0 <= now - at < HOUR), now))


def _with_room_for(known: tuple[Visit, ...], configuration: Configuration) -> tuple[Visit, ...]:
    """Begin the visit to a configuration anew, so that the trial is judged by what it shows itself."""
    return tuple(visits.begun_anew(v) if v.configuration == configuration else v for v in known)
