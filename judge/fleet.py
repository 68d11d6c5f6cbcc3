"""Replicas under one tuner, with their ladders and an autoscaler, and whatever goes wrong: virtual time, by the second.

    interruptions begin ──DISTURBED──> none any more ──SETTLED──> nothing has changed for 20 min ──an hour──> end

What must hold at every second, and what must have come to rest, is written down in a `Tale`; it judges safety and rest,
not how near to the best anything comes (that is `judge.harness`).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgedetector.detector.sharing import assign
from edgedetector.tuning.decision import Decision, Kind
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Knobs
from judge.beside import SYNC, Autoscaler
from judge.driver import ApiServer, KilledError, Operator, Record, rendered
from judge.harness import EPOCH, Step
from judge.interruptions import Fault, Interruption
from judge.replica import Document, Replica
from judge.site import MODEL, Site

STARTS: Final = (15.0, 40.0)
"""Seconds that a new pod takes until it serves."""
DEAD: Final = 3.0
"""Seconds after which the others serve a lost pod's cameras."""
LATE: Final = 5.0
"""Seconds after a trial's time is over within which its pod serves what is accepted again (issue 6)."""
QUIET: Final = 1200.0
"""Seconds without a change after which all is taken to be at rest: an objective that cannot be kept may be tried for
anew after a quarter of an hour."""
LONGEST: Final = 3.0 * 3600.0
"""Seconds after the last interruption in which all must have come to rest: the hour of the budget of changes, the hour
of a denial, and what is tried then."""
WATCHED: Final = 3600.0
"""Seconds that are looked on then."""
AWAY: Final = 2.0
"""Seconds in which a killed operator is back at the earliest."""


@dataclass
class Tale:
    """What became of a fleet."""

    site: Site
    interruptions: tuple[Interruption, ...]
    happened: list[tuple[float, str]] = field(default_factory=list)
    """Interruptions that did come."""
    violations: list[str] = field(default_factory=list)
    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    """On record, but for renewals."""
    final: Knobs = field(default_factory=Knobs)
    replicas: tuple[int, int] = (0, 0)
    """The fewest and the most."""
    rested: float | None = None
    """Seconds from the last interruption until the last change before all came to rest; None: it never did."""
    changes: int = 0
    """Decisions in the hour after that."""
    turns: int = 0
    """Reversals of the number of replicas since the last interruption."""
    later_turns: int = 0
    """Of them in the hour at rest."""
    rungs: int = 0
    """Reversals of the ladders since the last interruption, the pod with the most."""
    later_rungs: int = 0
    seconds: float = 0.0

    @property
    def trials(self) -> int:
        """How many there were."""
        return sum(decision.kind is Kind.PROBE for _, decision in self.decisions)

    def violated(self, words: str) -> None:
        """Note what must not be, once."""
        if words not in self.violations:
            self.violations.append(words)


class Fleet:
    """One site, one tuner and what happens to them."""

    def __init__(self, site: Site, step: Step, empty: Any, interruptions: Iterable[Interruption] = ()) -> None:
        self.site, self.now = site, 0.0
        self.tale = Tale(site, tuple(interruptions))
        self._step, self._empty = step, empty
        self._situation: Situation = site.situation
        self._draw = random.Random(f"fleet {site.seed}")  # noqa: S311 - to be repeated, not secret
        self.api = ApiServer(Document(site.start))
        self._operator: Operator | None = self._process()
        self._operator_back = 0.0
        self.asked = site.replicas
        self.tale.replicas = (self.asked, self.asked)
        self.pods = [self._pod(0.0) for _ in range(self.asked)]
        self._starting: list[float] = []
        self._autoscaler = Autoscaler(site.replicas, site.most, site.request) if site.most > site.replicas else None
        self._used: dict[str, list[tuple[float, float]]] = {}
        self._cameras = site.cameras
        self._shared: tuple[int, frozenset[str], Mapping[str, int]] = (0, frozenset(), {})
        self._slow: list[tuple[str, float, float]] = []
        self._waiting = sorted(self.tale.interruptions, key=lambda one: one.at)
        self._due: list[tuple[float, Interruption]] = [(one.at, one) for one in self._waiting if not one.trial]
        self._asked_before: list[tuple[float, int]] = []
        self._good = {site.start}
        self._tried: set[Knobs] = set()
        self._seen_decisions = 0
        self._begun = 0
        self._served = dict.fromkeys((pod.name for pod in self.pods), 0.0)

    def _process(self) -> Operator:
        return Operator(self.api, self._step, self._empty, self._situation, self.now)

    def _pod(self, now: float) -> Replica:
        return Replica(self.site, f"pod-{self._draw.randrange(16**5):05x}", self.api.document, now)

    # Time.

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.now < until:
            self.second()

    def second(self) -> None:
        """Let a second pass."""
        self.now += 1.0
        self._interrupt()
        self._deploy()
        self._infer()
        self._scale()
        self._operate()
        self._look()

    def _infer(self) -> None:
        shares = self._shares()
        for pod in self.pods:
            pod.second(self.now, self.api.document, shares.get(pod.name, 0), self._slowness(pod))
            if self.now >= pod.detector_back:
                self._served[pod.name] = self.now
            self._used.setdefault(pod.name, []).append(pod.used)

    def _shares(self) -> Mapping[str, int]:
        """Return how many cameras each pod serves, of those that the others take for alive."""
        alive = frozenset(pod.name for pod in self.pods if self.now - self._served[pod.name] < DEAD)
        if self._shared[:2] != (self._cameras, alive):
            cameras = frozenset(f"camera-{number}" for number in range(self._cameras))
            self._shared = (self._cameras, alive, Counter(assign(cameras, alive).values()))
        return self._shared[2]

    def _slowness(self, pod: Replica) -> float:
        return math.prod(factor for name, factor, until in self._slow if name == pod.name and self.now < until)

    def _deploy(self) -> None:
        """Do what a Deployment's controllers do."""
        for at in [at for at in self._starting if at <= self.now]:
            self._starting.remove(at)
            pod = self._pod(self.now)
            self.pods.append(pod)
            self._served[pod.name] = self.now
        while len(self.pods) + len(self._starting) < self.asked:
            self._starting.append(self.now + round(self._draw.uniform(*STARTS)))
        while len(self.pods) + len(self._starting) > self.asked:
            if self._starting:
                self._starting.pop()
            else:
                self.pods.remove(self._draw.choice(self.pods))

    def _scale(self) -> None:
        scaler = self._autoscaler
        if scaler is None or self.now % SYNC:
            return
        used: list[tuple[float, float] | None] = []
        for pod in self.pods:
            seen = self._used.get(pod.name, [])
            used.append((sum(t for t, _ in seen) / len(seen), sum(d for _, d in seen) / len(seen)) if seen else None)
        self._used = {}
        ledger = self.api.record.ledger if self.api.record is not None else None
        most = scaler.most(
            self.asked,
            began=ledger.began if ledger is not None else None,
            converged=ledger is not None and ledger.settled > 0,
            now=EPOCH + self.now,
        )
        fewest = scaler.fewest(self.asked, most, degraded=any(pod.rungs.degraded for pod in self.pods))
        self._ask(scaler.decide(self.now, self.asked, [*used, *([None] * len(self._starting))], most, fewest))

    def _ask(self, replicas: int) -> None:
        if replicas != self.asked:
            self._asked_before.append((self.now, replicas - self.asked))
            self.asked = replicas

    def _operate(self) -> None:
        if self._operator is None and self.now >= self._operator_back:
            self._operator = self._process()
        if self._operator is None:
            return
        try:
            self._operator.look(self.pods, self.now)
        except KilledError:
            self._kill(AWAY)

    def _kill(self, seconds: float) -> None:
        self._operator, self._operator_back = None, self.now + max(AWAY, seconds)

    # What goes wrong.

    def _interrupt(self) -> None:
        for at, one in [due for due in self._due if due[0] <= self.now]:
            self._due.remove((at, one))
            self._happen(one)
            self.tale.happened.append((self.now, str(one.fault)))

    def _happen(self, one: Interruption) -> None:
        end = self.now + one.lasts
        match one.fault:
            case Fault.BEFORE_WRITE | Fault.AFTER_WRITE:
                if self._operator is not None:
                    self._operator.fate = "before" if one.fault is Fault.BEFORE_WRITE else "after"
            case Fault.KILLED:
                self._kill(one.lasts)
            case Fault.MEMORY_LOST | Fault.RECORD_LOST | Fault.RECORD_OLD:
                self._spoil(one.fault)
            case Fault.DEMAND:
                most = 2 * self.site.cameras
                self._cameras = min(most, max(2 * 3, round(self._cameras * one.share)))
            case Fault.SCALED:
                self._ask(min(3, max(1, round(self.asked * one.share))))
            case _:
                if (pod := self._of(one)) is not None:
                    self._afflict(pod, one, end)

    def _spoil(self, fault: Fault) -> None:
        record = self.api.record
        if record is None:
            return
        if fault is Fault.MEMORY_LOST:
            self.api.write(Record(record.ledger, self._empty))
        elif fault is Fault.RECORD_OLD:
            self.api.write(self._draw.choice(self.api.former[-12:]))
        else:
            self.api.record = None
        if self._operator is not None:
            self._operator.reread()

    def _of(self, one: Interruption) -> Replica | None:
        ledger = self.api.record.ledger if self.api.record is not None else None
        tries = ledger.attempt.pod if ledger is not None and ledger.attempt is not None else ""
        meant = [pod for pod in self.pods if (pod.name == tries) == one.canary] or self.pods
        return self._draw.choice(meant) if meant else None

    def _afflict(self, pod: Replica, one: Interruption, end: float) -> None:
        match one.fault:
            case Fault.POD_REPLACED:
                self.pods.remove(pod)
            case Fault.DETECTOR:
                pod.restart_detector(end)
            case Fault.TRITON:
                pod.restart_triton(end)
            case Fault.RELOADED:
                pod.reload(self.now)
            case Fault.RESET | Fault.WENT_BACK:
                pod.reset(told=one.fault is Fault.RESET)
            case Fault.SILENT:
                pod.answers_from = end
            case Fault.KUBELET:
                pod.hears_from = end
            case Fault.EXPORTER:
                pod.exporter_back = end
            case Fault.SLOWER:
                self._slow.append((pod.name, max(1.1, one.share), end))

    # What must hold.

    def _look(self) -> None:
        self._note_decisions()
        fewest, most = self.tale.replicas
        self.tale.replicas = (min(fewest, self.asked), max(most, self.asked))
        record = self.api.record
        self._good.add(rendered(record, self._situation, EPOCH + self.now).accepted)
        # A pod in which the detector or Triton is down serves nothing.
        unproven = [pod for pod in self.pods if pod.runs and pod.serving not in self._good]
        if len(unproven) > 1:
            self.tale.violated(f"{len(unproven)} pods serve what is not proven at {self.now:.0f} s")
        for pod in unproven:
            trial = pod.trial
            if trial is None or trial.knobs != pod.serving:
                if pod.changing is None and pod.wanted != pod.serving:
                    self.tale.violated(f"{pod.name} serves what it was never told to try at {self.now:.0f} s")
            elif self.now > max(trial.deadline, pod.triton_back, pod.detector_back) + LATE:
                self.tale.violated(f"{pod.name} goes on with a trial whose time is over at {self.now:.0f} s")

    def _note_decisions(self) -> None:
        for at, decision in self.api.decisions[self._seen_decisions :]:
            self.tale.decisions.append((at, decision))
            if decision.configuration is None:
                self.tale.violated(f"{decision.kind} without a configuration")
                continue
            knobs = decision.configuration[MODEL]
            if decision.kind is Kind.PROBE:
                self._begin(at, decision, knobs)
            elif knobs not in self._tried | self._good:
                self.tale.violated(f"{decision.kind} of what was never tried: {knobs}")
        self._seen_decisions = len(self.api.decisions)

    def _begin(self, at: float, decision: Decision, knobs: Knobs) -> None:
        self._begun += 1
        self._tried.add(knobs)
        limits = self._situation.limits
        inside = 1 <= knobs.instances <= limits.max_instances and knobs.max_batch_size <= self.site.largest
        if not inside or not 0 <= knobs.max_queue_delay_microseconds <= limits.max_queue_delay_microseconds:
            self.tale.violated(f"a trial out of bounds: {knobs}")
        busy = [pod.name for pod in self.pods if pod.runs and (pod.tries or pod.serving not in self._good)]
        if busy:
            self.tale.violated(f"a trial begins while {busy[0]} still serves another at {at:.0f} s")
        if decision.pod not in [pod.name for pod in self.pods]:
            self.tale.violated(f"a trial in a pod that there is not at {at:.0f} s")
        self._due += [(at + one.at, one) for one in self._waiting if one.trial == self._begun]

    # The end.

    @property
    def converged(self) -> bool:
        """Whether the tuner says so, and nothing is on trial."""
        record = self.api.record
        return record is not None and record.ledger.converged and record.ledger.attempt is None

    @property
    def _last_change(self) -> float:
        changes = [at for at, _ in self.api.decisions[-1:]] + [at for at, _ in self._asked_before[-1:]]
        return max(changes, default=0.0)

    def tell(self, disturbed: float, *, watched: float = WATCHED, longest: float = LONGEST) -> Tale:
        """Let it be interrupted for so many seconds, come to rest, and be watched; return what became of it."""
        tale = self.tale
        self.run(disturbed)
        self._due.clear()
        self._waiting.clear()
        calm = self.now
        turns, rungs = self._turns(), self._rungs()
        while self.now < calm + longest:
            self.second()
            if self.converged and self.now - max(self._last_change, calm) >= QUIET:
                break
        else:
            tale.violated(f"no rest within {longest / 3600:.3g} h after the last interruption")
        rest, changes, later = self.now, len(self.api.decisions), (self._turns(), self._rungs())
        if not tale.violations:
            tale.rested = max(self._last_change, calm) - calm
        self.run(self.now + watched)
        tale.changes = len(self.api.decisions) - changes
        tale.turns, tale.rungs = self._turns() - turns, _most(self._rungs(), rungs)
        tale.later_turns, tale.later_rungs = self._turns() - later[0], _most(self._rungs(), later[1])
        tale.seconds = self.now
        if tale.changes:
            tale.violated(f"{tale.changes} changes in {(self.now - rest) / 3600:.3g} h at rest")
        self._end()
        return tale

    def _end(self) -> None:
        """Kill the operator for good, and look at what is left after the longest time that a trial may go on."""
        self._kill(float("inf"))
        self.run(self.now + 60.0)
        accepted = rendered(self.api.record, self._situation, EPOCH + self.now).accepted
        self.tale.final = accepted
        if accepted not in self._tried | {self.site.start}:
            self.tale.violated(f"ends on what was never tried: {accepted}")
        for pod in self.pods:
            if pod.serving != accepted:
                self.tale.violated(f"{pod.name} serves {pod.serving} in the end, and {accepted} is accepted")

    def _turns(self) -> int:
        return turns(sign for _, sign in self._asked_before)

    def _rungs(self) -> dict[str, int]:
        return {pod.name: pod.reversals + pod.rungs.reversals for pod in self.pods}


def turns(moves: Iterable[int]) -> int:
    """Return how often moves up and down change their direction."""
    found, last = 0, 0
    for move in moves:
        found += last * move < 0
        last = move
    return found


def _most(after: dict[str, int], before: dict[str, int]) -> int:
    return max((count - before.get(name, 0) for name, count in after.items()), default=0)


def told(site: Site, step: Step, empty: Any, interruptions: Sequence[Interruption], disturbed: float) -> Tale:
    """Return what becomes of a fleet to which these interruptions happen within `disturbed` seconds."""
    return Fleet(site, step, empty, interruptions).tell(disturbed)
