"""Conditions of an AcceleratorProfile: whether it can be used, and whether its exporter runs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions
from edgedetector.api.conditions import Condition
from edgedetector.status import compose
from edgedetector.status.view import Verdict, blocked, fine, progressing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgedetector.api.errors import OperatorError
    from edgedetector.observe.snapshot import PodView, Workload


# Informational: only where it does not hold.
SHIPPED: Final = "Shipped"


def judge(
    profile: str,
    exporter: Workload | None,
    pods: Sequence[PodView] = (),
    *,
    in_use: bool,
    overshadows: bool = False,
) -> tuple[Condition, ...]:
    """Return the conditions of a profile that could be read.

    A profile is ready as data. Its exporter is for people and for tuning: that one is on its way does not hold up
    detections, but the message says so. `overshadows`: somebody made it under the name of a shipped one.
    """
    verdict = _exporter(profile, exporter, pods) if in_use else _fine("no EdgeDetector uses it")
    head = compose.triple(
        verdict.status,
        verdict.reason,
        verdict.message,
        reconciling=verdict.status != conditions.TRUE and not verdict.blocked,
        stalled=verdict.blocked,
    )
    return (*head, *((_SHADOW,) if overshadows else ()))


_SHADOW: Final = Condition(
    SHIPPED,
    conditions.FALSE,
    conditions.REASON_NAME_TAKEN,
    "the operator ships a profile of this name and leaves this one alone, since somebody else made it; rename it,"
    " or delete it to get the shipped one",
)


def _exporter(profile: str, exporter: Workload | None, pods: Sequence[PodView]) -> Verdict:
    if exporter is None:
        return _fine("in use, no exporter to run")
    if exporter.current and exporter.desired == 0:
        return _fine("in use, but no node carries the labels of its node selector")
    if exporter.rolled_out:
        return _fine("in use, the exporter runs on every node that it is meant for")
    held = next((pod.problem for pod in pods if pod.problem and not pod.ready and not pod.leaving), None)
    if held is not None:
        return blocked(held.reason, f"the exporter: {held.message}", profile=profile)
    return progressing(conditions.REASON_ROLLING_OUT, "the exporter is starting")


def _fine(text: str) -> Verdict:
    return fine(conditions.REASON_AS_EXPECTED, text)


def judge_error(error: OperatorError) -> tuple[Condition, ...]:
    """Return the conditions of a profile that cannot be read, or whose exporter's objects cannot be applied."""
    return compose.judge_error(error)
