"""Which of the optional kinds the API server serves, asked live: they may be installed or removed at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgedetector.cluster import kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgedetector.cluster.client import Client

# Seconds. Saves a request a pass; a watch on the kinds' definitions drops the memory at once.
MEMORY: Final = 15.0


class Discovery:
    """Remembers for a moment which optional kinds there are."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._until = float("-inf")

    async def served(self) -> frozenset[str]:
        """Return the optional kinds that the API server serves."""
        if self._clock() >= self._until:
            self._known = await self._client.served(kinds.MONITORING_API, kinds.OPTIONAL)
            self._until = self._clock() + MEMORY
        return self._known

    def forget(self) -> None:
        """Ask again the next time."""
        self._until = float("-inf")
