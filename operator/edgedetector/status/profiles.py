"""Conditions of an AcceleratorProfile: whether it can be used, and whether its exporter runs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgedetector.api import conditions
from edgedetector.api.conditions import Condition

if TYPE_CHECKING:
    from edgedetector.api.errors import OperatorError
    from edgedetector.observe.snapshot import Workload


# Informational: only where it does not hold.
SHIPPED: Final = "Shipped"


def judge(exporter: Workload | None, *, in_use: bool, overshadows: bool = False) -> tuple[Condition, ...]:
    """Return the conditions of a profile that could be read.

    A profile is ready as data. Its exporter is for people and for tuning: that one is on its way does not hold up
    detections, but the message says so. `overshadows`: somebody made it under the name of a shipped one.
    """
    return (*_ready(exporter, in_use=in_use), *((_SHADOW,) if overshadows else ()))


_SHADOW: Final = Condition(
    SHIPPED,
    conditions.FALSE,
    conditions.REASON_NAME_TAKEN,
    "the operator ships a profile of this name and leaves this one alone, since somebody else made it; rename it,"
    " or delete it to get the shipped one",
)


def _ready(exporter: Workload | None, *, in_use: bool) -> tuple[Condition, ...]:
    if not in_use:
        return (Condition(conditions.READY, conditions.TRUE, conditions.REASON_AS_EXPECTED, "no EdgeDetector uses it"),)
    if exporter is None:
        return (
            Condition(conditions.READY, conditions.TRUE, conditions.REASON_AS_EXPECTED, "in use, no exporter to run"),
        )
    if exporter.current and exporter.desired == 0:
        text = "in use, but no node carries the labels of its node selector"
        return (Condition(conditions.READY, conditions.TRUE, conditions.REASON_AS_EXPECTED, text),)
    if exporter.rolled_out:
        text = "in use, the exporter runs on every node that it is meant for"
        return (Condition(conditions.READY, conditions.TRUE, conditions.REASON_AS_EXPECTED, text),)
    return (Condition(conditions.READY, conditions.FALSE, conditions.REASON_ROLLING_OUT, "the exporter is starting"),)


def judge_error(error: OperatorError) -> tuple[Condition, ...]:
    """Return the condition of a profile that cannot be read."""
    return (Condition(conditions.READY, conditions.FALSE, error.reason, str(error)),)
