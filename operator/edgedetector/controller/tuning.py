"""The tuner's loop: asks pods for their load, has it judged, and puts decisions on record.

It writes one object of a detector, the record, and only with a decision; what pods are to serve is rendered from that
by the detector's next pass, as everything else is. So a decision is one write: killed before it, nothing was decided;
killed after it, the next pass or the next process goes on from there. What was merely observed lives in memory until
the next decision, and is observed again if it is lost.

Whatever makes it doubtful what is on record (a conflict, a request without an answer) ends in reading it anew: the next
pass tells, and nothing is decided before.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from edgedetector import plan
from edgedetector.api import names
from edgedetector.api.conditions import TRUE, Condition
from edgedetector.api.edgedetector import KIND
from edgedetector.api.wire import to_json
from edgedetector.cluster import converge
from edgedetector.cluster.ownership import may_take
from edgedetector.controller import terms
from edgedetector.controller.logs import about, frames
from edgedetector.controller.queue import backoff
from edgedetector.controller.shell import reported
from edgedetector.observe.load import Samples
from edgedetector.status.view import Standing
from edgedetector.tuning import ledger as ledgers
from edgedetector.tuning.capacity import measured
from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.diagnosis import diagnose
from edgedetector.tuning.known import known
from edgedetector.tuning.record import State, bounded

if TYPE_CHECKING:
    from edgedetector.api.edgedetector import EdgeDetector
    from edgedetector.api.observation import Observation
    from edgedetector.cluster.client import Object
    from edgedetector.controller.charge import Charge
    from edgedetector.controller.keys import Key
    from edgedetector.controller.shell import Shell
    from edgedetector.observe.scrape import Target
    from edgedetector.tuning.ledger import Capacity, Ledger, Line
    from edgedetector.tuning.situation import Situation
    from edgedetector.tuning.window import Window

    Ask = Callable[[Target], Awaitable[Observation | None]]
    Step = Callable[[State, Report, Situation, float], tuple[State, Decision]]

logger = logging.getLogger(__name__)

# Seconds without an answer of any pod after which nothing can be tuned: a reload on a busy box takes a third of that.
SILENCE: Final = 60.0
# Seconds that one look may take: 2 s for the pods, 20 s for a request to the API server.
DEADLINE: Final = 40.0
# Windows from which it is told what limits a detector: five minutes of one pod at rest.
RECENT: Final = 30
# Looks under way at once.
PARALLEL: Final = 16
# Failures in a row from which on the status tells of them.
LASTING: Final = 4


@dataclass(slots=True)
class _Watched:
    """What the loop knows of a detector."""

    charge: Charge
    samples: Samples
    due: float
    record: Object | None = None
    ledger: Ledger | None = None
    state: State = field(default_factory=State)
    wrote: float = float("-inf")
    """When the last write ended: what a pass saw before is older."""
    doubtful: bool = False
    """It is not known what is on record."""
    visiting: bool = False
    answered: float = 0.0
    standing: Standing = field(default_factory=Standing)
    failures: int = 0
    shown: dict[str, Window] = field(default_factory=dict)
    """By pod, the last window that tells something."""
    recent: deque[Window] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Those of all pods, oldest first."""


class Tuner:
    """Tunes all detectors of one operator.

    Parameters
    ----------
    ask
        Asks a pod for its load.
    step
        Decides; pure.
    wake
        Called with the key of a detector whose record or standing has changed.
    clock
        Monotonic seconds.
    pool
        Where `step` computes, so that everything else goes on; None: asyncio's own.
    """

    def __init__(
        self,
        shell: Shell,
        ask: Ask,
        step: Step,
        wake: Callable[[Key], None],
        *,
        clock: Callable[[], float],
        pool: Executor | None = None,
    ) -> None:
        self._shell = shell
        self._ask = ask
        self._step = step
        self._wake = wake
        self._clock = clock
        self._pool = pool
        self._limit = asyncio.Semaphore(PARALLEL)
        self._watched: dict[Key, _Watched] = {}

    def clock(self) -> float:
        """Return the seconds of `Charge.asof`."""
        return self._clock()

    def watch(self, key: Key, charge: Charge) -> None:
        """Take note of what a pass found; a detector that is new is looked at within one interval, spread evenly."""
        watched = self._watched.get(key)
        if watched is None or watched.charge.detector.uid != charge.detector.uid:
            now, rest = self._clock(), self._shell.options.tuning_rest
            due = now + rest * self._shell.rng.random()
            watched = self._watched[key] = _Watched(charge, Samples(self._time), due, doubtful=True, answered=now)
        watched.charge = charge
        if charge.asof >= watched.wrote:
            if watched.doubtful or _version(charge.record) != _version(watched.record):
                watched.record, watched.state = charge.record, terms.remembered(charge.record)
            watched.doubtful = False
        watched.ledger = terms.read(watched.record, *charge.subject)
        if watched.ledger is None:
            watched.state = State()
        gain = watched.ledger.gain if watched.ledger is not None else None
        self._shell.metrics.tuning_gained(key.namespace, key.name, gain)

    def pause(self, key: Key) -> None:
        """Forget all but the record, of a detector that cannot be planned: its pods end a trial by themselves."""
        self._watched.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop a detector that is gone."""
        self.pause(key)
        self._shell.metrics.tuning_gained(key.namespace, key.name, None)

    def standing(self, key: Key) -> Standing:
        """Return what stands in the way of tuning a detector, that no record tells."""
        watched = self._watched.get(key)
        return watched.standing if watched is not None else Standing()

    async def run(self, tick: float = 0.5) -> None:
        """Look at whoever is due, for ever."""
        visits: set[asyncio.Task[None]] = set()
        while True:
            for key in self.due():
                task = asyncio.create_task(self.visit(key))
                visits.add(task)
                task.add_done_callback(visits.discard)
            self._shell.metrics.tuning_probes.set(self._probes())
            await asyncio.sleep(tick)

    def due(self) -> list[Key]:
        """Return whoever is to be looked at now."""
        now = self._clock()
        return [key for key, watched in self._watched.items() if watched.due <= now and not watched.visiting]

    async def visit(self, key: Key) -> None:
        """Look at one detector; whatever goes wrong ends in a log line and another try."""
        watched = self._watched.get(key)
        if watched is None or watched.visiting:
            return
        watched.visiting = True
        try:
            async with self._limit, asyncio.timeout(DEADLINE):
                await self._look(key, watched)
        except Exception as error:  # noqa: BLE001 - the loop outlives every look
            self._failed(key, watched, error)
        else:
            watched.failures = 0
            if watched.standing.refused and not watched.doubtful:
                self._stand(key, watched, replace(watched.standing, refused=""))
            watched.due = self._clock() + self._interval(watched)
        finally:
            watched.visiting = False

    async def _look(self, key: Key, watched: _Watched) -> None:
        charge, ledger = watched.charge, watched.ledger
        asked = terms.mode(charge.detector)
        if watched.doubtful:
            self._wake(key)
        elif asked is None:
            watched.answered = self._clock()  # nobody asks, so that nobody is silent
            if ledger is not None and ledger.attempt is not None:
                await self._end_trial(key, watched, ledger)
        elif ledger is None and charge.ready:
            await self._begin(key, watched)
        elif ledger is not None and (charge.ready or ledger.attempt is not None):
            now = self._time()
            report = await self._observe(watched)
            silent = watched.answered < self._clock() - SILENCE
            self._stand(key, watched, replace(watched.standing, unobserved=silent))
            if report.windows or ledger.attempt is not None:
                situation = terms.situation(*charge.subject, asked, ledger, len(report.pods))
                await self._decide(watched, charge, report, situation, now)
        else:
            watched.samples.keep(())
            watched.answered = self._clock()

    async def _begin(self, key: Key, watched: _Watched) -> None:
        charge = watched.charge
        text = "tuning begins with what spec.serving says"
        first = ledgers.begun(terms.start_of(*charge.subject), terms.specified(charge.detector), self._time(), text)
        await self._write(key, watched, first, State())

    async def _end_trial(self, key: Key, watched: _Watched, ledger: Ledger) -> None:
        """End a trial, since nobody asks the search any more."""
        charge, state = watched.charge, replace(watched.state, trial=None)
        why = "the detector is suspended" if charge.detector.suspend else "tuning is switched off"
        decision = Decision(Kind.REVERT, f"the trial is over: {why}")
        memory = terms.memory(*charge.subject)
        after = ledgers.entered(ledger, state, decision, self._time(), memory=memory, capacity=None)
        await self._write(key, watched, after, state)

    async def _observe(self, watched: _Watched) -> Report:
        charge, ledger = watched.charge, watched.ledger
        pods = sorted(charge.pods, key=lambda pod: pod.pod)
        answers = dict(zip(pods, await asyncio.gather(*(self._ask(pod) for pod in pods)), strict=True))
        watched.samples.keep({pod.uid for pod in pods})
        percentile = charge.detector.spec.tuning.objective.latency.percentile
        found = [
            watched.samples.add(pod.uid, pod.pod, answer, knobs=charge.terms.known, percentile=percentile)
            for pod, answer in answers.items()
        ]
        if any(answer is not None for answer in answers.values()):
            watched.answered = self._clock()
        windows = tuple(window for window in found if window is not None)
        seen = {window.pod: window for window in windows if not window.disturbed}
        watched.shown = {pod.pod: window for pod in pods if (window := seen.get(pod.pod) or watched.shown.get(pod.pod))}
        watched.recent.extend(seen.values())
        by_name = {pod.pod: answer for pod, answer in answers.items()}
        return Report(tuple(pod.pod for pod in pods), windows, terms.probe_report(ledger, by_name, self._time()))

    async def _decide(
        self, watched: _Watched, charge: Charge, report: Report, situation: Situation, now: float
    ) -> None:
        key, ledger, before = charge.key, watched.ledger, watched.state
        compute = functools.partial(self._step, before, report, situation, now)
        try:
            state, decision = await asyncio.get_running_loop().run_in_executor(self._pool, compute)
        except Exception:
            if watched.failures + 1 >= LASTING and watched.state is before:
                watched.state = State()  # it may be the memory that cannot be gone on from; what is accepted stays
            raise
        stays = self._watched.get(key) is watched and watched.charge.subject == charge.subject
        if not stays or watched.state is not before or watched.doubtful or ledger is None:
            return  # a pass has told something else meanwhile
        memory = situation.limits.memory
        after = ledgers.entered(ledger, state, decision, now, memory=memory, capacity=None)
        if after == ledger:
            watched.state = state
            return
        capacity = _capacity(watched, state, len(report.pods), situation, now)
        after = ledgers.entered(ledger, state, decision, now, memory=memory, capacity=capacity)
        await self._write(key, watched, after, state)
        if decision.kind != Kind.WAIT:
            self._shell.metrics.tuning_decisions.labels(decision.kind).inc()

    async def _write(self, key: Key, watched: _Watched, ledger: Ledger, state: State) -> None:
        """Put a decision on record.

        Raises
        ------
        OperatorError
            If it may not be on record; what is there is then to be read anew.
        """
        detector = watched.charge.detector
        try:
            body = plan.tuning_map(detector, to_json(ledger), to_json(bounded(state)))
            after = await self._shell.client.apply(body, names.FIELD_MANAGER, only=_condition(watched.record, body))
        except BaseException:
            watched.doubtful, watched.wrote = True, self._clock()
            raise
        before = watched.ledger
        watched.record, watched.ledger, watched.state = after, ledger, state
        watched.wrote = self._clock()
        self._wake(key)
        await self._tell(key, detector, before.log if before is not None else (), ledger)

    async def _tell(self, key: Key, detector: EdgeDetector, before: tuple[Line, ...], ledger: Ledger) -> None:
        """Tell of what is new on record: a plain line in the log, and an Event."""
        for line in ledger.log:
            if line not in before:
                logger.info("%s", line.message, extra=about(key, decision=line.decision))
                condition = Condition("Tuning", TRUE, f"Tuning{line.decision}", line.message)
                await self._shell.tell(_reference(detector), condition, warning=line.decision == ledgers.HELD)

    def _stand(self, key: Key, watched: _Watched, standing: Standing) -> None:
        if standing != watched.standing:
            watched.standing = standing
            self._wake(key)

    def _failed(self, key: Key, watched: _Watched, error: Exception) -> None:
        watched.failures += 1
        delay = max(backoff(watched.failures, self._shell.rng), self._interval(watched))
        watched.due = self._clock() + delay
        told = reported(error)
        self._shell.metrics.errors.labels("tuning", told.reason).inc()
        where = {} if told is error else {"traceback": frames(error)}
        level = logging.WARNING if told is error else logging.ERROR
        logger.log(level, "tuning failed: %s", told, extra=about(key, retry_seconds=round(delay, 1), **where))
        if watched.doubtful:
            self._wake(key)
        if watched.failures >= LASTING:
            self._stand(key, watched, replace(watched.standing, refused=str(told)))

    def _interval(self, watched: _Watched) -> float:
        options = self._shell.options
        return options.tuning_probe if watched.ledger and watched.ledger.attempt else options.tuning_rest

    def _probes(self) -> int:
        return sum(1 for watched in self._watched.values() if watched.ledger and watched.ledger.attempt)

    def _time(self) -> float:
        return self._shell.now().timestamp()


def _capacity(watched: _Watched, state: State, pods: int, situation: Situation, now: float) -> Capacity | None:
    """Return what the pods serve now, and what limits it; None if that cannot be told, which holds up nothing."""
    spec, profile = watched.charge.detector.spec, watched.charge.profile.spec
    try:
        found = measured(watched.shown.values(), state.accepted, pods, now)
        if found is None:
            return None
        limits = diagnose(tuple(watched.recent), situation, known(spec.models, spec.cameras, profile), state.visits)
    except Exception as error:  # noqa: BLE001 - it is for people alone
        logger.error("what limits it cannot be told", extra=about(watched.charge.key, traceback=frames(error)))  # noqa: TRY400
        return None
    return replace(found, limit=limits.limit, message=limits.message)


def _condition(live: Object | None, body: Object) -> dict[str, str]:
    """Return what the object must be for the write to be meant for it."""
    if live is None:
        return dict(converge.NEW)
    metadata, owners = live["metadata"], body["metadata"]["ownerReferences"]
    if not may_take(live, body, owners[0]["uid"], names.FIELD_MANAGER):
        return dict(converge.NEW)  # an object of somebody else: refused
    return {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}


def _version(obj: Object | None) -> Any:
    return obj and (obj["metadata"].get("uid"), converge.version(obj))


def _reference(detector: EdgeDetector) -> Object:
    """Return what an Event has to know of a detector."""
    metadata = {"name": detector.name, "namespace": detector.namespace, "uid": detector.uid}
    return {"apiVersion": names.API_VERSION, "kind": KIND, "metadata": metadata}
