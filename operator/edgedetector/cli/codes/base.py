"""What a code is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgedetector.api.edgedetector import EdgeDetector
from edgedetector.api.profile import AcceleratorProfile
from edgedetector.cli.snapshot import Snapshot, Subject

PAGES: Final = "docs/codes"


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "Error"
    """Something does not work, or will not."""
    WARNING = "Warning"
    """It works worse than it could, or will stop working."""
    INFO = "Info"
    """Worth knowing; nothing has to be done."""

    @property
    def rank(self) -> int:
        """0 is worst."""
        return list(Severity).index(self)


class Scope(StrEnum):
    """What a check looks at."""

    SPECIFICATION = "Specification"
    """An EdgeDetector as it is written: in a file, or in the cluster."""
    DETECTOR = "EdgeDetector"
    """An EdgeDetector in the cluster, with all that is its."""
    CLUSTER = "Cluster"
    """What is around EdgeDetectors; asked once."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a check is given; a check of the cluster has no `subject` of its own."""

    snapshot: Snapshot
    subject: Subject
    detector: EdgeDetector | None = None
    """Typed value of the specification; None: it is wrong."""
    accelerator: AcceleratorProfile | None = None
    """Typed value of its profile; None: there is none, or it is wrong."""

    @property
    def object(self) -> str:
        """What is told to be affected, if a check does not say."""
        return f"EdgeDetector {self.subject.namespace}/{self.subject.name}"

    @property
    def profile(self) -> str:
        """Name of the AcceleratorProfile."""
        found = self.subject.spec.get("acceleratorProfile")
        return found if isinstance(found, str) else ""


Fields = Mapping[str, object]
"""What fills the texts of a code; `object` names what is affected."""
Check = Callable[[Case], Iterator[Fields]]


@dataclass(frozen=True, slots=True)
class Code:
    """A thing that can be found. Texts are filled with what the check yields, and with name, namespace and profile."""

    id: str
    title: str
    severity: Severity
    evidence: str
    remedy: str
    check: Check
    scope: Scope = Scope.DETECTOR

    @property
    def page(self) -> str:
        """Path of its page, from the root of the repository."""
        return f"{PAGES}/{self.id}.md"

    def findings(self, case: Case) -> Iterator[Finding]:
        """Yield what the check finds."""
        usual = {"name": case.subject.name, "namespace": case.subject.namespace, "profile": case.profile}
        for found in self.check(case):
            values = {"object": case.object, **usual, **found}
            yield Finding(
                code=self.id,
                severity=self.severity,
                title=self.title,
                object=str(values["object"]),
                evidence=self.evidence.format(**values),
                remedy=self.remedy.format(**values),
                page=self.page,
            )


@dataclass(frozen=True, slots=True)
class Finding:
    """A code that was found somewhere."""

    code: str
    severity: Severity
    title: str
    object: str
    evidence: str
    remedy: str
    page: str
