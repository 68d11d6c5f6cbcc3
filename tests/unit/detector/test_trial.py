"""How long a probe lives: pure decisions on virtual time, restarts included."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgedetector.api.dataplane import Probe, ServingConfig
from edgedetector.detector import trial as trials
from edgedetector.detector.trial import Outcome, Trial

ACCEPTED = ServingConfig("accepted")
OTHER = ServingConfig("other")
TTL = 10.0


def probe(name: str = "p", *, pod: str = "me", renewal: int = 0, ttl: float = TTL) -> Probe:
    return Probe(name, pod, ttl, renewal, OTHER)


def judge(document: Probe | None, known: Trial | None, now: float, *, boot: str = "boot") -> Trial | None:
    return trials.judge(document, known, pod="me", now=now, boot=boot)


class AnyHistory(RuleBasedStateMachine):
    """The operator renews, withdraws and restarts nothing in time; the container restarts at any moment."""

    @initialize()
    def begin(self) -> None:
        self.now = 100.0
        self.renewal = 0
        self.number = 0
        self.document: Probe | None = None
        self.known: Trial | None = None
        self.expires: float | None = None
        self.ended = False

    @rule(seconds=st.floats(0.0, 15.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_new_probe(self) -> None:
        self.number += 1
        self.renewal = 0
        self.document = probe(f"p{self.number}")
        self.expires, self.ended = None, False

    @precondition(lambda self: self.document is not None)
    @rule()
    def renew(self) -> None:
        self.renewal += 1
        self.document = probe(f"p{self.number}", renewal=self.renewal)

    @rule()
    def withdraw(self) -> None:
        self.document = None

    @rule()
    def the_container_restarts(self) -> None:
        if self.known is not None:
            self.known = Trial(**json.loads(json.dumps(dataclasses.asdict(self.known))))

    @precondition(lambda self: self.known is not None and self.known.outcome == Outcome.RUNNING)
    @rule()
    def its_config_does_not_load(self) -> None:
        assert self.known is not None
        self.known = trials.failed(self.known, "no")
        self.ended = True

    @rule()
    def look(self) -> None:
        before = self.known
        self.known = judge(self.document, before, self.now)
        self._model(before)

    def _model(self, before: Trial | None) -> None:
        """Keep the deadline by the plain reading of the contract."""
        if self.document is None:
            self.expires, self.ended = None, False
            return
        fresh = before is None or before.id != self.document.id
        if fresh:
            self.expires, self.ended = self.now + TTL, False
        elif self.expires is not None and self.now >= self.expires:
            self.ended = True
        elif not self.ended and before is not None and self.document.renewal > before.renewal:
            self.expires = self.now + TTL

    @invariant()
    def what_is_served_is_what_the_contract_says(self) -> None:
        if self.known is None or self.document is None or self.known.id != self.document.id:
            return
        served = trials.target(ACCEPTED, self.document, self.known)
        assert (served == OTHER) == (not self.ended)


TestAnyHistory = AnyHistory.TestCase


def test_a_probe_for_another_pod_is_passed_over() -> None:
    assert judge(probe(pod="somebody"), None, 0.0) is None
    assert trials.target(ACCEPTED, probe(pod="somebody"), None) == ACCEPTED


def test_a_probe_that_is_not_renewed_is_undone_at_its_deadline() -> None:
    known = judge(probe(), None, 0.0)
    running = judge(probe(), known, TTL - 0.001)
    expired = judge(probe(), running, TTL)
    assert running is not None
    assert expired is not None
    assert (running.outcome, expired.outcome) == (Outcome.RUNNING, Outcome.EXPIRED)
    assert trials.target(ACCEPTED, probe(), expired) == ACCEPTED


def test_a_renewal_that_comes_too_late_brings_nothing_back() -> None:
    known = judge(probe(), None, 0.0)
    late = judge(probe(renewal=1), known, TTL + 1)
    assert late is not None
    assert late.outcome == Outcome.EXPIRED
    assert judge(probe(renewal=2), late, TTL + 2) == late


def test_a_deadline_of_another_boot_counts_as_over() -> None:
    known = judge(probe(), None, 1_000_000.0)
    after = judge(probe(), known, 5.0, boot="another")
    assert after is not None
    assert after.outcome == Outcome.EXPIRED


@given(renewals=st.lists(st.floats(0.0, TTL - 0.01), max_size=10))
def test_a_probe_that_is_renewed_in_time_goes_on(renewals: list[float]) -> None:
    now, known = 0.0, judge(probe(), None, 0.0)
    for number, seconds in enumerate(renewals, start=1):
        now += seconds
        known = judge(probe(renewal=number), known, now)
    assert known is not None
    assert known.outcome == Outcome.RUNNING
    assert known.deadline == now + TTL
