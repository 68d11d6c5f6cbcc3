"""All codes, and what they find. Pure.

A code is never used again for something else: one that is retired stays listed in docs/codes/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgedetector.cli.codes import (
    accelerators,
    cameras,
    figures,
    models,
    monitoring,
    operator,
    pods,
    specification,
    surroundings,
    tuning,
)
from edgedetector.cli.codes.base import Case, Code, Finding, Scope, Severity
from edgedetector.cli.snapshot import Gap, Snapshot, Subject

_MODULES: Final = (
    specification,
    operator,
    accelerators,
    pods,
    models,
    cameras,
    figures,
    tuning,
    surroundings,
    monitoring,
)

CODES: Final[tuple[Code, ...]] = tuple(
    sorted((code for module in _MODULES for code in module.CODES), key=lambda code: code.id)
)

_NOBODY: Final = Subject({"metadata": {"name": "", "namespace": ""}})


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found, worst first, and which checks could not be made."""

    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...] = ()


def diagnose(snapshot: Snapshot, codes: tuple[Code, ...] = CODES) -> Diagnosis:
    """Return everything that is found. A check that fails on an odd object is a gap, and the others go on."""
    found: dict[Finding, None] = {}
    gaps: list[Gap] = []
    around = Case(snapshot, _NOBODY)
    own = tuple(Case(snapshot, one, one.parsed(), one.profile_parsed()) for one in snapshot.subjects)
    for code in codes:
        for case in (around,) if code.scope is Scope.CLUSTER else own:
            if not (snapshot.live or code.scope is Scope.SPECIFICATION):
                continue
            try:
                found |= dict.fromkeys(code.findings(case))
            except Exception as error:  # noqa: BLE001 - whatever is written into an object
                gaps.append(Gap(f"{code.id} of {case.object}", f"defect in the check ({type(error).__name__})"))
    ranked = sorted(found, key=lambda one: (one.severity.rank, one.code, one.object))
    return Diagnosis(tuple(ranked), tuple(gaps))


__all__ = ["CODES", "Case", "Code", "Diagnosis", "Finding", "Scope", "Severity", "diagnose"]
