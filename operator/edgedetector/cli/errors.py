"""What ends a command: one line that says what is the matter, a semicolon, and the way out.

::

    CommandError             exit code 2: nothing could be looked at
    ├── UnreachableError     the API server does not answer, or there is no configuration for one
    ├── ForbiddenError       it answers and does not allow it
    └── AbsentError          what was named is not there
"""

from __future__ import annotations

from typing import Final

FOUND: Final = 1
"""Exit code: there are findings."""
BLIND: Final = 2
"""Exit code: it could not be looked."""


class CommandError(Exception):
    """A command cannot do what it was asked for."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class UnreachableError(CommandError):
    """Nobody answers, or nobody knows whom to ask."""


class ForbiddenError(CommandError):
    """Whoever asks has no right to it."""


class AbsentError(CommandError):
    """The object, its namespace or its kind does not exist."""
