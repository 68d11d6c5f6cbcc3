"""The tuner's loop on a box: observation, window, step, record, files; each decision is told as it is made.

What the operator does between two requests to the API server is the operator's own code here too: windows
(`observe.load`), the situation, what is to be served and what of a probe is to be believed (`controller.terms`), and
what goes on record (`tuning.ledger`). Only the writing differs: files of a pod in the place of a ConfigMap.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bench.tuner.live import POD, Box

from edgedetector import plan
from edgedetector.api.wire import to_json
from edgedetector.controller import terms
from edgedetector.controller.options import Options
from edgedetector.observe.load import Samples
from edgedetector.tuning import ledger as ledgers
from edgedetector.tuning import tuner
from edgedetector.tuning.capacity import measured
from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.diagnosis import diagnose
from edgedetector.tuning.findings import Diagnosis
from edgedetector.tuning.known import known
from edgedetector.tuning.ledger import Ledger
from edgedetector.tuning.record import State, bounded
from edgedetector.tuning.situation import Mode, Situation
from edgedetector.tuning.window import Configuration, Window

UID: Final = "bench"
OPERATOR: Final = Options("edgedetector-system", "edgedetector/detector:bench")
"""As it is started without options."""
RECENT: Final = 30
Step = Callable[[State, Report, Situation, float], tuple[State, Decision]]


@dataclass
class Story:
    """What a tuning did. Seconds since it began."""

    decisions: list[tuple[float, str, str]] = field(default_factory=list)
    """When, which (as in `status.tuning.log`, or `Diagnosis`), and its sentence."""
    probes: int = 0
    reverted: int = 0
    kept: int = 0
    seconds: float = 0.0
    """Until the last change to what is accepted, or of a trial."""
    converged: float | None = None
    failed: int = 0
    """Requests that came to nothing while it tuned."""
    disturbed: dict[str, int] = field(default_factory=dict)
    """Windows that told nothing, by why."""
    windows: int = 0
    rates: list[tuple[float, float]] = field(default_factory=list)
    """When a window ended, and images a second in it."""
    final: Configuration = field(default_factory=dict)
    thought: float = 0.0
    """Processor seconds of all steps, and of the longest."""
    longest: float = 0.0


class Loop:
    """Tunes one box.

    Parameters
    ----------
    step
        Decides.
    rest, probe
        Seconds between looks at rest and while something is tried; by default the operator's.
    say
        Told each line.
    clock, pause
        Seconds since the epoch; waits for so many.
    """

    def __init__(
        self,
        box: Box,
        *,
        step: Step = tuner.step,
        rest: float = OPERATOR.tuning_rest,
        probe: float = OPERATOR.tuning_probe,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._box, self._step, self._say, self._clock, self._pause = box, step, say, clock, pause
        self._intervals = rest, probe
        self._began = clock()
        self._samples = Samples(clock)
        self._recent: deque[Window] = deque(maxlen=RECENT)
        self.state = State()
        start = terms.start_of(box.detector, box.profile)
        self.ledger: Ledger = ledgers.begun(start, box.start, self._began, "what serves is accepted")
        self.story = Story(final=dict(box.start))
        self._bottleneck = ""
        self._serve(self._began)

    def run(self, seconds: float, after: float = 0.0) -> Story:
        """Tune until it has converged and `after` seconds more, or for so many at most; a trial is ended then."""
        until, done = self._began + seconds, float("inf")
        while (now := self._clock()) < until and now < done:
            self.look()
            if not self.state.converged or self.ledger.attempt is not None:
                done = float("inf")
            elif done == float("inf"):
                done = self._clock() + after
            self._sleep(min(until, done))
        self._box.serve(self.ledger.accepted)
        self.story.final = dict(self.ledger.accepted)
        return self.story

    def look(self) -> Decision:
        """Look once, and do what is decided."""
        box, now = self._box, self._clock()
        answer = box.observe()
        wanted = terms.served(box.detector, box.profile, (), self._record(), now)
        percentile = box.detector.spec.tuning.objective.latency.percentile
        window = self._samples.add(UID, POD, answer, knobs=wanted.known, percentile=percentile)
        told = terms.probe_report(self.ledger, {POD: answer}, now)
        report = Report((POD,), (window,) if window is not None else (), told)
        if window is not None:
            self._saw(window, now)
        situation = self._situation()
        began = time.process_time()
        state, decision = self._step(self.state, report, situation, now)
        took = time.process_time() - began
        self.story.thought += took
        self.story.longest = max(self.story.longest, took)
        self._enter(state, decision, situation, now)
        self._diagnose(situation, now)
        self._serve(now)
        return decision

    def diagnosis(self) -> Diagnosis:
        """Return what limits the box now."""
        return self._diagnosed(self._situation())

    def _enter(self, state: State, decision: Decision, situation: Situation, now: float) -> None:
        before, self.state = self.ledger, state
        shown = [self._recent[-1]] if self._recent else []
        capacity = measured(shown, state.accepted, 1, now)
        self.ledger = ledgers.entered(
            before, state, decision, now, memory=situation.limits.memory, capacity=capacity
        )  # fmt: skip
        for line in self.ledger.log:
            if line not in before.log:
                self._tell(line.decision, line.message, now)
        if decision.kind in {Kind.PROBE, Kind.KEEP, Kind.REVERT}:
            self.story.seconds = now - self._began
        self.story.probes += decision.kind == Kind.PROBE
        self.story.kept += decision.kind == Kind.KEEP
        self.story.reverted += decision.kind == Kind.REVERT
        if state.converged and self.story.converged is None:
            self.story.converged = now - self._began
        elif not state.converged:
            self.story.converged = None

    def _saw(self, window: Window, now: float) -> None:
        self.story.windows += 1
        self.story.failed += sum(model.failed for model in window.models.values())
        if window.disturbed:
            self.story.disturbed[window.disturbed] = self.story.disturbed.get(window.disturbed, 0) + 1
            return
        self._recent.append(window)
        rate = sum(model.rate for model in window.models.values())
        self.story.rates.append((round(now - self._began, 1), round(rate, 1)))

    def _situation(self) -> Situation:
        found = terms.situation(self._box.detector, self._box.profile, Mode.AUTO, self.ledger)
        if not self._box.image:
            return found
        # Small tensors stand in for those whose bytes the device counts.
        engines = {name: replace(engine, tensors=float(self._box.image)) for name, engine in found.engines.items()}
        return replace(found, engines=engines)

    def _diagnosed(self, situation: Situation) -> Diagnosis:
        spec, profile = self._box.detector.spec, self._box.profile.spec
        told = known(spec.models, spec.cameras, profile)
        if self._box.image:  # As in the situation.
            sized = {
                name: replace(one, input_bytes=self._box.image - 1, output_bytes=1) for name, one in told.models.items()
            }
            told = replace(told, models=sized)
        accepted = dict(self.ledger.accepted)
        shown = tuple(one for one in self._recent if {n: m.knobs for n, m in one.models.items()} == accepted)
        return diagnose(shown or tuple(self._recent), situation, told, self.state.visits)

    def _diagnose(self, situation: Situation, now: float) -> None:
        """Tell what limits the box, whenever that is another class than before."""
        if not self._recent:
            return
        found = self._diagnosed(situation)
        if found.bottleneck.bottleneck != self._bottleneck:
            self._bottleneck = found.bottleneck.bottleneck
            self._tell("Diagnosis", f"{self._bottleneck}: {found.message}", now)

    def _record(self) -> dict[str, Any]:
        return plan.tuning_map(self._box.detector, to_json(self.ledger), to_json(bounded(self.state)))

    def _serve(self, now: float) -> None:
        """Write what is on record now, if that is not what the pod has."""
        wanted = terms.served(self._box.detector, self._box.profile, (), self._record(), now)
        self._box.known |= wanted.known
        self._box.write(wanted.accepted, wanted.probe)

    def _tell(self, what: str, message: str, now: float) -> None:
        at = round(now - self._began, 1)
        self.story.decisions.append((at, what, message))
        self._say(f"  {at:6.1f} s  {what:11} {message}")

    def _sleep(self, until: float) -> None:
        rest, probe = self._intervals
        seconds = probe if self.ledger.attempt is not None else rest
        self._pause(max(0.0, min(seconds, until - self._clock())))
