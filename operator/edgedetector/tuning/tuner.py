"""The tuner's one step: what it knew and what is new give what it knows and what is to be done. Pure.

It proves before it keeps: it predicts, tries only what is predicted to be safe, in one pod and for a time that the pod
itself ends, keeps on evidence and goes back on a regression. The same input gives the same decision.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace
from typing import Final

from edgedetector.tuning import probing, transitions, visits
from edgedetector.tuning.allowed import within
from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.record import State, bounded
from edgedetector.tuning.resting import ASTRAY, rested
from edgedetector.tuning.situation import Mode, Situation
from edgedetector.tuning.trouble import contradiction


def step(state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
    """Return what the tuner knows after a step, and what is to be done.

    Parameters
    ----------
    state
        Of the step before; `State()` if it is lost.
    now
        Seconds since the epoch.
    """
    if not math.isfinite(now):
        return state, Decision(Kind.WAIT, "the clock gives no time: see the node's clock")
    if wrong := contradiction(situation):
        return _stopped(state, report, wrong, now)
    state, changed = _of_this_specification(state, situation, now)
    state = replace(state, visits=visits.before(state.visits, now))
    state, report = _without_repetitions(state, report)
    state, decision = _stepped(state, report, situation, changed, now)
    return bounded(state), decision


def _stepped(state: State, report: Report, situation: Situation, changed: str, now: float) -> tuple[State, Decision]:
    if state.trial is not None:
        why = changed or _stop(situation) or report.refused
        if why:
            return probing.interrupted(state, state.trial, why, now)
        return probing.attended(state, state.trial, report, situation, now)
    if report.probe is not None and report.probe.outcome == probing.RUNNING:
        return transitions.withdrawn(state, report.probe.id, now)
    return rested(state, report, situation, now)


def _without_repetitions(state: State, report: Report) -> tuple[State, Report]:
    """Leave out windows that were told before: a pod that hangs, or a report that is made twice."""
    last = {pod: start for pod, start in state.last.items() if pod in report.pods}
    fresh = []
    for window in report.windows:
        if window.start != last.get(window.pod):
            fresh.append(window)
        if math.isfinite(window.start):
            last[window.pod] = window.start
    return replace(state, last=last), replace(report, windows=tuple(fresh))


def _stop(situation: Situation) -> str:
    """Return why no trial may run; empty: one may."""
    return {Mode.FROZEN: "tuning is frozen", Mode.RECOMMEND: "tuning only recommends", Mode.AUTO: ""}[situation.mode]


def _stopped(state: State, report: Report, wrong: str, now: float) -> tuple[State, Decision]:
    """Change nothing while the words contradict each other, and end a trial that runs."""
    state = replace(state, trouble=wrong)
    if state.trial is not None:
        return probing.interrupted(state, state.trial, wrong, now)
    if state.accepted and report.probe is not None and report.probe.outcome == probing.RUNNING:
        return transitions.withdrawn(state, report.probe.id, now)
    return state, Decision(Kind.WAIT, wrong)


def _of_this_specification(state: State, situation: Situation, now: float) -> tuple[State, str]:
    """Return the state as far as it is of what is specified now, and what changed if a trial must end for it."""
    spec, aims = _spec(situation), _aims(situation)
    if not state.spec or _knows_no_post_processing(state, situation):
        accepted = situation.accepted if situation.accepted and _fits(situation) else situation.start
        known = State(spec=spec, aims=aims, accepted=dict(accepted), changes=state.changes, begun=state.begun)
        return known, ""
    if state.spec != spec:
        fresh = State(spec=spec, aims=aims, accepted=dict(situation.start), changes=state.changes)
        fresh = replace(fresh, begun=state.begun, trial=state.trial, astray=now - ASTRAY)
        return fresh, "the specification changed"
    if state.aims != aims:
        return _aimed(state, situation, aims, now), "the objective or the bounds changed"
    return replace(state, trouble=""), ""


def _knows_no_post_processing(state: State, situation: Situation) -> bool:
    """Tell whether a former release wrote it, which did not tune that: it is begun anew with what is accepted."""
    start = situation.start
    return any(
        not knobs.post_processing and name in start and start[name].post_processing
        for name, knobs in state.accepted.items()
    )


def _aimed(state: State, situation: Situation, aims: str, now: float) -> State:
    """Keep what is known of the server; forget what was best, and go back to the start where the bounds ask for it."""
    state = replace(
        state, aims=aims, memory=(), denials=(), converged=False, probes=0, tried=0.0, recommendation=None, kept=None,
        trouble="", hopeless="",
    )  # fmt: skip
    if within(state.accepted, situation) or dict(state.accepted) == dict(situation.start):
        return state
    return replace(state, accepted=dict(situation.start), astray=now - ASTRAY)


def _fits(situation: Situation) -> bool:
    accepted = situation.accepted or {}
    return within(accepted, situation) or dict(accepted) == dict(situation.start)


def _spec(situation: Situation) -> str:
    """Return a digest of start and engines: with another one all that was learnt is of another server."""
    return _digest(repr((sorted(situation.start.items()), sorted(situation.engines.items(), key=lambda item: item[0]))))


def _aims(situation: Situation) -> str:
    return _digest(repr((str(situation.goal), situation.limits)))


_ABSENT: Final = re.compile(r", \w*post_\w+=0(\.0)?(?=[,)])")
"""Where there is no post-processing, what is said of it: left out, so that records of former releases still hold."""


def _digest(text: str) -> str:
    return hashlib.sha256(_ABSENT.sub("", text).encode()).hexdigest()[:16]
