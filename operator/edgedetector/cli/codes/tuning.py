"""ED07xx: tuning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgedetector.api import conditions as c
from edgedetector.api import names
from edgedetector.cli.codes.base import Case, Code, Fields, Severity
from edgedetector.cli.codes.reasons import on


def frozen(case: Case) -> Iterator[Fields]:
    """Yield that somebody froze tuning."""
    annotations = case.subject.obj["metadata"].get("annotations") or {}
    if annotations.get(names.ANNOTATION_TUNING) == names.FROZEN:
        yield {}


def misspelt(case: Case) -> Iterator[Fields]:
    """Yield an annotation that was meant to freeze tuning and does not."""
    value = (case.subject.obj["metadata"].get("annotations") or {}).get(names.ANNOTATION_TUNING)
    if value is not None and value != names.FROZEN:
        yield {"value": value}


CODES: Final = (
    Code(
        "ED0701",
        "Tuning is frozen",
        Severity.INFO,
        "the annotation edgedetector.dev/tuning is Frozen: what serves stays as it is",
        "kubectl edgedetector tune {name} -n {namespace} --resume",
        frozen,
    ),
    Code(
        "ED0702",
        "Tuning is blind",
        Severity.WARNING,
        "{said}",
        "restart inference pods of a former release (kubectl -n {namespace} rollout restart deployment {name}-triton),"
        " or let the operator reach their port 9090",
        on(c.REASON_NOT_OBSERVED),
    ),
    Code(
        "ED0703",
        "Tuning does not know the accelerator's memory",
        Severity.WARNING,
        "{said}",
        "set spec.tuning.bounds.acceleratorMemory of the EdgeDetector, or spec.memory of AcceleratorProfile {profile},"
        " to the card's memory, e.g. 8Gi",
        on(c.REASON_MEMORY_UNKNOWN),
    ),
    Code(
        "ED0704",
        "Nothing can be tuned",
        Severity.WARNING,
        "{said}",
        "mend what the words name; until then what serves stays as it is",
        on(c.REASON_TUNING_HINDERED),
    ),
    Code(
        "ED0705",
        "What tuning finds cannot be put on record",
        Severity.WARNING,
        "{said}",
        "remove a ConfigMap {name}-tuning that is not the operator's, or allow it (RBAC, quota)",
        on(c.REASON_RECORD_NOT_WRITTEN),
    ),
    Code(
        "ED0706",
        "The annotation that freezes tuning has another value",
        Severity.WARNING,
        "edgedetector.dev/tuning is {value!r}, which means nothing",
        "kubectl edgedetector tune {name} -n {namespace} --freeze, or --resume",
        misspelt,
    ),
)
