"""`trace`: where the time of some requests goes. The detector in the pod does it, who has the key of Triton for it."""

from __future__ import annotations

from typing import Final

import click

from edgedetector.api import names, trace
from edgedetector.cli import anatomy, orders
from edgedetector.cli.app import Session, main, name_argument, namespace_option, output_option, show
from edgedetector.cli.gather import Wanted
from edgedetector.cli.summary import document

SPARE: Final = 20.0
"""Seconds that the answer may take beyond those of the order: switching off, and what Triton still writes."""


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
    chosen = orders.replica(subject, pod)
    order = trace.Order(requests, seconds, verbose, orders.who())
    with session.forward(session.at(), subject.namespace, chosen, names.PORT_DETECTOR) as url:
        found = orders.carried_out(url + trace.PATH, order, trace.Trace, chosen, seconds=seconds + SPARE)
    fields = anatomy.described(found, chosen)
    show(document("Trace", seen, namespace=subject.namespace, name=name, **fields), output, anatomy.picture)
