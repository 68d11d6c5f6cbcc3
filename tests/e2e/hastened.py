"""Rules as the product made them, in which only time runs faster.

Nobody can wait for an alert on three days. Each duration of a rule is divided by one factor: `for`, the ranges of its
expressions, the interval of its group, and seconds since a moment. What is counted and compared stays as it is, so that
a window holds as many recordings as before.
"""

from __future__ import annotations

import re
from typing import Any, Final

from edgedetector.api.quantities import format_duration, parse_duration

Object = dict[str, Any]

LABEL: Final = "hastened"
"""Of the alerts of a copy, with the factor: the same alert of the rule itself has no such label."""
_RANGE: Final = re.compile(r"(?<=\[)[0-9]+(?:ms|s|m|h|d)(?=\])")
_SINCE: Final = re.compile(r"(?<=^time\(\) - )(.* > )([0-9]+)$")


def copy(rule: Object, factor: int) -> Object:
    """Return a PrometheusRule's groups that alert as another PrometheusRule; it is nobody's child.

    What is recorded gets another name: two rules must not write into one series.
    """
    groups = [group for group in rule["spec"]["groups"] if any("alert" in each for each in group["rules"])]
    recorded = [each["record"] for group in groups for each in group["rules"] if "record" in each]
    metadata = rule["metadata"]
    return {
        "apiVersion": rule["apiVersion"],
        "kind": rule["kind"],
        "metadata": {"name": f"{metadata['name']}-{LABEL}", "namespace": metadata["namespace"]},
        "spec": {"groups": [_group(group, recorded, factor) for group in groups]},
    }


def alerts(rule: Object) -> dict[str, Object]:
    """Return the alerts of a PrometheusRule by name."""
    return {each["alert"]: each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each}


def _group(group: Object, recorded: list[str], factor: int) -> Object:
    interval = {"interval": _divided(group["interval"], factor)} if "interval" in group else {}
    rules = [_rule(each, recorded, factor) for each in group["rules"]]
    return group | interval | {"name": f"{group['name']}.{LABEL}", "rules": rules}


def _rule(rule: Object, recorded: list[str], factor: int) -> Object:
    expression = _RANGE.sub(lambda found: _divided(found[0], factor), " ".join(rule["expr"].split()))
    expression = _SINCE.sub(lambda found: f"{found[1]}{int(found[2]) // factor}", expression)
    for name in recorded:
        expression = expression.replace(name, f"{LABEL}:{name}")
    if "record" in rule:
        return rule | {"expr": expression, "record": f"{LABEL}:{rule['record']}"}
    labels = rule["labels"] | {LABEL: str(factor)}
    return rule | {"expr": expression, "for": _divided(rule["for"], factor), "labels": labels}


def _divided(duration: str, factor: int) -> str:
    return format_duration(parse_duration(duration) / factor) if duration != "0s" else duration
