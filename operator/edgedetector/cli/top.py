"""`top`: rates of cameras and models, the device and the tuner, live in a terminal or once."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from edgedetector.cli import rates
from edgedetector.cli.app import (
    Session,
    everywhere_option,
    main,
    namespace_option,
    optional_name,
    output_option,
    show,
)
from edgedetector.cli.errors import CommandError
from edgedetector.cli.gather import Wanted
from edgedetector.cli.snapshot import Snapshot

Json = dict[str, Any]
Pressed = Callable[[float], str]
"""Waits so many seconds for a key and returns it; empty: none was pressed."""

INTERVAL: Final = 2.0
"""Seconds between looks, unless told otherwise; a pod looks at itself once a second."""
_KEYS: Final = "q quits, any other key looks at once"


@main.command()
@optional_name
@namespace_option
@everywhere_option
@click.option(
    "--interval", type=click.FloatRange(1, 60), default=INTERVAL, show_default=True, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Look twice, print what was between, and end.")
@output_option
@click.pass_obj
def top(
    session: Session,
    name: str,
    namespace: str | None,
    interval: float,
    output: str | None,
    *,
    everywhere: bool,
    once: bool,
) -> None:
    """Show rates of cameras and models, batches, queues, the device and the tuner, live; q ends it."""
    wanted = Wanted(session.namespace(namespace, everywhere=everywhere), name, pods=True, metrics=True)
    looks = _Looks(session, wanted)
    if once or output:
        session.sleep(interval)
        show(looks.again(), output, rates.screen)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("this is no terminal", "give --once, or -o json for programs")
    with contextlib.suppress(KeyboardInterrupt), _keyboard() as pressed:
        _live(looks, interval, pressed)


class _Looks:
    """Looks, each of which is held against the one before."""

    def __init__(self, session: Session, wanted: Wanted) -> None:
        self._session, self._wanted = session, wanted
        self._last, self._at = self._look()

    def _look(self) -> tuple[Snapshot, float]:
        seen = self._session.look(self._wanted)
        return seen, self._session.clock()

    def again(self) -> Json:
        """Return what was between the last look and now."""
        before, then = self._last, self._at
        self._last, self._at = self._look()
        return rates.top(before, self._last, self._at - then)


def _live(looks: _Looks, interval: float, pressed: Pressed) -> None:
    """Show until q is pressed; a look that fails is told, and the next one follows."""
    shown = _waiting(interval)
    with Live(shown, console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while pressed(interval) != "q":
            try:
                shown = Group(Text(_KEYS, style="dim"), "", *rates.screen(looks.again()))
            except CommandError as error:
                shown = Group(Text(f"{error}; {_KEYS}", style="bold red"), *shown.renderables[1:])
            live.update(shown, refresh=True)


def _waiting(interval: float) -> Group:
    return Group(Text(_KEYS, style="dim"), "", f"rates follow in {interval:g} s")


@contextlib.contextmanager
def _keyboard() -> Iterator[Pressed]:
    """Have keys arrive as they are pressed, and the terminal as it was afterwards."""
    import termios  # noqa: PLC0415 - Windows has none, and the other commands run there
    import tty  # noqa: PLC0415

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return os.read(descriptor, 1).decode(errors="replace") if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
