"""One step while no trial runs: learn from the windows, look after what was accepted, and choose what to try. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edgedetector.tuning import memory, sentences, transitions, trial, visits
from edgedetector.tuning.choice import choose
from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.evidence import Visit
from edgedetector.tuning.promise import Aim, Choice, Nothing
from edgedetector.tuning.record import Best, Recommendation, State
from edgedetector.tuning.rescue import broken
from edgedetector.tuning.situation import Mode, Situation
from edgedetector.tuning.transitions import Move
from edgedetector.tuning.trouble import SILENCE, blindness
from edgedetector.tuning.window import LADDER, Window

BASELINE: Final = 30.0
"""Seconds of undisturbed windows before anything is tried (facts: percentiles of shorter ones vary by a factor)."""
ENOUGH: Final = 2000
"""Executions that are as good, if there are `FEWEST` windows: costs are then known to 1 %."""
FEWEST: Final = 5
PROBES: Final = 8
"""Trials at one traffic level before it is left at what was found."""
TRIED: Final = 300.0
"""Seconds of trials after which it is left at that, unless the objective is broken: with a last one of a minute and the
rests between them a live server is tuned within ten minutes."""
ASTRAY: Final = 30.0
"""Seconds for which pods may serve something else than what is accepted before it is said again."""
WATCH: Final = 180.0
"""Seconds for which what was kept is held against the objective that the former one kept."""
DRIFT: Final = 1.15
"""Factor by which executions become slower or quicker, over two minutes, from which the server is another one."""
STAYS: Final = 600.0
"""Seconds for which they must be: somebody else on the device comes and goes within minutes, a clock that is throttled
or a new driver stays. What breaks the objective does not wait for it."""
LONG: Final = 60.0
"""Seconds of windows from which it is sure that the objective is broken."""
SUFFERS: Final = 300.0
"""Seconds for which it must be before what had converged is tuned again: long enough for most of what passes."""
REFUSED: Final = 60.0
"""Seconds for which a pod must fail to load what was kept long ago before it is taken back: some tries of the pod."""
PATIENCE: Final = 900.0
"""Seconds after it converged, if the objective was kept then."""
AGAIN: Final = 6 * memory.AN_HOUR
"""Seconds after which it is tuned again if the objective was broken then already, doubled each time up to a day:
before, nothing is new, and what was tried is denied as long (`probing.NO_GAIN`)."""
RESTLESS: Final = 3
"""Trials in a row that end because the demand moved, or since nobody attended them, after which none is begun for
`UNREST`: each costs two changes and teaches nothing."""
UNREST: Final = 2 * memory.AN_HOUR
"""Seconds: the usual rise and fall of a day's traffic is over by then. Where the objective
is broken, only `memory.AN_HOUR`: it suffers meanwhile, but each trial's way back costs frames, too."""
RETHINK: Final = 120.0
"""Seconds for which a recommendation holds: what it is predicted from changes no quicker."""
CALM: Final = 30.0
"""Seconds without a move of the degradation ladder before anything is tried: it takes back as slowly."""
FAILING: Final = 60.0
"""Seconds without a failed request after which it is tuned again: else a failure now and then would be said, and taken
back, with each window."""
REPLACED: Final = 2.0
"""Factor from which nothing that was learnt says anything any more."""


def rested(state: State, report: Report, situation: Situation, now: float) -> Move:
    """Return the state and decision of a step in which no trial runs."""
    state, latest = _learnt(state, report.windows, situation, now)
    state = replace(state, refused=min(state.refused or now, now) if report.refused else 0.0)
    if state.astray and now - state.astray >= ASTRAY:
        return transitions.said_again(state, "pods serve something else than what is accepted: said again", now)
    state, disappointed = _watched(state, latest, situation, now)
    if why := _refused(state, report, situation, now) or disappointed:
        return _back(state, situation, why, now)
    before, state = state, _alarmed(_drifted(_levelled(state, latest), now), situation, now)
    if situation.mode == Mode.FROZEN:
        return _wait(state, "frozen: what is accepted serves until tuning is resumed")
    trouble = blindness(state, report.windows, now) or _failing(state, now)
    state = replace(state, trouble=trouble or (state.hopeless if state.converged else ""))
    # Told first: a choice in this very step may find at once that it has converged again.
    resumed = state.resumed if before.converged and not state.converged else ""
    if why := trouble or resumed or _not_yet(state, report, latest, now):
        return _wait(state, why)
    if state.converged:
        return _wait(state, f"converged at {sentences.demand(state.demand)}")
    return _chosen(state, _busiest(latest), situation, now)


def _wait(state: State, why: str) -> Move:
    return state, Decision(Kind.WAIT, why)


def _learnt(state: State, windows: Sequence[Window], situation: Situation, now: float) -> tuple[State, list[Window]]:
    """Take in the windows; return those that tell of what is accepted."""
    told: list[Window] = []
    percent = situation.limits.percentile
    if windows:
        # Nobody asked in between, e.g. since the operator was down or the detector suspended: that is no silence.
        away = not 0 <= now - state.told <= SILENCE
        state = replace(state, told=now, useful=now if away else state.useful)
    straying: set[bool] = set()
    busiest = _busiest(windows)
    for window in sorted(windows, key=lambda each: each.pod == busiest):
        sound = visits.believable(window)
        if sound is not None and sound.pod == busiest:
            state = replace(state, demand=memory.smoothed(state.demand, sound, memory.SMOOTHING))
        if sound is None or window.disturbed:
            wait = CALM if window.disturbed.startswith(LADDER) else 0.0
            state = replace(state, discarded=state.discarded + 1, cooldown=max(state.cooldown, now + wait))
            continue
        in_force = visits.configuration_of(sound) == dict(state.accepted)
        straying.add(not in_force)
        settling = 0 < state.settle - now <= transitions.SETTLE  # not for ever, should the clock go back
        if not in_force or settling or not any(model.batches for model in sound.models.values()):
            continue
        state = replace(state, visits=visits.absorbed(state.visits, sound, now, percent), useful=now)
        if any(model.failed for model in sound.models.values()):
            state = replace(state, failed=now)
        told.append(sound)
    if straying:  # one pod that does is enough, however many there are
        state = replace(state, astray=min(state.astray or now, now) if True in straying else 0.0)
    if not state.useful:
        state = replace(state, useful=now)  # silence is counted from the first step
    return state, told


def _busiest(windows: Sequence[Window]) -> str:
    """Return the pod with the most to do: cameras are never shared out quite evenly, and what it bears all do.

    Its demand is the demand, and trials run in it, so that they are held against the load that they have.
    """

    def demand(window: Window) -> tuple[float, str]:
        return sum(model.demand for model in window.models.values() if model.demand >= 0), window.pod

    return max(filter(None, map(visits.believable, windows)), key=demand, default=Window("", 0.0, 0.0, {})).pod


def _watched(state: State, latest: Sequence[Window], situation: Situation, now: float) -> tuple[State, str]:
    """Return how what was kept a short while ago disappoints; empty: it does not."""
    kept = state.kept
    if kept is None or not kept.held:
        return state, ""
    if not 0 <= now - kept.since <= WATCH or memory.apart(state.demand, kept.demand, memory.STEP):
        return replace(state, kept=None), ""
    limit = situation.limits.latency
    for window in latest:
        breaches = [trial.breach(model, None, limit) for model in window.models.values()]
        kept = replace(kept, late=kept.late + 1 if any(late for late, _ in breaches) else 0)
        if any(clearly for _, clearly in breaches) or kept.late >= trial.IN_A_ROW:
            why = f"it broke {sentences.percentile(situation)} {sentences.milliseconds(limit)}"
            return replace(state, kept=kept), why
    return replace(state, kept=kept), ""


def _refused(state: State, report: Report, situation: Situation, now: float) -> str:
    """Return why what is accepted is to be taken back though its trial was good: another pod cannot load it."""
    if not state.refused or dict(state.accepted) == dict(situation.start):
        return ""
    fresh = state.kept is not None and 0 <= now - state.kept.since <= WATCH
    return report.refused if fresh or now - state.refused >= REFUSED else ""


def _back(state: State, situation: Situation, disappointed: str, now: float) -> Move:
    former = state.kept.previous if state.kept else situation.start
    state = memory.deny(state, state.accepted, now, memory.AN_HOUR, disappointed)
    sentence = f"{sentences.change(state.accepted, former)}; back to the former: {disappointed}"
    return transitions.went_back(state, former, sentence, now)


def _levelled(state: State, latest: Sequence[Window]) -> State:
    """Move to another traffic level once the demand has settled there."""
    moved = memory.level(state.demand, state.level)
    if moved == dict(state.level) or _moving(state, latest):
        return state
    first = not state.level
    state = replace(state, level=moved)
    known = memory.best(state)
    converged = known is not None and known.converged and dict(known.configuration) == dict(state.accepted)
    if first:
        return state
    fresh = tuple(visits.begun_anew(v) if v.configuration == state.accepted else v for v in state.visits)
    return replace(
        state, visits=fresh, converged=converged, probes=0, tried=0.0, reference=None, kept=None, recommendation=None
    )


def _alarmed(state: State, situation: Situation, now: float) -> State:
    """Go on tuning where what had converged breaks the objective for long, now and then."""
    seen = visits.of(state.visits, state.accepted)
    if not state.converged or seen is None or seen.seconds < LONG or not broken(state, situation):
        return replace(state, suffering=0.0)
    state = replace(state, suffering=min(state.suffering or now, now))
    known = memory.best(state)
    if now - state.suffering < SUFFERS or (known is not None and 0 <= now - known.at < _patience(known)):
        return state
    return replace(
        state, converged=False, probes=0, tried=0.0, suffering=0.0, resumed="the objective is broken: tuning goes on"
    )


def _patience(known: Best) -> float:
    """Return for how many seconds after it converged a broken objective is borne."""
    return PATIENCE if known.vain == 0 else min(memory.LONGEST_DENIAL, AGAIN * 2.0 ** min(known.vain - 1, 8))


def _moving(state: State, latest: Sequence[Window]) -> bool:
    """Whether the demand is still on its way: the last window differs from what it is smoothed to."""
    last = {name: model.demand for name, model in latest[-1].models.items()} if latest else {}
    return not latest or memory.apart(last, state.demand, memory.MOVING)


def _drifted(state: State, now: float) -> State:
    """Notice that the server became slower or quicker for good since it converged."""
    seen = visits.of(state.visits, state.accepted)
    if not state.converged or seen is None or seen.seconds < visits.MEMORY:
        return replace(state, drifting=0.0)
    if state.reference is None:
        return replace(state, reference=seen, drifting=0.0)
    ratio = visits.cost_ratio(seen, state.reference)
    if ratio is None or 1 / DRIFT <= ratio <= DRIFT:
        return replace(state, drifting=0.0)
    state = replace(state, drifting=min(state.drifting or now, now))
    if now - state.drifting < STAYS:
        return state
    others = (v for v in state.visits if v is not seen)
    known = tuple(visits.slower(v, ratio) for v in others) if 1 / REPLACED < ratio < REPLACED else ()
    message = f"executions take {ratio:.2f} times as long as when tuning converged: it goes on"
    return replace(
        state, visits=(*known, seen), converged=False, reference=None, probes=0, tried=0.0, recommendation=None,
        resumed=message, drifting=0.0, memory=tuple(replace(best, vain=0) for best in state.memory),
    )  # fmt: skip


def _failing(state: State, now: float) -> str:
    if not (state.failed and 0 <= now - state.failed < FAILING):
        return ""
    return "requests fail with what is accepted: nothing is tried until they do not; see the condition ModelReady"


def _not_yet(state: State, report: Report, latest: Sequence[Window], now: float) -> str:
    """Return what has to be waited for; empty: nothing."""
    seen = visits.of(state.visits, state.accepted)
    if not report.pods:
        return "no pod serves"
    if now < state.cooldown <= now + memory.AN_HOUR:
        return "at rest after a change"
    if state.astray or seen is None or not _enough(seen):
        return f"observing what is accepted: {0.0 if seen is None else seen.seconds:.0f} of {BASELINE:.0f} s"
    if not latest or _moving(state, latest):
        return "the demand is moving" if latest else "nothing undisturbed was seen since the last look"
    return ""


def _enough(seen: Visit) -> bool:
    executions = sum(batch.executions for model in seen.models.values() for batch in model.batches.values())
    return seen.seconds >= BASELINE or (seen.windows >= FEWEST and executions >= ENOUGH and math.isfinite(seen.seconds))


def _chosen(state: State, pod: str, situation: Situation, now: float) -> Move:
    known = state.recommendation
    if situation.mode == Mode.RECOMMEND and known is not None and 0 <= now - known.at < RETHINK:
        return state, _recommendation(known)
    if situation.mode == Mode.AUTO and (why := _exhausted(state, situation)):
        return _converged(state, why, situation, now)
    if waits := _held_back(state, situation, now):
        return state, waits
    choice = choose(state, situation, now)
    if isinstance(choice, Nothing):
        return _nothing(state, choice, situation, now)
    sentence = proposed(state, choice, situation)
    if situation.mode == Mode.RECOMMEND:
        return _recommended(state, choice, sentence, now)
    if choice.aim == Aim.CURE:
        state = replace(state, cured=(*state.cured, sentences.change(state.accepted, choice.configuration))[-8:])
    return transitions.began(state, choice, pod, sentence, now)


def _exhausted(state: State, situation: Situation) -> str:
    """Return why no more trials are begun at this traffic level; empty: some may be."""
    if state.probes >= PROBES:
        return f"left at what {PROBES} trials found"
    if state.tried >= TRIED and not broken(state, situation):
        return f"left at what {state.tried / 60:.0f} minutes of trials found"
    return ""


def _held_back(state: State, situation: Situation, now: float) -> Decision | None:
    if situation.mode == Mode.AUTO and transitions.left(state, now) < 2:  # noqa: PLR2004 - the trial and its end
        return Decision(Kind.WAIT, f"{transitions.BUDGET} changes in the last hour are enough: waiting")
    unrest = memory.AN_HOUR if broken(state, situation) else UNREST
    if situation.mode == Mode.AUTO and len(state.futile) >= RESTLESS and 0 <= now - state.futile[-1] < unrest:
        why = f"each of the last {len(state.futile)} trials ended for what was not its own: waiting"
        return Decision(Kind.WAIT, f"{why}, {unrest / 60:.0f} minutes from the last one")
    return None if situation.may_choose else Decision(Kind.WAIT, "a choice is due", due=True)


def _nothing(state: State, nothing: Nothing, situation: Situation, now: float) -> Move:
    if nothing.trouble:
        # Nothing is left to try, so that more replicas are what helps.
        trouble = nothing.trouble + sentences.unseen(nothing.unseen)
        state, decision = _converged(state, trouble, situation, now)
        return replace(state, hopeless=trouble, trouble=trouble), decision
    seen = visits.of(state.visits, state.accepted)
    sentence = sentences.settled(state.accepted, seen, nothing.present, situation, nothing.hindered)
    sentence += sentences.unseen(nothing.unseen)
    return _converged(state, sentence, situation, now)


def proposed(state: State, choice: Choice, situation: Situation) -> str:
    """Return the sentence of a trial's beginning, or of a recommendation."""
    what = sentences.change(state.accepted, choice.configuration)
    why = {
        Aim.GAIN: f"gain {choice.gain.mean:+.0%}",
        Aim.CURE: "requests wait for a delay that joins nobody",
        Aim.RESCUE: "the objective is broken",
    }[choice.aim]
    expected = sentences.expected(choice.present, choice.prediction, situation)
    return f"{what}: {expected}; {why}{sentences.unseen(choice.unseen)}"


def _recommended(state: State, choice: Choice, sentence: str, now: float) -> Move:
    known = Recommendation(dict(choice.configuration), choice.prediction, sentence, now)
    return replace(state, recommendation=known), _recommendation(known)


def _recommendation(known: Recommendation) -> Decision:
    return Decision(Kind.RECOMMEND, known.message, known.configuration, prediction=known.prediction)


def _converged(state: State, sentence: str, situation: Situation, now: float) -> Move:
    known = memory.best(state)
    same = known is not None and dict(known.configuration) == dict(state.accepted)
    vain = (known.vain if known is not None and same else 0) + 1 if broken(state, situation) else 0
    state = replace(state, converged=True, reference=None, recommendation=None, hopeless="", resumed="")
    return memory.remembered(state, now, converged=True, vain=vain), Decision(Kind.WAIT, sentence)
