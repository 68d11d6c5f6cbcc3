"""The tuner's loop: asks pods for their load, has it judged, and puts decisions on record.

It writes one object of a detector, the record, and only with a decision; what pods are to serve is rendered from that
by the detector's next pass, as everything else is. So a decision is one write: killed before it, nothing was decided;
killed after it, the next pass or the next process goes on from there. What was merely observed lives in memory until
the next decision, and is observed again if it is lost.

Whatever makes it doubtful what is on record (a conflict, a request without an answer) ends in reading it anew: the next
pass tells, and nothing is decided before.

A trial hangs on being looked at every few seconds, so nothing stands before it: it waits for no other detector's pods,
and what takes long, choosing what to try next, others do one after another beside it (`turns`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edgedetector import plan
from edgedetector.api import names
from edgedetector.api.conditions import TRUE, Condition
from edgedetector.api.edgedetector import KIND
from edgedetector.api.errors import OperatorError, RetryError
from edgedetector.api.wire import to_json
from edgedetector.controller import recording, terms
from edgedetector.controller.logs import about, frames
from edgedetector.controller.queue import backoff
from edgedetector.controller.shell import reported
from edgedetector.controller.turns import Turns
from edgedetector.controller.watched import Watched
from edgedetector.observe.load import Samples
from edgedetector.status.view import Standing
from edgedetector.tuning import ledger as ledgers
from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.ledger import Ledger
from edgedetector.tuning.record import State, bounded
from edgedetector.tuning.situation import Mode
from edgedetector.tuning.telling import looked
from edgedetector.tuning.transitions import dated

if TYPE_CHECKING:
    from edgedetector.api.edgedetector import EdgeDetector
    from edgedetector.api.observation import Observation
    from edgedetector.cluster.client import Object
    from edgedetector.controller.charge import Charge
    from edgedetector.controller.keys import Key
    from edgedetector.controller.shell import Shell
    from edgedetector.observe.scrape import Target
    from edgedetector.tuning.ledger import Line
    from edgedetector.tuning.situation import Situation

    Ask = Callable[[Target], Awaitable[Observation | None]]
    Step = Callable[[State, Report, Situation, float], tuple[State, Decision]]

logger = logging.getLogger(__name__)

# Seconds without an answer of any pod after which nothing can be tuned: a reload on a busy box takes a third of that.
SILENCE: Final = 60.0
# Seconds that a write may take: a request to the API server has 20 s, and may be made anew once.
DEADLINE: Final = 40.0
# Looks under way at once, those at trials not among them.
PARALLEL: Final = 16
# Seconds between two looks at whoever's turn it is to choose: in less there is no window.
SOON: Final = 2.0
# Failures in a row from which on the status tells of them.
LASTING: Final = 4


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
    pool, choices
        Where `step` computes, so that everything else goes on, and where it does while it chooses; None: asyncio's own.
    turns
        Who may choose.
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
        choices: Executor | None = None,
        turns: Turns[Key] | None = None,
    ) -> None:
        self._shell = shell
        self._ask = ask
        self._step = step
        self._wake = wake
        self._clock = clock
        self._pool = pool
        self._choices = choices
        self._turns = turns or Turns()
        self._limit = asyncio.Semaphore(PARALLEL)
        self._watched: dict[Key, Watched] = {}

    def clock(self) -> float:
        """Return the seconds of `Charge.asof`."""
        return self._clock()

    def watch(self, key: Key, charge: Charge) -> None:
        """Take note of what a pass found; a detector that is new is looked at within one interval, spread evenly."""
        watched = self._watched.get(key)
        if watched is None or watched.charge.detector.uid != charge.detector.uid:
            now, rest = self._clock(), self._shell.options.tuning_rest
            due = now + rest * self._shell.rng.random()
            watched = self._watched[key] = Watched(charge, Samples(self._time), due, doubtful=True, answered=now)
        if charge.asof >= watched.wrote:
            if watched.doubtful or recording.version(charge.record) != recording.version(watched.record):
                watched.record, watched.state = recording.light(charge.record), terms.remembered(charge.record)
            watched.doubtful = False
        watched.charge = replace(charge, record=recording.light(charge.record))
        watched.ledger = terms.read(watched.record, *charge.subject)
        if watched.ledger is None:
            watched.state = State()
        self._show(key, watched.ledger)

    def pause(self, key: Key) -> None:
        """Forget all but the record, of a detector that cannot be planned: its pods end a trial by themselves."""
        self._watched.pop(key, None)
        self._turns.leave(key)

    def forget(self, key: Key) -> None:
        """Drop a detector that is gone."""
        self.pause(key)
        self._show(key, None)

    def _show(self, key: Key, ledger: Ledger | None) -> None:
        """Show what has come of tuning; None: nothing, or the detector is gone."""
        capacity, metrics = ledger.capacity if ledger is not None else None, self._shell.metrics
        metrics.tuning_gained(key.namespace, key.name, ledger.gain if ledger is not None else None)
        of, frames = (capacity.of, capacity.of_one) if capacity is not None else ("", None)
        metrics.tuning_measured(key.namespace, key.name, of, frames)

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
        now, first = self._clock(), self._turns.next(self._probes())
        if first is not None:
            one = self._watched[first]
            one.due = min(one.due, one.looked + SOON)
        return [key for key, watched in self._watched.items() if watched.due <= now and not watched.visiting]

    async def visit(self, key: Key) -> None:
        """Look at one detector; whatever goes wrong ends in a log line and another try."""
        watched = self._watched.get(key)
        if watched is None or watched.visiting:
            return
        watched.visiting, watched.in_line = True, False
        try:
            async with contextlib.nullcontext() if watched.trying else self._limit:
                watched.looked = self._clock()
                if await self._look(key, watched):
                    watched.failures = 0
                    self._stand(key, watched, replace(watched.standing, refused="", broken=""))
        except Exception as error:  # noqa: BLE001 - the loop outlives every look
            self._failed(key, watched, error)
        else:
            watched.due = self._clock() + self._interval(watched)
        finally:
            watched.visiting = False
            if not watched.in_line:
                self._turns.leave(key)

    async def _look(self, key: Key, watched: Watched) -> bool:
        """Do what there is to do; tell whether all went well that is to be done."""
        charge, ledger = watched.charge, watched.ledger
        asked = terms.mode(charge.detector)
        if watched.doubtful:
            self._wake(key)
            return False
        if asked is None:
            watched.answered = self._clock()  # nobody asks, so that nobody is silent
            if ledger is not None and ledger.attempt is not None:
                await self._end_trial(key, watched, ledger)
            elif charge.ready and not charge.detector.suspend:
                await self._look_on(watched)
            return True
        if ledger is None or ledger.begins:
            return charge.ready and await self._begin(key, watched)
        if charge.detector.retune not in {"", ledger.asked} and asked != Mode.FROZEN:
            return await self._retune(key, watched, ledger)
        if charge.ready or charge.refused or ledger.attempt is not None:
            return await self._tune(key, watched, ledger, asked)
        watched.samples.keep(())
        watched.answered = self._clock()
        return False

    async def _tune(self, key: Key, watched: Watched, ledger: Ledger, asked: Mode) -> bool:
        charge, report = watched.charge, await self._observe(watched)
        silent = watched.answered < self._clock() - SILENCE
        self._stand(key, watched, replace(watched.standing, unobserved=silent))
        if report.windows or report.refused or ledger.attempt is not None:
            situation = terms.situation(*charge.subject, asked, ledger, len(report.pods))
            await self._decide(watched, charge, report, situation)
            return True
        return False

    async def _begin(self, key: Key, watched: Watched) -> bool:
        charge = watched.charge
        text = "tuning begins with what spec.serving says"
        start, knobs = terms.start_of(*charge.subject), terms.specified(charge.detector)
        first = ledgers.begun(start, knobs, self._time(), text, watched.ledger, asked=charge.detector.retune)
        await self._write(key, watched, first, State())
        return True

    async def _retune(self, key: Key, watched: Watched, ledger: Ledger) -> bool:
        """Forget what was found but what serves; how often pods were changed lately still counts."""
        state = State(changes=watched.state.changes, begun=watched.state.begun)
        await self._write(key, watched, ledgers.retuned(ledger, watched.charge.detector.retune, self._time()), state)
        return True

    async def _end_trial(self, key: Key, watched: Watched, ledger: Ledger) -> None:
        """End a trial, since nobody asks the search any more."""
        charge, state = watched.charge, replace(watched.state, trial=None)
        why = "the detector is suspended" if charge.detector.suspend else "tuning is switched off"
        decision = Decision(Kind.REVERT, f"the trial is over: {why}")
        memory = terms.memory(*charge.subject)
        after = ledgers.entered(ledger, state, decision, self._time(), memory=memory, capacity=None)
        await self._write(key, watched, after, state)

    async def _observe(self, watched: Watched) -> Report:
        charge, ledger = watched.charge, watched.ledger
        pods = sorted(charge.pods, key=lambda pod: pod.pod)
        answers = dict(zip(pods, await asyncio.gather(*(self._ask(pod) for pod in pods)), strict=True))
        watched.samples.keep({pod.uid for pod in pods})
        # One that cannot be is the search's to tell of: until then any other will do.
        percentile = min(99, max(1, charge.detector.spec.tuning.objective.latency.percentile))
        found = [
            watched.samples.add(pod.uid, pod.pod, answer, knobs=charge.terms.known, percentile=percentile)
            for pod, answer in answers.items()
        ]
        if any(answer is not None for answer in answers.values()):
            watched.answered = self._clock()
        windows = tuple(window for window in found if window is not None)
        watched.saw(pods, windows)
        by_name = {pod.pod: answer for pod, answer in answers.items()}
        probe = terms.probe_report(ledger, by_name, self._time())
        return Report(tuple(pod.pod for pod in pods), windows, probe, refused=charge.refused)

    async def _decide(self, watched: Watched, charge: Charge, report: Report, situation: Situation) -> None:
        key, ledger, before = charge.key, watched.ledger, watched.state
        state, decision, now = await self._stepped(watched, report, situation)
        if ledger is None:
            return
        memory = situation.limits.memory
        after = ledgers.entered(ledger, state, decision, now, memory=memory, capacity=None)
        capacity = None
        if after != ledger:
            tell = functools.partial(watched.capacity, state, len(report.pods), situation, now)
            capacity = await asyncio.get_running_loop().run_in_executor(self._pool, tell)
        if not self._stays(watched, charge, before):
            return
        if after == ledger:
            watched.state = state
            await self._retell(watched, charge, report, situation)
            return
        after = ledgers.entered(ledger, state, decision, now, memory=memory, capacity=capacity)
        await self._write(key, watched, after, state)
        if decision.kind != Kind.WAIT:
            self._shell.metrics.tuning_decisions.labels(decision.kind).inc()

    async def _look_on(self, watched: Watched) -> None:
        """Look at what limits a detector that nobody tunes."""
        charge = watched.charge
        report = await self._observe(watched)
        situation = terms.situation(*charge.subject, Mode.FROZEN, watched.ledger, len(report.pods))
        await self._retell(watched, charge, report, situation)

    async def _retell(self, watched: Watched, charge: Charge, report: Report, situation: Situation) -> None:
        """Tell what limits a detector, where that is for good another thing than is told: to know it takes no tuner."""
        now, state, serves = self._time(), watched.state, charge.terms.known.get(charge.terms.accepted.id)
        fresh = any(not window.disturbed for window in report.windows)
        if watched.trying or serves is None or not fresh or not watched.looks.due(now):
            return
        pods, shown = len(report.pods), replace(state, accepted=dict(serves))
        look = functools.partial(watched.capacity, shown, pods, situation, now, idle=True)
        found = await asyncio.get_running_loop().run_in_executor(self._pool, look)
        if not self._stays(watched, charge, state):
            return
        before = watched.ledger or Ledger(terms.start_of(*charge.subject), now, terms.specified(charge.detector))
        watched.looks, new = looked(watched.looks, before.capacity, found, now)
        if new and found is not None:
            await self._write(charge.key, watched, ledgers.retold(before, found), state)

    def _stays(self, watched: Watched, charge: Charge, state: State) -> bool:
        """Tell whether no pass has told something else since a calculation began."""
        same = self._watched.get(charge.key) is watched and watched.charge.subject == charge.subject
        return same and watched.state is state and not watched.doubtful

    async def _stepped(self, watched: Watched, report: Report, situation: Situation) -> tuple[State, Decision, float]:
        """Take a step; where one has to choose, when it is his turn, and until then without."""
        before = watched.state
        try:
            found = await self._computed(self._pool, before, report, replace(situation, may_choose=False))
            if not found[1].due:
                return found
            if not self._turns.take(watched.charge.key, self._probes()):
                watched.in_line = True
                return found
            return await self._computed(self._choices, before, report, situation)
        except Exception:
            if watched.failures + 1 >= LASTING and watched.state is before:
                watched.state = State()  # it may be the memory that cannot be gone on from; what is accepted stays
            raise

    async def _computed(
        self, pool: Executor | None, state: State, report: Report, situation: Situation
    ) -> tuple[State, Decision, float]:
        def compute() -> tuple[State, Decision, float]:
            now = self._time()  # when it is computed, and not when it began to wait for that
            found, decision = self._step(state, report, situation, now)
            if decision.kind is not Kind.PROBE:
                return found, decision, now
            begun = self._time()
            return dated(found, begun), decision, begun

        return await asyncio.get_running_loop().run_in_executor(pool, compute)

    async def _write(self, key: Key, watched: Watched, ledger: Ledger, state: State) -> None:
        """Put a decision on record.

        Raises
        ------
        OperatorError
            If it may not be on record; what is there is then to be read anew.
        """
        detector = watched.charge.detector
        body = plan.tuning_map(detector, to_json(ledger), to_json(bounded(state)))
        only = recording.condition(watched.record, body)
        try:
            async with asyncio.timeout(DEADLINE):
                after = await self._shell.client.apply(body, names.FIELD_MANAGER, only=only)
        except BaseException as error:
            watched.doubtful, watched.wrote = True, self._clock()
            if isinstance(error, TimeoutError):
                raise RetryError(
                    f"the API server has not answered the write of ConfigMap {names.tuning(key.name)}"
                ) from error
            raise
        before = watched.ledger
        watched.record, watched.ledger, watched.state = recording.light(after), ledger, state
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

    def _stand(self, key: Key, watched: Watched, standing: Standing) -> None:
        if standing != watched.standing:
            watched.standing = standing
            self._wake(key)

    def _failed(self, key: Key, watched: Watched, error: Exception) -> None:
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
            refused = watched.doubtful and isinstance(error, OperatorError)
            text = str(told)
            standing = replace(watched.standing, refused=text if refused else "", broken="" if refused else text)
            self._stand(key, watched, standing)

    def _interval(self, watched: Watched) -> float:
        options = self._shell.options
        return options.tuning_probe if watched.trying else options.tuning_rest

    def _probes(self) -> int:
        return sum(watched.trying for watched in self._watched.values())

    def _time(self) -> float:
        return self._shell.now().timestamp()


def _reference(detector: EdgeDetector) -> Object:
    """Return what an Event has to know of a detector."""
    metadata = {"name": detector.name, "namespace": detector.namespace, "uid": detector.uid}
    return {"apiVersion": names.API_VERSION, "kind": KIND, "metadata": metadata}
