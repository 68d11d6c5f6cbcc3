"""Two arenas, on which the tests of this directory play one after the other.

Session scope: an API server with its controllers takes seconds, and every run clears up after itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from tests.faults import campaign, plans, world
from tests.faults.arena import Arena, arena, equipped

T = TypeVar("T")

ARENAS = 2
"""As many as the smallest machine has cores."""


@dataclass
class Stage:
    """The arenas, and the event loop in which they live."""

    runner: asyncio.Runner
    arenas: list[Arena]
    want: dict[str, world.World]
    """The end of each step of the undisturbed scenario."""
    writes: tuple[plans.Write, ...]

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end."""
        return self.runner.run(coroutine)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Arenas on which the undisturbed scenario has been played."""
    with contextlib.ExitStack() as stack, asyncio.Runner() as runner:
        servers = [stack.enter_context(equipped()) for _ in range(ARENAS)]
        inner = contextlib.AsyncExitStack()
        try:
            arenas = [runner.run(inner.enter_async_context(arena(server))) for server in servers]
            yield Stage(runner, arenas, *runner.run(campaign.reference(arenas)))
        finally:
            runner.run(inner.aclose())
