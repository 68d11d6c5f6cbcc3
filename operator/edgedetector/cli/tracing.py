"""`trace`: where the time of some requests goes. The detector in the pod does it, who has the key of Triton for it."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import click

from edgedetector.api import names, trace
from edgedetector.api.wire import InvalidDocumentError, from_json, to_json
from edgedetector.cli import anatomy
from edgedetector.cli.app import Session, main, name_argument, namespace_option, output_option, show
from edgedetector.cli.errors import AbsentError, CommandError, UnreachableError
from edgedetector.cli.gather import Wanted
from edgedetector.cli.snapshot import Object, Subject
from edgedetector.cli.summary import document

SPARE: Final = 20.0
"""Seconds that the answer may take beyond those of the order: switching off, and what Triton still writes."""
_WAY_OUT: Final[Mapping[int, str]] = {
    HTTPStatus.CONFLICT: "wait for its end",
    HTTPStatus.SERVICE_UNAVAILABLE: "see `kubectl edgedetector status`",
}


@main.command(name="trace")
@name_argument
@namespace_option
@click.option(
    "--requests",
    type=click.IntRange(1, trace.MOST_REQUESTS),
    default=100,
    show_default=True,
    help="How many requests, of all models together.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, trace.MOST_SECONDS),
    default=30.0,
    show_default=True,
    help="After which it ends, with as many as there were.",
)
@click.option("--pod", help="Of which replica; without it the first one that is ready.")
@click.option("--verbose", is_flag=True, help="Have Triton write its verbose log meanwhile.")
@output_option
@click.pass_obj
def trace_command(  # noqa: PLR0917 - click gives them by name
    session: Session,
    name: str,
    namespace: str | None,
    requests: int,
    seconds: float,
    pod: str | None,
    output: str | None,
    *,
    verbose: bool,
) -> None:
    """Trace the next requests to Triton, and show where their time goes.

    It switches itself off, also when it is interrupted. Needed is the right to create pods/portforward.
    """
    seen = session.look(Wanted(session.namespace(namespace), name))
    (subject,) = seen.subjects
    chosen = replica(subject, pod)
    order = trace.Order(requests, seconds, verbose, _who())
    with session.forward(session.at(), subject.namespace, chosen, names.PORT_DETECTOR) as url:
        found = asked(url, order, chosen)
    fields = anatomy.described(found, chosen)
    show(document("Trace", seen, namespace=subject.namespace, name=name, **fields), output, anatomy.picture)


def replica(subject: Subject, named: str | None) -> str:
    """Return the inference pod that is meant.

    Raises
    ------
    CommandError
        If there is none, or none of that name.
    """
    there = sorted(one["metadata"]["name"] for one in subject.of(names.COMPONENT_TRITON) if _ready(one))
    if not there:
        way = f"kubectl edgedetector status {subject.name} -n {subject.namespace}"
        raise AbsentError(f"no inference pod of {subject.namespace}/{subject.name} is ready", f"see `{way}`")
    if named is not None and named not in there:
        raise AbsentError(
            f"{named} is no inference pod of {subject.name} that is ready", f"there is: {', '.join(there)}"
        )
    return named or there[0]


def _ready(pod: Object) -> bool:
    found = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in found)


def asked(url: str, order: trace.Order, pod: str) -> trace.Trace:
    """Have a pod trace.

    Parameters
    ----------
    url
        Of the detector's HTTP server, on this machine.

    Raises
    ------
    CommandError
        If it does not: another trace runs, it cannot, or it does not answer.
    """
    import urllib3  # noqa: PLC0415 - help and completion do without

    try:
        answer = urllib3.request(
            "POST",
            url + trace.PATH,
            body=to_json(order).encode(),
            headers={"Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=5.0, read=order.seconds + SPARE),
            retries=False,
        )
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UnreachableError(
            f"pod {pod} has ended the connection ({type(error).__name__}); tracing ends by itself",
            f"try again, or see `kubectl get pod {pod}`",
        ) from None
    if answer.status == HTTPStatus.NOT_FOUND:
        raise CommandError(f"pod {pod} is of a release that cannot trace", "upgrade the operator, which replaces it")
    text = answer.data.decode(errors="replace")
    try:
        if answer.status == HTTPStatus.OK:
            return from_json(trace.Trace, text)
        said = from_json(trace.Refused, text).message
    except InvalidDocumentError:
        raise CommandError(
            f"pod {pod} answers with something else than a trace", "upgrade the one that is older"
        ) from None
    raise CommandError(said, _WAY_OUT.get(answer.status, ""))


def _who() -> str:
    """Return who asks, for those who find it busy."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = "somebody"
    return f"{user}@{platform.node()}"[: trace.LONGEST_NAME]
