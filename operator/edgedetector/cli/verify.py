"""`verify-profile`: have the profile's capabilities tested on the card, and see what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import click

from edgedetector.api import names
from edgedetector.cli.app import Session, main, name_argument, namespace_option, output_option, show
from edgedetector.cli.errors import FOUND, CommandError
from edgedetector.cli.gather import Wanted, collection
from edgedetector.cli.snapshot import Snapshot, condition
from edgedetector.cli.summary import document

Json = dict[str, Any]

POLL: Final = 3.0
"""Seconds between two looks."""
LONGEST: Final = 1500.0
"""Seconds: the test's pod ends after 20 minutes at the latest."""
_OVER: Final = frozenset({"Complete", "Failed"})


@main.command(name="verify-profile")
@name_argument
@namespace_option
@click.option("--show", "only_show", is_flag=True, help="Only say what is known; ask for no test.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the test is over.")
@output_option
@click.pass_obj
def verify_profile(
    session: Session, name: str, namespace: str | None, output: str | None, *, only_show: bool, wait: bool
) -> None:
    """Test what the EdgeDetector's profile says, on the real card and with its models.

    The test needs the card for itself: with one card set spec.suspend first. Exit code 1: the test found nothing.
    """
    server, wanted = session.at().server, Wanted(session.namespace(namespace), name)
    seen = session.look(wanted)
    request = ""
    if not only_show:
        request = session.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        path = collection(names.API_VERSION, "edgedetectors", seen.subjects[0].namespace, name)
        server.patch(path, {"metadata": {"annotations": {names.ANNOTATION_VERIFY: request}}})
        click.echo("asked for a test; it needs the card for itself", err=True)
        seen = _waited(session, wanted, request) if wait else session.look(wanted)
    found = verification(seen, request)
    show(found, output, lines)
    if found["state"] == "Failed":
        click.get_current_context().exit(FOUND)


def _waited(session: Session, wanted: Wanted, request: str) -> Snapshot:
    told, end = "", time.monotonic() + LONGEST
    while time.monotonic() < end:
        seen = session.look(wanted)
        found = verification(seen, request)
        if found["state"] in _OVER:
            return seen
        if found["message"] != told:
            told = found["message"]
            click.echo(f"{found['state']}: {told}", err=True)
        session.sleep(POLL)
    raise CommandError("the test is not over after 25 minutes", "see it later with --show, and what it waits for")


def verification(seen: Snapshot, request: str = "") -> Json:
    """Return the document of `verify-profile`. Pure.

    Parameters
    ----------
    request
        What was asked for; of another request's test nothing is told. Empty: any.
    """
    (subject,) = seen.subjects
    told = subject.status.get("verification") or {}
    if request and told.get("observed") != request:
        told = {"state": "Waiting", "message": "the operator has not seen the request yet"}
    profile: Mapping[str, Any] = subject.profile or {}
    known = (profile.get("status") or {}).get("verification") or {}
    counts = condition(profile, "Verified")
    return document(
        "Verification",
        seen,
        namespace=subject.namespace,
        name=subject.name,
        profile=subject.spec.get("acceleratorProfile", ""),
        state=told.get("state", ""),
        message=told.get("message", ""),
        verified={key: counts.get(key, "") for key in ("status", "reason", "message")},
        driver=known.get("driver", ""),
        triton=known.get("triton", ""),
        measured=known.get("measured", ""),
        findings=[dict(one) for kind in ("capabilities", "metrics") for one in known.get(kind) or ()],
    )


def lines(found: Json) -> list[Any]:
    """Return what `verify-profile` shows. Pure."""
    verified = found["verified"]
    told = [f"profile {found['profile']}: {verified['reason'] or 'not known'}"]
    told += [f"  {verified['message']}"] if verified["message"] else []
    told += [f"test: {found['state']}", f"  {found['message']}"] if found["state"] else ["no test was asked for"]
    for one in found["findings"]:
        word = ("yes" if one.get("supported") else "no") if one.get("verified") else "not found out"
        told.append(f"  {one['name']:<24} {word:<14} {one.get('evidence', '')}")
    return told
