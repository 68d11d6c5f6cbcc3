"""Completion: for the shell, of `kubectl-edgedetector`, and for kubectl itself, of `kubectl edgedetector`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click
from click.shell_completion import ShellComplete, get_completion_class

from edgedetector.cli.app import main
from edgedetector.cli.errors import CommandError

PROGRAM: Final = "kubectl-edgedetector"
VARIABLE: Final = "_KUBECTL_EDGEDETECTOR_COMPLETE"
NO_FILES: Final = ":4"
"""Cobra's directive: what follows are no files."""
FILES: Final = ":0"


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of a shell, e.g. `source <(kubectl edgedetector completion bash)`.

    For `kubectl edgedetector` itself nothing is needed but kubectl_complete-edgedetector in the PATH.
    """
    found = get_completion_class(shell)
    if found is None:
        raise CommandError(f"{shell} is not known", "use bash, zsh or fish")
    click.echo(found(main, {}, PROGRAM, VARIABLE).source())


def answers(arguments: Sequence[str], obj: object = None) -> list[str]:
    """Return the lines that kubectl expects of kubectl_complete-edgedetector.

    Parameters
    ----------
    arguments
        What was typed behind `kubectl edgedetector`, the last one perhaps unfinished or empty.
    """
    *typed, incomplete = arguments or ("",)
    found = ShellComplete(main, {"obj": obj}, PROGRAM, VARIABLE).get_completions(list(typed), incomplete)
    if any(one.type in {"file", "dir"} for one in found):
        return [FILES]
    return [*(f"{one.value}\t{one.help}" if one.help else one.value for one in found), NO_FILES]


def run() -> None:
    """Entry point of kubectl_complete-edgedetector."""
    from edgedetector.cli import commands  # noqa: F401, PLC0415 - registers them

    sys.stdout.write("\n".join(answers(sys.argv[1:])) + "\n")
