"""`bench`: what the box can take beside its cameras, and what limits it then. The detector makes the load."""

from __future__ import annotations

from typing import Final

import click

from edgedetector.api import bench, names
from edgedetector.cli import headroom, orders
from edgedetector.cli.app import Session, main, name_argument, namespace_option, output_option, show
from edgedetector.cli.gather import Wanted
from edgedetector.cli.snapshot import Subject
from edgedetector.cli.summary import document

SPARE: Final = 30.0
"""Seconds that the answer may take beyond those of the order: for requests that are on their way at its end."""


@main.command(name="bench")
@name_argument
@namespace_option
@click.option(
    "--seconds",
    type=click.FloatRange(bench.LEAST_SECONDS, bench.MOST_SECONDS),
    default=20.0,
    show_default=True,
    help="How long it takes at most.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, bench.MOST_FRAMES),
    default=16,
    show_default=True,
    help="How many frames of the load may be on their way at once.",
)
@click.option("--pod", help="Which replica; without it the first one that is ready.")
@output_option
@click.pass_obj
def bench_command(  # noqa: PLR0917 - click gives them by name
    session: Session,
    name: str,
    namespace: str | None,
    seconds: float,
    concurrency: int,
    pod: str | None,
    output: str | None,
) -> None:
    """Load a replica beside its cameras, step by step, and say what it can take and what limits it.

    Its cameras' own last frames are sent again, and theirs go first. It ends at the latency objective, at the first
    frame that a camera loses, and when it is interrupted. Needed is the right to create pods/portforward.
    """
    seen = session.look(Wanted(session.namespace(namespace), name))
    (subject,) = seen.subjects
    chosen = orders.replica(subject, pod)
    order = _order(subject, seconds, concurrency)
    with session.forward(session.at(), subject.namespace, chosen, names.PORT_DETECTOR) as url:
        found = orders.carried_out(url + bench.PATH, order, bench.Bench, chosen, seconds=seconds + SPARE)
    fields = headroom.described(found, subject, chosen)
    show(document("Bench", seen, namespace=subject.namespace, name=name, **fields), output, headroom.picture)


def _order(subject: Subject, seconds: float, frames: int) -> bench.Order:
    """Return the order with the latency objective, where the specification states one."""
    latency, percentile = headroom.stated(subject)
    return bench.Order(seconds, frames, latency, percentile, orders.who())
