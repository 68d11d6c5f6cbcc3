"""The operator as far as it tunes: asks pods, has it judged, puts it on record, renders the record. No I/O.

In the place of `controller.tuning` and the passes, with the same order of things: a decision is one write, and what
pods are to serve is rendered from what is on record. The ledger and the making of windows are the real ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgedetector.observe.load import Samples
from edgedetector.tuning import ledger as ledgers
from edgedetector.tuning.decision import Decision, Kind, ProbeReport, Report
from edgedetector.tuning.ledger import Attempt, Ledger
from edgedetector.tuning.situation import Situation
from edgedetector.tuning.window import Configuration
from judge.harness import AT_REST, EPOCH, IN_PROBE, Step
from judge.replica import Document, Probe, Replica, serving_id
from judge.site import MODEL

SLACK: Final = 10.0
"""Seconds after the end of a trial's ttl at which it is rendered no more (docs/adr/0008-tuning-record.md)."""


class KilledError(Exception):
    """The operator ends here."""


@dataclass(frozen=True)
class Record:
    """What is on record: both documents of ConfigMap NAME-tuning."""

    ledger: Ledger
    memory: Any


@dataclass
class ApiServer:
    """What is on record, what is rendered, and what was on record before."""

    document: Document
    record: Record | None = None
    former: list[Record] = field(default_factory=list)
    """Oldest first, the present one included."""
    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    """All that are on record and are about what serves."""

    def write(self, record: Record) -> None:
        """Put something on record."""
        self.record = record
        self.former.append(record)


class Operator:
    """One process, which remembers nothing of the one before.

    Parameters
    ----------
    step, empty
        The tuner and its empty state.
    """

    def __init__(self, server: ApiServer, step: Step, empty: Any, situation: Situation, now: float) -> None:
        self._server, self._step, self._empty, self._situation = server, step, empty, situation
        self._now = now
        self._samples = Samples(lambda: EPOCH + self._now)
        self._memory: Any = server.record.memory if server.record is not None else empty
        self.due = now + 1.0
        self.fate = ""
        """`before` or `after`: it is killed at its next write."""

    def look(self, pods: Sequence[Replica], now: float) -> None:
        """Do what is due.

        Raises
        ------
        KilledError
            If it is killed meanwhile.
        """
        self._now = now
        record = self._server.record
        if record is None:
            text = "tuning begins with what spec.serving says"
            self._write(Record(ledgers.begun("", self._situation.start, EPOCH + now, text), self._empty), None)
        elif now >= self.due:
            self._decide(record, pods)
        record = self._server.record
        self._server.document = rendered(record, self._situation, EPOCH + now)

    def reread(self) -> None:
        """Take note that somebody else has changed the record."""
        self._memory = self._server.record.memory if self._server.record is not None else self._empty

    def _decide(self, record: Record, pods: Sequence[Replica]) -> None:
        ledger, now = record.ledger, EPOCH + self._now
        self.due = self._now + (IN_PROBE if ledger.attempt is not None else AT_REST)
        pods = sorted(pods, key=lambda pod: pod.name)
        answers = {pod.name: pod.observation() for pod in pods}
        self._samples.keep({pod.uid for pod in pods})
        known = {serving_id(one[MODEL]): one for one in self._known(ledger)}
        percentile = self._situation.limits.percentile
        found = [
            self._samples.add(pod.uid, pod.name, answers[pod.name], knobs=known, percentile=percentile) for pod in pods
        ]
        windows = tuple(window for window in found if window is not None)
        if not windows and ledger.attempt is None:
            return
        report = Report(tuple(answers), windows, _probe_report(ledger.attempt, answers, now))
        situation = replace(
            self._situation, accepted=dict(ledger.accepted), cameras=max((pod.cameras for pod in pods), default=0)
        )
        state, decision = self._step(self._memory, report, situation, now)
        memory = situation.limits.memory
        after = ledgers.entered(ledger, state, decision, now, memory=memory, capacity=None)
        if after == ledger:
            self._memory = state
            return
        self._write(Record(after, state), decision)
        if after.attempt is not None:
            self.due = self._now + IN_PROBE

    def _known(self, ledger: Ledger) -> list[Configuration]:
        tried = [] if ledger.attempt is None else [ledger.attempt.configuration]
        return [self._situation.start, *ledger.former, *tried, ledger.accepted]

    def _write(self, record: Record, decision: Decision | None) -> None:
        fate, self.fate = self.fate, ""
        if fate == "before":
            raise KilledError
        self._server.write(record)
        self._memory = record.memory
        if decision is not None and decision.kind in {Kind.PROBE, Kind.KEEP, Kind.REVERT}:
            self._server.decisions.append((self._now, decision))
        if fate == "after":
            raise KilledError


def rendered(record: Record | None, situation: Situation, now: float) -> Document:
    """Return what pods are to be told; `now`: seconds since the epoch."""
    if record is None:
        return Document(situation.start[MODEL])
    attempt, accepted = record.ledger.attempt, record.ledger.accepted[MODEL]
    if attempt is None or attempt.outlived(now, SLACK):
        return Document(accepted)
    knobs = attempt.configuration[MODEL]
    return Document(accepted, Probe(attempt.id, attempt.pod, knobs, attempt.ttl, attempt.renewal))


def _probe_report(attempt: Attempt | None, answers: Mapping[str, Any], now: float) -> ProbeReport | None:
    if attempt is None:
        return None
    answer = answers.get(attempt.pod)
    if answer is not None and answer.probe_id == attempt.id:
        return ProbeReport(attempt.id, answer.probe_outcome, answer.probe_message)
    if attempt.outlived(now, SLACK):
        return ProbeReport(attempt.id, "Expired", "its time is over")
    return ProbeReport(attempt.id, "") if answer is not None else None
