"""Completion by kubectl itself and by shells."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import Result
from tests.unit.cli.worlds import World

from edgedetector.cli.app import Session
from edgedetector.cli.completion import answers
from edgedetector.cli.errors import UnreachableError
from edgedetector.cli.server import Place


def session(world: World) -> Session:
    return Session(opened=lambda _config, _context: Place(world, "site"))


def test_commands_are_completed_with_what_they_do(world: World) -> None:
    found = answers(["sta"], session(world))

    assert found[0].startswith("status\tSay what is wrong first")
    assert found[-1] == ":4"


def test_names_of_detectors_are_completed(world: World) -> None:
    assert answers(["status", ""], session(world)) == ["yard", ":4"]
    assert answers(["tune", "x"], session(world)) == [":4"]


def test_flags_and_their_values_are_completed(world: World) -> None:
    assert "json" in answers(["status", "-o", ""], session(world))
    assert any(line.startswith("--history") for line in answers(["tune", "--h"], session(world)))


def test_without_a_cluster_there_are_no_names_and_no_error() -> None:
    def nowhere(_config: str | None, _context: str | None) -> Place:
        raise UnreachableError("gone")

    assert answers(["status", ""], Session(opened=nowhere)) == [":4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_script(run: Callable[..., Result], shell: str) -> None:
    result = run("completion", shell)

    assert result.exit_code == 0
    assert "_KUBECTL_EDGEDETECTOR_COMPLETE" in result.output


def test_help_and_completion_need_no_client_library() -> None:
    """It takes a second to load, at every press of the tabulator."""
    code = (
        "import sys; from edgedetector.cli import commands, completion;"
        "completion.answers(['sta']); print('kubernetes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
