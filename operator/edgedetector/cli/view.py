"""`view`: a page on this machine that shows cameras live, with what is found in them. Nothing runs in the cluster."""

from __future__ import annotations

import signal
import threading
import webbrowser
from functools import partial
from pathlib import Path

import click

from edgedetector.cli import signals
from edgedetector.cli.app import Session, main, name_argument, namespace_option
from edgedetector.cli.errors import CommandError
from edgedetector.cli.gather import Wanted
from edgedetector.cli.viewing.links import Links
from edgedetector.cli.viewing.relay import Relay
from edgedetector.cli.viewing.web import Server, serving


@main.command()
@name_argument
@namespace_option
@click.option("--port", default=0, help="Port of 127.0.0.1; without it a free one.", type=click.IntRange(0, 65535))
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Holds the token that spec.outputs.events.tokenSecretRef asks for.",
)
@click.pass_obj
def view(
    session: Session, name: str, namespace: str | None, port: int, token_file: Path | None, *, browser: bool
) -> None:
    """Show cameras live with boxes, their rates, what is wrong and what tuning does, until Ctrl-C."""
    place, space = session.at(), session.namespace(namespace) or "default"
    wanted = Wanted(space, name, pods=True)
    session.look(wanted)  # a wrong name is told here and not in the page
    token = partial(read, token_file) if token_file else str
    token()
    relay = Relay(partial(session.look, wanted), Links(partial(session.forward, place, space)), token)
    try:
        with serving(relay, port) as server:
            _open(server, browser=browser)
            _wait()
    except OSError as error:
        raise CommandError(f"port {port} cannot be used: {error.strerror}", "leave --port out") from None


def read(path: Path) -> str:
    """Return the token of a file.

    Raises
    ------
    CommandError
        If there is none.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {type(error).__name__}", "--token-file names a file") from None
    if not text or not text.isprintable() or not text.isascii():
        raise CommandError(f"{path} holds no token", "it has to be one line of ASCII")
    return text


def _open(server: Server, *, browser: bool) -> None:
    click.echo(f"The page is at {server.address}")
    click.echo("Whoever knows this address sees the cameras. Ctrl-C ends it.")
    if browser and not webbrowser.open(server.ticket):
        click.echo("No browser could be opened: open the address yourself.", err=True)


def _wait() -> None:
    """Return at Ctrl-C, and when the command is told to end."""
    ended = threading.Event()
    with signals.handled(lambda *_: ended.set(), signal.SIGINT):
        ended.wait()
