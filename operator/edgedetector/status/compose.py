"""From verdicts to the status document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edgedetector.api import conditions
from edgedetector.api.conditions import Condition
from edgedetector.api.errors import RetryError
from edgedetector.status import remedies
from edgedetector.status.checks import GATING, INFORMING, streams_ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from edgedetector.api.errors import OperatorError
    from edgedetector.status.view import Running, Verdict, View

Json = dict[str, Any]

# A condition's message, as the CRD bounds it.
MAX_MESSAGE: Final = 4096


# Whose transitions are worth an Event. What Ready hangs on is told by Ready's own.
TOLD: Final = (
    conditions.READY,
    conditions.SCALING_READY,
    conditions.MONITORING_READY,
    conditions.SHARED_MEMORY_READY,
    conditions.OUTPUTS_DELIVERED,
)


def judge(view: View) -> tuple[Condition, ...]:
    """Return all conditions of a detector whose children were planned and applied."""
    gating = _gating(view.running)
    head = _ready(gating, suspended=view.detector.suspend)
    return (*head, *_conditions(gating), *_conditions({name: check(view) for name, check in INFORMING}))


def judge_error(error: OperatorError, running: Running | None = None) -> tuple[Condition, ...]:
    """Return the conditions of a detector that could not be planned or applied.

    What runs, runs on as it was planned last, and is judged by that; the rest stays as it was judged before.
    """
    retry = isinstance(error, RetryError)
    text = remedies.told(error.reason, str(error))
    head = triple(conditions.FALSE, error.reason, text, reconciling=retry, stalled=not retry)
    if running is None:
        return head
    if running.accepted is not None:
        return (*head, *_conditions(_gating(running)))
    return (*head, *_conditions({conditions.STREAMS_READY: streams_ready(running)})) if running.cameras else head


def _gating(running: Running) -> dict[str, Verdict]:
    return {name: check(running) for name, check in GATING}


def _conditions(verdicts: Mapping[str, Verdict]) -> tuple[Condition, ...]:
    return tuple(Condition(name, v.status, v.reason, v.message) for name, v in verdicts.items())


def judge_pending() -> tuple[Condition, ...]:
    """Return the conditions of a detector seen for the first time: without any, tools would take it for done."""
    return triple(conditions.UNKNOWN, conditions.REASON_PENDING, "seen, not yet acted upon", reconciling=True)


def _ready(verdicts: Mapping[str, Verdict], *, suspended: bool) -> tuple[Condition, ...]:
    """Roll up: a check that needs somebody explains more than one that is merely waiting for it."""
    failing = [verdict for verdict in verdicts.values() if verdict.status != conditions.TRUE]
    if not failing:
        return triple(conditions.TRUE, conditions.REASON_DETECTING, verdicts[conditions.STREAMS_READY].message)
    cause = next((verdict for verdict in failing if verdict.blocked), failing[0])
    return triple(
        conditions.FALSE,
        cause.reason,
        cause.message,
        reconciling=not cause.blocked and not suspended,
        stalled=cause.blocked,
    )


def triple(
    ready: str, reason: str, message: str, *, reconciling: bool = False, stalled: bool = False
) -> tuple[Condition, ...]:
    """Return Ready, Reconciling and Stalled, of which at most one is True."""
    off = conditions.REASON_SUSPENDED if reason == conditions.REASON_SUSPENDED else conditions.REASON_RECONCILED
    return (
        Condition(conditions.READY, ready, reason, message),
        _flag(conditions.RECONCILING, on=reconciling, reason=reason, message=message, off=off),
        _flag(conditions.STALLED, on=stalled, reason=reason, message=message, off=conditions.REASON_AS_EXPECTED),
    )


def _flag(name: str, *, on: bool, reason: str, message: str, off: str) -> Condition:
    return Condition(name, conditions.TRUE, reason, message) if on else Condition(name, conditions.FALSE, off)


def timed(wanted: Iterable[Condition], before: Iterable[Json], generation: int, now: str) -> list[Json]:
    """Return conditions as they stand in a status.

    The time of a condition whose status is unchanged is kept, and so is a condition that nobody judged this time.
    """
    old = {item["type"]: item for item in before}
    new = {condition.type: _entry(condition, old.get(condition.type), generation, now) for condition in wanted}
    return list({**old, **new}.values())


def _entry(condition: Condition, before: Json | None, generation: int, now: str) -> Json:
    unchanged = before is not None and before.get("status") == condition.status
    since = before.get("lastTransitionTime", now) if before is not None and unchanged else now
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:MAX_MESSAGE],
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }


def transitions(wanted: Iterable[Condition], before: Iterable[Json]) -> tuple[Condition, ...]:
    """Return the conditions whose status, or whose reason while not True, is new: those worth an Event."""
    old = {item["type"]: (item.get("status"), item.get("reason")) for item in before}
    return tuple(
        condition
        for condition in wanted
        if old.get(condition.type) != (condition.status, condition.reason)
        and not (old.get(condition.type, ("",))[0] == condition.status == conditions.TRUE)
    )


def told(judged: Iterable[Condition], before: Iterable[Json]) -> tuple[tuple[Condition, bool], ...]:
    """Return the conditions to post an Event about, each with whether it is a warning.

    Of the informing ones only what somebody has to mend, and that it is mended.
    """
    judged, old = tuple(judged), {item["type"]: item for item in before}
    stalled = any(condition.type == conditions.STALLED and condition.is_true for condition in judged)
    found: list[tuple[Condition, bool]] = []
    for condition in transitions(judged, old.values()):
        if condition.type == conditions.READY and condition.status != conditions.UNKNOWN:
            found.append((condition, stalled))
        elif condition.type in TOLD[1:]:
            broken = condition.reason in remedies.REMEDIES
            mended = condition.is_true and old.get(condition.type, {}).get("reason") in remedies.REMEDIES
            if broken or mended:
                found.append((condition, broken))
    return (*tuple(found), *_steps(judged, old))


def _steps(judged: Iterable[Condition], old: Mapping[str, Json]) -> Iterator[tuple[Condition, bool]]:
    """Yield the condition Degraded at each step of the ladder, which changes nothing but its message."""
    for condition in judged:
        before = old.get(conditions.DEGRADED, {})
        told = condition.is_true or before.get("status") == conditions.TRUE
        if condition.type != conditions.DEGRADED or condition.status == conditions.UNKNOWN:
            continue
        if told and condition.message[:MAX_MESSAGE] != before.get("message"):
            yield condition, condition.is_true
