"""Lets a tuner tune a simulated server in virtual time, and writes down what it did and what came of it."""

from __future__ import annotations

import importlib
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edgedetector.tuning.decision import Decision, Kind, ProbeReport, Report
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Configuration, Knobs, Window
from judge import sweep, truth
from judge.pod import Pod
from judge.server import Server

EPOCH: Final = 1_800_000_000.0
"""Seconds since the epoch at which every run begins."""
AT_REST: Final = 10.0
IN_PROBE: Final = 2.0
"""Seconds between two steps."""
OBJECTIVE: Final = 10.0
"""Seconds of the windows in which the objective is looked at, those with changes in them included."""
WORSE: Final = 0.02
"""By which share a score must be lower than the start's to count as worse: what a capacity's search leaves open."""
QUIET: Final = 600.0
"""Seconds without a change after which a tuner is said to have converged."""
AFTER: Final = 3600.0
LONGEST: Final = 3600.0
"""Seconds after which it is told so if it has not."""

Step = Callable[[Any, Report, Situation, float], tuple[Any, Decision]]


def ours() -> tuple[Step, Any]:
    """Return our tuner and its empty state."""
    step: Step = importlib.import_module("edgedetector.tuning.tuner").step
    return step, importlib.import_module("edgedetector.tuning.record").State()


@dataclass(frozen=True, slots=True)
class Broken:
    """A window that broke the objective although the start would have kept it."""

    at: float
    configuration: Configuration
    when: str
    """`probe`, `change` (in no probe, but something changed), or `kept`."""
    slow: float
    """Share of the results that came too late."""


@dataclass
class Story:
    """What a tuner did with a server."""

    server: Server
    final: Configuration
    best: sweep.Best | None = None
    reached: float = 0.0
    """Score of what was accepted in the end."""
    probes: int = 0
    """Until what was accepted in the end was accepted; all of them if nothing was."""
    all_probes: int = 0
    seconds: float = 0.0
    """Until the same moment."""
    exploring: float = 0.0
    """Seconds until the last decision that changed anything before it converged."""
    converged: bool = False
    worse: float = 0.0
    """Share of the time until it converged in which what was served scored worse than the start."""
    windows: int = 0
    """In which the objective was looked at until it converged."""
    broken: list[Broken] = field(default_factory=list)
    later_changes: int = 0
    later_seconds: float = 0.0
    frames: int = 0
    dropped: int = 0
    """Frames superseded or too old, of `frames`."""
    unanswered: int = 0
    """Frames with neither a result nor a reason."""
    good: bool = True
    """Whether what is served in the end keeps the objective, or is what the start would serve."""
    thought: float = 0.0
    """Processor seconds that the tuner took, and of them for the longest step: the only figures that differ from run to
    run."""
    longest_thought: float = 0.0
    violations: list[str] = field(default_factory=list)
    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    """All but WAIT and RENEW."""

    @property
    def ratio(self) -> float:
        """Reached / best."""
        return self.reached / self.best.score if self.best and self.best.score > 0.0 else 1.0


class Run:
    """One tuner on one server."""

    made: type[Pod] = Pod

    def __init__(self, server: Server, step: Step, state: Any) -> None:
        self.server = server
        self.pod = self.made(server, server.start)
        self.story = Story(server, dict(server.start))
        self._step, self._state = step, state
        self._situation = server.situation
        self._spans: list[tuple[float, Configuration]] = []
        self._objective = _Objective(self.pod)
        self._stale: Window | None = None
        self._states = [state]

    def go(self, *, after: float = AFTER) -> Story:
        """Run until it has converged and `after` seconds more; scores are left to `judge`."""
        story, pod, last = self.story, self.pod, 0.0
        while pod.clock.now < LONGEST:
            if self._tick():
                last = pod.clock.now
            elif pod.clock.now - last >= QUIET:
                story.converged = True
                break
        story.exploring, until, changes = last, pod.clock.now, len(pod.changes)
        kept = [at for at, decision in story.decisions if decision.kind is Kind.KEEP]
        story.all_probes = sum(decision.kind is Kind.PROBE for _, decision in story.decisions)
        story.seconds = kept[-1] if kept else last
        story.probes = sum(decision.kind is Kind.PROBE for at, decision in story.decisions if at <= story.seconds)
        story.windows, story.broken = self._objective.windows, list(self._objective.broken)
        while story.converged and pod.clock.now < until + after:
            self._tick()
        story.later_changes, story.later_seconds = len(pod.changes) - changes, pod.clock.now - until
        self._end(until)
        return story

    def _tick(self) -> bool:
        """Let time pass and the tuner decide; return whether it did anything."""
        pod = self.pod
        probing = pod.trial is not None and pod.trial.outcome in {"", "Running"}
        started = pod.clock.now
        pod.run(started + (IN_PROBE if probing else AT_REST))
        self._spans.append((pod.clock.now - started, pod.serving))
        window, disturbed = pod.window(EPOCH)
        self._objective.look(disturbed=disturbed, probing=probing)
        report = Report((pod.name,), self._shown(window, disturbed=disturbed), self._probe())
        situation = replace(self._situation, accepted=dict(self.story.final))
        return self._do(self._ask(report, situation))

    def _ask(self, report: Report, situation: Situation) -> Decision:
        """Return the tuner's decision. One that breaks down is a violation, and decides nothing."""
        self._mislay()
        began = time.process_time()
        try:
            self._state, decision = self._step(self._state, report, situation, EPOCH + self.pod.clock.now)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other servers are to be judged too
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            self.story.violations.append(f"broke down: {type(error).__name__} in {where}: {error}")
            return Decision(Kind.WAIT)
        finally:
            took = time.process_time() - began
            self.story.thought += took
            self.story.longest_thought = max(self.story.longest_thought, took)
        return decision

    def _shown(self, window: Window, *, disturbed: bool) -> tuple[Window, ...]:
        if self.server.lie in {"repeats", "silent"} and len(self.pod.changes) >= 1:
            if self.server.lie == "silent":
                return ()
            self._stale = self._stale or window
            return (self._stale,)
        return () if disturbed else (window,)

    def _probe(self) -> ProbeReport | None:
        trial = self.pod.trial
        if trial is None:
            return None
        return ProbeReport(trial.id, trial.outcome, trial.message) if trial.outcome else ProbeReport("", "")

    def _mislay(self) -> None:
        """Lose the tuner's record, or put an old one in its place, three times in a run."""
        lie, states = self.server.lie, self._states
        states.append(self._state)
        if lie in {"forgets", "outdated"} and len(states) in {12, 31, 57}:
            self._state = states[0] if lie == "forgets" else states[-8]

    def _do(self, decision: Decision) -> bool:
        """Carry a decision out as the operator would; return whether it is one that changes anything."""
        pod, story, kind = self.pod, self.story, decision.kind
        if kind in {Kind.WAIT, Kind.RECOMMEND}:
            return False
        if kind is Kind.RENEW:
            pod.renew(decision.probe, decision.ttl)
            return False
        story.decisions.append((pod.clock.now, decision))
        if decision.configuration is not None:
            story.violations += _violations(self.server, decision.configuration)
        if kind is Kind.PROBE:
            if decision.configuration is None or decision.ttl <= 0.0 or not decision.probe:
                story.violations.append("a probe without configuration, ttl or id")
                return True
            pod.probe(decision.probe, decision.configuration, decision.ttl)
            self._move_traffic()
            if self.server.lie == "away":
                self._away()
        elif decision.configuration is None:
            story.violations.append(f"{kind} without a configuration")
        else:
            pod.accept(decision.configuration)
            story.final = dict(decision.configuration)
        return True

    def _away(self) -> None:
        """Let a probe run without anybody who renews or ends it."""
        pod = self.pod
        for _ in range(9):
            began = pod.clock.now
            pod.run(began + AT_REST)
            self._spans.append((AT_REST, pod.serving))
            self._objective.look(disturbed=False, probing=True)
        pod.window(EPOCH)

    def _move_traffic(self) -> None:
        moving = max(traffic.moving for traffic in self.server.traffic.values())
        if moving:
            up = sum(decision.kind is Kind.PROBE for _, decision in self.story.decisions) % 2 == 1
            pod = self.pod
            pod.clock.at(
                pod.clock.now + 5.0, lambda share: setattr(pod, "moved", share), 1.0 + moving * (1 if up else -1)
            )

    def _end(self, until: float) -> None:
        story, pod = self.story, self.pod
        story.violations += ["more memory than there is was asked for"] * pod.overcommitted
        pod.run(pod.clock.now + 0.5)
        for lane in pod.lanes.values():
            detector = lane.detector
            story.frames += detector.frames
            story.dropped += detector.dropped
            story.unanswered += detector.frames - detector.results - detector.dropped - detector.open
        self._worse = _merged(self._spans, until)
        if self.server.safety_only and pod.serving != self.server.start:
            really = {name: self.server.really(knobs) for name, knobs in pod.serving.items()}
            cameras = truth.at(self.server, most=True)
            kept = truth.load(self.server, really, cameras).kept
            story.good = kept or not truth.load(self.server, self.server.start, cameras).kept

    def judge(self, best: sweep.Best) -> Story:
        """Compare what was reached with the best there is."""
        story, server = self.story, self.server
        scores: dict[tuple[tuple[str, Knobs], ...], float] = {}

        def score(configuration: Configuration) -> float:
            if configuration == best.configuration:
                return best.score
            if configuration == server.start:
                return best.start
            key = tuple(configuration.items())
            if key not in scores:
                scores[key] = sweep.score(server, configuration)
            return scores[key]

        story.best, story.reached = best, score(story.final)
        whole = sum(seconds for seconds, _ in self._worse)
        worse = sum(seconds for seconds, one in self._worse if score(one) < best.start * (1.0 - WORSE))
        story.worse = worse / whole if whole else 0.0
        return story


class _Objective:
    """Looks at the objective in whole windows, and asks of a broken one whether the start would have kept it."""

    def __init__(self, pod: Pod) -> None:
        self.windows = 0
        self.broken: list[Broken] = []
        self._pod = pod
        self._began = pod.clock.now
        self._counts = self._count()
        self._when = "kept"

    def _count(self) -> dict[str, tuple[int, int]]:
        return {name: (lane.detector.results, lane.detector.slow) for name, lane in self._pod.lanes.items()}

    def look(self, *, disturbed: bool, probing: bool) -> None:
        """Take note of the time since the last look."""
        if probing:
            self._when = "probe"
        elif disturbed and self._when == "kept":
            self._when = "change"
        if self._pod.clock.now - self._began < OBJECTIVE - 1e-6:
            return
        slow = max(_slow(self._counts[name], found) for name, found in self._count().items())
        self.windows += 1
        # A pod that has served nothing but the start explores nothing, whatever a second start's luck may be.
        explored = bool(self._pod.changes) or self._pod.changing
        if slow > self._allowed() and explored and self._start_keeps():
            self.broken.append(Broken(self._began, self._pod.serving, self._when, slow))
        self._began, self._counts, self._when = self._pod.clock.now, self._count(), "kept"

    def _allowed(self) -> float:
        return 1.0 - self._pod.server.limits.percentile / 100.0

    def _start_keeps(self) -> bool:
        """Serve the same frames with the start's configuration, from a little before."""
        server, seen = self._pod.server, self._pod.seen
        begins = max(0, math.floor(self._began) - 3)
        other = type(self._pod)(server, server.start, begins=begins, cameras=lambda model, second: seen[model, second])
        other.run(self._began)
        before = {name: (lane.detector.results, lane.detector.slow) for name, lane in other.lanes.items()}
        other.run(self._pod.clock.now)
        after = {name: (lane.detector.results, lane.detector.slow) for name, lane in other.lanes.items()}
        return max(_slow(before[name], after[name]) for name in after) <= self._allowed()


def _slow(before: tuple[int, int], after: tuple[int, int]) -> float:
    results = after[0] - before[0]
    return (after[1] - before[1]) / results if results else 1.0


def _merged(spans: list[tuple[float, Configuration]], until: float) -> list[tuple[float, Configuration]]:
    found: list[tuple[float, Configuration]] = []
    passed = 0.0
    for seconds, configuration in spans:
        if passed >= until:
            break
        passed += seconds
        if found and found[-1][1] == configuration:
            found[-1] = (found[-1][0] + seconds, configuration)
        else:
            found.append((seconds, configuration))
    return found


def _violations(server: Server, configuration: Configuration) -> list[str]:
    """Return how a configuration is out of bounds; the start may be, since a person wrote it."""
    if set(configuration) != set(server.start):
        return [f"other models: {sorted(configuration)}"]
    found = []
    for name, knobs in configuration.items():
        if knobs == server.start[name]:
            continue
        found += [f"{name}: {words}" for words in _wrong(server, name, knobs)]
    return found


def _wrong(server: Server, name: str, knobs: Knobs) -> list[str]:
    limits, largest, start = server.limits, server.engines[name].largest_batch, server.start[name]
    delay = max(limits.max_queue_delay_microseconds, 0)
    checks: Mapping[str, bool] = {
        f"{knobs.instances} instances": limits.min_instances <= knobs.instances <= limits.max_instances
        or knobs.instances == start.instances,
        f"batches of {knobs.max_batch_size}": knobs.max_batch_size <= max(1, largest),
        f"preferred {knobs.preferred_batch_sizes}": all(
            1 <= size <= max(1, knobs.max_batch_size) for size in knobs.preferred_batch_sizes
        ),
        f"delay {knobs.max_queue_delay_microseconds} us": 0 <= knobs.max_queue_delay_microseconds <= delay
        or knobs.max_queue_delay_microseconds == start.max_queue_delay_microseconds,
        f"{knobs.post_processing} instances of post-processing": (
            limits.min_post_processing <= knobs.post_processing <= limits.max_post_processing
            or knobs.post_processing == start.post_processing
        ),
    }
    return [words for words, fine in checks.items() if not fine]


def tune(server: Server, step: Step, state: Any, *, best: sweep.Best | None = None, after: float = AFTER) -> Story:
    """Let a tuner tune a server; where only safety is judged, without scores."""
    run = Run(server, step, state)
    story = run.go(after=after)
    return story if server.safety_only else run.judge(best or sweep.sweep(server))
