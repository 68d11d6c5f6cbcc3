"""`diagnose`: coded findings, on files before anything is applied and on what runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Final

import click

from edgedetector.cli import files, render
from edgedetector.cli.app import (
    Session,
    everywhere_option,
    main,
    namespace_option,
    optional_name,
    output_option,
    show,
)
from edgedetector.cli.codes import Diagnosis, Severity, diagnose
from edgedetector.cli.errors import FOUND, CommandError
from edgedetector.cli.gather import Wanted
from edgedetector.cli.snapshot import Snapshot
from edgedetector.cli.summary import document

Json = dict[str, Any]

MEASURED: Final = 2.0
"""Seconds over which the cameras' bytes are measured, unless told otherwise."""


@main.command(name="diagnose")
@optional_name
@namespace_option
@everywhere_option
@click.option("-f", "--filename", "paths", multiple=True, help="File or directory to look at instead; - is stdin.")
@click.option(
    "--failure-threshold",
    "threshold",
    type=click.Choice([one.value for one in Severity], case_sensitive=False),
    default=Severity.WARNING.value,
    show_default=True,
    help="From which severity on the exit code is 1.",
)
@click.option("--measure", type=click.FloatRange(0, 60), default=MEASURED, help="Seconds to measure streams over.")
@output_option
@click.pass_obj
def diagnose_command(  # noqa: PLR0917 - click gives them by name
    session: Session,
    name: str,
    namespace: str | None,
    paths: tuple[str, ...],
    threshold: str,
    measure: float,
    output: str | None,
    *,
    everywhere: bool,
) -> None:
    """Say what is wrong or will be, with evidence and remedy.

    Exit code 0: nothing from --failure-threshold on; 1: findings; 2: it could not be looked.
    """
    if paths and name:
        raise CommandError("--filename takes no NAME", "leave one of the two out")
    if paths:
        seen = files.read(paths, session.now())
    else:
        wanted = Wanted(
            session.namespace(namespace, everywhere=everywhere), name, cluster=True, pods=True, seconds=measure
        )
        seen = session.look(wanted)
    found = diagnose(seen)
    show(diagnosis(seen, found), output, render.findings)
    if any(one.severity.rank <= Severity(threshold.capitalize()).rank for one in found.findings):
        click.get_current_context().exit(FOUND)


def diagnosis(seen: Snapshot, found: Diagnosis) -> Json:
    """Return the document of `diagnose`. Pure."""
    counted = Counter(one.severity for one in found.findings)
    count = {
        "looked": len(seen.subjects),
        "errors": counted[Severity.ERROR],
        "warnings": counted[Severity.WARNING],
        "infos": counted[Severity.INFO],
    }
    told = [
        {
            "code": one.code,
            "severity": one.severity.value,
            "title": one.title,
            "object": one.object,
            "evidence": one.evidence,
            "remedy": one.remedy,
            "page": one.page,
        }
        for one in found.findings
    ]
    seen = replace(seen, gaps=(*seen.gaps, *found.gaps))
    return document("Diagnosis", seen, namespace=seen.namespace, summary=count, findings=told)
