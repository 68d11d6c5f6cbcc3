"""One step while a trial runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgedetector.tuning import memory, sentences, transitions, visits
from edgedetector.tuning.decision import ProbeReport, Report
from edgedetector.tuning.record import State, Trial
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.transitions import Move
from edgedetector.tuning.trial import DROPPED, MOVED, SAME, End, Verdict, alarm, baseline, judged, moved, urgent
from edgedetector.tuning.window import Configuration, Window

RUNNING: Final = "Running"
FAILED: Final = "Failed"
FAST: Final = 4.0
"""Seconds over which the demand is smoothed during a trial: two windows."""
TAKEN_UP: Final = 30.0
"""Seconds after which a pod that does not know of its trial has missed it: it takes it up within 4 s (ADR 1)."""
SILENT: Final = 8.0
"""Seconds without an answer of the pod after which the trial is given up: three questions."""
LATE: Final = 5.0
"""Seconds after its ttl when the pod has surely ended a trial by itself."""
A_WHILE: Final = 600.0
"""Seconds of the first denial where the configuration may not be to blame."""
MOST_FUTILE: Final = 8
"""Trials whose ends are remembered."""
NO_GAIN: Final = 6 * 3600.0
"""Seconds of the first denial of what was measured as no better."""


def attended(state: State, trial: Trial, report: Report, situation: Situation, now: float) -> Move:
    """Return the state and decision of a step in which a trial runs."""
    if gone := _gone(trial, report, now):
        return _given_up(state, trial, gone, now)
    if report.probe is not None:
        trial = replace(trial, heard=now if report.probe.outcome == RUNNING else trial.heard)
    state, trial, verdict = _seen(state, trial, report.windows, situation, now)
    if verdict.end == End.NOT_YET:
        verdict = judged(state, trial, situation, now)
    return _concluded(state, trial, verdict, situation, now)


def _concluded(state: State, trial: Trial, verdict: Verdict, situation: Situation, now: float) -> Move:
    if verdict.end == End.NOT_YET:
        return transitions.renewed(state, trial, now)
    sentence = told(state.accepted, trial, verdict)
    moved = verdict.end == End.INCONCLUSIVE and verdict.why.endswith(MOVED)
    state = replace(state, futile=_more(state, now) if moved else ())
    if verdict.end == End.KEEP:
        held = _held(state, trial, situation)
        return transitions.kept(state, trial, sentence, now, held=held)
    if verdict.end == End.INCONCLUSIVE:
        return _inconclusive(state, trial, sentence, now, blameless=verdict.why.endswith(MOVED))
    seconds = NO_GAIN if verdict.end == End.NO_GAIN else memory.AN_HOUR
    state = memory.deny(state, trial.configuration, now, seconds, verdict.why)
    return transitions.reverted(state, trial, sentence, now)


def _more(state: State, now: float) -> tuple[float, ...]:
    return (*state.futile, now)[-MOST_FUTILE:]


def told(accepted: Configuration, trial: Trial, verdict: Verdict) -> str:
    """Return the sentence of a trial's end."""
    what = sentences.change(accepted, trial.configuration)
    showed = f": {verdict.figures}" if verdict.figures else ""
    end = "reverted" if verdict.end in (End.INCONCLUSIVE, End.HARM, End.NO_GAIN) else "kept"
    end = f"{end} at once" if verdict.end == End.HARM else end
    return f"{what}{showed}; {end}: {verdict.why}"


def interrupted(state: State, trial: Trial, why: str, now: float) -> Move:
    """End a trial for a reason that has nothing to do with it."""
    return _inconclusive(state, trial, f"{_what(state, trial)}; reverted: {why}", now, blameless=True)


def _inconclusive(state: State, trial: Trial, sentence: str, now: float, *, blameless: bool) -> Move:
    if not blameless:
        # The ladder may have moved because of the trial: a short denial, that grows if it happens again.
        state = memory.deny(state, trial.configuration, now, A_WHILE, "its trial was disturbed")
    return transitions.reverted(state, trial, sentence, now)


def _given_up(state: State, trial: Trial, gone: _Gone, now: float) -> Move:
    if gone.denied:
        state = memory.deny(state, trial.configuration, now, gone.denied, gone.why)
    state = replace(state, futile=() if gone.denied else _more(state, now))
    return transitions.reverted(state, trial, f"{_what(state, trial)}; reverted: {gone.why}", now)


def _what(state: State, trial: Trial) -> str:
    return sentences.change(state.accepted, trial.configuration)


@dataclass(frozen=True, slots=True)
class _Gone:
    """A trial that its pod does not run (any more)."""

    why: str
    denied: float = 0.0
    """Seconds of the first denial; 0: whatever it was, it was not the configuration."""


def _gone(trial: Trial, report: Report, now: float) -> _Gone | None:
    """Return why the pod does not run the trial; None: it does, or may be about to.

    Pods go for many reasons (a drained node, an eviction, a new template) and renewals are missed with the operator or
    the API server: what a configuration does, its pod outlives. Only a pod that is there and says nothing, or that
    ended a trial of which it should have heard, may have come to it by the configuration.
    """
    if trial.pod not in report.pods:
        return _Gone("the pod on trial is gone")
    if not 0 <= now - trial.renewed <= trial.ttl + LATE:
        return _Gone("the trial was not renewed in time, so the pod has ended it")
    if report.probe is None:
        silent = now - max(trial.heard, trial.since) > SILENT
        return _Gone("the pod on trial does not answer", A_WHILE) if silent else None
    if report.probe.id == trial.id and report.probe.outcome:
        return _ended(report.probe)
    if trial.heard:
        return _Gone("the pod on trial does not know of the trial any more")
    return _Gone("the pod did not take the trial up") if now - trial.since > TAKEN_UP else None


def _ended(probe: ProbeReport) -> _Gone | None:
    if probe.outcome == RUNNING:
        return None
    because = f": {probe.message}" if probe.message else ""
    denied = memory.AN_HOUR if probe.outcome == FAILED else A_WHILE
    return _Gone(f"{_ENDS.get(probe.outcome, probe.outcome)}{because}", denied)


_ENDS: Final = {FAILED: "it did not load", "Expired": "the pod ended the trial, since it was not renewed"}


def _seen(
    state: State, trial: Trial, windows: Sequence[Window], situation: Situation, now: float
) -> tuple[State, Trial, Verdict]:
    """Take in the windows one by one, until one ends the trial."""
    for window in windows:
        sound = visits.believable(window)
        if sound is None:
            state = replace(state, discarded=state.discarded + 1)
            continue
        if window.pod != trial.pod:
            state, trial = _control(state, trial, sound, situation, now)
            continue
        state, trial, verdict = _one(state, trial, sound, situation, now)
        if verdict.end != End.NOT_YET:
            return state, trial, verdict
    return state, trial, Verdict(End.NOT_YET)


def _one(state: State, trial: Trial, window: Window, situation: Situation, now: float) -> tuple[State, Trial, Verdict]:
    state = replace(state, demand=memory.smoothed(state.demand, window, memory.SMOOTHING))
    trial = replace(trial, demand=memory.smoothed(trial.demand, window, FAST))
    verdict = urgent(window)
    if verdict.end == End.NOT_YET:
        verdict = moved(trial, situation)
    # Another configuration: not in force yet.
    counts = not window.disturbed and visits.configuration_of(window) == dict(trial.configuration)
    if verdict.end != End.NOT_YET or not counts:
        return state, trial, verdict
    trial, verdict = alarm(trial, window, baseline(state, trial), situation)
    trial = replace(trial, windows=trial.windows + 1)
    # What harmed tells most of what is not to be tried next, the first window too.
    if verdict.end == End.NOT_YET and trial.windows <= DROPPED:
        return state, trial, verdict
    known = visits.absorbed(state.visits, window, now, situation.limits.percentile)
    return replace(state, visits=known, useful=now), trial, verdict


def _control(state: State, trial: Trial, window: Window, situation: Situation, now: float) -> tuple[State, Trial]:
    """Take in a window of another replica, which serves what is accepted."""
    if window.disturbed or visits.configuration_of(window) != dict(state.accepted):
        return state, trial
    load = {name: model.demand for name, model in window.models.items()}
    if memory.apart(load, trial.demand, SAME):
        return state, trial  # it has fewer cameras: nothing to hold a trial against
    percent = situation.limits.percentile
    state = replace(state, visits=visits.absorbed(state.visits, window, now, percent))
    return state, replace(trial, control=visits.merged(trial.control, window, now, percent))


def _held(state: State, trial: Trial, situation: Situation) -> bool:
    base = baseline(state, trial)
    return base is not None and all(
        model.latency is None or model.latency.mean <= situation.limits.latency for model in base.models.values()
    )
