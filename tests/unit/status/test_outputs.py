"""An output that cannot be delivered shows, with the remedy, and holds up nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.unit.status.views import healthy, said, seen

from edgedetector.api import conditions as c
from edgedetector.api.dataplane import OutputState
from edgedetector.status import compose
from edgedetector.status.remedies import REMEDIES
from edgedetector.status.view import View

BOTH = {"mqtt": {"url": "mqtt://broker"}, "webhook": {"url": "https://here"}}
WELL = (OutputState("mqtt"), OutputState("webhook"))
REFUSED = OutputState("mqtt", ok=False, reason=c.REASON_OUTPUT_FAILING, message="no connection to the broker: refused")
NO_KEY = OutputState(
    "webhook", ok=False, reason=c.REASON_SECRET_MISSING, message="key token of Secret hooks cannot be read"
)


def view(*replicas: tuple[OutputState, ...], outputs: dict[str, Any] = BOTH, **spec: Any) -> View:
    some = healthy(outputs=outputs, **spec)
    (state,) = some.snapshot.states.values()
    return said(some, *(dataclasses.replace(state, outputs=outputs) for outputs in replicas))


def judged(some: View) -> dict[str, c.Condition]:
    return {condition.type: condition for condition in compose.judge(some)}


def delivered(some: View) -> c.Condition:
    return judged(some)[c.OUTPUTS_DELIVERED]


def test_without_outputs_there_is_nothing_to_deliver() -> None:
    found = delivered(view((), outputs={}))
    assert (found.status, found.reason) == ("True", c.REASON_DISABLED)


def test_a_token_that_is_not_there_is_told_of_since_nobody_is_let_in() -> None:
    guarded = {"events": {"tokenSecretRef": {"name": "viewers"}}}
    assert delivered(view((OutputState("events"),), outputs=guarded)).is_true
    lacks = OutputState("events", ok=False, reason=c.REASON_SECRET_MISSING, message="key token of Secret viewers ...")
    assert delivered(view((lacks,), outputs=guarded)).reason == c.REASON_SECRET_MISSING


def test_outputs_that_say_nothing_else_are_delivered() -> None:
    found = delivered(view(WELL, WELL))
    assert (found.status, found.reason) == ("True", c.REASON_OUTPUTS_DELIVERED)
    assert found.message == "mqtt, webhook: nothing stands in the way"


def test_one_replica_that_cannot_deliver_shows_with_what_helps_and_takes_nothing_from_readiness() -> None:
    found = judged(view(WELL, (REFUSED, WELL[1])))
    assert found[c.READY].is_true
    assert not found[c.STALLED].is_true
    condition = found[c.OUTPUTS_DELIVERED]
    assert (condition.status, condition.reason) == ("False", c.REASON_OUTPUT_FAILING)
    assert condition.message == f"mqtt: {REFUSED.message}; {REMEDIES[c.REASON_OUTPUT_FAILING]}"


@pytest.mark.parametrize(
    ("states", "reason"),
    [((WELL[0], NO_KEY), c.REASON_SECRET_MISSING), ((REFUSED, NO_KEY), c.REASON_OUTPUT_FAILING)],
)
def test_a_secret_is_the_reason_only_if_nothing_else_is(states: tuple[OutputState, ...], reason: str) -> None:
    found = delivered(view(states))
    assert found.reason == reason
    assert NO_KEY.message in found.message
    assert REMEDIES[reason] in found.message


def test_the_same_trouble_in_every_replica_is_told_once() -> None:
    assert delivered(view((REFUSED, WELL[1]), (REFUSED, WELL[1]))).message.count(REFUSED.message) == 1


def test_pods_that_have_not_taken_an_output_yet_are_waited_for() -> None:
    found = delivered(view(WELL, WELL[:1]))
    assert (found.status, found.reason) == ("False", c.REASON_PROGRESSING)
    assert found.message == "the inference pods have not taken webhook yet"


def test_nothing_is_known_while_nobody_answers_and_nothing_is_wrong_while_suspended() -> None:
    assert delivered(seen(view(WELL), states={})).status == "Unknown"
    assert delivered(view((REFUSED,), suspend=True)).reason == c.REASON_SUSPENDED


def test_there_is_an_event_when_somebody_has_to_act_and_when_that_is_over() -> None:
    before = compose.timed(compose.judge(view(WELL)), (), 1, "2026-11-22T12:00:00Z")
    broken = compose.judge(view((REFUSED, WELL[1])))
    assert [(found.type, warning) for found, warning in compose.told(broken, before)] == [(c.OUTPUTS_DELIVERED, True)]
    after = compose.timed(broken, before, 1, "2026-11-22T12:01:00Z")
    mended = compose.told(compose.judge(view(WELL)), after)
    assert [(found.type, warning) for found, warning in mended] == [(c.OUTPUTS_DELIVERED, False)]
