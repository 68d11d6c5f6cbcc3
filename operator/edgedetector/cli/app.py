"""`kubectl edgedetector`: commands, flags and exit codes. Each command gathers once, decides, and renders.

Exit codes: 0 all well, 1 there are findings (or what was asked for has failed), 2 it could not be looked.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import click

from edgedetector.cli import render, signals, summary
from edgedetector.cli.errors import BLIND, CommandError
from edgedetector.cli.gather import Wanted, detectors, gather
from edgedetector.cli.pods import Forward, forward
from edgedetector.cli.server import Place, connect
from edgedetector.cli.snapshot import Snapshot

Json = dict[str, Any]

REFRESH: Final = 2.0
"""Seconds between two looks of --watch."""


@dataclass(slots=True)
class Session:
    """What all commands share: where to look, connected when it is first needed."""

    kubeconfig: str | None = None
    context: str | None = None
    opened: Callable[[str | None, str | None], Place] = connect
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    forward: Forward = forward
    place: Place | None = None

    def at(self) -> Place:
        """Return the API server and the usual namespace."""
        if self.place is None:
            self.place = self.opened(self.kubeconfig, self.context)
        return self.place

    def look(self, wanted: Wanted) -> Snapshot:
        """Return what is there now."""
        return gather(self.at().server, wanted, now=self.now(), sleep=self.sleep, clock=self.clock)

    def namespace(self, named: str | None, *, everywhere: bool = False) -> str | None:
        """Return the namespace that is meant; None: all."""
        return None if everywhere else named or self.at().namespace


class Commands(click.Group):
    """Ends every command that cannot go on with one line and exit code 2; SIGTERM and SIGHUP end it in good order."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with signals.handled(signals.leave):
                return super().invoke(ctx)
        except CommandError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(BLIND)


def _names(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of EdgeDetectors for the shell; nothing if they cannot be read."""
    session = ctx.find_root().ensure_object(Session)
    try:
        named = ctx.params.get("namespace")
        found = detectors(session.at().server, session.namespace(named))
    except CommandError:
        return []
    return [name for one in found if (name := str(one["metadata"]["name"])).startswith(incomplete)]


name_argument = click.argument("name", shell_complete=_names)
optional_name = click.argument("name", required=False, default="", shell_complete=_names)
namespace_option = click.option("-n", "--namespace", help="Namespace; without it that of the kubeconfig's context.")
everywhere_option = click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces.")
output_option = click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="For programs: docs/cli.md.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="edgedetector")
@click.option("--kubeconfig", type=click.Path(dir_okay=False), help="Path of the kubeconfig.")
@click.option("--context", help="Context of the kubeconfig.")
@click.pass_context
def main(ctx: click.Context, kubeconfig: str | None, context: str | None) -> None:
    """Say how EdgeDetectors are, what is wrong with them, and what helps."""
    session = ctx.ensure_object(Session)
    session.kubeconfig, session.context = kubeconfig, context


def show(document: Json, form: str | None, lines: Callable[[Json], list[Any]]) -> None:
    """Print a document in the form that is wanted."""
    if form:
        click.echo(render.machine(document, form), nl=False)
        return
    colour = sys.stdout.isatty()
    click.echo(render.text(lines(document), colour=colour, width=None if colour else 120), nl=False)


@main.command()
@optional_name
@namespace_option
@everywhere_option
@click.option("-w", "--watch", is_flag=True, help="Look again every two seconds.")
@output_option
@click.pass_obj
def status(
    session: Session, name: str, namespace: str | None, output: str | None, *, everywhere: bool, watch: bool
) -> None:
    """Say what is wrong first, then serving, cameras, tuning and capacity."""
    if watch and output:
        raise CommandError("--watch has no -o", "leave one of them out; programs ask again by themselves")
    wanted = Wanted(session.namespace(namespace, everywhere=everywhere), name, pods=bool(name))
    while True:
        document = summary.status(session.look(wanted))
        if watch:
            click.clear()
        show(document, output, render.status)
        if not watch:
            return
        try:
            session.sleep(REFRESH)
        except KeyboardInterrupt:
            return
