"""A tuner for the judge's own tests: one more instance at a time, as long as the objective is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Configuration

TTL = 20.0


@dataclass(frozen=True)
class Climb:
    configuration: Configuration | None = None
    trying: Configuration | None = None
    seen: int = 0
    latency: float = 0.0
    probes: int = 0
    over: bool = False


def step(state: Climb, report: Report, situation: Situation, _now: float) -> tuple[Climb, Decision]:
    present = state.configuration or situation.start
    if state.over:
        return state, Decision(Kind.WAIT)
    if state.trying is not None:
        return _trying(state, present, report, situation)
    more = {
        name: replace(knobs, instances=min(knobs.instances + 1, situation.limits.max_instances))
        for name, knobs in present.items()
    }
    if more == present or state.probes >= 3:
        return replace(state, over=True), Decision(Kind.WAIT)
    state = replace(state, trying=more, seen=0, latency=0.0, probes=state.probes + 1)
    return state, Decision(Kind.PROBE, "one more", more, report.pods[0], TTL, f"p{state.probes}")


def _trying(state: Climb, present: Configuration, report: Report, situation: Situation) -> tuple[Climb, Decision]:
    trying = state.trying
    assert trying is not None
    if report.probe is None or report.probe.outcome in {"Failed", "Expired"}:
        return replace(state, trying=None, over=True), Decision(Kind.REVERT, "it failed", present)
    for window in report.windows:
        if all(window.models[name].knobs == knobs for name, knobs in trying.items()):
            latency = max(model.latency or 0.0 for model in window.models.values())
            state = replace(state, seen=state.seen + 1, latency=max(state.latency, latency))
    if state.seen < 5:
        return state, Decision(Kind.RENEW, ttl=TTL, probe=f"p{state.probes}")
    if state.latency > situation.limits.latency:
        return replace(state, trying=None, over=True), Decision(Kind.REVERT, "too slow", present)
    return replace(state, trying=None, configuration=trying), Decision(Kind.KEEP, "fast enough", trying)
