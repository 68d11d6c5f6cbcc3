from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.unit.cli.worlds import World

from edgedetector.cli.app import Session
from edgedetector.cli.commands import main
from edgedetector.cli.server import Place


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def run(world: World) -> Callable[..., Result]:
    """Run a command against the world."""

    ticks, passed = itertools.count(), [0.0]

    def sleep(seconds: float) -> None:
        passed.append(seconds)
        world.later()

    def _run(*arguments: str, stdin: str | None = None, **more: Any) -> Result:
        session = Session(
            opened=lambda _config, _context: Place(world, "site"),
            now=lambda: world.clock + timedelta(milliseconds=next(ticks)),
            sleep=sleep,
            clock=lambda: float(sum(passed)),
            forward=world.forward,
        )
        return CliRunner().invoke(main, arguments, obj=session, input=stdin, catch_exceptions=False, **more)

    return _run
